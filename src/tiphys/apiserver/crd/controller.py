"""Follows CustomResourceDefinitions: settles their names, serves their rows, cleans up after them.

``observe`` is fed by the server's own watch and changes the resource table at once, so that a definition that
was established before is served as soon as it is seen. What must be written waits for ``run``.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver import ownership
from tiphys.apiserver.call import Backend
from tiphys.apiserver.crd import names
from tiphys.apiserver.crd.cleanup import remove_objects
from tiphys.apiserver.crd.conversion import Conversion
from tiphys.apiserver.crd.rows import is_true, rows_of
from tiphys.apiserver.crd.store import CustomStore
from tiphys.apiserver.handlers.delete import CLEANUP
from tiphys.apiserver.objects import Cached

log = logging.getLogger(__name__)
GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
_MANAGER = "kube-apiserver"
_RETRY_S = 1.0


class CustomResources:
    """Custom resources of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        row = backend.table.by_path(GROUP, "v1", PLURAL)
        assert row is not None
        self.row: Resource = row
        """The definitions' own row."""
        self._tracks = backend.options.feature_gates.enabled("CRDObservedGenerationTracking")
        conversion = Conversion(backend)
        backend.custom = replace(backend, store=CustomStore(backend.store, conversion))
        self._definitions: dict[str, Object] = {}
        self._rows: dict[str, list[Resource]] = {}
        self._served: dict[str, Object] = {}
        self._pending: asyncio.Queue[str] = asyncio.Queue()
        self._cleaning: dict[str, asyncio.Task[None]] = {}

    def source_of(self, gvk: GVK) -> Object | None:
        """Return the ``openAPIV3Schema`` of a custom kind: what OpenAPI documents publish."""
        row = self._backend.table.by_kind(gvk)
        return None if row is None or row.definition is None else row.definition.source

    def observe(self, old: Cached | None, new: Cached | None) -> None:
        """Take in one change of a definition."""
        cached = new or old
        assert cached is not None
        name = cached.name
        if new is None:
            self._definitions.pop(name, None)
            self._serve(name, None)
            self._judge_others(cached.object)
        else:
            self._definitions[name] = new.object
            self._serve(name, new.object)
            self._pending.put_nowait(name)

    def _judge_others(self, crd: Object) -> None:
        """What a definition gives up, another may have waited for."""
        for other in self._same_group(crd):
            self._pending.put_nowait(other["metadata"]["name"])

    def _same_group(self, crd: Object) -> list[Object]:
        group, name = crd["spec"]["group"], crd["metadata"]["name"]
        return [
            other
            for other in self._definitions.values()
            if other["spec"]["group"] == group and other["metadata"]["name"] != name
        ]

    def _serve(self, name: str, crd: Object | None) -> None:
        """Bring the resource table in line with a definition, where anything that it shows changed."""
        shown = None if crd is None else _shown(crd)
        if shown == self._served.get(name):
            return
        table, before = self._backend.table, self._rows.pop(name, [])
        rows = [] if crd is None else rows_of(crd)
        kept = {row.gvr for row in rows}
        for row in before:
            if row.gvr not in kept:
                table.remove(row.gvr)
                self._end_watches(row)
        for row in rows:
            table.add(row)
        if rows:
            self._rows[name] = rows
        if shown is None:
            self._served.pop(name, None)
        else:
            self._served[name] = shown

    def _end_watches(self, row: Resource) -> None:
        end = getattr(self._backend.store, "end_watches", None)
        if end is not None:
            end(row)

    async def run(self) -> None:
        """Write what definitions need, one at a time, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                name = await self._pending.get()
                try:
                    await self._settle(name, group)
                except (NotFound, Conflict):
                    continue  # Whatever came in between is observed on its own.
                except StatusError as error:
                    log.warning("definition not settled name=%s: %s", name, error)
                    asyncio.get_running_loop().call_later(_RETRY_S, self._pending.put_nowait, name)

    async def _settle(self, name: str, group: asyncio.TaskGroup) -> None:
        cached = await self._backend.store.get(self.row, "", name)
        crd = cached.object
        if crd["metadata"].get("deletionTimestamp"):
            if CLEANUP in (crd["metadata"].get("finalizers") or ()) and name not in self._cleaning:
                task = group.create_task(self._clean_up(name))
                self._cleaning[name] = task
                task.add_done_callback(lambda _task: self._cleaning.pop(name, None))
            return
        new = copy_object(crd)
        names.settle(new, self._same_group(crd), self._now(), tracks=self._tracks)
        if new != crd:
            await self._write(cached, new, "status")
            # The next definition is judged by what this one got, seen by the feed or not.
            self._definitions[name] = new
            if new["status"]["acceptedNames"] != (crd.get("status") or {}).get("acceptedNames"):
                self._judge_others(new)

    def _now(self) -> str:
        return rfc3339(self._backend.clock.now())

    async def _write(self, cached: Cached, new: Object, subresource: str) -> None:
        write = ownership.Write(_MANAGER, self._backend.clock.now(), subresource)
        ownership.manage_update(cached.object, new, self.row, write)
        new["metadata"].pop("resourceVersion", None)
        await self._backend.store.update(self.row, new, cached.revision)

    async def _clean_up(self, name: str) -> None:
        """Remove a definition's objects, then let the definition go."""
        while True:
            try:
                text = "CustomResource deletion is in progress"
                await self._terminating(name, "True", "InstanceDeletionInProgress", text)
                rows = self._rows.get(name) or self._hidden_rows(name)
                if rows:
                    await remove_objects(self._backend.custom or self._backend, rows[0])
                await self._terminating(name, "False", "InstanceDeletionCompleted", "removed all instances")
                await self._release(name)
                return
            except NotFound:
                return
            except StatusError as error:
                log.warning("clean-up not done name=%s: %s", name, error)
                await asyncio.sleep(_RETRY_S)

    def _hidden_rows(self, name: str) -> list[Resource]:
        """Return rows to find objects by, where no version is served any more."""
        crd = self._definitions.get(name)
        if crd is None or not is_true(crd, "Established"):
            return []
        versions = [{**one, "served": True} for one in crd["spec"]["versions"]]
        return rows_of({**crd, "spec": {**crd["spec"], "versions": versions}})

    async def _terminating(self, name: str, status: str, reason: str, message: str) -> None:
        while True:
            cached = await self._backend.store.get(self.row, "", name)
            new = copy_object(cached.object)
            names.set_condition(new, "Terminating", status, reason, message, now=self._now())
            try:
                await self._write(cached, new, "status")
                return
            except Conflict:
                continue

    async def _release(self, name: str) -> None:
        """Take the finalizer off; the definition goes with its last one."""
        while True:
            cached = await self._backend.store.get(self.row, "", name)
            new = copy_object(cached.object)
            left = [one for one in new["metadata"].get("finalizers") or () if one != CLEANUP]
            try:
                if not left:
                    await self._backend.store.delete(self.row, "", name, cached.revision)
                else:
                    new["metadata"]["finalizers"] = left
                    await self._write(cached, new, "")
                return
            except Conflict:
                continue


def _shown(crd: Object) -> Object:
    """Return all of a definition that its rows depend on."""
    status = crd.get("status") or {}
    return {
        "spec": crd["spec"],
        "names": status.get("acceptedNames"),
        "established": is_true(crd, "Established"),
        "terminating": bool(crd["metadata"].get("deletionTimestamp")),
    }
