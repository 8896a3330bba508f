"""Resource quantities (``500m``, ``1Gi``, ``1e3``): exact numbers with the API's own canonical text.

Every quantity in a request is rewritten canonically when it is decoded, so ``1000m`` is stored as ``1``. What
looks canonical to Go stays as it was written, so ``1.500`` and ``+1`` are stored as they are.

Source: k8s.io/apimachinery, ``pkg/api/resource``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from tiphys.apimachinery.short_memory import short_memory

_NANO = 10**9
_MAX_BINARY = 2**63 - 1
# The API has no such limit; nothing that a machine has is this much, and reading it would take long.
_DIGITS_MAX = 1000
_EXPONENT_MAX = 400
_INT64_DIGITS = 18
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_BINARY_NAMES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"

_FAST_DIGITS, _FAST_BINARY_DIGITS = 18, 14
"""What has no more digits is read by Go without large arithmetic, and only that may stay as it is."""
_ODD = 1 << 3
"""Go takes the text of a binary amount for canonical where the number in it is no multiple of this."""

_PATTERN = re.compile(r"([+-]?)([0-9]*+)(\.[0-9]*+)?([eEinumkKMGTP]*+[-+]?[0-9]*+)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)

FORMAT_TEXT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_TEXT = "unable to parse quantity's suffix"


class QuantityError(ValueError):
    """A text that is no quantity; the message is the API's."""


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount and the family of suffixes that it was written with."""

    amount: Fraction
    format: str = DECIMAL_SI

    def value(self) -> int:
        """Return whole units (bytes, cores, pods), rounded away from zero."""
        return _round_up(self.amount)

    def milli(self) -> int:
        """Return thousandths (millicores), rounded away from zero."""
        return _round_up(self.amount * 1000)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.amount, self.format if self.amount else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount - other.amount, self.format if self.amount else other.format)

    def __str__(self) -> str:
        return format_quantity(self)


ZERO = Quantity(Fraction(0))


@short_memory(8192)
def parse(text: str) -> Quantity:
    """Read a quantity exactly (finer than a billionth is rounded up).

    Raises:
        QuantityError: the text is none.
    """
    match = _PATTERN.fullmatch(text)
    if not text or match is None:
        raise QuantityError(FORMAT_TEXT)
    sign, whole, fraction, suffix = match.groups()
    scale, format_ = _scale(suffix)
    decimals = (fraction or "")[1:]
    if len(whole) + len(decimals) > _DIGITS_MAX:
        raise QuantityError(FORMAT_TEXT)
    amount = Fraction(int(whole + decimals or "0"), 10 ** len(decimals)) * scale
    amount = Fraction(math.ceil(amount * _NANO), _NANO)
    if format_ == BINARY_SI:
        if amount > _MAX_BINARY:
            amount = Fraction(_MAX_BINARY)
        if 0 < amount < 1:
            format_ = DECIMAL_SI
    return Quantity(-amount if sign == "-" else amount, format_)


def _scale(suffix: str) -> tuple[Fraction, str]:
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix], DECIMAL_SI
    if suffix in _BINARY:
        return Fraction(1024 ** _BINARY[suffix]), BINARY_SI
    match = _EXPONENT.fullmatch(suffix)
    # An exponent beyond this is nothing that a machine has; refusing it bounds the arithmetic.
    exponent = None if match is None else _exponent(match[1])
    if exponent is None or exponent > _EXPONENT_MAX:
        raise QuantityError(SUFFIX_TEXT)
    return Fraction(10) ** max(exponent, -_DIGITS_MAX - _EXPONENT_MAX), DECIMAL_EXPONENT


def _exponent(text: str) -> int | None:
    """Return an exponent, which may have any number of zeros in front; None: Go has no room for it."""
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > _INT64_DIGITS:
        return None
    return -int(digits) if text.startswith("-") else int(digits)


def _stays(text: str) -> bool:
    """Tell whether a quantity is kept as it was written: its sign, its zeros and its ``E`` included."""
    match = _PATTERN.fullmatch(text)
    assert match is not None
    digits, decimals, suffix = match[2].lstrip("0") or "0", (match[3] or "")[1:], match[4]
    if suffix in _BINARY:
        power = _BINARY[suffix]
        fits = len(digits) + 3 * power <= _FAST_BINARY_DIGITS
        return fits and not decimals and int(digits) % _ODD != 0
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else _exponent(suffix[1:]) or 0
    scale, shifted = exponent - len(decimals), digits + decimals
    if len(shifted) > _FAST_DIGITS or scale < -9 or scale % 3:
        return False
    return not shifted.startswith("0") and not shifted.endswith("000")


def format_quantity(quantity: Quantity) -> str:
    """Return the canonical text: no fraction, the largest suffix that keeps it exact."""
    amount, format_ = quantity.amount, quantity.format
    if not amount:
        return "0"
    if format_ == BINARY_SI and -1024 < amount < 1024:
        format_ = DECIMAL_SI
    if format_ == BINARY_SI and amount.denominator == 1:
        return _format_binary(amount.numerator)
    return _format_decimal(amount, exponential=format_ == DECIMAL_EXPONENT)


def _format_binary(number: int) -> str:
    power, whole = 0, number
    while number % 1024 == 0:
        number //= 1024
        power += 1
    if power >= len(_BINARY_NAMES):  # there is no such suffix
        return _format_decimal(Fraction(whole), exponential=True)
    return f"{number}{_BINARY_NAMES[power]}"


def _format_decimal(amount: Fraction, *, exponential: bool) -> str:
    mantissa, exponent = _round_up(amount * _NANO), -9
    while mantissa % 1000 == 0:
        mantissa //= 1000
        exponent += 3
    if exponent and (exponential or exponent not in _DECIMAL_NAMES):
        return f"{mantissa}e{exponent}"
    return f"{mantissa}{_DECIMAL_NAMES[exponent]}"


@short_memory(8192)
def canonical(text: str) -> str:
    """Return how a quantity is stored and shown: canonical, or as it is where Go takes it for that.

    Raises:
        QuantityError: the text is none.
    """
    found = parse(text)
    return text if _stays(text) else format_quantity(found)


def total(quantities: Iterable[Quantity]) -> Quantity:
    """Add up, keeping the first one's suffixes."""
    result = ZERO
    for quantity in quantities:
        result = result + quantity
    return result


def from_milli(milli: int) -> Quantity:
    return Quantity(Fraction(milli, 1000))


def from_value(value: int, format_: str = DECIMAL_SI) -> Quantity:
    return Quantity(Fraction(value), format_)


def _round_up(amount: Fraction) -> int:
    return math.ceil(amount) if amount >= 0 else math.floor(amount)
