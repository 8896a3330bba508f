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
from tiphys.apimachinery.tracing import Span, SpanEvent, current, event, step
from tiphys.apiserver.cache.feed import Hint, hint_of
from tiphys.apiserver.encryption.providers import SEALED, SEALING_FAILED
from tiphys.apiserver.registry.objects import Cached, Page, Selection

_Found = tuple[Resource, str, str, int]
"""A kind, namespace and name, and when that was read."""
ANSWERING: Final[ContextVar[int]] = ContextVar("answering", default=0)
"""Since when a request's answer is being made, in nanoseconds; 0: there was nothing to be read or written."""
LISTED: Final[ContextVar[int]] = ContextVar("listed", default=0)
"""How many objects a request's list has."""
_FOUND: Final[ContextVar[list[_Found] | None]] = ContextVar("found", default=None)
"""What a request has read of single objects; None once it has written one."""
_UPDATE: Final = "GuaranteedUpdate etcd3"
_RESTORED: Final = "initial value restored"
_REGISTRY: Final = "/registry"
_CORE: Final = frozenset({"", "events.k8s.io"})


def begin() -> None:
    """Forget what was noted of the request before this one."""
    ANSWERING.set(0)
    LISTED.set(0)
    _FOUND.set([])


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
        _FOUND.set(None)
        with step(_UPDATE, self._about_one(resource, obj)):
            event(_RESTORED)
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
        known, within = _FOUND.get(), current()
        if known is not None and within is not None:
            known.append((resource, namespace, name, within.tracer.now_ns()))
        return found

    def tell_untouched(self, plural: str, name: str, *, same: bool) -> None:
        """Tell of an update that came to no write: upstream's store was asked all the same.

        ``same``: the object is already as it was to be; else it was refused what it was to become.
        """
        within = current()
        found = (one for one in _FOUND.get() or () if (one[0].plural, one[2]) == (plural, name))
        read = next(found, None)
        if within is None or read is None:
            return
        resource, namespace, name, at_ns = read
        span = within.tracer.begin(_UPDATE, parent=within.context)
        span.started_ns = at_ns
        span.set(self._about_named(resource, namespace, name))
        if span.recorded:
            span.events.append(SpanEvent(at_ns, _RESTORED, {}))
        if same:
            span.note("About to Encode")
            span.note("Encode succeeded")
        within.tracer.end(span)

    async def list(self, resource: Resource, selection: Selection, **more: Any) -> Page:
        about = {"audit-id": _audit_id(), "type": qualified(resource.plural, resource.group)}
        with step("cacher.GetList", about) as span:
            event("Ready")
            page = cast(Page, await self._store.list(resource, selection, **more))
            if page.stored and span is not None:
                self._tell_stored(span, resource, selection, more)
            else:
                event("Listed items from cache")
                event("Filtered items", {"count": len(page.items)})
        LISTED.set(len(page.items))
        _at_hand()
        return page

    def _tell_stored(
        self, span: Span, resource: Resource, selection: Selection, asked: dict[str, Any]
    ) -> None:
        """Make a span that of a list which the store was asked for: upstream's cache passes that on."""
        of_one = bool(selection.name) and (bool(selection.namespace) or not resource.namespaced)
        key = self._store.key_of(resource, selection.namespace, selection.name if of_one else "")
        span.name = f"List(recursive={str(not of_one).lower()}) etcd3"
        span.events.clear()
        span.attributes = {"audit-id": span.attributes.get("audit-id", "")}
        span.set({
            "key": key.removeprefix(_REGISTRY).rstrip("/"),
            "resourceVersion": asked.get("resource_version", ""),
            "resourceVersionMatch": asked.get("resource_version_match", ""),
            "limit": asked.get("limit", 0), "continue": asked.get("continue_token", ""),
        })  # fmt: skip

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
        return self._about_named(resource, namespace, meta.get("name", ""))

    def _about_named(self, resource: Resource, namespace: str, name: str) -> dict[str, str]:
        key = self._store.key_of(resource, namespace, name)
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
