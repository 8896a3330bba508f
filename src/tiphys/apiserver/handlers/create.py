"""POST: a new object."""

from __future__ import annotations

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Forbidden,
    Invalid,
    NotFound,
    StatusError,
    object_details,
    qualified,
)
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.warnings import collecting
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.device_admin import access_faults
from tiphys.apiserver.cache import versions
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import WriteOptions, write_options
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.registry import machinery, meta_rules, owners, ownership, raw_values
from tiphys.apiserver.registry.objects import Cached
from tiphys.apiserver.shortcuts.molds import Casting, Mold
from tiphys.wire.message import Response

_GENERATE_ATTEMPTS = 8
_TERMINATING = "create not allowed while custom resource definition is terminating"
_BRING_STATUS = {("", "Node")}
"""A kubelet registers its node with the status it has."""


async def handle(call: Call) -> Response:
    """Create the object in the body."""
    options = write_options(call, "CreateOptions")
    casting = call.backend.molds.casting(call, options)
    if casting is not None and casting.mold is not None:
        cast = await _cast(call, casting, casting.mold, options)
        if cast is not None:
            return await respond.respond_aside(call, cast, 201)
    tracing.event("About to convert to expected version")
    obj = await bodies.decode_aside(call, call.resource.gvk, options.field_validation)
    tracing.event("Conversion done")
    meta_rules.check_namespace(obj, call.resource, call.namespace)
    owners.keep_once(call, obj)
    tracing.event("About to store object in database")
    made = await create_object(call, obj, options, casting=casting)
    tracing.event("Write to database call succeeded", {"len": len(call.request.body)})
    if isinstance(made, dict):
        return respond.respond_object(call, made, 201)
    return await respond.respond_aside(call, made, 201)


async def _cast(call: Call, casting: Casting, mold: Mold, options: WriteOptions) -> Cached | None:
    """Store an object that is like an earlier one; None: it goes the long way after all."""
    own, now = casting.likeness.own, call.backend.clock.now()
    obj, value = mold.cast(casting.name, own, options.field_manager, now)
    attributes = Attributes(call, "CREATE", obj, None, generated=casting.generated)
    await call.backend.admission.validate_unique(attributes)
    for count in mold.reads.counted:
        count.inc()
    try:
        return await _store(call, obj, value)
    except AlreadyExists as error:
        if casting.generated:
            return None
        raise await _taken(call, obj, error) from error


async def create_object(
    call: Call,
    obj: Object,
    options: WriteOptions,
    *,
    manage_fields: bool = True,
    casting: Casting | None = None,
) -> Cached | Object:
    """Run a new object through defaults, admission and validation into the store.

    ``obj`` is in the request's version. Returns the stored object, or under dry run the one that would have
    been stored, in the request's version. ``manage_fields`` False: server-side apply has set them already.
    ``casting`` learns what became of it.
    """
    resource, backend = call.resource, call.backend
    meta = obj["metadata"]
    _check_definition(resource, obj)
    generated = not meta.get("name") and bool(meta.get("generateName"))
    if manage_fields:
        meta.pop("managedFields", None)
    versioned = _says_version(meta)
    for attempt in range(_GENERATE_ATTEMPTS if generated else 1):
        candidate = copy_object(obj) if generated else obj
        if resource.storage != resource.gvk:
            candidate = machinery.convert(candidate, resource.storage)
        try:
            attributes = Attributes(call, "CREATE", candidate, None, dry_run=options.dry_run)
            attributes.reads = None if casting is None else casting.reads
            await _prepare(attributes, options, manage_fields=manage_fields)
            if allocates(resource):
                return await backend.services.unbroken.do(_finish_service(attributes, versioned=versioned))
            made = await _finish(attributes, versioned=versioned)
            if casting is not None:
                backend.molds.fill(casting, call, candidate, generated=generated)
            return made
        except AlreadyExists as error:
            if not generated or attempt == _GENERATE_ATTEMPTS - 1:
                raise await _taken(call, candidate, error) from error
    raise AssertionError("every attempt returns or raises")


def _check_definition(resource: Resource, obj: Object) -> None:
    """Refuse an object of a definition that goes: what is made after its objects are gone would stay."""
    if resource.definition is not None and resource.definition.terminating:
        raise Forbidden.of(resource.group, resource.plural, obj["metadata"].get("name") or "", _TERMINATING)


def _says_version(meta: Object) -> bool:
    version = meta.get("resourceVersion") or ""
    return versions.is_number(version) and int(version) != 0


