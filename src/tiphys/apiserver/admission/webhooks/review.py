"""AdmissionReview: the question for one webhook and the reading of its answer.

Owns: the forms v1 and v1beta1, and the words for answers that are none. Refuses: HTTP (``dispatch``).
Source: admission.k8s.io.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import field
from functools import cache
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.strict_json import JsonError, loads
from tiphys.apis.schemas import definition
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown, shown_kind
from tiphys.apiserver.endpoints.bodies import decode_options
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import parse_bool, parse_int
from tiphys.apiserver.outgoing import typed_answers

VERSIONS = ("v1", "v1beta1")
_GROUP = "admission.k8s.io"
_JSON_PATCH = "JSONPatch"
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
    """Return what an answer to a question of that version says. Raises Undecodable, BadAnswer."""
    asked = GVK(_GROUP, version, "AdmissionReview")
    review = typed_answers.read(body, asked, _shapes())
    strict = version == "v1"
    response = review.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if strict:
        if fault := typed_answers.other_uid(response, uid) or typed_answers.other_kind(review, asked):
            raise BadAnswer(fault)
        _check_patch(response, mutating=mutating)
    patch = base64.b64decode(response.get("patch") or "") if mutating else b""
    return Verdict(
        allowed=response.get("allowed", False),
        status=response.get("status"),
        patch=patch,
        patch_type=response.get("patchType", "") if strict else _JSON_PATCH,
        warnings=response.get("warnings", []),
        annotations=response.get("auditAnnotations", {}),
    )


@cache
def _shapes() -> dict[str, Schema]:
    return {version: _shape(version, Schema(type="string")) for version in VERSIONS}


def _shape(version: str, text: Schema) -> Schema:
    fields = {
        "uid": Schema(type="string", name="types.UID"),
        "allowed": Schema(type="boolean"),
        "status": definition("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        "patch": Schema(type="string", format="byte"),
        "patchType": Schema(type="string", name=f"{version}.PatchType"),
        "auditAnnotations": Schema(type="object", additional=text),
        "warnings": Schema(type="array", items=text),
    }
    name = f"io.k8s.api.admission.{version}."
    response = Schema(type="object", name=f"{name}AdmissionResponse", properties=fields)
    head = {"apiVersion": text, "kind": text}
    return Schema(type="object", name=f"{name}AdmissionReview", properties={**head, "response": response})


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


def decode_patch(patch: bytes) -> list[Any]:
    """Return the operations of a patch. Raises BadAnswer."""
    try:
        operations = loads(patch)
    except JsonError as error:
        raise BadAnswer(str(error)) from error
    if not isinstance(operations, list):
        found = json_kind(operations)
        raise BadAnswer(f"json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
    return operations
