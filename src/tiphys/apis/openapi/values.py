"""What an absent field of a built-in kind is worth, as documents of v3 tell it: ``{}``, ``""``, ``0``.

Owns: the rules by which that follows from a definition, and where their Go types say something else
(``data/values.txt``). Asked by ``definitions`` for v3 alone; v2 tells no defaults of built-in kinds. Nothing
is defaulted by this: it is what the types of upstream's server hold when nothing was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

Node = dict[str, Any]
_DEFS: Final = "#/$defs/"
_MODULES: Final = {
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
}
_ZEROS: Final[dict[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": False}
_HELD: Final = frozenset(("metadata", "spec", "status", "template"))
"""Parts of an object that types hold by value, required or not."""
_APIEXTENSIONS: Final = _MODULES["apiextensions"] + ".v1."
_READ_BY_THEMSELVES: Final = frozenset((
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    *(_APIEXTENSIONS + "JSON" + kind for kind in ("", "SchemaPropsOrArray", "SchemaPropsOrBool")),
    _APIEXTENSIONS + "JSONSchemaPropsOrStringArray",
))  # fmt: skip
"""Types whose own reader meets a null where nothing was given: they have no default."""
_POINTER: Final = object()


def tell(name: str, definition: Node) -> None:
    """Write the defaults into a definition of a built-in kind, in place."""
    exceptions = _exceptions().get(name, {})
    required = definition.get("required", ())
    for field, node in definition.get("properties", {}).items():
        _tell_inside(node)
        value = exceptions.get(field)
        if value is _POINTER or "default" in node:
            continue
        if value is None and (field in exceptions or field in required or _is_held(field, node)):
            value = _zero(node)
        if value is not None:
            node["default"] = value


def fields() -> Iterator[tuple[str, str]]:
    """Yield every field that the rules do not hold for: its definition and its name."""
    for name, found in _exceptions().items():
        for field in found:
            yield name, field


def _is_held(field: str, node: Mapping[str, Any]) -> bool:
    return field in _HELD and "$ref" in node


def _tell_inside(node: Node) -> None:
    """Tell what an absent item of a list or value of a map is worth."""
    for key in ("items", "additionalProperties"):
        inner = node.get(key)
        if isinstance(inner, dict):
            _tell_inside(inner)
            value = _zero(inner)
            if value is not None:
                inner["default"] = value


def _zero(node: Mapping[str, Any]) -> Any:
    """Return what a value of a type is before anything is written into it, None where that is null."""
    target = node.get("$ref")
    if target is not None:
        return None if target.removeprefix(_DEFS) in _READ_BY_THEMSELVES else {}
    if node.get("format") == "byte":
        return None
    said = node.get("type") or ()
    kinds = (said,) if isinstance(said, str) else said
    return next((_ZEROS[kind] for kind in kinds if kind in _ZEROS), None)


@cache
def _exceptions() -> dict[str, dict[str, Any]]:
    """Return by definition what its fields are that are told about, None for the zero of their type."""
    found: dict[str, dict[str, Any]] = {}
    for line in files("tiphys.apis").joinpath("data/values.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        spelled, *told = line.split(" ")
        group, versions, kind = spelled.split(".")
        for version in versions.split(","):
            known = found.setdefault(f"{_MODULES.get(group, f'io.k8s.api.{group}')}.{version}.{kind}", {})
            for one in told:
                field, _, value = one.removeprefix("-").partition("=")
                known[field] = _POINTER if one.startswith("-") else orjson.loads(value) if value else None
    return found
