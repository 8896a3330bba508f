"""PUT, and the one way in which every write changes an object that exists.

Owns: optimistic concurrency, what an update may not touch, status isolation, deletion by the last finalizer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    FieldError,
    InternalError,
    Invalid,
    NotFound,
)
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.defaulting import restore
from tiphys.apis.strategy import Strategy
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.device_admin import access_faults
from tiphys.apiserver.cache import versions
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import WriteOptions, write_options
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.handlers.create import allocates, create_object
from tiphys.apiserver.handlers.delete import settle
from tiphys.apiserver.registry import machinery, managers, meta_rules, owners, ownership, raw_values
from tiphys.apiserver.registry.objects import Cached
from tiphys.wire.message import Response

MAX_RETRIES = 10_000
"""Attempts of writes that carry no resourceVersion of their own: as good as until they succeed."""

_ATTEMPTS_TO_CREATE = 8
"""Of who finds nothing to change and then somebody else's object in its place; it may go and come again."""

_SIGNED = "certificatesigningrequests"
"""Those of whose answers something is counted."""
_OF_THE_WRITE = ("managedFields", "resourceVersion", "uid")

Produce = Callable[[Object], "Object | Awaitable[Object]"]
"""Live object in the request's version -> the object wanted, of which any part may be the live one's: neither
is changed, each attempt makes its own copy."""
Check = Callable[[Object, Object], list[FieldError]]
Merge = Callable[[Object, Object], Object]
"""(live, wanted) -> live with the part that a subresource may write taken from wanted. Both are copies."""


@dataclass(frozen=True, slots=True)
class Change:
    """How one request changes one object."""

    produce: Produce
    options: WriteOptions
    subresource: str = ""
    retries: int = MAX_RETRIES
    field_validation: Check | None = None
    """Replaces the strategy's own validation for subresources that change what updates may not."""
    merge: Merge | None = None
    """For subresources that write a part of the object and take no other."""
    uid: str = ""
    """Which object it must be, where a PUT says so; elsewhere the uid is a field that may not change."""
    manages_fields: bool = True
    """False when ``produce`` has set managedFields itself (server-side apply)."""
    admits: bool = True


async def handle(call: Call) -> Response:
    """Replace the object, or create it where its kind allows that."""
    options = write_options(call, "UpdateOptions")
    resource, name = call.resource, call.name
    tracing.event("About to convert to expected version")
    obj = await bodies.decode_aside(call, resource.gvk, options.field_validation)
    tracing.event("Conversion done")
    meta_rules.check_namespace(obj, resource, call.namespace)
    meta_rules.check_name(obj, name)
    owners.keep_once(call, obj)
    strategy = machinery.strategy_for(resource)
    subresource = call.info.subresource
    change = Change(
        produce=lambda _live: obj,
        options=options,
        subresource=subresource,
        retries=1 if obj["metadata"].get("resourceVersion") else MAX_RETRIES,
        uid=obj["metadata"].get("uid") or "",
    )
    tracing.event("About to store object in database")

    async def create() -> Cached | Object:
        made = copy_object(obj)
        made["metadata"].pop("resourceVersion", None)
        await call.backend.authorizer.require(call.user, _as_create(call))
        return await create_object(call, made, options)

    creates = strategy.allow_create_on_update and not subresource
    return await _answer(call, *await update_or_create(call, change, create if creates else None))


async def update_or_create(
    call: Call, change: Change, create: Callable[[], Awaitable[Cached | Object]] | None
) -> tuple[Cached | Object, int]:
    """Change the object of a call, or make it where there is none.

    Of several who would make it at once one does; the others change what that one made. Returns what is
    stored now and the status to answer with; raises as both do.
    """
    for attempt in range(1, _ATTEMPTS_TO_CREATE + 1):
        try:
            return await update_object(call, call.name, change), 200
        except NotFound:
            if create is None:
                raise
        try:
            return await create(), 201
        except AlreadyExists:
            if attempt == _ATTEMPTS_TO_CREATE:
                raise
    raise AssertionError("the last attempt returns or raises")


def _as_create(call: Call) -> RequestInfo:
    return replace(call.info, verb="create")


