"""PATCH: JSON patch, merge patch, strategic merge patch, server-side apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from tiphys.apimachinery import field_errors, go_text, managedfields, tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import (
    BadRequest,
    Conflict,
    FieldError,
    Invalid,
    StatusError,
    UnsupportedMediaType,
)
from tiphys.apimachinery.meta import GVK, Object, copy_object, split_api_version
from tiphys.apimachinery.patch import json_patch, merge, shown, strategic
from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.mismatch import DecodeError, json_kind
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.structural import settle_numbers
from tiphys.apis.go_order import in_go_order
from tiphys.apis.outdated_annotations import Unconvertible
from tiphys.apiserver.endpoints import bodies, nesting, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.negotiation import JSON, NO_ROUTE, UNKNOWN_FORMAT, YAML, has_no_body
from tiphys.apiserver.endpoints.params import WriteOptions, parse_bool, write_options
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.handlers.create import create_object
from tiphys.apiserver.handlers.update import MAX_RETRIES, Change, update_object, update_or_create
from tiphys.apiserver.registry import machinery, managers, meta_rules, ownership
from tiphys.apiserver.registry.objects import Cached
from tiphys.wire.accept import reaches
from tiphys.wire.message import Response

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_GO_MAP = "map[string]interface {}"
_NO_MERGE_PATCH = "Invalid JSON Patch"
_OPERATION = {**dict.fromkeys(("op", "path", "from"), Schema("string")), "value": Schema(any_value=True)}
_OPERATIONS = Schema("array", items=Schema("object", properties=_OPERATION))


def check_route(call: Call) -> None:
    """Refuse a type that the router of built-in kinds has no route for. Raises UnsupportedMediaType."""
    if reaches(call.request.headers.get("content-type", ""), _PATCHES):
        return
    available = "\n\nAvailable representations: " if has_no_body(call.request) else ""
    raise UnsupportedMediaType(NO_ROUTE + available, details={})


def patch_type(call: Call) -> str:
    """Return the patch's media type. Raises UnsupportedMediaType for one that this resource does not take."""
    media_type = call.request.headers.get("content-type", "").split(";", 1)[0]
    accepted = [one for one in _PATCHES if one != STRATEGIC_PATCH or not call.resource.custom]
    if media_type not in accepted:
        raise UnsupportedMediaType(UNKNOWN_FORMAT + ", ".join(accepted))
    return media_type


def patch_options(call: Call) -> tuple[str, WriteOptions]:
    """Return the patch's media type and the options beside it.

    Raises:
        UnsupportedMediaType, BadRequest. Invalid: only an apply can be forced, and somebody applies.
    """
    kind, faults = patch_type(call), list[FieldError]()
    if kind != APPLY_PATCH and parse_bool(call, "force") is not None:
        faults.append(field_errors.forbidden("force", "may not be specified for non-apply patch"))
    if kind == APPLY_PATCH and not call.param("fieldManager"):
        faults.append(field_errors.required("fieldManager", "is required for apply patch"))
    return kind, write_options(call, "PatchOptions", faults)


