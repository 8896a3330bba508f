"""Request bodies as objects: JSON, YAML and protobuf, checked against the schema.

Owns: which faults stop a request and which only warn (``fieldValidation``). Called by the write handlers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import GVK, Object, gvk_of
from tiphys.apiserver import machinery
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import JSON, MEDIA_TYPES, PROTOBUF, YAML, body_media_type

_YAML_LINE = "line "
_MAX_YAML_NODES = 400_000
"""A body of the largest size that uses no aliases stays below."""


def parse_object(body: bytes, media_type: str) -> tuple[Any, list[str]]:
    """Return the value in a body and the texts of its duplicate fields.

    Raises:
        BadRequest: the body does not parse.
    """
    if media_type == PROTOBUF:
        return machinery.decode_protobuf(body), []
    if media_type == JSON or body.lstrip()[:1] == b"{":
        return machinery.parse_json(body)
    return _parse_yaml(body)


def _parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """Return the value (the last of duplicate keys wins) and where keys come twice."""
    try:
        loader = _YamlLoader(body)
        try:
            node = loader.get_single_node()
            duplicates = list(_duplicates(node))
            return (None if node is None else loader.construct_document(node)), duplicates
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        text = str(error).replace("\n", " ")
        raise BadRequest(f"error converting YAML to JSON: {text}") from error


def _duplicates(root: Any) -> Iterator[str]:
    """Yield where a key comes twice. Aliases are followed, so this also bounds what they may expand to."""
    visited, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        visited += 1
        if visited > _MAX_YAML_NODES:
            raise BadRequest("error converting YAML to JSON: yaml: document contains excessive aliasing")
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if not isinstance(key.value, str):
                    continue
                if key.value in seen:
                    yield f'{_YAML_LINE}{key.start_mark.line + 1}: key "{key.value}" already set in map'
                seen.add(key.value)
            waiting.extend(value for _, value in reversed(node.value))


class _YamlLoader(yaml.CSafeLoader):
    """YAML as JSON sees it: timestamps and dates stay text."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def decode(call: Call, gvk: GVK, validation: str) -> Object:
    """Return the request's object in version ``gvk``, defaults of the schema not yet filled in.

    Raises:
        UnsupportedMediaType: the media type is not served.
        BadRequest: it does not parse, is of another kind, or has strict faults under ``Strict``.
    """
    accepted = (JSON, YAML) if call.resource.custom else MEDIA_TYPES
    media_type = body_media_type(call.request.headers.get("content-type", ""), accepted)
    obj, duplicates = parse_object(call.request.body, media_type)
    if not isinstance(obj, dict):
        raise BadRequest(
            f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
            "couldn't get version/kind; json parse error: the body is not an object"
        )
    check_kind(obj, gvk)
    if not isinstance(obj.setdefault("metadata", {}), dict):
        if obj["metadata"] is not None:
            raise BadRequest(
                f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
                "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta"
            )
        obj["metadata"] = {}
    report(call, gvk, duplicates + machinery.decode_in_place(obj, gvk, call.resource), validation)
    obj.setdefault("metadata", {})
    return obj


def check_kind(obj: Object, gvk: GVK) -> None:
    """Fill in apiVersion and kind where both may be left out. Raises BadRequest for another kind."""
    found = gvk_of(obj)
    if not found.kind and not obj.get("apiVersion"):
        obj["apiVersion"], obj["kind"] = gvk.api_version, gvk.kind
        return
    if not found.kind:
        obj["kind"] = gvk.kind
    elif not obj.get("apiVersion"):
        obj["apiVersion"] = gvk.api_version
    found = gvk_of(obj)
    if (found.group, found.version) != (gvk.group, gvk.version):
        raise BadRequest(
            f"the API version in the data ({obj['apiVersion']}) does not match "
            f"the expected API version ({gvk.api_version})"
        )
    if found.kind != gvk.kind:
        raise BadRequest(
            f'{found.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
            f"converting ({found.kind}) to ({gvk.kind}): unknown conversion"
        )


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


def _grouped(faults: Sequence[str]) -> list[str]:
    """Put the YAML parser's faults into one, as it reports them."""
    lines = [fault for fault in faults if fault.startswith(_YAML_LINE)]
    others = [fault for fault in faults if not fault.startswith(_YAML_LINE)]
    if not lines:
        return others
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(lines), *others]


def decode_options(call: Call) -> Object | None:
    """Return the DeleteOptions of a body, None when there is no body."""
    if not call.request.body:
        return None
    media_type = body_media_type(call.request.headers.get("content-type", ""))
    obj, _ = parse_object(call.request.body, media_type if media_type in (PROTOBUF, YAML) else JSON)
    if not isinstance(obj, dict):
        raise BadRequest("the body of a delete must be DeleteOptions")
    kind = obj.get("kind")
    if kind not in (None, "", "DeleteOptions"):
        raise BadRequest(f"the body of a delete must be DeleteOptions, not {kind}")
    return obj
