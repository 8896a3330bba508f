"""``'%s is %d'.format([...])``: the verbs s, d, f, e, b, o, x and X.

Source: cel-go's extension "Strings", version 1 and later.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.library.conversions import to_text
from tiphys.apimachinery.cel.values import (
    Duration,
    ListView,
    MapView,
    Timestamp,
    TypeValue,
    Uint,
    find,
    from_map_key,
    type_name,
)

_VERB = re.compile(r"%(%|(?:\.([0-9]+))?([a-zA-Z]))")
_MAX_PRECISION = 1000
_TEXT = (
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, "
    "and timestamps, was given"
)


def format_text(template: str, args: Any) -> str:
    """Raises EvaluationError when verbs and arguments do not go together."""
    values = list(args)
    parts: list[str] = []
    at, used = 0, 0
    while (percent := template.find("%", at)) >= 0:
        parts.append(template[at:percent])
        match = _VERB.match(template, percent)
        if match is None:
            raise EvaluationError("error during formatting: unexpected end of string")
        at = match.end()
        if match[1] == "%":
            parts.append("%")
            continue
        if used >= len(values):
            raise EvaluationError(f"error during formatting: index {used} out of range")
        parts.append(_clause(match[3], match[2], values[used]))
        used += 1
    return "".join([*parts, template[at:]])


def _clause(verb: str, precision: str | None, value: Any) -> str:
    digits = 6 if precision is None else int(precision[:5])
    if digits > _MAX_PRECISION:
        raise EvaluationError(f"error during formatting: precision {digits} exceeds maximum {_MAX_PRECISION}")
    match verb:
        case "s":
            return _string(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _floating(verb, digits, value)
        case "b":
            return _binary(value)
        case "o":
            return _octal(value)
        case "x" | "X":
            text = _hexadecimal(value)
            return text.upper() if verb == "X" else text
    raise EvaluationError(
        f'error during formatting: could not parse formatting clause: unrecognized formatting clause "{verb}"'
    )


def _fault(text: str) -> EvaluationError:
    return EvaluationError(f"error during formatting: {text}")


def _string(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | ListView):
        return "[" + ", ".join(map(_nested, value)) + "]"
    if isinstance(value, dict | MapView):
        keys = list(value)
        pairs = [(_nested(from_map_key(key)), _nested(find(value, from_map_key(key)))) for key in keys]
        return "{" + ", ".join(f"{key}:{item}" for key, item in sorted(pairs)) + "}"
    if isinstance(value, TypeValue):
        return value.name
    if isinstance(value, bool | int | float | str | bytes | Timestamp | Duration):
        return _infinite(value) or to_text(value)
    raise _fault(f"{_TEXT} {type_name(value)}")


def _infinite(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return ""


def _nested(value: Any) -> str:
    """Show a value inside of a list or map as CEL would write it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "b" + json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False)
    if isinstance(value, Timestamp):
        return f'timestamp("{value}")'
    if isinstance(value, Duration):
        return f'duration("{value}")'
    if isinstance(value, float):
        return f'"{_infinite(value)}"' if _infinite(value) else f"{value:.6f}"
    return _string(value)


def _is_whole(value: Any) -> bool:
    return type(value) in (int, Uint)


def _decimal(value: Any) -> str:
    if not _is_whole(value):
        raise _fault(f"decimal clause can only be used on integers, was given {type_name(value)}")
    return str(int(value))


def _floating(verb: str, digits: int, value: Any) -> str:
    name = "fixed-point" if verb == "f" else "scientific"
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return value
    if not isinstance(value, float):
        raise _fault(f"{name} clause can only be used on doubles, was given {type_name(value)}")
    return _infinite(value) or f"{value:.{digits}{verb}}"


def _binary(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if not _is_whole(value):
        raise _fault(f"only integers and bools can be formatted as binary, was given {type_name(value)}")
    return f"{int(value):b}"


def _octal(value: Any) -> str:
    if not _is_whole(value):
        raise _fault(f"octal clause can only be used on integers, was given {type_name(value)}")
    return f"{int(value):o}"


def _hexadecimal(value: Any) -> str:
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    if not _is_whole(value):
        kinds = "only integers, byte buffers, and strings can be formatted as hex, was given"
        raise _fault(f"{kinds} {type_name(value)}")
    return f"{int(value):x}"
