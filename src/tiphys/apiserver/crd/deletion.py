"""How a definition goes: objects are removed, what stands in the way is told, its finalizer comes off.

Owns: the clean-ups under way, one for each definition, and when one is tried again. Refuses: how objects are
removed (``cleanup``). Called by the controller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tiphys.apimachinery.backoff import Backoff
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apiserver.crd import names
from tiphys.apiserver.crd.cleanup import NotRemoved, is_shared, remove_objects, row_of
from tiphys.apiserver.crd.rows import is_true
from tiphys.apiserver.crd.statuses import Statuses, with_status
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.handlers.deletion import CLEANUP
from tiphys.apiserver.registry.objects import Cached
from tiphys.client.metrics import KeyWork

log = logging.getLogger(__name__)
_FIRST_RETRY_S, _LAST_RETRY_S = 0.005, 1000.0
_IN_PROGRESS: Final = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
_COMPLETED: Final = ("False", "InstanceDeletionCompleted", "removed all instances")
_NEVER: Final = ("False", "NeverEstablished", "resource was never established")
_OVERLAPPING: Final = (
    "False",
    "OverlappingBuiltInResource",
    "instances overlap with built-in resources in storage",
)


class Deletions:
    """The definitions of one server that go. ``known`` returns one as it was seen last, in outline."""

    def __init__(self, backend: Backend, statuses: Statuses, known: Callable[[str], Object | None]) -> None:
        self._backend = backend
        self._statuses = statuses
        self._known = known
        self._work = KeyWork("crd_finalizer", backend.clock)
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        """Clean-ups that failed and wait for their next try, by definition; a change of it brings that on."""

    def ensure(self, name: str, definition: Object, group: asyncio.TaskGroup) -> None:
        """See that a definition that is to go is cleaned up after; one that waits is looked at again."""
        if name in self._awaited:
            self._awaited[name].set()
        elif CLEANUP in (definition["metadata"].get("finalizers") or ()) and name not in self._cleaning:
            task = group.create_task(self._clean_up(name))
            self._cleaning[name] = task
            task.add_done_callback(lambda done: self._ended(name, done))

    def forget(self, name: str) -> None:
        """Give up the clean-up after a definition that is gone: one of its name may be made again."""
        if (task := self._cleaning.pop(name, None)) is not None:
            task.cancel()

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._cleaning.get(name) is task:
            del self._cleaning[name]

    async def _clean_up(self, name: str) -> None:
        """Remove a definition's objects, then let it go; say what stands in the way, and retry."""
        backoff = Backoff(_FIRST_RETRY_S, cap_s=_LAST_RETRY_S)
        while True:
            try:
                with self._work.working(name):
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
            self._work.again()
            await self._pause(name, backoff.next())

    async def _pause(self, name: str, seconds: float) -> None:
        """Wait for the next try, or until the definition changes in more than what was told of it."""
        told = _without_terminating(self._known(name))
        awaited = self._awaited[name] = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                while _without_terminating(self._known(name)) == told:
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

    async def _going(self, name: str) -> Cached:
        """Return a definition that waits to be cleaned up after.

        Raises NotFound: it is gone, or one of its name has been made again since somebody let it go.
        """
        cached = await self._backend.store.get(self._statuses.row, "", name)
        metadata = cached.object["metadata"]
        if not metadata.get("deletionTimestamp") or CLEANUP not in (metadata.get("finalizers") or ()):
            raise NotFound.of(self._statuses.row.group, self._statuses.row.plural, name)
        return cached

    async def _tell(self, name: str, *terminating: str) -> Object:
        """Say how far the deletion of a definition is. Returns the definition."""
        while True:
            cached = await self._going(name)
            new = with_status(cached.object, copy_object(cached.object.get("status") or {}))
            names.set_condition(new, "Terminating", *terminating, now=self._statuses.now())
            names.track(new, tracks=self._statuses.tracks)
            if new == cached.object:
                return new
            try:
                await self._statuses.write(cached, new)
                return new
            except Conflict:
                continue

    async def _release(self, name: str, *terminating: str) -> None:
        """Take the finalizer off and say why; the definition goes with its last one."""
        while True:
            cached = await self._going(name)
            new = with_status(cached.object, copy_object(cached.object.get("status") or {}))
            left = [one for one in new["metadata"].get("finalizers") or () if one != CLEANUP]
            try:
                if not left:
                    await self._backend.store.delete(self._statuses.row, "", name, cached.revision)
                else:
                    new["metadata"]["finalizers"] = left
                    names.set_condition(new, "Terminating", *terminating, now=self._statuses.now())
                    names.track(new, tracks=self._statuses.tracks)
                    await self._statuses.write(cached, new)
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
