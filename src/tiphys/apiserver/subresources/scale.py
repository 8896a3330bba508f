"""scale of any kind that has it: read, write and patch ``autoscaling/v1 Scale``."""

from __future__ import annotations

from tiphys.apimachinery.errors import Invalid, MethodNotAllowed
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.patch import json_patch, merge, strategic
from tiphys.apis.scale import ScalePaths, apply_scale, scale_of, validate_scale
from tiphys.apiserver import bodies, machinery, meta_rules, respond
from tiphys.apiserver.call import Call
from tiphys.apiserver.handlers import patch
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, Produce, update_object
from tiphys.apiserver.params import WriteOptions, write_options
from tiphys.wire.message import Response

_SCALE = GVK("autoscaling", "v1", "Scale")


async def handle(call: Call) -> Response:
    """Serve a scale."""
    verb = call.info.verb
    paths = machinery.scale_paths(call.resource)
    if verb == "get":
        cached = await call.backend.store.get(call.resource, call.namespace, call.name)
        return respond.respond(call, scale_of(respond.at_version(cached, call.resource), paths))
    if verb == "update":
        options = write_options(call, "UpdateOptions")
        produce, retries = _replacing(call, options, paths)
    elif verb == "patch":
        options = write_options(call, "PatchOptions")
        produce, retries = _patching(call, options, paths), MAX_RETRIES
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    written = await update_object(call, call.name, Change(produce, options, "scale", retries))
    obj = written if isinstance(written, dict) else respond.at_version(written, call.resource)
    return respond.respond(call, scale_of(obj, paths))


def _with(call: Call, live: Object, scale: Object, paths: ScalePaths) -> Object:
    faults = validate_scale(scale)
    if faults:
        raise Invalid.of("autoscaling", "Scale", call.name, faults)
    new = apply_scale(live, scale, paths)
    meta = {key: value for key, value in new["metadata"].items() if key not in ("resourceVersion", "uid")}
    for key in ("resourceVersion", "uid"):
        if scale["metadata"].get(key):
            meta[key] = scale["metadata"][key]
    if "resourceVersion" not in meta:
        meta["resourceVersion"] = live["metadata"]["resourceVersion"]
    return {**new, "metadata": meta}


def _replacing(call: Call, options: WriteOptions, paths: ScalePaths) -> tuple[Produce, int]:
    scale = bodies.decode(call, _SCALE, options.field_validation)
    meta_rules.check_name(scale, call.name)
    meta_rules.check_namespace(scale, call.resource, call.namespace)
    retries = 1 if scale["metadata"].get("resourceVersion") else MAX_RETRIES
    return lambda live: _with(call, live, scale, paths), retries


def _patching(call: Call, options: WriteOptions, paths: ScalePaths) -> Produce:
    kind = patch.patch_type(call)
    media_type = "application/yaml" if kind == patch.APPLY_PATCH else "application/json"
    document, _ = bodies.parse_object(call.request.body, media_type)

    def produce(live: Object) -> Object:
        scale = scale_of(live, paths)
        if kind == patch.JSON_PATCH:
            new = json_patch.apply(scale, document)
        elif kind == patch.STRATEGIC_PATCH:
            new = strategic.apply(scale, document, machinery.schema_for(_SCALE))
        else:
            new = merge.apply(scale, document)
        new = copy_object(new)
        bodies.report(call, _SCALE, machinery.decode_in_place(new, _SCALE), options.field_validation)
        new.setdefault("metadata", {})
        return _with(call, live, new, paths)

    return produce
