"""Keeps the FlowSchemas and PriorityLevelConfigurations of a server in repair, and says what dangles.

Owns: writing the mandatory and suggested objects, and the Dangling condition. Follows both kinds and tells
``FlowControl`` of every change.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.go_text import BOOLS
from tiphys.apimachinery.meta import GVK, Object, copy_object, get_condition, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apis.flowcontrol.mandatory import MANDATORY
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached

log = logging.getLogger(__name__)
_REPAIR_EVERY_S = 60.0
_MINUTE_S = 60.0
_OFTEN = 5
"""A condition that was written more often than so in a minute is left for a while: another server, of another
version or with other objects, writes it too."""
_LEFT_S, _LEFT_JITTER_S = 30.0, 45.0
_GROUP = "flowcontrol.apiserver.k8s.io"


def repaired(live: Object, wanted: Object) -> Object | None:
    """Return ``live`` as it has to be, None when it is right or its owner's. Pure.

    Mandatory objects are always put back, but for the shares of what is exempt; suggested ones while their
    annotation, or nobody's change, allows. The annotation says afterwards which it was.
    """
    meta = live["metadata"]
    mark = _mark_of(live)
    mandatory = meta["name"] in MANDATORY
    ours = mandatory or (meta.get("generation", 1) == 1 if mark is None else mark)
    annotations = dict(meta.get("annotations") or {})
    if mark is not ours:
        annotations[objects.AUTOUPDATE] = "true" if ours else "false"
    spec = wanted["spec"] if ours else live["spec"]
    if mandatory and spec.get("exempt") and live["spec"].get("exempt"):
        spec = {**spec, "exempt": live["spec"]["exempt"]}
    if spec == live["spec"] and annotations == (meta.get("annotations") or {}):
        return None
    changed: Object = copy_object(live)
    changed["metadata"].pop("resourceVersion", None)
    changed["metadata"]["annotations"] = annotations
    if spec != live["spec"]:
        changed["spec"] = spec
        changed["metadata"]["generation"] = meta.get("generation", 1) + 1
    return changed


def _mark_of(obj: Object) -> bool | None:
    """Return whether an object's annotation lets it be put back, None: it does not say."""
    text = (obj["metadata"].get("annotations") or {}).get(objects.AUTOUPDATE, "")
    return BOOLS.get(text)


def with_dangling(schema: Object, *, dangling: bool, now: str) -> Object | None:
    """Return a FlowSchema with its Dangling condition set, None when it says so already. Pure."""
    name = schema["spec"]["priorityLevelConfiguration"]["name"]
    text = f"This FlowSchema references the PriorityLevelConfiguration object named {_quoted(name)} "
    wanted = {
        "type": "Dangling",
        "status": "True" if dangling else "False",
        "reason": "NotFound" if dangling else "Found",
        "message": text + ("but there is no such object" if dangling else "and it exists"),
    }
    found = get_condition(schema, "Dangling")
    if found is not None and {key: found.get(key) for key in wanted} == wanted:
        return None
    same = found is not None and found.get("status") == wanted["status"]
    since = found.get("lastTransitionTime") if found is not None and same else None
    changed: Object = copy_object(schema)
    changed["metadata"].pop("resourceVersion", None)
    status = changed.setdefault("status", {})
    others = [one for one in status.get("conditions") or () if one.get("type") != "Dangling"]
    status["conditions"] = [*others, {**wanted, "lastTransitionTime": since or now}]
    return changed


def _quoted(text: str) -> str:
    return machinery.dumps(text).decode()