async def handle(call: Call) -> Response:
    """Patch the object; apply creates what does not exist."""
    kind, options = patch_options(call)
    if kind == APPLY_PATCH:
        return await _apply(call, options)
    patch = parse_patch(call, kind, options)
    tracing.event("Recorded the audit event")

    async def produce(live: Object) -> Object:
        tracing.event("About to apply patch")
        patched = await aside(call.size, apply_patch, call, kind, patch, live, options)
        tracing.event("About to check admission control")
        return patched

    named = isinstance(patch, Patch) and patch.names_version
    change = Change(produce, options, call.info.subresource, retries=1 if named else MAX_RETRIES)
    written = await update_object(call, call.name, change)
    return await _answer(call, written, 200)


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch as it was sent; ``faults`` are its duplicate and unknown fields."""

    value: object
    faults: tuple[str, ...] = ()

    @property
    def names_version(self) -> bool:
        """Whether it is meant for one version of the object."""
        meta = self.value.get("metadata") if isinstance(self.value, dict) else None
        return isinstance(meta, dict) and bool(meta.get("resourceVersion"))


def parse_patch(call: Call, kind: str, options: WriteOptions) -> Patch | StatusError:
    """Return the patch in the body, or what is wrong with it: that is told once the object was found."""
    lenient = options.field_validation == "Ignore"
    prefix = "" if lenient or kind == STRATEGIC_PATCH else "error decoding patch: "
    try:
        value, duplicates = bodies.parse_object(call.request.body, JSON)
        if kind == JSON_PATCH:
            return Patch(value, () if lenient else _operation_faults(value, duplicates, call.request.body))
        if value is not None and not isinstance(value, dict):
            found = json_kind(value)
            raise BadRequest(f"json: cannot unmarshal {found} into Go value of type {_GO_MAP}")
    except BadRequest as error:
        if lenient and kind == MERGE_PATCH:
            return BadRequest(_NO_MERGE_PATCH)
        return BadRequest(prefix + error.message)
    if value is None and kind == MERGE_PATCH:
        return BadRequest(_NO_MERGE_PATCH)
    return Patch(value or {}, () if lenient else tuple(duplicates))


def _operation_faults(value: Any, duplicates: list[str], body: bytes) -> tuple[str, ...]:
    """Return the fields of a JSON patch that no operation has, or that come twice.

    Raises:
        BadRequest: it has another shape than operations have.
    """
    if value is not None and not isinstance(value, list):
        kind = json_kind(value)
        raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp")
    odd = bool(duplicates)
    for operation in value or ():
        if operation is None:
            continue
        if not isinstance(operation, dict):
            kind = json_kind(operation)
            raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type handlers.jsonPatchOp")
        for word in ("op", "path", "from"):
            if operation.get(word) is not None and not isinstance(operation[word], str):
                kind = json_kind(operation[word])
                raise BadRequest(
                    f"json: cannot unmarshal {kind} into Go struct field jsonPatchOp.{word} of type string"
                )
        odd = odd or not operation.keys() <= _OPERATION.keys()
    faults = machinery.strict_faults(body, _OPERATIONS) if odd else ()
    return tuple(f"json patch {fault}" for fault in faults)


def _invalid(value: str, text: str) -> Invalid:
    return Invalid.of("", "", "", [field_errors.invalid("patch", value, text)])


def _report(call: Call, value: str, faults: Sequence[str], options: WriteOptions) -> None:
    if options.field_validation == "Strict":
        raise _invalid(value, f"strict decoding error: {', '.join(faults)}")
    if options.field_validation == "Warn":
        for fault in faults:
            call.warn(fault)


def apply_patch(
    call: Call, kind: str, patch: Patch | StatusError, live: Object, options: WriteOptions
) -> Object:
    """Return the live object with the patch in it, checked against the schema.

    ``live`` is not changed; what the patch does not reach is the very same in both.
    """
    if isinstance(patch, StatusError):
        raise patch
    resource = call.resource
    if resource.definition is not None:
        live = copy_object(live)  # custom objects are pruned as a whole
    new = _patched(call, kind, patch.value, live)

    def exact() -> Object:
        return _patched(call, kind, strict_json.exact(call.request.body), live)

    written = None if kind == STRATEGIC_PATCH else exact  # of that one, Go knows the numbers alone
    try:
        bodies.check_kind(new, resource.gvk, call)
        try:
            faults = machinery.decode_in_place(new, resource.gvk, resource, live, written)
        except BadRequest as error:
            if kind != STRATEGIC_PATCH or not _asked_for_whole(error):
                raise
            new = _patched(call, kind, _settled(patch.value), live)  # there, 2.0 is a whole number
            faults = machinery.decode_in_place(new, resource.gvk, resource, live)
    except BadRequest as error:
        if kind == STRATEGIC_PATCH and isinstance(error.__cause__, Unconvertible):
            raise StatusError(str(error.__cause__)) from error
        _, _, text = error.message.partition(f" cannot be handled as a {resource.kind}: ")
        if kind == STRATEGIC_PATCH and isinstance(error.__cause__, DecodeError):
            text = _first_fault(call, patch.value, live)
        raise _invalid(_shown(call, kind, patch.value, live), text or error.message) from error
    if faults or patch.faults:
        _report(call, _shown(call, kind, patch.value, live), [*patch.faults, *faults], options)
    new.setdefault("metadata", {})
    meta_rules.check_patched(new, resource, live["metadata"]["name"], call.namespace)
    return new


def _first_fault(call: Call, patch: Any, live: Object) -> str:
    """Return what Go's converter says of what a patch made: it stops at what it meets first."""
    text = ""
    for given in (patch, _settled(patch)):
        new = in_go_order(_patched(call, STRATEGIC_PATCH, given, live), call.resource.gvk)
        try:
            machinery.decode_in_place(new, call.resource.gvk, call.resource)
        except BadRequest as error:
            text = error.__cause__.restoring if isinstance(error.__cause__, DecodeError) else error.message
            if not _asked_for_whole(error):
                break
    return text


