"""Encoding and decoding of messages by plans compiled from the table of fields.

Owns: one plan for each message, made when first used. Refuses: envelopes and kinds. Called by
``codec``.

The table has a message's fields in the order in which Go's type declares them, which is that of the JSON that
Go writes; in bytes they stand by their numbers, and maps by their keys, as ``Marshal`` in Go has it.

It says for every field its JSON name, number and type: ``s`` string, ``i`` integer, ``b`` bool,
``d`` double, ``y`` bytes (base64 in JSON) or a message; ``[]`` before it means a list, ``{}`` a map by
strings. An empty name: the message's fields stand in the parent's JSON object. One that ends in ``!`` says
something even when zero (it is a pointer in Go, or required); other zeros are what Go writes for "not set",
and are dropped, as is a zero message whose type ends in ``-``.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, TypeAlias

from tiphys.apimachinery.protowire import (
    BYTES,
    END_GROUP,
    FIXED64,
    VARINT,
    ProtobufError,
    delimited,
    read_length,
    read_varint,
    signed,
    skip,
    tag,
    text_of,
    varint,
)
from tiphys.apis.protobuf.go_names import go_name, wrong_wire
from tiphys.apis.protobuf.special import (
    ABSENT,
    ITEMS,
    SPECIAL,
    STRING_LISTS,
    Fields,
    Raw,
    Special,
    encode_strings,
)

Encode: TypeAlias = Callable[[Any], bytes]
"""From a JSON value to the whole field, its tag included; or, for messages, to the body."""
Decode: TypeAlias = Callable[[bytes, int, int, int], Any]
"""From ``data[start:end]``, so deep in the message, to a JSON value."""
_MAX_DEPTH: Final = 100


class Plan:
    """How to encode and decode one message."""

    __slots__ = ("_decoders", "_encoders", "_inlined", "_name", "_numbers", "_repeated", "_size")

    def __init__(self, name: str) -> None:
        self._name = name
        # JSON name and kind of every field by its number alone: whose wire type must be its own.
        self._numbers: dict[int, tuple[str, str]] = {}
        # Each with its place among the bytes of the message, of which there are ``_size``.
        self._encoders: dict[str, tuple[int, Encode]] = {}
        self._inlined: list[tuple[int, bytes, Plan]] = []
        self._size = 0
        # By tag (number and wire type): JSON name, decoder, shape ("", "[]", "{}", "inline"), keeps zeros.
        self._decoders: dict[int, tuple[str, Any, str, bool]] = {}
        self._repeated: dict[int, tuple[str, Any]] = {}

    def encode(self, obj: Any) -> bytes:
        """Raises ProtobufError when a value does not fit its field; fields unknown here are left out."""
        if not isinstance(obj, dict):
            raise ProtobufError(f"expected an object, got {type(obj).__name__}")
        encoders = self._encoders
        parts = [b""] * self._size
        for name, value in obj.items():
            if value is not None:
                found = encoders.get(name)
                if found is not None:
                    parts[found[0]] = found[1](value)
        for place, prefix, plan in self._inlined:
            parts[place] = delimited(prefix, plan.encode(obj))
        return b"".join(parts)

    def decode(self, data: bytes, at: int, end: int, depth: int = 0) -> dict[str, Any]:
        """Raises ProtobufError for bytes that are no such message, among them a field in another's wire type;
        unknown fields are skipped.
        """
        if depth > _MAX_DEPTH:
            raise ProtobufError("message nested too deeply")
        result: dict[str, Any] = {}
        decoders = self._decoders
        while at < end:
            key = data[at]
            if key < 128:
                at += 1
            else:
                key, at = read_varint(data, at, end)
            known = decoders.get(key)
            if known is None:
                at = self._odd(result, key, data, at, end)
                continue
            name, decode, shape, keep = known
            wire_type = key & 7
            if wire_type == VARINT:
                number, at = read_varint(data, at, end)
                value = decode(number)
            elif wire_type == BYTES:
                start, at = read_length(data, at, end)
                if shape == "{}":
                    word, value = _read_entry(decode, data, start, at, depth)
                    result.setdefault(name, {})[word] = value
                    continue
                value = decode(data, start, at, depth)
                if shape == "inline":
                    result.update(value)
                    continue
            else:
                if at + 8 > end:
                    raise ProtobufError("unexpected EOF")
                value = decode(data[at : at + 8])
                at += 8
            if shape == "[]":
                result.setdefault(name, []).append(None if value is ABSENT else value)
            elif value is not ABSENT and (keep or value or isinstance(value, (dict, list))):
                result[name] = value
            else:
                result.pop(name, None)
        return result

    def _odd(self, result: dict[str, Any], key: int, data: bytes, at: int, end: int) -> int:
        """Take a packed list of numbers, or skip what is unknown."""
        packed = self._repeated.get(key)
        if packed is None:
            if key & 7 == END_GROUP:
                raise ProtobufError(f"proto: {self._name}: wiretype end group for non-group")
            if not key >> 3:
                raise ProtobufError(f"proto: {self._name}: illegal tag 0 (wire type {key})")
            field = self._numbers.get(key >> 3)
            if field is not None:
                raise wrong_wire(key & 7, go_name(*field))
            return skip(data, at, end, key & 7)
        name, decode = packed
        at, stop = read_length(data, at, end)
        items = result.setdefault(name, [])
        while at < stop:
            number, at = read_varint(data, at, stop)
            items.append(decode(number))
        return stop

    def add(self, name: str, number: int, written: str, plans: Plans) -> None:
        """Add one field of the table; its number is higher than those before."""
        shape = written[:2] if written[:2] in ("[]", "{}") else ""
        kind = written[len(shape) :].rstrip("!-")
        self._numbers[number] = (name, kind)
        if not name:
            self._inline(number, plans[kind])
            return
        wire_type, encode, decode = _SCALARS.get(kind) or plans.message(kind)
        prefix = tag(number, wire_type if shape != "{}" else BYTES)
        keep = written.endswith("!") or (kind not in _SCALARS and not written.endswith("-"))
        self._decoders[number << 3 | (BYTES if shape == "{}" else wire_type)] = (name, decode, shape, keep)
        if shape == "[]" and wire_type == VARINT:
            self._repeated[number << 3 | BYTES] = (name, decode)
        self._encoders[name] = (self._place(), _field_encoder(shape, prefix, wire_type, encode))

    def _inline(self, number: int, plan: Plan) -> None:
        self._inlined.append((self._place(), tag(number, BYTES), plan))
        self._decoders[number << 3 | BYTES] = ("", plan.decode, "inline", True)

    def _place(self) -> int:
        self._size += 1
        return self._size - 1


def _read_entry(decode: Any, data: bytes, at: int, end: int, depth: int) -> tuple[str, Any]:
    """Read one map entry; a missing value is the empty one."""
    key = ""
    start = stop = at
    while at < end:
        head, at = read_varint(data, at, end)
        if head & 7 != BYTES:
            at = skip(data, at, end, head & 7)
            continue
        first, at = read_length(data, at, end)
        if head >> 3 == 1:
            key = _read_text(data, first, at)
        elif head >> 3 == 2:
            start, stop = first, at
    value = decode(data, start, stop, depth)
    return key, None if value is ABSENT else value


def _field_encoder(shape: str, prefix: bytes, wire_type: int, encode: Encode) -> Encode:
    if wire_type == BYTES:

        def one(value: Any) -> bytes:
            body = encode(value)
            return prefix + varint(len(body)) + body
    else:

        def one(value: Any) -> bytes:
            return prefix + encode(value)

    if shape == "[]":
        return lambda values: b"".join(map(one, _of(list, values)))
    if shape == "{}":

        def entry(key: str, value: Any) -> bytes:
            return delimited(prefix, delimited(b"\x0a", key.encode()) + delimited(b"\x12", encode(value)))

        return lambda values: b"".join(entry(key, values[key]) for key in sorted(_of(dict, values)))
    return one


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ProtobufError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _encode_text(value: Any) -> bytes:
    if type(value) is not str:
        raise ProtobufError(f"expected a string, got {type(value).__name__}")
    return value.encode()


def _read_text(data: bytes, at: int, end: int, _depth: int = 0) -> str:
    try:
        return data[at:end].decode()
    except UnicodeDecodeError:
        return text_of(data[at:end])


def _encode_int(value: Any) -> bytes:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise ProtobufError(f"expected an integer, got {type(value).__name__}")
    return varint(value)


def _encode_double(value: Any) -> bytes:
    if not isinstance(value, (int, float)):
        raise ProtobufError(f"expected a number, got {type(value).__name__}")
    return struct.pack("<d", value)


def _read_double(data: bytes) -> Any:
    value = struct.unpack("<d", data)[0]
    return int(value) if value.is_integer() else value


def _encode_base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ProtobufError("invalid base64") from error


def _read_bytes(data: bytes, at: int, end: int, _depth: int = 0) -> str:
    return base64.b64encode(data[at:end]).decode()


def _encode_bool(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


_SCALARS: Final[dict[str, tuple[int, Encode, Any]]] = {
    "s": (BYTES, _encode_text, _read_text),
    "y": (BYTES, _encode_base64, _read_bytes),
    "i": (VARINT, _encode_int, signed),
    "b": (VARINT, _encode_bool, bool),
    "d": (FIXED64, _encode_double, _read_double),
}


def raw_fields(data: bytes, at: int, end: int, fields: Fields) -> Raw:
    """Read a message's varints and bytes by number; the last of a number counts. Others are skipped.

    Raises:
        ProtobufError: it is no message, or one of ``fields`` has another wire type.
    """
    found: Raw = {}
    while at < end:
        key, at = read_varint(data, at, end)
        known = fields.get(key >> 3)
        if known is not None and known[0] != key & 7:
            raise wrong_wire(key & 7, known[1])
        if known is None:
            at = skip(data, at, end, key & 7)
        elif key & 7 == VARINT:
            found[key >> 3], at = read_varint(data, at, end)
        else:
            start, at = read_length(data, at, end)
            found[key >> 3] = data[start:at]
    return found


class Plans:
    """Plans by message name, compiled on first use."""

    def __init__(
        self, table: Mapping[str, list[tuple[str, int, str]]], extra: Mapping[str, tuple[Encode, Any]]
    ) -> None:
        self._table = table
        self._extra = extra
        self._plans: dict[str, Plan] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __getitem__(self, name: str) -> Plan:
        """Raises KeyError."""
        plan = self._plans.get(name)
        if plan is None:
            fields = self._table[name]
            # Before its fields, as messages may hold themselves.
            plan = self._plans[name] = Plan(name.rpartition(".")[2])
            for field in sorted(fields, key=itemgetter(1)):
                plan.add(*field, self)
        return plan

    def message(self, name: str) -> tuple[int, Encode, Any]:
        """Return wire type, encoder of the body and decoder of a message field."""
        if name in self._extra:
            encode, decode = self._extra[name]
            return BYTES, encode, decode
        special = SPECIAL.get(name)
        if special is not None:
            return BYTES, special.encode, _special_decoder(special)
        if name in STRING_LISTS:
            return BYTES, encode_strings, _read_strings
        plan = self[name]
        return BYTES, plan.encode, lambda data, at, end, depth: plan.decode(data, at, end, depth + 1)


def _special_decoder(special: Special) -> Decode:
    decode, fields = special.decode, special.fields
    return lambda data, at, end, _depth: decode(raw_fields(data, at, end, fields))


def _read_strings(data: bytes, at: int, end: int, _depth: int) -> list[str]:
    return [text_of(item) for _, item in delimited_fields(data, at, end, ITEMS)]


def delimited_fields(data: bytes, at: int, end: int, fields: Fields) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each of ``fields``, all of which have a length. Raises ProtobufError."""
    while at < end:
        key, at = read_varint(data, at, end)
        known = fields.get(key >> 3)
        if known is None:
            at = skip(data, at, end, key & 7)
            continue
        if known[0] != key & 7:
            raise wrong_wire(key & 7, known[1])
        start, at = read_length(data, at, end)
        yield key >> 3, data[start:at]
