"""Request bodies as objects: JSON, YAML and protobuf, checked against the schema.

Owns: which faults stop a request and which only warn (``fieldValidation``). Called by the write handlers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from tiphys.apimachinery import field_errors, go_yaml
from tiphys.apimachinery.errors import BadRequest, Invalid
from tiphys.apimachinery.meta import GVK, Object, gvk_of
from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apimachinery.schema.strict_json import TooLarge
from tiphys.apimachinery.schema.type_meta import NO_KIND, no_object, no_text
from tiphys.apimachinery.schema.walk import cannot_be_handled, not_registered, unknown_conversion
from tiphys.apiserver.endpoints import nesting
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.negotiation import JSON, PROTOBUF, YAML, body_media_type
from tiphys.apiserver.evaluating import LARGE_BYTES, aside
from tiphys.apiserver.registry import machinery

_YAML_LINE = "line "
_SHOWN_BYTES = 30
_FRACTION = re.compile(rb"[:,\[]\s*-?[0-9]+[.eE]")
"""What may be a number that is whole in YAML and is not in JSON."""


_DELETE_OPTIONS = GVK("", "v1", "DeleteOptions")
_STILL_TAKEN = {GVK("policy", "v1beta1", "Eviction"): GVK("policy", "v1", "Eviction")}
"""Versions that are served no more, but whose bodies old clients (kubectl 1.20's drain) may still send."""


def parse_object(body: bytes, media_type: str) -> tuple[Any, list[str]]:
    """Return the value in a body and the texts of its duplicate fields.

    Raises:
        BadRequest: the body does not parse.
    """
    if media_type == JSON:
        return _parse_json(body)
    if body.lstrip()[:1] != b"{" or _FRACTION.search(body):
        return _parse_yaml(body)
    try:
        value, duplicates = _parse_json(body)  # JSON is YAML, and read sooner
    except BadRequest:
        return _parse_yaml(body)
    return _parse_yaml(body) if duplicates else (value, [])


def _parse_json(body: bytes) -> tuple[Any, list[str]]:
    try:
        value, duplicates = machinery.parse_json(body)
    except RecursionError as error:
        raise BadRequest("exceeded max depth") from error
    if nesting.may_be_deep(body):
        nesting.check(value)
    return value, duplicates


def _parse_as(
    gvk: GVK, body: bytes, media_type: str, *, typed: bool = True, custom: bool = False
) -> tuple[Object, list[str]]:
    """Return the object in a body. Raises BadRequest that shows the beginning of what is none."""
    kind = gvk.kind
    if media_type == PROTOBUF:
        return _parse_protobuf(gvk, body, custom=custom), []
    try:
        value, duplicates = parse_object(body, media_type)
    except BadRequest as error:
        text = error.message
        if isinstance(error.__cause__, TooLarge):
            if typed:
                machinery.check_exactly(body, gvk)
            raise _cannot(gvk, gvk, text) from error
        if not text.startswith("yaml: "):
            text = f"{NO_KIND}: {text}"
        raise _unrecognized(kind, text, body) from error
    if value is None:
        return {}, []  # Go decodes a null by doing nothing
    if not isinstance(value, dict):
        raise _unrecognized(kind, f"{NO_KIND}: {no_object(value)}", body)
    untold = type(value.get("kind")) is not str or type(value.get("apiVersion")) is not str
    if untold and (fault := no_text(value)):
        raise _unrecognized(kind, f"{NO_KIND}: {fault}", body)
    version = value.get("apiVersion")
    if version is not None and version != gvk.api_version and version.count("/") > 1:
        raise _unrecognized(kind, f"unexpected GroupVersion string: {version}", body)
    return value, duplicates


def _parse_protobuf(gvk: GVK, body: bytes, *, custom: bool) -> Object:
    try:
        if custom:
            raise machinery.no_protobuf_of(body, gvk)
        return cast(Object, machinery.decode_protobuf(body, gvk))
    except BadRequest as error:
        if " cannot be handled as a " in error.message:
            raise
        raise _unrecognized(gvk.kind, error.message, body) from error


def _unrecognized(kind: str, text: str, body: bytes) -> BadRequest:
    shown = body[:_SHOWN_BYTES].decode(errors="replace") if body[:1] == b"{" else body[:_SHOWN_BYTES].hex()
    more = " ..." if len(body) > _SHOWN_BYTES else ""
    return BadRequest(
        f"the object provided is unrecognized (must be of type {kind}): {text} ({shown or '<empty>'}{more})"
    )


def _parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """Return the value (the last of duplicate keys wins) and where keys come twice."""
    nesting.check_yaml(body)
    try:
        return go_yaml.load(body)
    except go_yaml.YamlError as error:
        raise BadRequest(str(error)) from error


def weigh(call: Call) -> None:
    """Take a body for a large one that may say more than it is long: in YAML a few bytes can be very much."""
    body = call.request.body
    if b"*" in body and b"&" in body and "yaml" in call.request.headers.get("content-type", ""):
        call.live_size = max(call.live_size, LARGE_BYTES)


async def decode_aside(call: Call, gvk: GVK, validation: str) -> Object:
    """Return what ``decode`` does; large bodies are read on a thread. Raises the same."""
    weigh(call)
    return await aside(call.size, decode, call, gvk, validation)


def decode(call: Call, gvk: GVK, validation: str) -> Object:
    """Return the request's object in version ``gvk``, defaults of the schema not yet filled in.

    Raises:
        UnsupportedMediaType: the media type is not served.
        BadRequest: it does not parse, is of another kind, or has strict faults under ``Strict``.
    """
    media_type = body_media_type(call.request.headers.get("content-type", ""))
    # The scale of a custom object is a kind like any other.
    body, custom = call.request.body, call.resource.custom and call.resource.gvk == gvk
    typed = media_type == JSON and not custom
    obj, duplicates = _parse_as(gvk, body, media_type, typed=typed, custom=custom)
    if duplicates and typed:
        obj = machinery.merged(body, machinery.schema_for(gvk))
    check_kind(obj, gvk, call)
    if not isinstance(obj.setdefault("metadata", {}), dict):
        if obj["metadata"] is not None:
            where = f"Go struct field {gvk.kind}.metadata of type v1.ObjectMeta"
            raise _cannot(gvk, gvk, f"json: cannot unmarshal {json_kind(obj['metadata'])} into {where}")
        obj["metadata"] = {}
    try:
        written = partial(strict_json.exact, body) if typed and not duplicates else None
        unknown = machinery.decode_in_place(obj, gvk, call.resource, written=written)
    except BadRequest:
        if typed and not duplicates:
            machinery.check_exactly(body, gvk)
        raise
    faults = duplicates + unknown
    if duplicates and typed:
        faults = machinery.strict_faults(body, machinery.schema_for(gvk), unknown)
    report(call, gvk, faults, validation)
    obj.setdefault("metadata", {})
    record = call.request.scope.get("audit")
    if record is not None:
        record.note_object(call, obj, gvk)
    return obj


def check_kind(obj: Object, gvk: GVK, call: Call) -> None:
    """Fill in apiVersion and kind where they may be left out. Raises BadRequest, Invalid for another kind."""
    if obj.get("kind") == gvk.kind and obj.get("apiVersion") == gvk.api_version:
        return
    if call.resource.custom and call.resource.gvk == gvk:
        _check_custom_kind(obj, gvk)
        return
    if fault := no_text(obj):
        raise BadRequest(fault)
    if obj.get("apiVersion") in ("/", f"{gvk.group}/"):  # a group without a version is in the one asked for
        obj["apiVersion"] = gvk.api_version
    found = gvk_of(obj)
    if not found.kind and not obj.get("apiVersion"):
        obj["apiVersion"], obj["kind"] = gvk.api_version, gvk.kind
        return
    if not found.kind:
        obj["kind"] = gvk.kind
    elif not obj.get("apiVersion"):
        obj["apiVersion"] = gvk.api_version
    found = gvk_of(obj)
    if _STILL_TAKEN.get(found) == gvk:
        obj["apiVersion"] = gvk.api_version
        return
    if found == gvk:
        obj["apiVersion"] = gvk.api_version  # it may have been written otherwise: /v1
        return
    if call.backend.table.by_kind(found) is None:
        if not found.version:
            shown = call.request.body.decode(errors="replace")
            raise _cannot(found, gvk, f"Object 'apiVersion' is missing in '{shown}'")
        raise _unknown(found, gvk)
    if found.kind == gvk.kind:
        raise BadRequest(
            f"the API version in the data ({obj['apiVersion']}) does not match "
            f"the expected API version ({gvk.api_version})"
        )
    raise _cannot(found, gvk, unknown_conversion(found, gvk))


def _check_custom_kind(obj: Object, gvk: GVK) -> None:
    """Compare a custom object's words with the resource's: nothing may be left out of them."""
    kind, version = obj.get("kind"), obj.get("apiVersion")
    if not kind or not isinstance(kind, str):
        raise BadRequest("Object 'Kind' is missing in 'object has no kind field '")
    if not version or not isinstance(version, str):
        raise BadRequest("Object 'apiVersion' is missing in 'object has no apiVersion field'")
    if version != gvk.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match "
            f"the expected API version ({gvk.api_version})"
        )
    if kind != gvk.kind:
        fault = field_errors.invalid("kind", kind, f"must be {gvk.kind}")
        name = obj.get("metadata", {}).get("name") if isinstance(obj.get("metadata"), dict) else ""
        raise Invalid.of(gvk.group, kind, name or "", [fault])


