"""Follows CustomResourceDefinitions: settles their names, serves their rows, cleans up after them.

``observe`` is fed by the server's own watch and changes the resource table at once, so that a definition that
was established before is served as soon as it is seen. What must be written waits for ``run``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from tiphys.apimachinery.backoff import Backoff
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.crd import names, structure
from tiphys.apiserver.crd.cleanup import NotRemoved, is_shared, remove_objects, row_of
from tiphys.apiserver.crd.conversion import Conversion
from tiphys.apiserver.crd.counts import Counts, Finalizing
from tiphys.apiserver.crd.rows import is_true, rows_of
from tiphys.apiserver.crd.store import CustomStore
from tiphys.apiserver.crd.text import Text, outline
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.handlers.deletion import CLEANUP
from tiphys.apiserver.registry import ownership
from tiphys.apiserver.registry.objects import Cached
from tiphys.client.workqueue import WorkQueue

log = logging.getLogger(__name__)
GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
_MANAGER = "kube-apiserver"
_FIRST_RETRY_S, _LAST_RETRY_S = 0.005, 1000.0
"""Of clean-ups."""
_IN_PROGRESS = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
_COMPLETED = ("False", "InstanceDeletionCompleted", "removed all instances")
_NEVER = ("False", "NeverEstablished", "resource was never established")
_OVERLAPPING = (
    "False",
    "OverlappingBuiltInResource",
    "instances overlap with built-in resources in storage",
)


class CustomResources:
    """Custom resources of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        row = backend.table.by_path(GROUP, "v1", PLURAL)
        assert row is not None
        self.row: Resource = row
        """The definitions' own row."""
        self._tracks = backend.options.feature_gates.enabled("CRDObservedGenerationTracking")
        self.counts = Counts(backend.clock.monotonic)
        conversion = Conversion(backend, self.counts)
        backend.custom = replace(backend, store=CustomStore(backend.store, conversion))
        self._definitions: dict[str, Object] = {}
        """What names are settled by; see ``text.outline``."""
        self._groups: dict[str, dict[str, Object]] = {}
        """The same by group."""
        self._rows: dict[str, list[Resource]] = {}
        self._served: dict[str, Object] = {}
        self._versions: dict[str, dict[str, object]] = {}
        """What tells one state of a served version from others, by definition."""
        self._judged: dict[str, object] = {}
        """Generations whose schemas were looked at, by definition."""
        self._pending = WorkQueue("crd_naming_condition_controller", clock=backend.clock)
        self._finalizing = Finalizing(backend.clock)
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        """Clean-ups that failed and wait for their next try, by definition; a change of it brings that on."""

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
            self._serve(name, None, None)
            self._judged.pop(name, None)
            gone = self._definitions.pop(name, None)
            if gone is not None:
                del self._groups[gone["spec"]["group"]][name]
                self._judge_others(gone)
            return
        # Decoded here, not by the cache, which would keep it.
        crd: Object = orjson.loads(cached.raw)
        self._know(outline(crd))
        self._serve(name, crd, Text(cached, crd))
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

    def _serve(self, name: str, crd: Object | None, text: Text | None) -> None:
        """Bring the resource table in line with a definition, where anything that it shows changed."""
        shown = None if crd is None or text is None else _shown(crd, text)
        if shown == self._served.get(name):
            return
        table, before = self._backend.table, self._rows.pop(name, [])
        rows = [] if crd is None else [row for row in rows_of(crd, text) if not self._is_built_in(row)]
        kept = {row.gvr for row in rows}
        for row in before:
            if row.gvr not in kept:
                table.remove(row.gvr)
                self._end_watches(row)
        for row in rows:
            row.definition.compared = self.counts.compared
            table.add(row)
        if rows:
            self._rows[name] = rows
        self.counts.changed(
            name, _published(self._served.get(name) if before else None), _published(shown if rows else None)
        )
        if rows or before:
            versions = _versions(crd, rows)
            group = (rows or before)[0].group
            self.counts.versions_changed(name, group, self._versions.pop(name, {}), versions)
            self._versions[name] = versions
        if shown is None:
            self._served.pop(name, None)
        else:
            self._served[name] = shown

    def _is_built_in(self, row: Resource) -> bool:
        """Tell whether a row's version of its group is this server's own: nobody adds to it."""
        return any(not one.custom for one in self._backend.table.resources(row.group, row.version))

    def _end_watches(self, row: Resource) -> None:
        end = getattr(self._backend.store, "end_watches", None)
        if end is not None:
            end(row)

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
            if name in self._awaited:
                self._awaited[name].set()
            elif CLEANUP in (known["metadata"].get("finalizers") or ()) and name not in self._cleaning:
                self._finalizing.counts.adds += 1
                task = group.create_task(self._clean_up(name))
                self._cleaning[name] = task
                task.add_done_callback(lambda _task: self._cleaning.pop(name, None))
            return
        generation = known["metadata"].get("generation")
        judges = structure.is_doubtful(known) and self._judged.get(name) != generation
        if not judges and self._settled(known) == known:
            return
        cached = await self._backend.store.get(self.row, "", name)
        before = outline(cached.object)
        new = self._settled(before)
        if judges:
            structure.judge(cached.object, new["status"], self._now())
            self._judged[name] = generation
        if new == before:
            return
        await self._write(cached, _with_status(cached.object, new["status"]), "status")
        # The next definition is judged by what this one got, seen by the feed or not.
        self._know(new)
        if new["status"]["acceptedNames"] != (before.get("status") or {}).get("acceptedNames"):
            self._judge_others(new)

    def _settled(self, definition: Object) -> Object:
        new: Object = copy_object(definition)
        names.settle(new, self._same_group(definition), self._now(), tracks=self._tracks)
        return new

    def _now(self) -> str:
        return rfc3339(self._backend.clock.now())

    async def _write(self, cached: Cached, new: Object, subresource: str) -> None:
        write = ownership.Write(_MANAGER, self._backend.clock.now(), subresource)
        ownership.manage_update(cached.object, new, self.row, write)
        new["metadata"].pop("resourceVersion", None)
        await self._backend.store.update(self.row, new, cached.revision)

    async def _clean_up(self, name: str) -> None:
        """Remove a definition's objects, then let it go; say what stands in the way, and retry."""
        backoff = Backoff(_FIRST_RETRY_S, cap_s=_LAST_RETRY_S)
        while True:
            try:
                with self._finalizing.working(name):
                    crd = await self._tell(name, *_IN_PROGRESS)
                    await self._release(name, *await self._removed(crd))
                return
            except NotFound:
                return
            except NotRemoved as error:
                log.warning("objects not removed name=%s: %s", name, error)
                with suppress(StatusError):
                    await self._tell(name, "True", error.reason, error.message)
            except StatusError as error:
                log.warning("clean-up not done name=%s: %s", name, error)
            self._finalizing.counts.retries += 1
            await self._pause(name, backoff.next())

    async def _pause(self, name: str, seconds: float) -> None:
        """Wait for the next try, or until the definition changes in more than what was told of it."""
        told = _without_terminating(self._definitions.get(name))
        awaited = self._awaited[name] = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                while _without_terminating(self._definitions.get(name)) == told:
                    await awaited.wait()
                    awaited.clear()
        except TimeoutError:
            pass
        finally:
            del self._awaited[name]

    async def _removed(self, crd: Object) -> tuple[str, str, str]:
        """Remove a definition's objects. Returns the condition that says so. Raises NotRemoved."""
        if is_shared(crd):
            return _OVERLAPPING
        if not is_true(crd, "Established"):
            return _NEVER
        await remove_objects(self._backend.custom or self._backend, row_of(crd))
        return _COMPLETED

    async def _tell(self, name: str, *terminating: str) -> Object:
        """Say how far the deletion of a definition is. Returns the definition."""
        while True:
            cached = await self._backend.store.get(self.row, "", name)
            new = _with_status(cached.object, copy_object(cached.object.get("status") or {}))
            names.set_condition(new, "Terminating", *terminating, now=self._now())
            names.track(new, tracks=self._tracks)
            if new == cached.object:
                return new
            try:
                await self._write(cached, new, "status")
                return new
            except Conflict:
                continue

    async def _release(self, name: str, *terminating: str) -> None:
        """Take the finalizer off and say why; the definition goes with its last one."""
        while True:
            cached = await self._backend.store.get(self.row, "", name)
            new = _with_status(cached.object, copy_object(cached.object.get("status") or {}))
            left = [one for one in new["metadata"].get("finalizers") or () if one != CLEANUP]
            try:
                if not left:
                    await self._backend.store.delete(self.row, "", name, cached.revision)
                else:
                    new["metadata"]["finalizers"] = left
                    names.set_condition(new, "Terminating", *terminating, now=self._now())
                    names.track(new, tracks=self._tracks)
                    await self._write(cached, new, "status")
                return
            except Conflict:
                continue


