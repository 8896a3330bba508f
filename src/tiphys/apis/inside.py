"""Values in the shape that upstream's server has them in inside, which some of its faults show.

Owns: the table of those types (``data/inside.txt``), a value by it (``inside``), and the difference of two
(``difference``). There every field is shown, under its own name and in its own order, set or not.

Source: k8s.io/apimachinery ``diff.Diff``: a unified diff of both values as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources as package_files
from itertools import takewhile
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import IMMUTABLE, Struct, invalid
from tiphys.apimachinery.go_text import safe_in_html
from tiphys.apimachinery.meta import Object

_EMPTY = {"s": "", "i": 0, "b": False, "q": "0", "l": None, "m": None, "*": None}
_FIRST = re.compile(r"^(?:[A-Z]+(?![a-z])|[A-Z])")
_AROUND: Final = 3
"""Lines that are shown above and below what differs."""
_COMPARED: Final = 4_000
"""Lines of both values that are compared with each other: that takes the square of their number."""
_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: str
    kind: str
    """One of ``_EMPTY``, or empty for a type."""
    type: str = ""
    is_list: bool = False
    optional: bool = False
    inline: bool = False


@dataclass(frozen=True, slots=True)
class _Type:
    fields: tuple[_Field, ...]
    as_on_the_wire: bool


def _wire_name(name: str) -> str:
    """``DNSPolicy`` is ``dnsPolicy`` on the wire, ``HostIP`` is ``hostIP``."""
    return _FIRST.sub(lambda match: match[0].lower(), name, count=1)


def _field(text: str) -> _Field:
    name, _, kind = text.partition(":")
    kind, _, wire = kind.partition("=")
    inline = name.startswith("+")
    name = name.removeprefix("+")
    wire = wire or (name if inline else _wire_name(name))
    if not kind or kind in _EMPTY:
        return _Field(name, wire, kind or "*")
    bare = kind.removeprefix("[]").removeprefix("*")
    return _Field(name, wire, "", bare, kind.startswith("[]"), kind.startswith("*"), inline)


@cache
def _types() -> dict[str, _Type]:
    text = package_files.files("tiphys.apis").joinpath("data/inside.txt").read_text()
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, *fields = line.split()
            found[name.removeprefix("~")] = _Type(tuple(map(_field, fields)), name.startswith("~"))
    return found


def inside(type_: str, value: Object) -> Struct:
    """Return a value in the shape of a type of the table."""
    if type_ == "PodSpec":
        value = _with_host(value)
    return Struct(_shown(_types()[type_], value))


def _with_host(spec: Object) -> Object:
    """Inside, what a pod shares with its host belongs to its security context."""
    shared = {key: spec[key] for key in _HOST if key in spec}
    return {**spec, "securityContext": {**(spec.get("securityContext") or {}), **shared}}


def _shown(type_: _Type, value: Object) -> Iterator[tuple[str, Any]]:
    for field in type_.fields:
        found = value.get(field.wire)
        if type_.as_on_the_wire:
            if found not in (None, "", {}, [], 0):
                yield field.wire, found
        elif field.inline:
            yield from _shown(_types()[field.type], (found or {}) if field.wire else value)
        elif field.kind:
            empty = _EMPTY[field.kind]
            absent = found is None or (empty is None and found in ([], {}))
            yield field.name, empty if absent else found
        elif field.is_list:
            yield field.name, [inside(field.type, item) for item in found] if found else None
        elif found is None and field.optional:
            yield field.name, None
        else:
            yield field.name, inside(field.type, found or {})


def inside_all(type_: str, values: Sequence[Object] | None) -> list[Struct] | None:
    """Return a list in the shape of a type of the table."""
    return None if values is None else [inside(type_, value) for value in values]


def immutable_inside(path: str, type_: str, new: Object | None, old: Object | None) -> list[FieldError]:
    """The fault of changing a value that never may change, shown as it is inside."""
    if (new or {}) == (old or {}):
        return []
    shown = None if new is None else inside(type_, new)
    if shown is not None and old is not None and shown == inside(type_, old):
        return []  # a null is now there, or no longer
    return [invalid(path, shown, IMMUTABLE)]


def _sorted_maps(value: Any) -> Any:
    if isinstance(value, dict):
        keys = value if isinstance(value, Struct) else sorted(value)
        return {key: _sorted_maps(value[key]) for key in keys}
    return [_sorted_maps(item) for item in value] if isinstance(value, list) else value


def _lines(type_: str, value: Object | list[Object]) -> list[str]:
    shown = inside_all(type_, value) if isinstance(value, list) else inside(type_, value)
    text = json.dumps(_sorted_maps(shown), indent=1, ensure_ascii=False)
    return [line + "\n" for line in safe_in_html(text).split("\n")]


def difference(type_: str, old: Object | list[Object], new: Object | list[Object]) -> str:
    """Return what is different in a new value, or list of values, with three lines around."""
    before, after = _lines(type_, old), _lines(type_, new)
    if len(before) + len(after) > _COMPARED:
        return "".join(_one_hunk(before, after))
    import difflib  # for a fault that few will ever see

    return "".join(list(difflib.unified_diff(before, after, n=_AROUND))[2:])


def _one_hunk(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield the difference as one piece, from the first line that differs to the last: in linear time."""
    if old == new:
        return
    start = _alike(old, new)
    longest = min(len(old), len(new)) - start
    end = min(_alike(reversed(old), reversed(new)), longest)
    above, below = max(start - _AROUND, 0), max(end - _AROUND, 0)
    yield f"@@ -{_span(above, len(old) - below)} +{_span(above, len(new) - below)} @@\n"
    yield from (f" {line}" for line in old[above:start])
    yield from (f"-{line}" for line in old[start : len(old) - end])
    yield from (f"+{line}" for line in new[start : len(new) - end])
    yield from (f" {line}" for line in old[len(old) - end : len(old) - below])


def _alike(old: Iterable[str], new: Iterable[str]) -> int:
    """Return how many lines both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _span(start: int, stop: int) -> str:
    return f"{start + 1}" if stop - start == 1 else f"{start + 1},{stop - start}"