async def _answer(call: Call, written: Cached | Object, status: int) -> Response:
    tracing.event("Write to database call succeeded", {"len": len(call.request.body)})
    if isinstance(written, dict):
        return respond.respond_object(call, written, status)
    return await respond.respond_aside(call, written, status)


async def update_object(call: Call, name: str, change: Change) -> Cached | Object:
    """Change one object; on a lost race try again while the change itself names no version.

    Returns what is stored now, or a plain object: under dry run, and the last state when the update let go
    of the last finalizer of an object being deleted.

    Raises:
        NotFound, Conflict, Invalid, Forbidden, BadRequest.
    """
    try:
        return await _attempt(call, name, change)
    except _Lost as error:
        if change.retries <= 1:
            raise Conflict.of(call.resource.group, call.resource.plural, name) from error
    # Losers queue up: racing on would cost every one of them as many attempts as there are rivals.
    async with _queue(call, name):
        for _ in range(change.retries):
            try:
                return await _attempt(call, name, change)
            except _Lost:
                continue
    raise Conflict.of(call.resource.group, call.resource.plural, name)


def _queue(call: Call, name: str) -> asyncio.Lock:
    locks = call.backend.queues
    key = f"{call.resource.storage_prefix}{call.namespace}/{name}"
    lock = locks.get(key)
    if lock is None:
        lock = locks[key] = asyncio.Lock()
    return lock


class _Lost(Conflict):
    """Another write came in between: the only conflict worth another attempt."""


async def _attempt(call: Call, name: str, change: Change) -> Cached | Object:
    backend, resource = call.backend, call.resource
    stored = backend.table.stored(resource)
    cached = await _live(call, stored, name, change)
    call.live_size = max(call.live_size, cached.size)
    old = cached.object
    if change.uid and change.uid != old["metadata"].get("uid"):
        raise unmet(resource, old, "UID", change.uid)
    produced = change.produce(machinery.convert(old, resource.gvk))
    wanted: Object = await produced if inspect.isawaitable(produced) else produced
    strategy = machinery.strategy_for(resource)
    new = await aside(call.size, _completed, call, strategy, wanted, change)
    if change.manages_fields:
        await _manage(call, new, old, change)
    attributes = Attributes(
        call, "UPDATE", new, old, subresource=change.subresource, dry_run=change.options.dry_run
    )
    # Who may change the object sees it as it was sent. What an update cannot do is undone after that.
    if change.admits:
        if not change.subresource:
            machinery.show_whole(new, resource)
        await backend.admission.admit(attributes)
    owners.keep_once(call, new, after_admission=True)
    _check_version(call, new, old, unconditional=strategy.unconditional_update)
    before = await aside(call.size, _prepare, call, strategy, new, old, change)
    if allocates(resource) and not change.subresource:
        return await backend.services.unbroken.do(_finish_service(call, attributes, before, cached, change))
    await _check(call, attributes, before, change)
    return await _write(call, cached, new, change)


async def _finish_service(
    call: Call, attributes: Attributes, before: Object, cached: Cached, change: Change
) -> Cached | Object:
    """Finish the update of a Service with the addresses and ports that it needs now."""
    new, dry_run = attributes.obj, change.options.dry_run
    assert new is not None
    async with call.backend.services.allocate(new, attributes.old, dry_run=dry_run):
        await _check(call, attributes, before, change)
        return await _write(call, cached, new, change)


async def _live(call: Call, stored: Resource, name: str, change: Change) -> Cached:
    """Return the object that is to change. Raises NotFound, or Conflict where one of that uid is meant."""
    try:
        return await call.backend.store.get(stored, call.namespace, name)
    except NotFound:
        if not change.uid:
            raise
        nobody = {"metadata": {"name": name, "namespace": call.namespace, "uid": ""}}
        raise unmet(call.resource, nobody, "UID", change.uid) from None


