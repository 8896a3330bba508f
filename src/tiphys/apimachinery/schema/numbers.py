"""What a schema asks of numbers: that they fit their format, as its own bounds do, and the bounds themselves.

Also numbers that know how they were written, for where that counts.

Source: k8s.io/kube-openapi, number validation. A bound that does not fit is a fault of every value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import field_errors, go_text
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.node import Schema


class NumberText(float):
    """A number that knows how it was written, for the texts of faults and for amounts."""

    text: str

    def __new__(cls, text: str) -> NumberText:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


def take_texts(value: Any, written: Any) -> None:
    """Let the fractions in a value know, in place, how they were written; without that as Go writes them.

    ``written`` has the shape of the value, or lacks parts of it, and knows it.
    """
    items, theirs = _items(value), dict(_items(written))
    for key, item in items:
        if type(item) is float:
            told = theirs.get(key)
            value[key] = told if type(told) is NumberText else NumberText(go_text.number(item))
        elif isinstance(item, (dict, list)):
            take_texts(item, theirs.get(key))


def drop_texts(value: Any) -> None:
    """Let the fractions that are left in a value forget, in place, how they were written."""
    for key, item in _items(value):
        if type(item) is NumberText:
            value[key] = float(item)
        else:
            drop_texts(item)


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}
_INTEGERS = {"int32": 2**31, "int64": 2**63}
_LARGEST_FLOAT = (2 - 2**-24) * 2.0**127
"""From here on a number is rounded to infinity in 32 bits."""


def place(path: str) -> str:
    """Return how a path is shown, also that of the whole object."""
    return path or "<nil>"


def broken(path: str, value: Any, rule: str) -> FieldError:
    """A value breaks a rule of its schema."""
    return field_errors.invalid(place(path), value, f"{path} in body {rule}")


def number_faults(value: float, schema: Schema, path: str) -> Iterable[FieldError]:
    """Yield every fault of a number."""
    rules = schema.constraints
    least, most, step = rules.get("minimum"), rules.get("maximum"), rules.get("multipleOf")
    yield from _misfits(value, schema, "Checked", path)
    if step:
        yield from _misfits(step, schema, "MultipleOf", path)
        if not math.isclose(value / step, round(value / step), abs_tol=1e-12):
            yield broken(path, value, f"should be a multiple of {_limit(step, value)}")
    if least is not None:
        yield from _misfits(least, schema, "Minimum boundary", path)
        if rules.get("exclusiveMinimum") and value <= least:
            yield broken(path, value, f"should be greater than {_limit(least, value)}")
        elif value < least:
            yield broken(path, value, f"should be greater than or equal to {_limit(least, value)}")
    if most is not None:
        yield from _misfits(most, schema, "Maximum boundary", path)
        if rules.get("exclusiveMaximum") and value >= most:
            yield broken(path, value, f"should be less than {_limit(most, value)}")
        elif value > most:
            yield broken(path, value, f"should be less than or equal to {_limit(most, value)}")


def _misfits(value: float, schema: Schema, what: str, path: str) -> Iterable[FieldError]:
    kind = schema.type or ""
    known = schema.format if schema.format in _FORMATS.get(kind, ()) else None
    if kind == "integer":
        limit = _INTEGERS[known or "int64"]
        fits = float(value).is_integer() and -limit <= int(value) < limit
    else:
        fits = known != "float" or abs(value) < _LARGEST_FLOAT
    if not fits:
        shown = f"with format {known}" if known else "(default format)"
        yield field_errors.invalid("<nil>", "", f"{what} value must be of type {kind} {shown} in {path}")


def _limit(limit: float, value: float) -> str:
    """Show a limit as the same type of number that the value is."""
    if type(value) is int and -(2**63) <= value < 2**63 and float(limit).is_integer():
        return str(int(limit))
    return go_text.shortest(float(limit))
