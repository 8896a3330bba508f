"""What controllers of owned objects share: which events concern which owner, claims, writes of children.

A subclass says its kind, its children and its ``look``; decisions are in its ``plan``. Every write of a child
is noted, and an owner is not planned for again before the cache shows what was written for it. A creation
whose answer was lost may have been done: the API is asked before anything else is created.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from tiphys.apimachinery.errors import AlreadyExists, Forbidden, NotFound, StatusError
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import GVR, Object, controller_of, object_key
from tiphys.client.controller import run_controller
from tiphys.client.informer import Informer
from tiphys.client.kinds import PODS
from tiphys.client.transport import TransportError
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import STALE_SKIPS
from tiphys.controllers.owned import Writes, apply_claims, candidates, index_owned, plan_claims
from tiphys.controllers.selected import Selecting

_UNANSWERED: Final = 500
"""From this code on an error does not say that nothing was done."""


class WorkloadController(ABC):
    """A key is an owner's, ``namespace/name``."""

    gvr: ClassVar[GVR]
    kind: ClassVar[str]
    children: ClassVar[GVR] = PODS
    noun: ClassVar[str] = "pod"
    """What events call a child."""
    finalizer: ClassVar[str] = ""
    """What children bear as long as they are an owner's, if anything."""
    name: ClassVar[str]
    account: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers_of(self.name)
        self._recorder = context.recorder(self.name)
        self._informers = context.informers
        self._followed: list[Informer] = []
        self.queue = context.queue(self.name)
        self._owners = self._follow(self.gvr)
        self._owned = self._follow(self.children)
        index_owned(self._owned)
        self._selecting = Selecting(self._owners, self._selector)
        self._writes = Writes(self._owned, context.clock)
        self._own_writes = Writes(self._owners, context.clock)
        self._unanswered: set[str] = set()
        self._owners.add_handler(self._owner_changed)
        self._owned.add_handler(self._child_changed)

    def _follow(self, gvr: GVR) -> Informer:
        """Return the shared informer; ``run`` waits for all that were asked for here."""
        informer = self._informers.get(gvr)
        self._followed.append(informer)
        return informer

    async def run(self) -> None:
        for informer in self._followed:
            await informer.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    # -- which owner an event concerns

    def _owner_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(object_key(obj))

    def _child_changed(self, old: Object | None, new: Object | None) -> None:
        for child in (old, new):
            self._add_owner_of(child)
        if new is not None and controller_of(new) is None:
            for owner in self._selecting.of(new):
                self.queue.add(object_key(owner))

    def _add_owner_of(self, child: Object | None) -> None:
        ref = controller_of(child) if child else None
        if child is not None and ref is not None and ref.get("kind") == self.kind:
            self.queue.add(f"{child['metadata']['namespace']}/{ref['name']}")

    # -- the loop

    async def reconcile(self, key: str) -> float | None:
        owner = self._owners.get(key)
        if owner is None:
            await self._gone(key)
            return None
        if not await self._settled(key, owner):
            return None  # the write's own event brings the key back
        return await self.look(key, owner)

    async def _settled(self, key: str, owner: Object) -> bool:
        """Tell whether the cache shows all that was written, or may have been, for an owner."""
        return await self._shows_children(key, owner) and self._shows_owner(key)

    def _shows_owner(self, key: str) -> bool:
        """Tell the same of what was written of the owner itself."""
        return self._own_writes.settled(key) or self._skip(self.gvr)

    def _skip(self, stale: GVR) -> bool:
        """Count that a look is put off as the cache of a resource is behind. Returns False."""
        if self.kind in STALE_SKIPS:
            STALE_SKIPS[self.kind].labels(stale.group, stale.resource).inc()
        return False

    async def _shows_children(self, key: str, owner: Object) -> bool:
        """Tell the same of its children alone."""
        if key in self._unanswered:
            await self._find_unanswered(key, owner)
        return self._writes.settled(key) or self._skip(self.children)

    async def _find_unanswered(self, key: str, owner: Object) -> None:
        """Note as written whatever there is of an owner's: the cache may have lost its server, too."""
        meta = owner["metadata"]
        found = await self._client.list(self.children, meta["namespace"])
        for child in found["items"]:
            ref = controller_of(child)
            if ref is not None and ref["uid"] == meta["uid"]:
                self._writes.wrote(key, child)
        self._unanswered.discard(key)

    @abstractmethod
    async def look(self, key: str, owner: Object) -> float | None:
        """Plan and apply; return the seconds after which to look again, or None."""

    async def _gone(self, key: str) -> None:
        self._writes.forget(key)
        self._own_writes.forget(key)
        self._unanswered.discard(key)

    def _selector(self, owner: Object) -> Selector:
        """Return the owner's selector; one without any matches nothing."""
        return from_label_selector(owner["spec"].get("selector"))

    async def _claim(self, owner: Object) -> list[Object]:
        """Adopt and release as the selector says; return the children afterwards."""
        claims = plan_claims(owner, self._selector(owner), candidates(self._owned, owner))
        return await apply_claims(
            self._client, self.children, self.gvr, owner, claims, finalizer=self.finalizer
        )

    # -- writes

    async def _write_status(self, key: str, owner: Object, status: Object) -> None:
        if status != (owner.get("status") or {}):
            stored = await self._client.update(self.gvr, {**owner, "status": status}, "status")
            self._own_writes.wrote(key, stored)

    async def _collide(self, key: str, owner: Object) -> None:
        """Count a name that is taken by something else: the next look makes another."""
        status = dict(owner.get("status") or {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        await self._write_status(key, owner, status)

    async def _create_child(
        self, key: str, owner: Object, wanted: Object, *, may_exist: bool = False
    ) -> Object | None:
        """Create, and tell in an event; None in a namespace that is on its way out, or if it may be there."""
        try:
            stored = await self._client.create(self.children, wanted)
        except StatusError as error:
            if is_namespace_leaving(error) or (may_exist and isinstance(error, AlreadyExists)):
                return None
            if error.code >= _UNANSWERED:
                self._unanswered.add(key)
            self._recorder.record(owner, "Warning", "FailedCreate", self._create_failed(owner, wanted, error))
            raise
        except (TransportError, TimeoutError):
            self._unanswered.add(key)
            raise
        self._writes.wrote(key, stored)
        self._recorder.record(owner, "Normal", "SuccessfulCreate", self._created(owner, stored))
        return stored

    async def _delete_child(self, key: str, owner: Object, child: Object) -> None:
        """Delete this very child, and tell in an event."""
        meta = child["metadata"]
        try:
            await self._client.delete(
                self.children, meta["name"], meta["namespace"], uid=meta["uid"], propagation="Background"
            )
        except NotFound:
            return
        except StatusError as error:
            self._recorder.record(owner, "Warning", "FailedDelete", self._delete_failed(owner, child, error))
            raise
        self._writes.deleted(key, child)
        self._recorder.record(owner, "Normal", "SuccessfulDelete", self._deleted(owner, child))

    # -- words of events

    def _create_failed(self, owner: Object, wanted: Object, error: StatusError) -> str:
        return f"Error creating: {error.message}"

    def _created(self, owner: Object, child: Object) -> str:
        return f"Created {self.noun}: {child['metadata']['name']}"

    def _delete_failed(self, owner: Object, child: Object, error: StatusError) -> str:
        return f"Error deleting: {error.message}"

    def _deleted(self, owner: Object, child: Object) -> str:
        return f"Deleted {self.noun}: {child['metadata']['name']}"


def is_namespace_leaving(error: StatusError) -> bool:
    """True when a write was refused because its namespace is being deleted."""
    causes = (error.details or {}).get("causes") or ()
    return isinstance(error, Forbidden) and any(
        item.get("reason") == "NamespaceTerminating" for item in causes
    )
