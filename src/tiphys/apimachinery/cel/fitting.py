"""CEL values of JSON, of one declared type each; what does not fit its type is an error of the evaluation.

Validation comes first, so most values fit. Those do not that a schema has come to refuse since they were
stored, and that an update leaves as they were: they are excused there, and rules meet them here.

Source: apiserver, ``pkg/cel/common/values.go``, for the texts.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.values import SECOND, Duration, Timestamp, parse_duration, parse_timestamp

_GO_TYPES: Final = (
    (str, "string"),
    (bool, "bool"),
    (int, "int64"),
    (float, "float64"),
    (dict, "map[string]interface {}"),
    (list, "[]interface {}"),
)
_DAYS = re.compile(r"\s*([0-9]+)\s*(d|days?|w|weeks?|hours?|minutes?|min|seconds?|sec)\s*")
_LONG = {"d": 86400, "w": 604800, "h": 3600, "m": 60, "s": 1}


def _unfit(value: Any, wanted: str) -> EvaluationError:
    if value is None:
        return EvaluationError("invalid data, got null for schema with nullable=false")
    match wanted:
        case "array":
            what = "an array for the provided schema with type=array"
        case "object":
            what = "a map for the provided schema with type=object"
        case "int or string":
            what = "XIntOrString value to be either a string or integer"
        case _:
            what = f"{wanted}, got {next(name for kind, name in _GO_TYPES if isinstance(value, kind))}"
    return EvaluationError(f"invalid data, expected {what}")


def within_container(wrap: Callable[[Any], Any] | None, *, nullable: bool) -> Callable[[Any], Any] | None:
    """Return what wraps the items of a list or a map, where null stays null if it may be there."""
    if wrap is None or not nullable:
        return wrap
    return lambda raw: None if raw is None else wrap(raw)


def text(value: Any) -> Any:
    """Raises EvaluationError, as all of these do."""
    if type(value) is str:
        return value
    raise _unfit(value, "string")


def truth(value: Any) -> Any:
    if type(value) is bool:
        return value
    raise _unfit(value, "bool")


def number(value: Any) -> Any:
    """Numbers are doubles, whole ones too."""
    if type(value) is int:
        return float(value)
    if isinstance(value, float):
        return value
    raise _unfit(value, "float")


def whole(value: Any) -> Any:
    """What was written with a point or an exponent is none."""
    if type(value) is int:
        return value
    raise _unfit(value, "int")


def whole_or_text(value: Any) -> Any:
    if type(value) is str or type(value) is int:
        return value
    raise _unfit(value, "int or string")


def array(value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise _unfit(value, "array")


def mapping(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise _unfit(value, "object")


def content(value: Any) -> Any:
    """Bytes, written in base64."""
    try:
        return base64.b64decode(text(value), validate=True)
    except ValueError as error:
        raise EvaluationError(f"Invalid byte formatted string {value}: {error}") from error


def span(value: Any) -> Any:
    """A duration, which may also be written in days or with words."""
    try:
        return parse_duration(text(value))
    except ValueError as error:
        match = _DAYS.fullmatch(value)
        if match is None:
            raise EvaluationError(f"Invalid duration {value}: unable to parse it") from error
        return Duration(int(match[1]) * _LONG[match[2][0]] * SECOND)


def day(value: Any) -> Any:
    """The first moment of a date."""
    try:
        days = date.fromisoformat(text(value)).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError as error:
        raise EvaluationError(f"Invalid date formatted string {value}: {error}") from error
    return Timestamp(days * 86400 * SECOND)


def moment(value: Any) -> Any:
    """A moment with its date."""
    try:
        return parse_timestamp(text(value))
    except ValueError as error:
        raise EvaluationError(f"Invalid date-time formatted string {value}: {error}") from error
