"""The order in which Go's YAML library writes the keys of a map (``yaml.v2``). Pure.

Numbers in keys count as numbers (``cpu2`` before ``cpu10``), and what is no letter comes before letters
(``app-x`` before ``app1``, both before ``apple``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key, lru_cache
from itertools import takewhile
from typing import Final

from tiphys.apimachinery.short_memory import LONGEST

_FEW: Final = 100


def in_order(keys: tuple[str, ...]) -> Sequence[str]:
    """Return the keys of one map in the order in which they are written."""
    return _few_in_order(keys) if len(keys) <= _FEW and sum(map(len, keys)) <= LONGEST else _sorted(keys)


@lru_cache(maxsize=4096)
def _few_in_order(keys: tuple[str, ...]) -> Sequence[str]:
    return _sorted(keys)


def _sorted(keys: tuple[str, ...]) -> Sequence[str]:
    return sorted(keys, key=cmp_to_key(_compare))


def _compare(one: str, other: str) -> int:
    """Return a number below zero where the first key comes first."""
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return len(one) - len(other)
    a, b = one[at], other[at]
    if a.isalpha() or b.isalpha():
        return ord(a) - ord(b) if a.isalpha() and b.isalpha() else a.isalpha() - b.isalpha()
    # A zero is one more digit of a number that has begun, and otherwise nothing.
    begun = "0" in (a, b) and _digits(one[:at][::-1], 0).strip("0") != ""
    digits, others = _digits(one, at), _digits(other, at)
    number, against = (f"{begun:d}{text}".lstrip("0") for text in (digits, others))
    if number != against:
        return -1 if (len(number), number) < (len(against), against) else 1
    return len(digits) - len(others) or ord(a) - ord(b)


def _digits(key: str, start: int) -> str:
    """Return the digits that begin there."""
    return "".join(takewhile(str.isdecimal, key[start:]))
