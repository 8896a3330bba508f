"""Types of CEL values as the checker sees them: immutable, shared, compared by what they say.

``dyn`` is checked at run time; ``param`` is a variable of a generic signature. Objects are told apart by
name. Types may nest hundreds deep, so what walks them takes one frame for each level.
"""

# ruff: noqa: SIM110 - generators inside of all() and any() are two more frames for each level

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    kind: str
    name: str
    params: tuple[Type, ...] = ()
    fields: Mapping[str, Type] | None = field(default=None, compare=False, repr=False)
    """An object's fields by the name that expressions use; None lets any field through as ``dyn``."""
    make: Callable[[dict[str, Any]], Any] | None = field(default=None, compare=False, repr=False)
    """Makes an object of the fields that an expression gives it, where more is to be done than keep them."""
    hashed: int = field(default=0, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashed", hash((self.kind, self.name, self.params)))

    def __hash__(self) -> int:
        return self.hashed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.equals(other)

    def equals(self, other: Type) -> bool:
        if self is other:
            return True
        if self.hashed != other.hashed or not self.is_alike(other):
            return False
        for mine, its in zip(self.params, other.params, strict=True):
            if not mine.equals(its):
                return False
        return True

    def is_alike(self, other: Type) -> bool:
        """Tell whether types can differ in their parameters only."""
        return self.kind == other.kind and self.name == other.name and len(self.params) == len(other.params)

    def __str__(self) -> str:
        return self.shown()

    def shown(self) -> str:
        params = [each.shown() for each in self.params]
        return f"{self.name}({', '.join(params)})" if params else self.name


def runtime_name(one: Type) -> str:
    """Return the name that ``type`` gives at run time."""
    return one.params[0].name if one.kind == "wrapper" else _RUNTIME_NAMES.get(one.kind, one.name)


_RUNTIME_NAMES = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}

DYN = Type("dyn", "dyn")
ANY = Type("dyn", "any")
"""The same where a declaration says so, but for its name and that no ``all`` or ``exists`` goes over it."""
ERROR = Type("error", "!error!")
BOOL = Type("bool", "bool")
INT = Type("int", "int")
UINT = Type("uint", "uint")
DOUBLE = Type("double", "double")
STRING = Type("string", "string")
BYTES = Type("bytes", "bytes")
NULL = Type("null", "null")
TIMESTAMP = Type("timestamp", "timestamp")
DURATION = Type("duration", "duration")
TYPE = Type("type", "type")


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("optional", "optional_type", (value,))


def type_of(value: Type) -> Type:
    return Type("type", "type", (value,))


def param(name: str) -> Type:
    return Type("param", name)


def wrapper_of(value: Type) -> Type:
    """Return the type of a plain value that may be null."""
    return Type("wrapper", "wrapper", (value,))


def opaque(name: str) -> Type:
    """A type of a library (``net.IP``), which only its functions look into."""
    return Type("opaque", name)


def object_of(
    name: str, fields: Mapping[str, Type] | None, make: Callable[[dict[str, Any]], Any] | None = None
) -> Type:
    return Type("object", name, fields=fields, make=make)


A, B = param("A"), param("B")
LIST_A = list_of(A)
MAP_AB = map_of(A, B)

_NULLABLE = frozenset(("null", "object", "opaque", "optional", "timestamp", "duration", "wrapper"))
_PLAIN = frozenset(("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "object"))

Bindings = dict[Type, Type]


def is_assignable(bound: Bindings, wanted: Type, found: Type) -> bool:
    """Tell whether a value of one type goes where the other is wanted; binds type variables as it goes."""
    if found.kind == "param":
        fits, had = _substitutes(bound, wanted, found)
        if fits or had:
            return fits
    if wanted.kind == "param":
        return _substitutes(bound, found, wanted)[0]
    if "dyn" in (wanted.kind, found.kind) or "error" in (wanted.kind, found.kind):
        return True
    if wanted.kind == "null":
        return found.kind in _NULLABLE
    if found.kind == "null":
        return wanted.kind in _NULLABLE
    if "wrapper" in (wanted.kind, found.kind):
        return _unwrapped(wanted) == _unwrapped(found)
    if wanted.kind == "type":
        return found.kind == "type"
    if wanted.kind in _PLAIN:
        return wanted == found
    if not wanted.is_alike(found):
        return False
    for one, other in zip(wanted.params, found.params, strict=True):
        if not is_assignable(bound, one, other):
            return False
    return True


def _unwrapped(one: Type) -> Type:
    return one.params[0] if one.kind == "wrapper" else one


def _substitutes(bound: Bindings, one: Type, variable: Type) -> tuple[bool, bool]:
    """Try to let a type stand for a variable; also tell whether something stood for it before."""
    if one == variable:
        return True, True
    known = bound.get(variable)
    if known is None:
        if _refers(bound, variable, one):
            return False, False
        bound[variable] = one
        return True, False
    if known == one:
        return True, True
    if not is_assignable(bound, one, known):
        return False, True
    general = most_general(one, known)
    if not _refers(bound, variable, general):
        bound[variable] = general
    return True, True


def _refers(bound: Bindings, variable: Type, inside: Type) -> bool:
    if inside == variable:
        return True
    if inside.kind == "param":
        known = bound.get(inside)
        return known is not None and _refers(bound, variable, known)
    for each in inside.params:
        if _refers(bound, variable, each):
            return True
    return False


def most_general(one: Type, other: Type) -> Type:
    """Return the wider of two compatible types."""
    return one if _is_wider(one, other) else other


def _is_wider(one: Type, other: Type) -> bool:
    if one.kind in ("dyn", "param"):
        return True
    if other.kind in ("dyn", "param"):
        return False
    if one.kind == "null":
        return False
    if other.kind == "null":
        return True
    if not one.is_alike(other):
        return False
    for mine, its in zip(one.params, other.params, strict=True):
        if not _is_wider(mine, its):
            return False
    return True


def substitute(bound: Bindings, one: Type, *, free_to_dyn: bool = False) -> Type:
    """Return a type with its variables replaced by what they are bound to."""
    if one.kind == "param":
        known = bound.get(one)
        if known is not None:
            return substitute(bound, known, free_to_dyn=free_to_dyn)
        return DYN if free_to_dyn else one
    if not one.params:
        return one
    params: tuple[Type, ...] = ()
    for each in one.params:
        params += (substitute(bound, each, free_to_dyn=free_to_dyn),)
    return one if params == one.params else Type(one.kind, one.name, params, one.fields)