def _without_terminating(definition: Object | None) -> object:
    """Return what a clean-up depends on: the definition but for what that itself says of it."""
    if definition is None:
        return None
    status = definition.get("status") or {}
    kept = [one for one in status.get("conditions") or () if one.get("type") != "Terminating"]
    return {**definition, "status": {**status, "conditions": kept}}


def _with_status(crd: Object, status: Any) -> Object:
    """Return a definition to write: its metadata is the caller's own, its spec is shared."""
    new = {**crd, "metadata": dict(crd["metadata"])}
    if status is not None:
        new["status"] = status
    return new


def _published(shown: Object | None) -> object:
    """Return what of a definition its part of OpenAPI documents depends on; None: there is none."""
    return None if shown is None else (shown["spec"], shown["names"])


def _versions(crd: Object | None, rows: list[Resource]) -> dict[str, object]:
    """Return of each version that is served what its document depends on, by its hash."""
    if crd is None:
        return {}
    names, served = (crd.get("status") or {}).get("acceptedNames"), {row.version for row in rows}
    return {
        one["name"]: hashlib.sha256(orjson.dumps([one, names, crd["spec"]["scope"]])).digest()
        for one in crd["spec"]["versions"]
        if one["name"] in served
    }


def _shown(crd: Object, text: Text) -> Object:
    """Return all of a definition that its rows depend on."""
    status = crd.get("status") or {}
    return {
        "spec": text.digest,
        "uid": crd["metadata"].get("uid"),
        "names": status.get("acceptedNames"),
        "established": is_true(crd, "Established"),
        "terminating": bool(crd["metadata"].get("deletionTimestamp")),
    }