def _unknown(found: GVK, gvk: GVK) -> BadRequest:
    return _cannot(found, gvk, not_registered(found))


def _cannot(found: GVK, gvk: GVK, text: str) -> BadRequest:
    return cannot_be_handled(found, text, gvk.kind)


def report(call: Call, gvk: GVK, faults: Sequence[str], validation: str) -> None:
    """Refuse, warn of, or pass over unknown and duplicate fields."""
    if not faults or validation == "Ignore":
        return
    if validation == "Strict":
        raise BadRequest(
            f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
            f"strict decoding error: {', '.join(_grouped(faults))}"
        )
    for fault in faults:
        call.warn(fault)


def report_doubled(call: Call, lines: Sequence[str], validation: str) -> None:
    """Refuse, warn of, or pass over the duplicate fields of an apply, which is read as YAML in any case."""
    if not lines or validation == "Ignore":
        return
    if validation == "Strict":
        raise BadRequest(
            f"error strict decoding YAML: error converting YAML to JSON: {', '.join(_grouped(lines))}"
        )
    for line in lines:
        call.warn(line)


def _grouped(faults: Sequence[str]) -> list[str]:
    """Put the YAML parser's faults into one, as it reports them."""
    lines = [fault for fault in faults if fault.startswith(_YAML_LINE)]
    return [*go_yaml.doubled_fault(lines), *(one for one in faults if not one.startswith(_YAML_LINE))]


async def decode_options_aside(call: Call) -> Object | None:
    """Return what ``decode_options`` does; what is large is read on a thread."""
    weigh(call)
    return await aside(call.size, decode_options, call)


def decode_options(call: Call) -> Object | None:
    """Return the DeleteOptions of a body, None when there is no body."""
    if not call.request.body:
        return None
    media_type = body_media_type(call.request.headers.get("content-type", ""))
    media_type = media_type if media_type in (PROTOBUF, YAML) else JSON
    obj, duplicates = _parse_as(_DELETE_OPTIONS, call.request.body, media_type)
    if duplicates and media_type == JSON:
        obj = machinery.merged(call.request.body, machinery.schema_for(_DELETE_OPTIONS))
    found = gvk_of(obj)
    if found.kind not in ("", "DeleteOptions"):
        raise _unknown(found, _DELETE_OPTIONS)
    machinery.decode_in_place(obj, _DELETE_OPTIONS)
    record = call.request.scope.get("audit")
    if record is not None:
        record.note_options(obj)
    return obj
