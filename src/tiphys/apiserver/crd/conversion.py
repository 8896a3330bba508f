"""Custom objects from one version to another: a change of ``apiVersion``, or a webhook's answer.

Owns: ConversionReview and what a webhook may not change. Called by ``crd.store``.

Source: apiextensions.k8s.io/v1 ConversionReview; "Versions in CustomResourceDefinitions".
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import orjson

from tiphys.apimachinery import go_json
from tiphys.apimachinery.errors import FieldError, InternalError, TiphysError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.meta_validation import validate_annotations, validate_labels
from tiphys.apis.schemas import definition
from tiphys.apiserver.crd.counts import Counts
from tiphys.apiserver.crd.kind import CustomKind
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.outgoing import typed_answers
from tiphys.apiserver.outgoing.webhook_call import NoAnswer, post

_TIMEOUT_S: Final = 30
_GROUP: Final = "apiextensions.k8s.io"
_KIND: Final = "ConversionReview"
_REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_MUTABLE: Final = ("labels", "annotations")
_KEPT: Final = (("name", "name"), ("namespace", "namespace"), ("uid", "UID"))
_NO_JSON: Final = "unexpected end of JSON input"
_INTO_MAP: Final = "into Go value of type map[string]interface {}"


class ConversionFailed(TiphysError):
    """Why a webhook's conversion does not count; goes on from "conversion webhook for KIND "."""

    def __init__(self, message: str, type_: str = "invalid_converted_object") -> None:
        super().__init__(message)
        self.type = type_
        """How it is counted."""


class _Unreadable(ConversionFailed):
    """What was answered in an object's place is none; that is all that is said of it."""


class Conversion:
    """The converter of one server."""

    def __init__(self, backend: Backend, counts: Counts) -> None:
        self._backend = backend
        self._counts = counts

    async def __call__(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]:
        """Return objects at ``to``, in order; the ones given are left as they are.

        Raises:
            InternalError: the webhook cannot be asked, or answers wrongly.
        """
        if not objects:
            return []
        if kind.conversion.get("strategy") != "Webhook":
            return [{**obj, "apiVersion": to.api_version} for obj in objects]
        began, succeeded = self._counts.monotonic(), False
        try:
            converted = await self._asked(objects, kind, to)
            succeeded = True
            return converted
        except ConversionFailed as error:
            # Of many, too, each is told of by itself: upstream asks about one at a time.
            shown = f"conversion webhook for {objects[0].get('apiVersion')}, Kind={to.kind} "
            raise InternalError(f"{'' if isinstance(error, _Unreadable) else shown}{error}") from error
        finally:
            versions = (str(objects[0].get("apiVersion")).rpartition("/")[2], to.version)
            seconds = self._counts.monotonic() - began
            self._counts.converted(kind.definition_name, versions, seconds, succeeded=succeeded)

    async def _asked(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]:
        """Ask, and count what came of it."""
        began = self._counts.monotonic()
        try:
            converted = await self._ask(objects, kind, to)
        except ConversionFailed as error:
            failure = f"conversion_webhook_{error.type}_failure"
            self._counts.asked(self._counts.monotonic() - began, failure)
            raise
        self._counts.asked(self._counts.monotonic() - began)
        return converted

    async def _ask(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]:
        webhook = kind.conversion["webhook"]
        version = next((one for one in webhook["conversionReviewVersions"] if one in _REVIEW_VERSIONS), "v1")
        uid = str(uuid.uuid4())
        review = {
            "kind": _KIND,
            "apiVersion": f"{_GROUP}/{version}",
            "request": {"uid": uid, "desiredAPIVersion": to.api_version, "objects": list(objects)},
        }
        try:
            body = await post(
                self._backend,
                webhook["clientConfig"],
                go_json.written(orjson.dumps(review)),
                timeout_s=_TIMEOUT_S,
            )
        except NoAnswer as error:
            raise ConversionFailed(f"failed: {error}", "call") from error
        made = _answered(body, version, uid)
        if len(made) != len(objects):
            raise ConversionFailed(
                f"returned {len(made)} objects, expected {len(objects)}", "partial_response"
            )
        return [_checked(old, new, to) for old, new in zip(objects, made, strict=True)]


