"""Messages whose JSON is not an object of their fields: times, quantities, raw JSON and the like.

Owns: an encoder and a decoder for each such message. Refuses: all others. Called by ``plan``.

An encoder takes the JSON value and gives the message's bytes; a decoder takes the message's fields by number
(ints and bytes, as ``Fields`` say) and gives the JSON value, or ``ABSENT`` for one that Go writes and means
nothing by.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from tiphys.apimachinery import quantity
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.duration import parse_go_duration
from tiphys.apimachinery.protowire import (
    BYTES,
    VARINT,
    ProtobufError,
    delimited,
    signed,
    tag,
    text_of,
    varint,
)

ABSENT: Final = object()
Raw: TypeAlias = dict[int, int | bytes]
Fields: TypeAlias = dict[int, tuple[int, str]]
"""A message's fields by number: their wire type, and their name in Go."""


class Special(NamedTuple):
    """How one of these messages is written and read."""

    encode: Callable[[Any], bytes]
    decode: Callable[[Raw], Any]
    fields: Fields


_ONE_INT = tag(1, VARINT)
_TWO_INT = tag(2, VARINT)
_ONE = tag(1, BYTES)
_THREE = tag(3, BYTES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF: Final = 1 << 31


def _int(raw: Raw, number: int) -> int:
    value = raw.get(number, 0)
    assert isinstance(value, int)
    return signed(value)


def _bytes(raw: Raw, number: int) -> bytes:
    value = raw.get(number, b"")
    assert isinstance(value, bytes)
    return value


def _text(raw: Raw, number: int) -> str:
    return text_of(_bytes(raw, number))


def _encode_moment(value: Any, *, micro: bool) -> bytes:
    try:
        since = parse_time(value) - _EPOCH
    except (TypeError, ValueError) as error:
        raise ProtobufError(f"not a time: {value!r}") from error
    seconds = since.days * 86400 + since.seconds
    nanos = since.microseconds * 1000 if micro else 0
    return _ONE_INT + varint(seconds) + _TWO_INT + varint(nanos)


def encode_time(value: Any) -> bytes:
    return _encode_moment(value, micro=False)


def encode_micro_time(value: Any) -> bytes:
    return _encode_moment(value, micro=True)


def _moment(raw: Raw) -> datetime | None:
    seconds, nanos = _int(raw, 1), _int(raw, 2)
    if seconds == 0 and nanos == 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise ProtobufError("time out of range") from error


def decode_time(raw: Raw) -> Any:
    moment = _moment(raw)
    return ABSENT if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def decode_micro_time(raw: Raw) -> Any:
    moment = _moment(raw)
    return ABSENT if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def encode_quantity(value: Any) -> bytes:
    return delimited(_ONE, str(value).encode())


def decode_quantity(raw: Raw) -> Any:
    if 1 not in raw:
        return "0"
    try:
        return quantity.canonical(_text(raw, 1))
    except quantity.QuantityError as error:
        raise ProtobufError(str(error)) from error


def encode_int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _ONE_INT + b"\x01" + _TWO_INT + b"\x00" + delimited(_THREE, value.encode())
    if not isinstance(value, int):
        raise ProtobufError(f"neither int nor string: {value!r}")
    return _ONE_INT + b"\x00" + _TWO_INT + varint(value) + delimited(_THREE, b"")


def decode_int_or_string(raw: Raw) -> Any:
    return _text(raw, 3) if _int(raw, 1) else _in_32_bits(_int(raw, 2))


def _in_32_bits(number: int) -> int:
    """What does not fit loses its higher bits."""
    return (number + _HALF) % (2 * _HALF) - _HALF


def encode_json(value: Any) -> bytes:
    return delimited(_ONE, orjson.dumps(value))


def decode_json(raw: Raw) -> Any:
    text = _bytes(raw, 1)
    if not text:
        return ABSENT
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"invalid JSON: {error}") from error


def decode_fields(raw: Raw) -> Any:
    """Return the fields of a manager, or their text where that is not JSON: whoever reads them drops it."""
    try:
        return decode_json(raw)
    except ProtobufError:
        return _bytes(raw, 1).decode(errors="replace")


def encode_strings(value: Any) -> bytes:
    return b"".join(delimited(_ONE, item.encode()) for item in value)


_UNIT_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def encode_duration(value: Any) -> bytes:
    text = str(value)
    try:
        seconds = parse_go_duration(text) if text else 0
    except ValueError:
        raise ProtobufError(f"not a duration: {value!r}") from None
    return _ONE_INT + varint(round(seconds * 10**9))


def decode_duration(raw: Raw) -> Any:
    total = _int(raw, 1)
    sign, left = ("-", -total) if total < 0 else ("", total)
    if left == 0:
        return "0s"
    for unit, below in (("ns", 10**3), ("us", 10**6), ("ms", 10**9)):
        if left < below:
            return f"{sign}{_decimal(left, _UNIT_NS[unit])}{unit.replace('us', 'µs')}"
    hours, left = divmod(left, _UNIT_NS["h"])
    minutes, left = divmod(left, _UNIT_NS["m"])
    head = f"{hours}h{minutes}m" if hours else (f"{minutes}m" if minutes else "")
    return f"{sign}{head}{_decimal(left, _UNIT_NS['s'])}s"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


_MOMENT: Final[Fields] = {1: (VARINT, "Seconds"), 2: (VARINT, "Nanos")}
_CHOICE: Final[Fields] = {1: (VARINT, "Type"), 2: (VARINT, "IntVal"), 3: (BYTES, "StrVal")}
RAW: Final[Fields] = {1: (BYTES, "Raw")}
ITEMS: Final[Fields] = {1: (BYTES, "Items")}
_JSON = Special(encode_json, decode_json, RAW)
SPECIAL: Final[dict[str, Special]] = {
    "meta.v1.Time": Special(encode_time, decode_time, _MOMENT),
    "meta.v1.MicroTime": Special(encode_micro_time, decode_micro_time, _MOMENT),
    "meta.v1.Duration": Special(encode_duration, decode_duration, {1: (VARINT, "Duration")}),
    "meta.v1.FieldsV1": Special(encode_json, decode_fields, RAW),
    "apiextensions.v1.JSON": _JSON,
    "resource.Quantity": Special(encode_quantity, decode_quantity, {1: (BYTES, "String_")}),
    "util.intstr.IntOrString": Special(encode_int_or_string, decode_int_or_string, _CHOICE),
}
STRING_LISTS: Final = frozenset(
    (
        "authentication.v1.ExtraValue",
        "authorization.v1.ExtraValue",
        "certificates.v1.ExtraValue",
        "meta.v1.Verbs",
    )
)
"""Messages that are a JSON list of strings: field 1, repeated."""
