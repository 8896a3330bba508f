"""Amounts of resources are told in thousandths at the finest; what is finer is rounded up."""

from __future__ import annotations

import re

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object

_MAY_BE_FINER = re.compile(r"[nu.]|[eE]-")


def round_amounts(holder: object, *keys: str) -> None:
    """Round the amounts under these keys, in place."""
    if not isinstance(holder, dict):
        return
    for key in keys:
        amounts: Object | None = holder.get(key)
        if not isinstance(amounts, dict):
            continue
        for name, value in amounts.items():
            if isinstance(value, str) and _MAY_BE_FINER.search(value):
                amounts[name] = _rounded(value)


def _rounded(value: str) -> str:
    try:
        found = quantity.parse(value)
    except ValueError:
        return value
    if (found.amount * 1000).denominator == 1:
        return value  # and its text stays what it is
    return str(quantity.Quantity(quantity.from_milli(found.milli()).amount, found.format))
