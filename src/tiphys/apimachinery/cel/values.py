"""Values at run time: what of CEL has no Python type of its own, and equality over all of it.

null, bool, int, double, string and bytes are Python's; a uint is a ``Uint``. Lists and maps are Python's or
the typed views of ``typed``. Keys of maps that are bools, uints or doubles are kept as ``BoolKey``,
``UintKey`` and ``DoubleKey``: Python takes True, 1 and 1.0 for the same key, CEL does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from tiphys.apimachinery.cel.errors import EvaluationError

MAX_INT = 2**63 - 1
MIN_INT = -(2**63)
MAX_UINT = 2**64 - 1
SECOND = 10**9
_FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300799


class Uint(int):
    """An unsigned integer; arithmetic of ``int`` gives plain ints, so results are wrapped again."""

    __slots__ = ()


class BoolKey(Enum):
    TRUE = True
    FALSE = False


@dataclass(frozen=True, slots=True)
class UintKey:
    value: Uint


@dataclass(frozen=True, slots=True)
class DoubleKey:
    value: float


_KEYS: Final[dict[type, Callable[[Any], Any]]] = {bool: BoolKey, Uint: UintKey, float: DoubleKey}
_KEPT_KEYS = frozenset((BoolKey, UintKey, DoubleKey))


def map_key(key: Any) -> Any:
    """Return a key as maps keep it."""
    keep = _KEYS.get(type(key))
    return key if keep is None else keep(key)


def from_map_key(key: Any) -> Any:
    return key.value if type(key) in _KEPT_KEYS else key


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What ``type(x)`` gives; types are equal by name."""

    name: str


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    nanoseconds: int

    def __str__(self) -> str:
        return f"{decimal_seconds(self.nanoseconds)}s"


class Timestamp:
    """A moment to the nanosecond; the offset it was written with shows only in its text."""

    __slots__ = ("nanoseconds", "offset_s")

    def __init__(self, nanoseconds: int, offset_s: int = 0) -> None:
        self.nanoseconds = nanoseconds
        self.offset_s = offset_s

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanoseconds < other.nanoseconds

    def __le__(self, other: Timestamp) -> bool:
        return self.nanoseconds <= other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __str__(self) -> str:
        zone = timezone(timedelta(seconds=self.offset_s))
        whole, fraction = divmod(self.nanoseconds, SECOND)
        text = moment(whole, zone).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        if fraction:
            text += f".{fraction:09d}".rstrip("0")
        sign, minutes = ("-" if self.offset_s < 0 else "+"), abs(self.offset_s) // 60
        return text + (f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if self.offset_s else "Z")


def moment(seconds: int, zone: Any = UTC) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)


def timestamp(nanoseconds: int, offset_s: int = 0) -> Timestamp:
    """Raises EvaluationError for moments outside of the years 1 to 9999."""
    if not _FIRST_SECOND <= nanoseconds // SECOND <= _LAST_SECOND:
        raise EvaluationError("timestamp overflow")
    return Timestamp(nanoseconds, offset_s)


def duration(nanoseconds: int) -> Duration:
    if not MIN_INT <= nanoseconds <= MAX_INT:
        raise EvaluationError("integer overflow")
    return Duration(nanoseconds)


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_timestamp(text: str) -> Timestamp:
    """Read RFC 3339.

    Raises:
        ValueError: it is something else.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(text)
    plain, fraction, zone = match.groups()
    offset_s = 0
    if zone not in "Zz":
        offset_s = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (-1 if zone[0] == "-" else 1)
    whole = datetime.fromisoformat(plain.upper()).replace(tzinfo=UTC)
    seconds = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) - offset_s
    return timestamp(seconds * SECOND + int((fraction or ".0")[1:10].ljust(9, "0")), offset_s)


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_DURATION = re.compile(r"([0-9]*)(\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> Duration:
    """Read ``1h2m3.5s`` and the like.

    Raises:
        ValueError: it is something else, or longer than 292 years.
    """
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return Duration(0)
    at, total = 0, 0
    while at < len(body):
        match = _DURATION.match(body, at)
        if match is None or not (match[1] or (match[2] or "")[1:]):
            raise ValueError(text)
        digits = (match[2] or ".")[1:]
        unit = _UNITS[match[3]]
        total += int(match[1][:30] or 0) * unit + int(digits[:30] or 0) * unit // 10 ** len(digits[:30])
        at = match.end()
    nanoseconds = -total if text[:1] == "-" else total
    if not body or not MIN_INT <= nanoseconds <= MAX_INT:
        raise ValueError(text)
    return Duration(nanoseconds)


def decimal_seconds(nanoseconds: int) -> str:
    """Show nanoseconds as seconds without needless digits."""
    whole, fraction = divmod(abs(nanoseconds), SECOND)
    sign = "-" if nanoseconds < 0 else ""
    return f"{sign}{whole}" + (f".{fraction:09d}".rstrip("0") if fraction else "")


class Optional:
    """A value that may be absent."""

    __slots__ = ("has_value", "value")

    def __init__(self, value: Any = None, *, has_value: bool = True) -> None:
        self.value = value
        self.has_value = has_value


NONE: Final = Optional(has_value=False)


ABSENT: Final = object()
"""What ``find`` returns for what is not there; null is a value."""


class View:
    """Base of lists and maps that are not Python's own."""

    __slots__ = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def equals(self, other: Any) -> bool:
        raise NotImplementedError


