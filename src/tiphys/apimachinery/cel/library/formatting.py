"""``'%s is %d'.format([...])``: the verbs s, d, f, e, b, o, x and X.

The API has the second version of the extension, whose numbers with a fraction are written as in American
English. Templates that are written out are checked with the types of their arguments.

Source: cel-go's extension "Strings", versions 1 to 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.cel.ast import Call, ListNode, Literal, MapNode, Node, children
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.library.conversions import to_text
from tiphys.apimachinery.cel.types import runtime_name
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
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.go_text import quoted

_MAX_PRECISION = 1000
_DEFAULT_PRECISION = 6
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_PARSING = "could not parse formatting clause"
_WHOLE = frozenset(("int", "uint"))
_TAKES: dict[str, tuple[frozenset[str], str]] = {
    "s": (
        _WHOLE
        | {"list", "map", "double", "bool", "string", "timestamp", "bytes", "duration", "type", "null"},
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, "
        "durations, and timestamps",
    ),
    "d": (_WHOLE, "decimal clause can only be used on integers"),
    "f": (frozenset(("double", "string")), "fixed-point clause can only be used on doubles"),
    "e": (frozenset(("double", "string")), "scientific clause can only be used on doubles"),
    "b": (_WHOLE | {"bool"}, "only integers and bools can be formatted as binary"),
    "o": (_WHOLE, "octal clause can only be used on integers"),
    "x": (_WHOLE | {"string", "bytes"}, "only integers, byte buffers, and strings can be formatted as hex"),
}
"""Kinds of types that each verb takes, and what is said of others."""
_TAKES["X"] = _TAKES["x"]


@dataclass(frozen=True, slots=True)
class _Clause:
    verb: str
    precision: int | None
    index: int
    """Of the argument."""


def format_text(template: str, args: Any) -> str:
    """Raises EvaluationError when verbs and arguments do not go together."""
    values = list(args)
    return "".join(
        part if isinstance(part, str) else _formatted(part, values[part.index])
        for part in _parts(template, len(values), written=False)
    )


def check_format(node: Call) -> Iterator[tuple[int, str]]:
    """Tell what is wrong with a template that is written out, with the arguments in a list beside it."""
    template, given = node.target, node.args[0]
    if not (isinstance(template, Literal) and isinstance(given, ListNode)):
        return
    asked = 0
    try:
        for part in _parts(template.value, len(given.elements), written=True):
            if isinstance(part, str):
                continue
            asked += 1
            wrong = _mistyped(part.verb, given.elements[part.index])
            if wrong is not None:
                fault = _unfit(part.verb, runtime_name(wrong.type))
                yield wrong.pos, str(fault)
                return
    except EvaluationError as fault:
        yield node.pos, str(fault)
        return
    if len(given.elements) > asked:
        told = f"(expected {asked}, got {len(given.elements)})"
        yield node.pos, f"too many arguments supplied to string.format {told}"


def _mistyped(verb: str, node: Node) -> Node | None:
    """Return the argument, or what is in it, if the verb does not take its type."""
    if node.type.kind != "dyn" and node.type.kind not in _TAKES[verb][0]:
        return node
    if verb == "s" and isinstance(node, ListNode | MapNode):
        return next((wrong for child in children(node) if (wrong := _mistyped(verb, child))), None)
    return None


def _parts(template: str, count: int, *, written: bool) -> Iterator[str | _Clause]:
    """Split a template; what is not a clause comes as it is. ``written``: the arguments are no values yet."""
    at = index = 0
    while (percent := template.find("%", at)) >= 0:
        yield template[at:percent]
        at = percent + 1
        if template.startswith("%", at):
            yield "%"
            at += 1
            continue
        ends = at == len(template)
        if index >= count and not (written and ends):
            raise EvaluationError(f"index {index} out of range")
        if ends:
            raise EvaluationError("unexpected end of string")
        precision, at = _precision(template, at)
        verb = template[at]
        if verb not in _TAKES:
            shown = chr(verb.encode()[0])
            raise EvaluationError(f'{_PARSING}: unrecognized formatting clause "{shown}"')
        yield _Clause(verb, precision, index)
        index += 1
        at += 1
    yield template[at:]


def _precision(template: str, at: int) -> tuple[int | None, int]:
    if template[at] != ".":
        return None, at
    end = at + 1
    while end < len(template) and template[end] in "0123456789":
        end += 1
    fault = f"{_PARSING}: error while parsing precision:"
    if end == len(template):
        raise EvaluationError(f"{fault} could not find end of precision specifier")
    digits = template[at + 1 : end]
    why = "invalid syntax" if not digits else "value out of range" if len(digits.lstrip("0")) > 18 else ""
    if why:
        told = f'strconv.Atoi: parsing "{digits}": {why}'
        raise EvaluationError(f"{fault} error while converting precision to integer: {told}")
    return int(digits), end


def _formatted(clause: _Clause, value: Any) -> str:
    match clause.verb:
        case "s":
            return _string(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _floating(clause, value)
        case "b":
            return _binary(value)
        case "o":
            return _octal(value)
    text = _hexadecimal(value)
    return text.upper() if clause.verb == "X" else text


def _unfit(verb: str, kind: str) -> EvaluationError:
    return EvaluationError(f"error during formatting: {_TAKES[verb][1]}, was given {kind}")


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
        return to_text(value)
    raise _unfit("s", type_name(value))


def _nested(value: Any) -> str:
    """Show a value inside of a list or map as CEL would write it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bytes):
        return "b" + quoted(to_text(value))
    if isinstance(value, Timestamp):
        return f'timestamp("{value}")'
    if isinstance(value, Duration):
        return f'duration("{value}")'
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else f'"{to_text(value)}"'
    return _string(value)


def _is_whole(value: Any) -> bool:
    return type(value) in (int, Uint)


def _decimal(value: Any) -> str:
    if not _is_whole(value):
        raise _unfit("d", type_name(value))
    return str(int(value))


def _floating(clause: _Clause, value: Any) -> str:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        value = float(value)
    if not isinstance(value, float):
        raise _unfit(clause.verb, type_name(value))
    digits = _DEFAULT_PRECISION if clause.precision is None else clause.precision
    if digits > _MAX_PRECISION:
        raise EvaluationError(f"error during formatting: precision {digits} exceeds maximum {_MAX_PRECISION}")
    if not math.isfinite(value):
        shown = "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
        return shown if clause.verb == "f" else shown.rjust(digits)
    if clause.verb == "f":
        return f"{value:,.{digits}f}"
    # What is meant for a precision is taken for a width.
    mantissa, _, exponent = f"{value:.{_DEFAULT_PRECISION}e}".partition("e")
    return f"{mantissa}\u202f×\u202f10{exponent.lstrip('+').translate(_RAISED)}".rjust(digits)


def _binary(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if not _is_whole(value):
        raise _unfit("b", type_name(value))
    return f"{int(value):b}"


def _octal(value: Any) -> str:
    if not _is_whole(value):
        raise _unfit("o", type_name(value))
    return f"{int(value):o}"


def _hexadecimal(value: Any) -> str:
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    if not _is_whole(value):
        raise _unfit("x", type_name(value))
    return f"{int(value):x}"
