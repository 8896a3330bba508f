"""Follows CustomResourceDefinitions: settles their names, establishes them, has what goes cleaned up after.

``observe`` is fed by the server's own watch and changes the resource table at once (``serving``), so that a
definition that was established before is served as soon as it is seen. What must be written waits for
``run``.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

import orjson

from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.crd import names, structure
from tiphys.apiserver.crd.conversion import Conversion
from tiphys.apiserver.crd.counts import Counts
from tiphys.apiserver.crd.deletion import Deletions
from tiphys.apiserver.crd.rows import is_true
from tiphys.apiserver.crd.serving import Serving
from tiphys.apiserver.crd.statuses import Statuses, with_status
from tiphys.apiserver.crd.store import CustomStore
from tiphys.apiserver.crd.text import Text, outline
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry.objects import Cached
from tiphys.client.workqueue import WorkQueue

log = logging.getLogger(__name__)
GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
_INSTALLING_S: Final = 5.0
"""So long a definition is installing where there are several servers: each shall have seen it."""


class CustomResources:
    """Custom resources of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        row = backend.table.by_path(GROUP, "v1", PLURAL)
        assert row is not None
        self.row: Resource = row
        """The definitions' own row."""
        self.counts = Counts(backend.clock.monotonic)
        conversion = Conversion(backend, self.counts)
        backend.custom = replace(backend, store=CustomStore(backend.store, conversion))
        self._serving = Serving(backend, self.counts)
        self._statuses = Statuses(backend, row)
        self._definitions: dict[str, Object] = {}
        """What names are settled by; see ``text.outline``."""
        self._deletions = Deletions(backend, self._statuses, self._definitions.get)
        self._groups: dict[str, dict[str, Object]] = {}
        """The same by group."""
        self._judged: dict[str, object] = {}
        """Generations whose schemas were looked at, by definition."""
        self._pending = WorkQueue("crd_naming_condition_controller", clock=backend.clock)
        self._installing_s = _INSTALLING_S if backend.options.api_servers > 1 else 0.0
        self._installing: dict[str, asyncio.TimerHandle | None] = {}
        """Definitions whose time to be installing runs, or is over."""

    def source_of(self, gvk: GVK) -> Object | None:
        """Return the ``openAPIV3Schema`` of a custom kind: what OpenAPI documents publish."""
        row = self._backend.table.by_kind(gvk)
        return None if row is None or row.definition is None else row.definition.published

    def observe(self, old: Cached | None, new: Cached | None) -> None:
        """Take in one change of a definition."""
        cached = new or old
        assert cached is not None
        name = cached.name
        if new is None:
            self._serving.serve(name, None, None)
            self._judged.pop(name, None)
            self._forget_timer(name)
            self._deletions.forget(name)
            gone = self._definitions.pop(name, None)
            if gone is not None:
                del self._groups[gone["spec"]["group"]][name]
                self._judge_others(gone)
            return
        # Decoded here, not by the cache, which would keep it.
        crd: Object = orjson.loads(cached.raw)
        self._know(outline(crd))
        self._serving.serve(name, crd, Text(cached, crd))
        self._pending.add(name)

    def _know(self, definition: Object) -> None:
        name, group = definition["metadata"]["name"], definition["spec"]["group"]
        self._definitions[name] = definition
        self._groups.setdefault(group, {})[name] = definition

    def _judge_others(self, crd: Object) -> None:
        """What a definition gives up, another may have waited for."""
        for other in self._same_group(crd):
            if not is_true(other, "NamesAccepted"):
                self._pending.add(other["metadata"]["name"])

    def _same_group(self, crd: Object) -> list[Object]:
        name = crd["metadata"]["name"]
        group = self._groups.get(crd["spec"]["group"], {})
        return [other for key, other in group.items() if key != name]

    async def run(self) -> None:
        """Write what definitions need, one at a time, for ever."""
        self.counts.open = True
        async with asyncio.TaskGroup() as group:
            while True:
                name = await self._pending.get()
                try:
                    await self._settle(name, group)
                    self._pending.forget(name)
                except (NotFound, Conflict):
                    self._pending.forget(name)  # Whatever came in between is observed on its own.
                except StatusError as error:
                    log.warning("definition not settled name=%s: %s", name, error)
                    self._pending.add_rate_limited(name)
                finally:
                    self._pending.done(name)

    async def _settle(self, name: str, group: asyncio.TaskGroup) -> None:
        known = self._definitions.get(name)
        if known is None:
            return
        if known["metadata"].get("deletionTimestamp"):
            self._deletions.ensure(name, known, group)
            return
        generation = known["metadata"].get("generation")
        judges = structure.is_doubtful(known) and self._judged.get(name) != generation
        establishes = self._establishes(name, known)
        if not judges and self._settled(known, establishes=establishes) == known:
            return
        cached = await self._backend.store.get(self.row, "", name)
        before = outline(cached.object)
        new = self._settled(before, establishes=establishes)
        if judges:
            structure.judge(cached.object, new["status"], self._statuses.now())
            self._judged[name] = generation
        if new == before:
            return
        await self._statuses.write(cached, with_status(cached.object, new["status"]))
        # The next definition is judged by what this one got, seen by the feed or not.
        self._know(new)
        if new["status"]["acceptedNames"] != (before.get("status") or {}).get("acceptedNames"):
            self._judge_others(new)

    def _establishes(self, name: str, known: Object) -> bool:
        """Tell whether a definition has been installing for long enough; if not, it is asked about then.

        Source: the wait of the establishing controller where ``--apiserver-count`` tells of several servers.
        """
        if not self._installing_s or is_true(known, "Established") or not is_true(known, "NamesAccepted"):
            self._forget_timer(name)
            return True
        if name not in self._installing:
            loop = asyncio.get_running_loop()
            self._installing[name] = loop.call_later(self._installing_s, self._ripen, name)
        return self._installing[name] is None

    def _ripen(self, name: str) -> None:
        self._installing[name] = None
        self._pending.add(name)

    def _forget_timer(self, name: str) -> None:
        timer = self._installing.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _settled(self, definition: Object, *, establishes: bool) -> Object:
        new: Object = copy_object(definition)
        names.settle(
            new,
            self._same_group(definition),
            self._statuses.now(),
            tracks=self._statuses.tracks,
            establishes=establishes,
        )
        return new
