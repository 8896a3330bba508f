"""AdmissionReview: the question for one webhook and the reading of its answer.

Owns: the forms v1 and v1beta1, and the words for answers that are none. Refuses: HTTP (``dispatch``).
Source: admission.k8s.io.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import field
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.strict_json import JsonError, loads_strict
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown, shown_kind
from tiphys.apiserver.endpoints.bodies import decode_options
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import parse_bool, parse_int

VERSIONS = ("v1", "v1beta1")
_GROUP = "admission.k8s.io"
_JSON_PATCH = "JSONPatch"
_HEAD = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)
_NOUNS = {str: "string", list: "array", dict: "object"}
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_OF_DELETE = ("gracePeriodSeconds", "propagationPolicy", "preconditions", "orphanDependents")


class BadAnswer(TiphysError):
    """A webhook's answer that is no valid AdmissionReview."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook said."""

    allowed: bool
    status: Object | None = None
    patch: bytes = b""
    patch_type: str = ""
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


def question(attributes: Attributes, shown: Shown, version: str) -> tuple[str, Object]:
    """Return a fresh uid and the review of a write, its objects in the version that they are shown in."""
    uid = str(uuid.uuid4())
    request: Object = {
        "uid": uid,
        **request_of(attributes, shown.row),
        "object": shown.obj,
        "oldObject": shown.old,
    }
    return uid, {"kind": "AdmissionReview", "apiVersion": f"{_GROUP}/{version}", "request": request}


def request_of(attributes: Attributes, row: Resource) -> Object:
    """Return what a review tells of a write beside its objects."""
    own = attributes.call.resource
    request: Object = {
        "kind": _kind(row, attributes),
        "resource": _resource(row),
        "requestKind": _kind(own, attributes),
        "requestResource": _resource(own),
        "operation": attributes.operation,
        "userInfo": attributes.call.user.to_info(),
        "dryRun": attributes.dry_run,
        "options": _options(attributes),
    }
    if attributes.subresource:
        request["subResource"] = request["requestSubResource"] = attributes.subresource
    if attributes.request_name:
        request["name"] = attributes.request_name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    return request


def _kind(row: Resource, attributes: Attributes) -> Object:
    gvk = shown_kind(attributes, row)
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}


def _resource(row: Resource) -> Object:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def _options(attributes: Attributes) -> Object | None:
    """Return the options of what is done: a patch updates, or creates where it is applied."""
    call = attributes.call
    kind = _OPTIONS.get(attributes.operation)
    if kind is None:
        return None
    options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if attributes.operation == "DELETE":
        options |= _delete_options(call)
    for key in ("fieldManager", "fieldValidation"):
        if attributes.operation != "DELETE" and call.param(key):
            options[key] = call.param(key)
    if attributes.dry_run:
        options["dryRun"] = ["All"]
    return options


def _delete_options(call: Call) -> Object:
    """Return what the body says, or the query where there is none."""
    try:
        found = decode_options(call)
    except StatusError:
        return {}  # a kind of its own, whose body this is
    if found is not None:
        return {key: found[key] for key in _OF_DELETE if key in found}
    said: Object = {}
    grace = parse_int(call, "gracePeriodSeconds")
    if grace is not None:
        said["gracePeriodSeconds"] = grace
    if call.param("propagationPolicy"):
        said["propagationPolicy"] = call.param("propagationPolicy")
    orphans = parse_bool(call, "orphanDependents")
    if orphans is not None:
        said["orphanDependents"] = orphans
    return said


def read_answer(body: bytes, uid: str, version: str, *, mutating: bool) -> Verdict:
    """Return what an answer to a question of that version says. Raises BadAnswer."""
    try:
        review = _parsed(body, _HEAD)
    except JsonError as error:
        raise BadAnswer(f"couldn't get version/kind; json parse error: {error}") from error
    strict = version == "v1"
    response = review.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if strict:
        _check_identity(review, response, uid)
        _check_patch(response, mutating=mutating)
    patch = _bytes(response.get("patch")) if mutating else b""
    return Verdict(
        allowed=response.get("allowed") is True,
        status=response.get("status"),
        patch=patch,
        patch_type=str(response.get("patchType") or "") if strict else _JSON_PATCH,
        warnings=[str(text) for text in response.get("warnings") or ()],
        annotations={str(k): str(v) for k, v in (response.get("auditAnnotations") or {}).items()},
    )


def _check_identity(review: Object, response: Object, uid: str) -> None:
    """Raise BadAnswer for a v1 answer to another question, or of another kind."""
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    kind, found = review.get("kind") or "", review.get("apiVersion") or ""
    shown = found if "/" in found else f"/{found}"
    if (found, kind) != (f"{_GROUP}/v1", "AdmissionReview"):
        raise BadAnswer(
            f"expected webhook response of {_GROUP}/v1, Kind=AdmissionReview, got {shown}, Kind={kind}"
        )


def _check_patch(response: Object, *, mutating: bool) -> None:
    """Raise BadAnswer where a v1 answer has a patch without its type, or one that it may not have."""
    text, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        for key in ("patch", "patchType"):
            if response.get(key) if key == "patch" else response.get(key) is not None:
                raise BadAnswer(f"validating webhook may not return response.{key}")
    elif text and kind is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    elif not text and kind is not None:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    elif kind == "":
        raise BadAnswer('webhook returned invalid response.patchType of ""')


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""))
    except binascii.Error as error:
        raise BadAnswer(f"response.patch is no base64: {error}") from error


def decode_patch(patch: bytes) -> list[Any]:
    """Return the operations of a patch. Raises BadAnswer."""
    try:
        operations: list[Any] = _parsed(patch, "jsonpatch.Patch", list)
    except JsonError as error:
        raise BadAnswer(str(error)) from error
    return operations


def _parsed(text: bytes, go_type: str, wanted: type = dict) -> Any:
    """Read JSON; what is wrong with it is told as Go tells it. Raises JsonError."""
    try:
        value = orjson.loads(text)
    except ValueError:
        value = loads_strict(text)[0]  # says why not
    if not isinstance(value, wanted):
        raise JsonError(f"json: cannot unmarshal {_noun(value)} into Go value of type {go_type}")
    return value


def _noun(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "bool" if value is not None else "null"
    return next((noun for kind, noun in _NOUNS.items() if isinstance(value, kind)), "number")