class Repair:
    """``feeds`` are followed while the server runs; ``run`` mends for ever."""

    def __init__(self, backend: Backend, flow: FlowControl) -> None:
        self._backend = backend
        self._flow = flow
        self._rows = {kind: self._row(kind) for kind in ("FlowSchema", "PriorityLevelConfiguration")}
        self._live: dict[str, dict[str, Cached]] = {kind: {} for kind in self._rows}
        self._changed = asyncio.Event()
        self._marked: deque[tuple[float, str]] = deque()
        """When the condition of which FlowSchema was written, in the last minute."""
        self._pause_s = _REPAIR_EVERY_S

    def _row(self, kind: str) -> Resource:
        row: Resource | None = self._backend.table.by_kind(GVK(_GROUP, "v1", kind))
        assert row is not None
        return row

    def feeds(self) -> list[Feed]:
        """Return what must be followed while the server runs."""
        store = self._backend.store
        return [
            Feed(store, self._rows["PriorityLevelConfiguration"], self._level),
            Feed(store, self._rows["FlowSchema"], self._schema),
        ]

    def _level(self, old: Cached | None, new: Cached | None) -> None:
        name = self._note("PriorityLevelConfiguration", old, new)
        self._flow.set_level(name, new.object if new else None)

    def _schema(self, old: Cached | None, new: Cached | None) -> None:
        name = self._note("FlowSchema", old, new)
        self._flow.set_schema(name, new.object if new else None)

    def _note(self, kind: str, old: Cached | None, new: Cached | None) -> str:
        name = (new or old).name  # type: ignore[union-attr]
        if new is None:
            self._live[kind].pop(name, None)
        else:
            self._live[kind][name] = new
        self._changed.set()
        return name

    async def run(self) -> None:
        """Mend after each change, and once a minute."""
        while True:
            try:
                await self.mend()
            except StatusError as error:
                log.warning("flow control objects not mended error=%s", error.message)
            try:
                async with asyncio.timeout(self._pause_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def mend(self) -> None:
        """Write what is missing or wrong, remove what is of no use. Raises StatusError."""
        for kind, wanted in (
            ("PriorityLevelConfiguration", objects.priority_levels()),
            ("FlowSchema", objects.flow_schemas()),
        ):
            for obj in wanted:
                live = self._live[kind].get(obj["metadata"]["name"])
                if live is None:
                    await self._create(kind, obj)
                elif (changed := repaired(live.object, obj)) is not None:
                    await self._update(kind, changed, live)
            await self._remove_all_but(kind, {obj["metadata"]["name"] for obj in wanted})
        await self._mark()

    async def _remove_all_but(self, kind: str, wanted: set[str]) -> None:
        """Take away what an earlier version kept and this one does not."""
        for live in list(self._live[kind].values()):
            if live.name not in wanted and _mark_of(live.object):
                with suppress(Conflict, NotFound):  # we look again then
                    await self._backend.store.delete(self._rows[kind], "", live.name, live.revision)

    async def _mark(self) -> None:
        now = rfc3339(self._backend.clock.now())
        self._pause_s = _REPAIR_EVERY_S
        for live in list(self._live["FlowSchema"].values()):
            name = live.object["spec"]["priorityLevelConfiguration"]["name"]
            changed = with_dangling(live.object, dangling=not self._flow.has_level(name), now=now)
            if changed is None:
                continue
            if self._often(live.name):
                self._pause_s = min(self._pause_s, _LEFT_S + random.random() * _LEFT_JITTER_S)
                continue
            self._marked.append((self._backend.clock.monotonic(), live.name))
            await self._update("FlowSchema", changed, live)

    def _often(self, name: str) -> bool:
        """Whether a FlowSchema's condition was written so often that somebody else must have changed it."""
        marked, now = self._marked, self._backend.clock.monotonic()
        while marked and marked[0][0] < now - _MINUTE_S:
            marked.popleft()
        return sum(one == name for _, one in marked) > _OFTEN

    async def _create(self, kind: str, obj: Object) -> None:
        obj["metadata"] |= {
            "uid": new_uid(), "generation": 1, "creationTimestamp": rfc3339(self._backend.clock.now()),
        }  # fmt: skip
        try:
            await self._backend.store.create(self._rows[kind], obj)
        except AlreadyExists:
            return

    async def _update(self, kind: str, obj: Object, live: Cached) -> None:
        try:
            await self._backend.store.update(self._rows[kind], obj, live.revision)
        except (Conflict, NotFound):
            return  # its change is on the way to us, and we look again then