def _own(call: Call, strategy: Strategy, wanted: Object, subresource: str) -> Object:
    """Return what is wanted in the storage version, for the rest of the attempt to change.

    Of a write to the status, only the first levels of metadata and status are: what else there is comes from
    the live object anyway.
    """
    resource = call.resource
    if subresource != "status" or strategy.status_default() is None or resource.gvk != resource.storage:
        return cast(Object, copy_object(machinery.convert(wanted, resource.storage)))
    new = {**wanted, "metadata": dict(wanted["metadata"])}
    for key in strategy.status_fields:
        if isinstance(new.get(key), dict):
            new[key] = dict(new[key])
    return new


async def _check(call: Call, attributes: Attributes, old: Object, change: Change) -> None:
    """Judge the new object against the old one as ``_prepare`` returned it; admission sees the live one."""
    resource, backend, new = call.resource, call.backend, attributes.obj
    assert new is not None
    strategy = machinery.strategy_for(resource)
    check = machinery.update_check(
        strategy, change.subresource, namespaced=resource.namespaced, fields=change.field_validation
    )
    faults = await machinery.judge(call, lambda: check(new, old))
    if faults:
        faults = [*await access_faults(attributes), *faults]
        raise Invalid.of(resource.group, resource.kind, old["metadata"]["name"], faults)
    if change.admits:
        await backend.admission.validate(attributes)
    for text in await aside(call.size, _warnings, strategy, change.subresource, new, old):
        call.warn(text)


def unmet(resource: Resource, old: Object, word: str, wanted: str) -> Conflict:
    """Return what a write is told that is meant for another object, or for another version of it.

    ``word``: UID or ResourceVersion. The text is the store's.
    """
    meta = old["metadata"]
    found = meta.get("uid", "") if word == "UID" else meta["resourceVersion"]
    where = f"{meta['namespace']}/{meta['name']}" if resource.namespaced else meta["name"]
    why = (
        f"StorageError: invalid object, Code: 4, Key: {resource.storage_prefix}{where}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: {word} in precondition: {wanted}, "
        f"{word} in object meta: {found}"
    )
    return Conflict.of(resource.group, resource.plural, meta["name"], why)


def _warnings(strategy: Strategy, subresource: str, new: Object, old: Object) -> list[str]:
    if subresource == "status":
        return strategy.status_warnings(new)
    return [] if subresource else strategy.warnings(new, old)


