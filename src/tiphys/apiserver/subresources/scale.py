"""scale of any kind that has it: read, write, patch and apply ``autoscaling/v1 Scale``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tiphys.apimachinery.errors import Conflict, InternalError, Invalid, MethodNotAllowed
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.scale import ScalePaths, apply_scale, says_replicas, scale_of, validate_scale
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import WriteOptions, write_options
from tiphys.apiserver.handlers import patch
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, Produce, update_object
from tiphys.apiserver.registry import machinery, meta_rules, ownership
from tiphys.apiserver.registry.ownership import SCALE
from tiphys.wire.message import Response

_Wanted = Callable[[Object], Object]
"""Live Scale, with its managers -> the Scale wanted, with its managers."""


async def handle(call: Call) -> Response:
    """Serve a scale."""
    verb = call.info.verb
    paths = machinery.scale_paths(call.resource)
    if verb == "get":
        cached = await call.backend.store.get(call.resource, call.namespace, call.name)
        obj = respond.at_version(cached, call.resource)
        if call.resource.custom and not says_replicas(obj, paths):
            raise InternalError.of(f'the spec replicas field ".{paths.spec_replicas}" does not exist')
        return _answer(call, scale_of(obj, paths))
    if verb == "update":
        options = write_options(call, "UpdateOptions")
        wanted, retries, uid = await _replacing(call, options)
    elif verb == "patch":
        kind, options = patch.patch_options(call)
        wanted = (
            await _applying(call, options) if kind == patch.APPLY_PATCH else _patching(call, kind, options)
        )
        retries, uid = MAX_RETRIES, ""
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    produce = _produce(call, wanted, paths)
    change = Change(produce, options, "scale", retries, manages_fields=False, uid=uid)
    written = await update_object(call, call.name, change)
    obj = written if isinstance(written, dict) else respond.at_version(written, call.resource)
    return _answer(call, scale_of(obj, paths))


def _answer(call: Call, scale: Object) -> Response:
    """Answer with a Scale, which has columns of its own and, as upstream's, shows no managers."""
    return respond.respond_object(_about_scale(call), scale)


def _about_scale(call: Call) -> Call:
    """Return the call as one about a resource whose kind is Scale."""
    row = replace(call.resource, group="autoscaling", version="v1", kind="Scale", definition=None)
    return replace(call, resource=row)


def _shown(call: Call, obj: Object, paths: ScalePaths) -> Object:
    """Return an object's Scale, with the managers of its replicas."""
    scale = scale_of(obj, paths)
    managers = ownership.scale_managers(obj, call.resource)
    if managers:
        scale["metadata"] = {**scale["metadata"], "managedFields": managers}
    return scale


def _produce(call: Call, wanted: _Wanted, paths: ScalePaths) -> Produce:
    def produce(live: Object) -> Object:
        scale = wanted(_shown(call, live, paths))
        faults = validate_scale(scale)
        if faults:
            raise Invalid.of("autoscaling", "Scale", call.name, faults)
        _check_uid(call, scale, live)
        new = apply_scale(live, scale, paths)
        meta = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
        for key in ("resourceVersion", "uid"):
            if scale["metadata"].get(key):
                meta[key] = scale["metadata"][key]
        managers = ownership.object_managers(live, scale, call.resource)
        if managers:
            meta["managedFields"] = managers
        return {**new, "metadata": meta}

    return produce


def _check_uid(call: Call, scale: Object, live: Object) -> None:
    """Raise Conflict where the scale is one of another object."""
    asked, uid = scale["metadata"].get("uid"), live["metadata"]["uid"]
    if not asked or asked == uid:
        return
    row = call.resource
    named = row.kind if row.custom else f"{row.plural}/scale"
    why = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}"
    raise Conflict.of(row.group, named, call.name, why)


def _write(call: Call, options: WriteOptions) -> ownership.Write:
    return ownership.Write(options.field_manager, call.backend.clock.now(), "scale")


async def _replacing(call: Call, options: WriteOptions) -> tuple[_Wanted, int, str]:
    scale = await bodies.decode_aside(call, SCALE, options.field_validation)
    meta_rules.check_namespace(scale, call.resource, call.namespace)
    meta_rules.check_name(scale, call.name)
    retries = 1 if scale["metadata"].get("resourceVersion") else MAX_RETRIES
    uid = scale["metadata"].get("uid") or ""
    write = _write(call, options)
    return lambda live: ownership.update_scale(live, copy_object(scale), write), retries, uid


def _patching(call: Call, kind: str, options: WriteOptions) -> _Wanted:
    document = patch.parse_patch(call, kind, options)
    write, scales = _write(call, options), _about_scale(call)

    def wanted(live: Object) -> Object:
        new = copy_object(patch.apply_patch(scales, kind, document, live, options))
        return ownership.update_scale(live, new, write)

    return wanted


async def _applying(call: Call, options: WriteOptions) -> _Wanted:
    applied = await patch.decode_applied_aside(call, SCALE, options)
    write = _write(call, options)
    return lambda live: ownership.apply_scale(live, applied, write, force=bool(options.force))
