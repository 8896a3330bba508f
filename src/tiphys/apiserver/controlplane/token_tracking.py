"""Keeps the ConfigMap that says since when the use of tokens in Secrets is written down.

The cleaner of unused tokens waits until that was long enough ago. Source: KEP-2799.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final

from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apiserver.controlplane.bootstrap import TRACKING, create, tracking
from tiphys.apiserver.endpoints.call import Backend

log = logging.getLogger(__name__)
_LOOK_S: Final = 60.0
_AGAIN_S: Final = 1800.0
"""It is made anew no more often than this: an older server beside this one may remove it."""


class TokenTracking:
    """``run`` looks at it from time to time; bootstrap has made it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._made_at = backend.clock.monotonic()

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except StatusError as error:
                log.warning("use of tokens not marked as tracked why=%s", error)

    async def look(self) -> None:
        """Make it where it is gone, give it a day where it names none. Raises StatusError."""
        backend = self._backend
        row = backend.table.by_path("", "v1", "configmaps")
        wanted, now = tracking(backend), backend.clock.monotonic()
        try:
            live = await backend.store.get(row, "kube-system", TRACKING)
        except NotFound:
            if now - self._made_at >= _AGAIN_S:
                await create(backend, wanted)
                self._made_at = now
            return
        if _is_day(live.object):
            return
        changed = copy_object(live.object)
        changed["metadata"].pop("resourceVersion", None)
        changed["data"] = {**(changed.get("data") or {}), **wanted["data"]}
        try:
            await backend.store.update(row, changed, live.revision)
        except (Conflict, NotFound):
            return  # somebody else looks after it


def _is_day(config_map: Object) -> bool:
    since = (config_map.get("data") or {}).get("since") or ""
    try:
        return datetime.strptime(since, "%Y-%m-%d").strftime("%Y-%m-%d") == since
    except ValueError:
        return False