def _answered(body: bytes, version: str, uid: str) -> list[Any]:
    """Return the objects in a webhook's answer. Raises ConversionFailed."""
    asked = GVK(_GROUP, version, _KIND)
    try:
        review = typed_answers.read(body, asked, _shapes())
    except typed_answers.Undecodable as error:
        raise ConversionFailed(f"failed: {error}", "call") from error
    strict = version == "v1"
    if strict and (fault := typed_answers.other_kind(review, asked)):
        raise _malformed(fault)
    response = review.get("response")
    if response is None:
        raise _malformed("no response provided")
    if strict and (fault := typed_answers.other_uid(response, uid)):
        raise _malformed(fault)
    result = response.get("result") or {}
    status = result.get("status") or ""
    if status != "Success":
        raise _malformed(result.get("message") or f"response.result.status was '{status}', not 'Success'")
    return response.get("convertedObjects") or []


@cache
def _shapes() -> dict[str, Schema]:
    """Return the shapes of answers, of which no definition is published."""
    return {version: _shape(version) for version in _REVIEW_VERSIONS}


def _shape(version: str) -> Schema:
    name, text = f"io.k8s.api.apiextensions.{version}.", Schema(type="string")
    fields = {
        "uid": Schema(type="string", name="types.UID"),
        "convertedObjects": Schema(type="array", items=Schema(name="runtime.RawExtension")),
        "result": definition("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    }
    response = Schema(type="object", name=f"{name}ConversionResponse", properties=fields)
    head = {"apiVersion": text, "kind": text}
    return Schema(type="object", name=f"{name}{_KIND}", properties={**head, "response": response})


def _malformed(text: str) -> ConversionFailed:
    return ConversionFailed(f"failed: {text}", "malformed_response")


def _checked(old: Object, new: Any, to: GVK) -> Object:
    """Return a converted object with the metadata that a webhook may not change."""
    if not isinstance(new, dict):
        raise _Unreadable(_NO_JSON if new is None else f"json: cannot unmarshal {json_kind(new)} {_INTO_MAP}")
    if not new.get("kind"):
        raise _Unreadable(f"Object 'Kind' is missing in '{orjson.dumps(new).decode()}'")
    if new.get("apiVersion") != to.api_version:
        text = f"invalid groupVersion (expected {to.api_version}, received {new.get('apiVersion') or ''})"
        raise ConversionFailed(f"returned invalid object at index 0: {text}")
    if new["kind"] != to.kind:
        text = f"invalid kind (expected {to.kind}, received {new['kind']})"
        raise ConversionFailed(f"returned invalid object at index 0: {text}")
    before, given = old["metadata"], new.get("metadata")
    meta = given if isinstance(given, dict) else {}
    for key, shown in _KEPT:
        one, other = before.get(key) or "", meta.get(key) or ""
        if one != other:
            text = f"must have the same {shown}: {one} != {other}"
            raise ConversionFailed(f"returned invalid object: {text}")
    try:
        return {**new, "metadata": _restored(before, given)}
    except ConversionFailed as error:
        raise ConversionFailed(f"returned invalid metadata: {error}") from error


def _restored(before: Object, given: Any) -> Object:
    """Return an object's own metadata with the labels and annotations of what it was converted to."""
    if given is None:
        raise ConversionFailed("missing metadata in converted object")
    kept = {key: value for key, value in before.items() if key not in _MUTABLE}
    for key in _MUTABLE:
        texts = given.get(key)
        if texts is None:
            continue
        if not isinstance(texts, dict):
            raise ConversionFailed(f"invalid metadata.{key} of type {_go_type(texts)} in converted object")
        for name, value in texts.items():
            if not isinstance(value, str):
                shown = _go_type(value)
                raise ConversionFailed(
                    f"metadata.{key}[{name}] must be a string, but is {shown} in converted object"
                )
        if texts != before.get(key):
            _raise_faults(key, texts)
        kept[key] = texts
    return kept


def _raise_faults(key: str, texts: dict[str, str]) -> None:
    faults: list[FieldError] = (
        validate_labels(texts, "metadata.labels")
        if key == "labels"
        else validate_annotations(texts, "metadata.annotation")
    )
    if faults:
        lines = [str(fault) for fault in faults]
        raise ConversionFailed(lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]")


def _go_type(value: Any) -> str:
    """Return a JSON value's type as Go names it."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    return "float64" if isinstance(value, float) else "string" if isinstance(value, str) else "<nil>"