def _asked_for_whole(error: BadRequest) -> bool:
    """Tell whether a value was refused where a whole number belongs."""
    cause = error.__cause__
    return isinstance(cause, DecodeError) and cause.restoring.endswith((" int32", " int64"))


def _settled(patch: Any) -> Any:
    """Return a patch with whole numbers for those that were written with a point."""
    changed = copy_object(patch)
    settle_numbers(changed)
    return changed


def _patched(call: Call, kind: str, patch: object, live: Object) -> Object:
    """Return the live object with the patch in it, not yet checked; its metadata is its own."""
    new: Object
    if kind == JSON_PATCH:
        new = json_patch.apply(live, patch)
        nesting.check(new)  # operations may put one thing into another
    elif kind == MERGE_PATCH:
        new = merge.apply(live, patch)
    else:
        new = strategic.apply(live, patch, machinery.schema_for(call.resource.gvk))
        # What becomes of it is read as the resource's own type, whatever it says of itself.
        said = call.resource.gvk
        if isinstance(new.get("kind", ""), str) and isinstance(new.get("apiVersion", ""), str):
            new = {**new, "kind": said.kind, "apiVersion": said.api_version}
    metadata = new.get("metadata")
    return {**new, "metadata": dict(metadata) if isinstance(metadata, dict) else {}}


def _shown(call: Call, kind: str, patch: Any, live: Object) -> str:
    """Return what faults show: a strategic merge patch itself, of others what they make of the object."""
    if kind == STRATEGIC_PATCH:
        return go_text.plain(patch)
    if call.resource.custom:  # these are Go's maps, which are written in the order of their keys
        encoded = orjson.loads(orjson.dumps(live, option=orjson.OPT_SORT_KEYS))
    else:
        encoded = in_go_order(live, call.resource.gvk)
    if kind == MERGE_PATCH:
        made = shown.merged(encoded, patch)
    else:
        made = shown.operated(json_patch.apply(encoded, patch), patch or ())
    return go_text.safe_in_html(orjson.dumps(made).decode())


async def decode_applied_aside(call: Call, gvk: GVK, options: WriteOptions) -> ownership.Applied:
    """Return what ``decode_applied`` does; what is large is read on a thread. Raises the same."""
    bodies.weigh(call)
    return await aside(call.size, decode_applied, call, gvk, options)


def decode_applied(call: Call, gvk: GVK, options: WriteOptions) -> ownership.Applied:
    """Return the object in the body of an apply, which is of kind ``gvk`` and about this call's object.

    Raises:
        BadRequest: it is no such object.
    """
    try:
        applied, duplicates = bodies.parse_object(call.request.body, YAML)
    except BadRequest as error:
        text = f"error decoding YAML: error converting YAML to JSON: {error.message}"
        raise BadRequest(text) from error
    _check_applied_kind(applied, gvk)
    applied["apiVersion"] = gvk.api_version
    metadata = applied.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    fields = ownership.claimed(applied, gvk, call.resource)
    bodies.report_doubled(call, duplicates, options.field_validation)
    written = copy_object(applied)
    bodies.report(call, gvk, _decoded(call, applied, gvk), options.field_validation)
    applied.setdefault("metadata", {})
    applied["metadata"]["name"] = applied["metadata"].get("name") or call.name
    meta_rules.check_name(applied, call.name)
    meta_rules.check_namespace(applied, call.resource, call.namespace)
    if (call.resource.custom and gvk == call.resource.gvk) or not _put_zeros_back(applied, written):
        return ownership.Applied(applied, fields)
    return ownership.Applied(applied, fields, lambda result: machinery.decode_in_place(result, gvk))


