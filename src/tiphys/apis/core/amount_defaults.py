"""Amounts of resources are told in thousandths at the finest; what is finer is rounded up."""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object

_FINER = ("n", "u")


def round_amounts(holder: object, *keys: str) -> None:
    """Round the amounts under these keys, in place."""
    if not isinstance(holder, dict):
        return
    for key in keys:
        amounts: Object | None = holder.get(key)
        if not isinstance(amounts, dict):
            continue
        for name, value in amounts.items():
            if isinstance(value, str) and value.endswith(_FINER):
                amounts[name] = _rounded(value)


def _rounded(value: str) -> str:
    try:
        return str(quantity.from_milli(quantity.parse(value).milli()))
    except ValueError:
        return value