async def _taken(call: Call, obj: Object, error: AlreadyExists) -> AlreadyExists:
    """Return what a client is told whose object has the name of another."""
    meta, resource = obj["metadata"], call.resource
    if meta.get("generateName"):
        name = f'{qualified(resource.plural, resource.group)} "{meta["name"]}"'
        details = object_details(resource.group, resource.plural, meta["name"])
        error = AlreadyExists(
            f"{name} already exists, the server was not able to generate a unique name for the object",
            details={**details, "retryAfterSeconds": 1},
        )
    stored = call.backend.table.stored(resource)
    try:
        found = (await call.backend.store.get(stored, meta.get("namespace", ""), meta["name"])).object
    except StatusError:
        return error
    if found["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error


def allocates(resource: Resource) -> bool:
    """Tell whether objects take addresses and ports: then that goes around their validation and write."""
    return resource.plural == "services" and not resource.group


async def _prepare(attributes: Attributes, options: WriteOptions, *, manage_fields: bool) -> None:
    call, obj = attributes.call, attributes.obj
    assert obj is not None
    resource, backend = call.resource, call.backend
    strategy = machinery.strategy_for(resource)
    now = backend.clock.now()
    bare = strategy.labels_of_template and not obj["metadata"].get("labels")
    await aside(call.size, strategy.default, obj)
    meta_rules.forget_earlier_life(obj)
    if manage_fields:
        write = ownership.Write(options.field_manager, now)
        await aside(call.size, ownership.manage_update, None, obj, resource, write)
    machinery.show_whole(obj, resource)
    await backend.admission.admit(attributes)
    meta_rules.check_namespace(obj, resource, call.namespace)
    owners.keep_once(call, obj, after_admission=True)
    # Identity, and what follows from the rest, comes after what admission has made of it.
    now = backend.clock.now()
    meta_rules.stamp_new(obj, now)
    if strategy.has_generation:
        obj["metadata"]["generation"] = 1
    brings = (resource.group, resource.kind) in _BRING_STATUS
    if machinery.leaves_status(resource, strategy, backend.options.feature_gates) and not brings:
        for field in strategy.status_fields:
            obj.pop(field, None)
    backend.field_gates.drop((resource.group, resource.kind), obj, None)
    with collecting() as told:
        strategy.prepare_create(obj)
        strategy.stamp(obj, None, rfc3339(now))
    for text in told:
        call.warn(text)
    if bare:  # in Go they are one and the same map
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **_pod_labels(obj)}
    machinery.show_whole(obj, resource)


def _pod_labels(obj: Object) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    template = obj["spec"].get("template") or {}
    return dict((template.get("metadata") or {}).get("labels") or {})


async def _finish_service(attributes: Attributes, *, versioned: bool) -> Cached | Object:
    """Finish a Service with the addresses and ports that it needs."""
    assert attributes.obj is not None
    services = attributes.call.backend.services
    async with services.allocate(attributes.obj, None, dry_run=attributes.dry_run):
        return await _finish(attributes, versioned=versioned)


async def _finish(attributes: Attributes, *, versioned: bool) -> Cached | Object:
    """Validate and store; under dry run, only see that it could be.

    ``versioned``: the object came with a version, as if it were stored already.
    """
    call, obj = attributes.call, attributes.obj
    assert obj is not None
    await _check(call, attributes, obj)
    if attributes.dry_run:
        await _must_not_exist(call, obj)
        return machinery.convert(obj, call.resource.gvk)
    if versioned or _says_version(obj["metadata"]):  # it came with one, or admission gave it one
        # Upstream takes it for a failure of its own (500).
        raise BadRequest("resourceVersion should not be set on objects to be created")
    return await _store(call, obj)


async def _check(call: Call, attributes: Attributes, obj: Object) -> None:
    resource, backend = call.resource, call.backend
    strategy = machinery.strategy_for(resource)
    faults = await machinery.judge(
        call, lambda: machinery.validate_create(strategy, obj, namespaced=resource.namespaced)
    )
    if faults:
        raise Invalid.of(
            resource.group,
            resource.kind,
            obj["metadata"].get("name") or obj["metadata"].get("generateName", ""),
            [*await access_faults(attributes), *faults],
        )
    await backend.admission.validate(attributes)
    for text in await aside(call.size, strategy.warnings, obj, None):
        call.warn(text)


async def _must_not_exist(call: Call, obj: Object) -> None:
    meta = obj["metadata"]
    resource = call.backend.table.stored(call.resource)
    try:
        await call.backend.store.get(resource, meta.get("namespace", ""), meta["name"])
    except NotFound:
        return
    raise AlreadyExists.of(call.resource.group, call.resource.plural, meta["name"])


async def _store(call: Call, obj: Object, value: bytes | None = None) -> Cached:
    backend = call.backend
    resource = backend.table.stored(call.resource)
    if value is None:
        obj, value = await aside(call.size, raw_values.stored, call, obj)
    _check_definition(call.resource, obj)  # again, for it may have gone since
    return await backend.store.create(resource, obj, ttl_s=backend.ttl_s(resource), value=value)
