"""AdmissionReview: the question for one webhook and the reading of its answer.

Owns: the v1 form (the only one sent), and the words for answers that are none. Refuses: HTTP (``call``).
Source: admission.k8s.io/v1.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown

API_VERSION = "admission.k8s.io/v1"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadAnswer(TiphysError):
    """A webhook's answer that is no valid AdmissionReview."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook said."""

    allowed: bool
    status: Object | None = None
    patch: list[Any] | None = None
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


def question(attributes: Attributes, shown: Shown) -> tuple[str, Object]:
    """Return a fresh uid and the review of a write, its objects in the version that they are shown in."""
    uid = str(uuid.uuid4())
    request: Object = {
        "uid": uid,
        **request_of(attributes, shown.row),
        "object": shown.obj,
        "oldObject": shown.old,
    }
    return uid, {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": request}


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
    if attributes.name:
        request["name"] = attributes.name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    return request


def _kind(row: Resource, attributes: Attributes) -> Object:
    gvk: GVK = row.gvk
    sub = row.subresource(attributes.subresource) if attributes.subresource else None
    if sub is not None and (attributes.scales or attributes.operation in ("CONNECT", "CREATE")):
        gvk = sub.kind
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}


def _resource(row: Resource) -> Object:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def _options(attributes: Attributes) -> Object:
    call = attributes.call
    kind = _OPTIONS.get(attributes.operation, "")
    if not kind:
        return {}
    if call.info.verb == "patch":
        kind = "PatchOptions"
    options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if attributes.operation == "DELETE":
        options |= _delete_body(call.request.body)
    for key in ("fieldManager", "fieldValidation"):
        if attributes.operation != "DELETE" and call.param(key):
            options[key] = call.param(key)
    if attributes.dry_run:
        options["dryRun"] = ["All"]
    return options


def _delete_body(body: bytes) -> Object:
    try:
        found = orjson.loads(body) if body else {}
    except ValueError:
        return {}
    kept = ("gracePeriodSeconds", "propagationPolicy", "preconditions", "orphanDependents")
    return {key: found[key] for key in kept if key in found} if isinstance(found, dict) else {}


def read_answer(body: bytes, uid: str, *, mutating: bool) -> Verdict:
    """Return what an answer says. Raises BadAnswer."""
    try:
        review = orjson.loads(body)
    except ValueError as error:
        raise BadAnswer(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(review, dict):
        raise BadAnswer("couldn't get version/kind; json parse error: cannot unmarshal into an object")
    kind, version = review.get("kind") or "", review.get("apiVersion") or ""
    if (version, kind) != (API_VERSION, "AdmissionReview"):
        group_version = version or "/"
        raise BadAnswer(
            f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, "
            f"got {group_version}, Kind={kind}"
        )
    response = review.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    return Verdict(
        allowed=response.get("allowed") is True,
        status=response.get("status"),
        patch=_patch(response, mutating=mutating),
        warnings=[str(text) for text in response.get("warnings") or ()],
        annotations={str(k): str(v) for k, v in (response.get("auditAnnotations") or {}).items()},
    )


def _patch(response: Object, *, mutating: bool) -> list[Any] | None:
    text, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        if text:
            raise BadAnswer("webhook returned response.patch, which is not allowed for a validating webhook")
        return None
    if not text:
        if kind:
            raise BadAnswer(f"webhook returned response.patchType but not response.patch: {kind}")
        return None
    if not kind:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if kind != "JSONPatch":
        raise BadAnswer(f'invalid value of response.patchType: "{kind}", expected "JSONPatch"')
    try:
        patch = orjson.loads(base64.b64decode(text))
    except (binascii.Error, ValueError) as error:
        raise BadAnswer(f"response.patch is no JSON patch: {error}") from error
    if not isinstance(patch, list):
        raise BadAnswer("response.patch is no JSON patch: it is not a list")
    return patch
