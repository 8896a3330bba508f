"""Unpacks ``google.protobuf.Any``: well-known messages that are told by their URL and their bytes. Pure."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.values import MAX_INT, MIN_INT, SECOND, Duration, Struct, Uint, timestamp

EMPTY = "google.protobuf.Empty"
_UNSIGNED = frozenset(("google.protobuf.UInt32Value", "google.protobuf.UInt64Value"))


def unpack(url: str, content: bytes) -> Any:
    """Return the value of a packed message.

    Raises:
        EvaluationError: the URL names none that is known here, or the bytes are none.
    """
    message = _message(url.rpartition("/")[2]) if url else None
    if message is not None:
        from google.protobuf.message import DecodeError

        try:
            message.ParseFromString(content)
            return _value(message)
        except DecodeError:
            pass
    parts = [f'type_url:"{_quoted(url.encode())}"'] if url else []
    parts += [f'value:"{_quoted(content)}"'] if content else []
    raise EvaluationError(f"unsupported conversion to ref.Val: (*dynamicpb.Message){' '.join(parts)}")


def _message(name: str) -> Any:
    """Return an empty message; None where there is none of that name."""
    from google.protobuf import (  # rare, and dear to read
        any_pb2,
        duration_pb2,
        empty_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    package, _, short = name.rpartition(".")
    if package == "google.protobuf":
        for module in (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
            if short in module.DESCRIPTOR.message_types_by_name:
                return getattr(module, short)()
    return None


def _value(message: Any) -> Any:
    name = message.DESCRIPTOR.full_name
    match name:
        case "google.protobuf.Any":
            return unpack(message.type_url, message.value)
        case "google.protobuf.Timestamp":
            return timestamp(message.seconds * SECOND + message.nanos)
        case "google.protobuf.Duration":
            return Duration(min(max(message.seconds * SECOND + message.nanos, MIN_INT), MAX_INT))
        case "google.protobuf.Empty":
            return Struct(EMPTY, {})
        case "google.protobuf.Struct":
            return {key: _value(item) for key, item in message.fields.items()}
        case "google.protobuf.ListValue":
            return [_value(item) for item in message.values]
        case "google.protobuf.Value":
            kind = message.WhichOneof("kind")
            if kind in (None, "null_value"):
                return None
            held = getattr(message, kind)
            return _value(held) if kind in ("struct_value", "list_value") else held
    return Uint(message.value) if name in _UNSIGNED else message.value


def _quoted(content: bytes) -> str:
    shown = ""
    for letter in content.decode(errors="surrogateescape"):
        code = ord(letter)
        code = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
        if letter in '"\\':
            shown += "\\" + letter
        elif letter in _SHORT:
            shown += _SHORT[letter]
        elif code < 0x20 or code == 0x7F or code != ord(letter):
            shown += f"\\x{code:02x}"
        else:
            shown += letter
    return shown


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