class ListView(View):
    """A list whose items are made when they are asked for."""

    __slots__ = ()

    def item(self, index: int) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def plus(self, other: Any) -> Any:
        raise NotImplementedError


class MapView(View):
    """A map or an object; ``type_name`` is what ``type`` says of it."""

    __slots__ = ()
    type_name: str

    def find(self, key: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError


class Struct(MapView):
    """An object that an expression made (``Object{spec: ...}``); ``zeros``: what unset fields read as."""

    __slots__ = ("fields", "type_name", "zeros")

    def __init__(
        self, type_name: str, fields: Mapping[str, Any], zeros: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.type_name = type_name
        self.fields = fields
        self.zeros = zeros

    def __len__(self) -> int:
        return len(self.fields)

    def find(self, key: Any) -> Any:
        return self.fields.get(key, ABSENT)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fields)

    def equals(self, other: Any) -> bool:
        return False  # nothing but another one is equal to it, which ``equals`` sees to


_NAMES: Final[dict[type, str]] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes",
    type(None): "null_type",
    list: "list", dict: "map", Timestamp: "google.protobuf.Timestamp", Duration: "google.protobuf.Duration",
    TypeValue: "type", Optional: "optional_type",
}  # fmt: skip


def type_name(value: Any) -> str:
    """Return the name that ``type(value)`` has and that messages show."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, ListView):
        return "list"
    return str(getattr(value, "type_name", "object"))


def is_list(value: Any) -> bool:
    return isinstance(value, list | ListView)


def is_map(value: Any) -> bool:
    return isinstance(value, dict | MapView)


_SAME = frozenset((str, int, bytes, bool, type(None), Uint, float))
_NUMBERS = frozenset((int, Uint, float))


def equals(one: Any, other: Any) -> bool:
    """CEL's equality: numbers by value whatever their type, nothing else across types."""
    left, right = type(one), type(other)
    if left is right and left in _SAME:
        return bool(one == other)
    if left in _NUMBERS and right in _NUMBERS:
        return bool(one == other)
    if left is right and left in _NESTING:
        return _alike([(one, other)])
    if isinstance(one, View):
        return one.equals(other)
    if isinstance(other, View):
        return other.equals(one)
    return left is right and bool(one == other)


_NESTING = frozenset((list, dict, Optional, Struct))


def _alike(pairs: list[tuple[Any, Any]]) -> bool:
    """Tell whether every two are equal. They may nest deeper than calls can, so this keeps what is left."""
    while pairs:
        one, other = pairs.pop()
        for mine, its in _parts(one, other):
            if type(mine) is type(its) and type(mine) in _NESTING:
                pairs.append((mine, its))
            elif not equals(mine, its):
                return False
    return True


_UNEQUAL: Final[tuple[tuple[Any, Any], ...]] = ((True, False),)


def _parts(one: Any, other: Any) -> Iterable[tuple[Any, Any]]:
    """Return what must be equal for two of one nesting type to be."""
    kind = type(one)
    if kind is Optional:
        if one.has_value and other.has_value:
            return ((one.value, other.value),)
        return ((one.has_value, other.has_value),)
    if len(one) != len(other) or (kind is Struct and one.type_name != other.type_name):
        return _UNEQUAL
    return zip(one, other, strict=True) if kind is list else _values(one, other)


def _values(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    for key in one:
        plain = from_map_key(key)
        yield find(one, plain), find(other, plain)


def maps_equal(one: Any, other: Any) -> bool:
    if not is_map(other) or len(one) != len(other):
        return False
    return all(equals(mine, its) for mine, its in _values(one, other))


def find(value: Any, key: Any) -> Any:
    """Return what a map or object has under a key, else ABSENT."""
    if type(value) is not dict:
        return value.find(key)
    if type(key) is str:
        return value.get(key, ABSENT)
    try:
        found = value.get(map_key(key), ABSENT)
    except TypeError:
        return ABSENT
    if found is ABSENT and type(key) in _NUMBERS:
        return _find_number(value, key)
    return found


def _find_number(entries: dict[Any, Any], key: Any) -> Any:
    """Look up an int, else a uint, of a key's value; doubles are found by doubles only."""
    if type(key) is float and not key.is_integer():
        return ABSENT
    whole = int(key)
    found = entries.get(whole, ABSENT) if type(key) is not int else ABSENT
    if found is ABSENT and type(key) is not Uint and 0 <= whole <= MAX_UINT:
        return entries.get(UintKey(Uint(whole)), ABSENT)
    return found
