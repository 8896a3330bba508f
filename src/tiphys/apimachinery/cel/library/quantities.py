"""Resource quantities: ``quantity('1.5Gi')``, exact and with all their suffixes.

Source: "Kubernetes quantity library".
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, DOUBLE, INT, STRING, opaque
from tiphys.apimachinery.cel.values import MAX_INT, MIN_INT

QUANTITY = opaque("kubernetes.Quantity")


class QuantityValue:
    """An amount; equal to every other way of writing it."""

    __slots__ = ("held",)
    type_name = QUANTITY.name
    cel_opaque = True

    def __init__(self, held: quantity.Quantity) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and self.held.amount == other.held.amount

    def __hash__(self) -> int:
        return hash(self.held.amount)

    def __str__(self) -> str:
        return str(self.held)


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from error


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _is_integer(value: QuantityValue) -> bool:
    amount = value.held.amount
    return amount.denominator == 1 and MIN_INT <= amount.numerator <= MAX_INT


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return value.held.amount.numerator


def _as_float(value: QuantityValue) -> float:
    try:
        return float(value.held.amount)
    except OverflowError:
        return float("inf") if value.held.amount > 0 else float("-inf")


def _held(value: Any) -> quantity.Quantity:
    return (
        value.held
        if isinstance(value, QuantityValue)
        else quantity.from_value(value, quantity.DECIMAL_EXPONENT)
    )


def _add(one: QuantityValue, other: Any) -> QuantityValue:
    return QuantityValue(one.held + _held(other))


def _sub(one: QuantityValue, other: Any) -> QuantityValue:
    return QuantityValue(one.held - _held(other))


def _compare(one: QuantityValue, other: QuantityValue) -> int:
    return (one.held.amount > other.held.amount) - (one.held.amount < other.held.amount)


def _sign(value: QuantityValue) -> int:
    return (value.held.amount > 0) - (value.held.amount < 0)


_TWO = (QUANTITY, QUANTITY)
LIBRARY = Library(
    "kubernetes.quantity",
    (
        function("string_to_quantity", "quantity", (STRING,), QUANTITY, _parse, price=prices.READ),
        function("is_quantity_string", "isQuantity", (STRING,), BOOL, _is_quantity, price=prices.READ),
        # A function, whatever Kubernetes' documentation says: ``quantity(self).sign()`` does not compile.
        function("quantity_sign", "sign", (QUANTITY,), INT, _sign),
        member(
            "quantity_is_greater_than",
            "isGreaterThan",
            _TWO,
            BOOL,
            lambda one, other: _compare(one, other) > 0,
        ),
        member(
            "quantity_is_less_than", "isLessThan", _TWO, BOOL, lambda one, other: _compare(one, other) < 0
        ),
        member("quantity_compare_to", "compareTo", _TWO, INT, _compare),
        member("quantity_get_float", "asApproximateFloat", (QUANTITY,), DOUBLE, _as_float),
        member("quantity_get_int", "asInteger", (QUANTITY,), INT, _as_integer),
        member("quantity_is_integer", "isInteger", (QUANTITY,), BOOL, _is_integer),
        member("quantity_add", "add", _TWO, QUANTITY, _add),
        member("quantity_add_int", "add", (QUANTITY, INT), QUANTITY, _add),
        member("quantity_sub", "sub", _TWO, QUANTITY, _sub),
        member("quantity_sub_int", "sub", (QUANTITY, INT), QUANTITY, _sub),
    ),
    types=(QUANTITY,),
)
