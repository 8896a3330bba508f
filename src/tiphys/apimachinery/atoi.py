"""Whole numbers in text, as Go reads them: a sign, ASCII digits, 64 bits.

Python's ``int`` takes more (underscores, digits of other scripts) and fails on very long texts.
"""

from __future__ import annotations

from tiphys.apimachinery.go_text import quoted

MAX_INT64 = (1 << 63) - 1
_DIGITS = 19


def atoi(text: str) -> int | None:
    """Return the number that a text is, None for one that is none or that 64 bits do not hold."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdecimal()):
        return None
    digits = digits.lstrip("0") or "0"
    if len(digits) > _DIGITS:
        return None
    number = -int(digits) if text[:1] == "-" else int(digits)
    return number if -MAX_INT64 - 1 <= number <= MAX_INT64 else None


def atoi_fault(text: str, function: str = "Atoi") -> str:
    """Return what Go says of a text that ``atoi`` cannot read, by whichever of its functions."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    reason = "value out of range" if digits.isascii() and digits.isdecimal() else "invalid syntax"
    return f"strconv.{function}: parsing {quoted(text)}: {reason}"
