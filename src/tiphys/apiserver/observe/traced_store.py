"""The objects of a server that traces: a span for each write and list, by upstream's names for its own store.

Owns: what these spans are told. Refuses: what is told of sealing (``apiserver.encryption``), the store's own
calls (``storage``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, cast

from tiphys.apimachinery.errors import AlreadyExists, Conflict, StatusError, qualified
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.tracing import current, event, step
from tiphys.apiserver.cache.feed import Hint, hint_of
from tiphys.apiserver.encryption.providers import SEALED, SEALING_FAILED
from tiphys.apiserver.registry.objects import Cached, Page, Selection

ANSWERING: Final[ContextVar[int]] = ContextVar("answering", default=0)
"""Since when a request's answer is being made, in nanoseconds; 0: there was nothing to be read or written."""
LISTED: Final[ContextVar[int]] = ContextVar("listed", default=0)
"""How many objects a request's list has."""
_REGISTRY: Final = "/registry"
_CORE: Final = frozenset({"", "events.k8s.io"})


class TracedStore:
    """The objects of a server; what takes time is told by upstream's names for its own store."""

    def __init__(self, store: Any, *, seals: bool = False) -> None:
        self._store = store
        self._seals = seals
        """Whether something below seals values, and tells of it itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(
        self, resource: Resource, obj: Object, *, value: bytes | None = None, **more: Any
    ) -> Cached:
        with step("Create etcd3", self._about_one(resource, obj)):
            event("About to Encode")
            hint = self._encoded(resource, obj, value)
            with _failing("Txn call succeeded"):
                made = await self._store.create(resource, hint.obj, value=hint.value, **more)
            event("Txn call succeeded")
            return _read_again(made)

    async def update(
        self,
        resource: Resource,
        obj: Object,
        expect_revision: int,
        *,
        value: bytes | None = None,
        **more: Any,
    ) -> Cached:
        with step("GuaranteedUpdate etcd3", self._about_one(resource, obj)):
            event("initial value restored")
            event("About to Encode")
            hint = self._encoded(resource, obj, value)
            event("Transaction prepared")
            with _failing("Txn call completed"):
                written = await self._store.update(
                    resource, hint.obj, expect_revision, value=hint.value, **more
                )
            if self._seals:
                _prepare_after_sealing()
            event("Txn call completed")
            event("Transaction committed")
            return _read_again(written)

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        found = cast(Cached, await self._store.get(resource, namespace, name))
        _at_hand()
        return found

    async def list(self, resource: Resource, selection: Selection, **more: Any) -> Page:
        about = {"audit-id": _audit_id(), "type": qualified(resource.plural, resource.group)}
        with step("cacher.GetList", about):
            event("Ready")
            page = cast(Page, await self._store.list(resource, selection, **more))
            event("Listed items from cache")
            event("Filtered items", {"count": len(page.items)})
        LISTED.set(len(page.items))
        _at_hand()
        return page

    def _encoded(self, resource: Resource, obj: Object, value: bytes | None) -> Hint:
        """Encode what is to be written, where that has not been done."""
        hint = hint_of(resource, obj, value)
        event("Encode succeeded", {"len": len(hint.value)})
        if not self._seals:
            event(SEALED)
        return hint

    def _about_one(self, resource: Resource, obj: Object) -> dict[str, str]:
        meta = obj["metadata"]
        namespace = meta.get("namespace", "") if resource.namespaced else ""
        key = self._store.key_of(resource, namespace, meta.get("name", ""))
        return {"audit-id": _audit_id(), "key": key.removeprefix(_REGISTRY), **_about(resource)}


def _audit_id() -> str:
    within = current()
    return str(within.attributes.get("audit-id", "")) if within is not None else ""


@contextmanager
def _failing(answered: str) -> Iterator[None]:
    """Tell where a write fails; ``answered``: what is told where the store has said no, having understood."""
    try:
        yield
    except (AlreadyExists, Conflict):
        event(answered)
        raise
    except StatusError as error:
        within = current()
        if within is None or not within.events or within.events[-1].name != SEALING_FAILED:
            event("Txn call failed", {"err": error.message})
        raise


def _prepare_after_sealing() -> None:
    """Put what is told of a transaction behind what is told of its value, which is sealed on the way."""
    within = current()
    names = [one.name for one in within.events] if within is not None else []
    if within is not None and SEALED in names and "Transaction prepared" in names:
        sealed, prepared = names.index(SEALED), names.index("Transaction prepared")
        found = within.events.pop(prepared)
        at_ns = within.events[sealed - 1].at_ns
        within.events.insert(sealed, replace(found, at_ns=max(found.at_ns, at_ns)))


def _read_again(written: Cached) -> Cached:
    event("decode succeeded", {"len": len(written.raw)})
    _at_hand()
    return written


def _at_hand() -> None:
    """Note that there is something to answer with: from now on the answer is made."""
    within = current()
    if within is not None:
        ANSWERING.set(within.tracer.now_ns())


def _about(resource: Resource) -> dict[str, str]:
    """Name a kind as upstream's Go types are called: by the first word of its group."""
    package = "core" if resource.group in _CORE else resource.group.split(".")[0]
    kind = "unstructured.Unstructured" if resource.custom else f"{package}.{resource.kind}"
    return {"type": f"*{kind}", "resource": qualified(resource.plural, resource.group)}
