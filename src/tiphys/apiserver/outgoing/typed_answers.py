"""Reads the reviews that webhooks answer with, as Go's typed decoder does.

Owns: JSON, and YAML where it is none, the kind, the types of fields. What does not fit is no answer, never a
yes: ``"allowed": "false"`` allows nothing. Refuses: what an answer means. Pure. Called for webhooks of
admission, authentication, authorization and conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.errors import BadRequest, TiphysError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.node import Schema
from tiphys.apimachinery.schema.strict_json import JsonError, loads
from tiphys.apimachinery.schema.type_meta import NO_KIND, no_object, no_text
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.schemas import definition, schema_for
from tiphys.apiserver.endpoints import nesting

_STATUS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"


class Undecodable(TiphysError):
    """An answer that is not of the kind in which it was asked for."""


def read(body: bytes, asked: GVK, shapes: Mapping[str, Schema]) -> Object:
    """Return the review in an answer; ``shapes`` has the versions of the kind. Raises Undecodable.

    Version and kind may be missing, which says that they are those of the question.
    """
    answer = _value(body)
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise Undecodable(f"{NO_KIND}: {no_object(answer)}")
    if fault := no_text(answer):
        raise Undecodable(f"{NO_KIND}: {fault}")
    if (answer.get("apiVersion"), answer.get("kind")) == ("v1", "Status"):
        return _of_status(answer)
    version = _version(answer, asked, shapes)
    try:
        decode_check(answer, shapes[version])
    except DecodeError as error:
        raise Undecodable(str(error)) from error
    if version != asked.version:
        kind = asked.kind
        raise Undecodable(f"converting ({version}.{kind}) to ({asked.version}.{kind}): unknown conversion")
    return answer


def _value(body: bytes) -> Any:
    """Return what a body says, as YAML where it does not begin as an object of JSON. Raises Undecodable."""
    if not body or body.lstrip().startswith(b"{"):
        try:
            return loads(body)
        except JsonError as error:
            raise Undecodable(f"{NO_KIND}: {error}") from error
    try:
        nesting.check_yaml(body)
        return go_yaml.load(body)[0]
    except (go_yaml.YamlError, BadRequest) as error:
        raise Undecodable(str(error)) from error


def _of_status(answer: Object) -> Object:
    """Return an answer that says nothing, of a service that says that it went well. Raises Undecodable."""
    try:
        decode_check(answer, definition(_STATUS))
    except DecodeError as error:
        raise Undecodable(str(error)) from error
    if answer.get("status") != "Success":
        raise Undecodable(answer.get("message") or "")
    return {}


@cache
def shapes_of(group: str, kind: str) -> Mapping[str, Schema]:
    """Return the shapes of a review that this server answers too; its beta answers alike."""
    shape = schema_for(GVK(group, "v1", kind))
    return {"v1": shape, "v1beta1": shape}


def other_kind(review: Object, asked: GVK) -> str:
    """Return what is said of a review that does not name the very kind it was asked for, else empty."""
    kind, version = review.get("kind") or "", review.get("apiVersion") or ""
    if (version, kind) == (asked.api_version, asked.kind):
        return ""
    shown = version if "/" in version else f"/{version}"
    return f"expected webhook response of {asked.api_version}, Kind={asked.kind}, got {shown}, Kind={kind}"


def other_uid(response: Object, asked: str) -> str:
    """Return what is said of a response to another question than the one of this uid, else empty."""
    found = response.get("uid") or ""
    return "" if found == asked else f'expected response.uid="{asked}", got "{found}"'


def _version(answer: dict[str, Any], asked: GVK, shapes: Mapping[str, Schema]) -> str:
    """Return the version of an answer. Raises Undecodable for another kind."""
    kind, said = answer.get("kind") or asked.kind, answer.get("apiVersion") or asked.api_version
    if said.count("/") > 1:
        raise Undecodable(f"unexpected GroupVersion string: {said}")
    group, _, version = said.rpartition("/")
    if (group, kind) != (asked.group, asked.kind) or version not in shapes:
        raise Undecodable(f'no kind "{kind}" is registered for version "{said}"')
    return str(version)