def _check_version(call: Call, new: Object, old: Object, *, unconditional: bool) -> None:
    """Compare the version that a write begins from with the live one, and take that over.

    Raises:
        Conflict, Invalid (it must say one). BadRequest: what it says is no number (upstream: 500).
    """
    resource, meta, before = call.resource, new["metadata"], old["metadata"]
    version = meta.get("resourceVersion")
    if version and not versions.is_number(version):
        raise BadRequest(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if not version or int(version) == 0:
        if not unconditional:
            fault = FieldError(
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update",
            )
            raise Invalid.of(resource.group, resource.plural, before["name"], [fault])
    elif int(version) != int(before["resourceVersion"]):
        raise Conflict.of(resource.group, resource.plural, before["name"])
    meta["resourceVersion"] = before["resourceVersion"]


def _completed(call: Call, strategy: Strategy, wanted: Object, change: Change) -> Object:
    """Return what is wanted with what the sender left open, for the rest of the attempt to change."""
    new = _own(call, strategy, wanted, change.subresource)
    if change.subresource == "status":
        (strategy.status_default() or strategy.default)(new)
        machinery.show_status(new, call.resource)
    elif not change.subresource or change.merge is not None:
        strategy.default(new)
    return new


def _prepare(call: Call, strategy: Strategy, new: Object, old: Object, change: Change) -> Object:
    """Restore what this update may not touch, count generations.

    Returns the old object as the new one is to be judged against: what is written in another way alone is
    written in the new one's.
    """
    resource = call.resource
    meta_rules.check_namespace(new, resource, call.namespace)
    meta_rules.keep_server_fields(new, old)
    if change.subresource:
        restore(new["metadata"], old["metadata"], "deletionTimestamp")
    _keep_rest(call, strategy, new, old, change)
    old = machinery.respelled(old, new, resource)
    if strategy.counts_dropped and not change.subresource:
        meta_rules.bump_generation(new, old, strategy.status_fields)
    call.backend.field_gates.drop((resource.group, resource.kind), new, old)
    if change.subresource == "status":
        strategy.prepare_status_update(new, old)
        strategy.stamp(new, old, rfc3339(call.backend.clock.now()))
        return old
    if not change.subresource:
        strategy.prepare_update(new, old)
    if strategy.has_generation and not strategy.keeps_generation:
        meta_rules.bump_generation(new, old, strategy.status_fields)
    return old


def _keep_rest(call: Call, strategy: Strategy, new: Object, old: Object, change: Change) -> None:
    """Take over from the live object what this endpoint does not write, in the first levels."""
    if change.merge is not None:
        merged = change.merge(copy_object(old), copy_object(new))
        kept = {key: new["metadata"][key] for key in _OF_THE_WRITE if key in new["metadata"]}
        meta = {key: value for key, value in merged["metadata"].items() if key not in _OF_THE_WRITE}
        new.clear()
        new.update(merged, metadata={**meta, **kept})
    elif change.subresource == "status":
        _only_status(call, strategy, new, old)
    elif not change.subresource and machinery.leaves_status(
        call.resource, strategy, call.backend.options.feature_gates
    ):
        for key in strategy.status_fields:
            restore(new, old, key)


async def _manage(call: Call, new: Object, old: Object, change: Change) -> None:
    """Note who manages what from now on; nobody anything where that cannot be told, as upstream has it."""
    resource = call.resource
    write = ownership.Write(change.options.field_manager, call.backend.clock.now(), change.subresource)
    seen = {**new, "metadata": dict(new["metadata"])}
    _keep_rest(call, machinery.strategy_for(resource), seen, old, change)
    try:
        await managers.told(call, lambda known: ownership.manage_update(old, seen, resource, write, known))
    except InternalError:
        seen["metadata"].pop("managedFields", None)
    restore(new["metadata"], seen["metadata"], "managedFields")


def _only_status(call: Call, strategy: Strategy, new: Object, old: Object) -> None:
    """Leave all but the status as it was, of metadata what the kind's strategy says."""
    for key in (new.keys() | old.keys()) - {"metadata", "apiVersion", "kind", *strategy.status_fields}:
        restore(new, old, key)
    meta, before = new["metadata"], old["metadata"]
    if call.resource.custom:
        kept = {key: meta[key] for key in ("managedFields", "resourceVersion") if key in meta}
        new["metadata"] = {**{k: v for k, v in before.items() if k != "managedFields"}, **kept}
        return
    for key in strategy.status_resets:
        restore(meta, before, key)


async def _write(call: Call, cached: Cached, new: Object, change: Change) -> Cached | Object:
    backend, resource = call.backend, call.resource
    stored = backend.table.stored(resource)
    old, meta = cached.object, new["metadata"]
    began = backend.clock.monotonic()
    same, path = meta_rules.compare(new, old)
    backend.comparisons.took(path, backend.clock.monotonic() - began)
    if same and not getattr(cached, "stale", False) and not raw_values.is_rewritten(call, new, cached):
        return cached
    if change.options.dry_run:
        return machinery.convert(new, resource.gvk)
    done = old["metadata"].get("deletionTimestamp") and not meta.get("finalizers")
    waits = bool(old["metadata"].get("deletionGracePeriodSeconds")) or _holds_namespace(new)
    if done and not waits:
        last = await _lossless(backend.store.delete(stored, call.namespace, meta["name"], cached.revision))
        await settle(call, last)
        meta["resourceVersion"] = str(cached.revision)  # what was asked for was written nowhere
        return machinery.convert(new, resource.gvk)
    meta.pop("resourceVersion", None)
    ttl_s = backend.ttl_s(stored)
    made, value = await aside(call.size, raw_values.stored, call, new, cached)
    written = await _lossless(backend.store.update(stored, made, cached.revision, ttl_s=ttl_s, value=value))
    if change.subresource == "status" and resource.plural == _SIGNED:
        backend.issued.written(old, new)
    return written


def _holds_namespace(obj: Object) -> bool:
    """Namespaces are held by ``spec.finalizers`` as well."""
    return obj.get("kind") == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


async def _lossless(write: Awaitable[Cached]) -> Cached:
    try:
        return await write
    except Conflict as error:
        raise _Lost(error.message, details=error.details) from error