def _check_applied_kind(applied: Any, gvk: GVK) -> None:
    """Raises BadRequest for what says to be anything but the kind that it is applied as, or says nothing."""
    if not isinstance(applied, dict | None):
        wrong = f"json: cannot unmarshal {json_kind(applied)} into Go value of type {_GO_MAP}"
        raise BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {wrong}")
    version, kind = ((applied or {}).get(key) for key in ("apiVersion", "kind"))
    said = GVK("", "", "")
    if not isinstance(version, str) or version.count("/") < 2:
        group, version = split_api_version(version if isinstance(version, str) else "")
        said = GVK(group, version, kind if isinstance(kind, str) else "")
    if said != gvk:
        raise BadRequest(f"invalid object type: {said.group}/{said.version}, Kind={said.kind}")


def _put_zeros_back(decoded: Any, written: Any) -> bool:
    """Put back what a typed object does not keep and an applied one says: no, nothing, zero."""
    found = False
    if isinstance(decoded, dict) and isinstance(written, dict):
        for key, value in written.items():
            if key in decoded:
                found |= _put_zeros_back(decoded[key], value)
            elif value is not None and not value:
                decoded[key] = value
                found = True
    elif isinstance(decoded, list) and isinstance(written, list) and len(decoded) == len(written):
        for mine, theirs in zip(decoded, written, strict=True):
            found |= _put_zeros_back(mine, theirs)
    return found


def _decoded(call: Call, applied: Object, gvk: GVK) -> list[str]:
    """Bring an applied object into shape; return unknown fields. A schema lets more through than a type."""
    try:
        return machinery.decode_in_place(applied, gvk, call.resource if gvk == call.resource.gvk else None)
    except BadRequest as error:
        if isinstance(error.__cause__, Unconvertible):
            raise StatusError(f"failed to convert to unversioned: {error.__cause__}") from error
        if not isinstance(error.__cause__, DecodeError) or error.__cause__.wraps:
            raise
        kind = f"{gvk.group}/{gvk.version}, Kind={gvk.kind}"
        raise StatusError(
            f"failed to convert new object ({managedfields.described_object(applied)}) to proper version: "
            f"unable to convert unstructured object to {kind}: {error.__cause__.restoring}"
        ) from error


async def _apply(call: Call, options: WriteOptions) -> Response:
    resource, name = call.resource, call.name
    applied = await decode_applied_aside(call, resource.gvk, options)

    tracing.event("Recorded the audit event")

    async def produce(live: Object) -> Object:
        tracing.event("About to apply patch")
        merged = await merge_applied(call, live, applied, options)
        tracing.event("About to check admission control")
        return merged

    async def create() -> Cached | Object:
        if uid := applied.object["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise Conflict.of(resource.group, resource.plural, name, why)
        await call.backend.authorizer.require(call.user, replace(call.info, verb="create"))
        new = await merge_applied(call, None, applied, options)
        new["metadata"].pop("resourceVersion", None)
        return await create_object(call, new, options, manage_fields=False)

    change = Change(produce, options, call.info.subresource, manages_fields=False)
    return await _answer(
        call, *await update_or_create(call, change, None if call.info.subresource else create)
    )


async def merge_applied(
    call: Call, live: Object | None, applied: ownership.Applied, options: WriteOptions
) -> Object:
    """Return what an apply makes of the live object, managers and all. Raises Conflict."""
    write = ownership.Write(options.field_manager, call.backend.clock.now(), call.info.subresource)
    force = bool(options.force)
    return await managers.told(
        call,
        lambda known: ownership.apply_managed(live, applied, call.resource, write, known, force=force),
    )


async def _answer(call: Call, written: Cached | Object, status: int) -> Response:
    tracing.event("Object stored in database")
    if isinstance(written, dict):
        return respond.respond_object(call, written, status)
    return await respond.respond_aside(call, written, status)
