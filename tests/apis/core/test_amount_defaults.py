"""Amounts that are finer than a thousandth are rounded up, and no others."""

from __future__ import annotations

import pytest

from tiphys.apimachinery import quantity
from tiphys.apis.core.amount_defaults import round_amounts

ROUNDED = {
    "1": "1",
    "500m": "500m",
    "1u": "1m",
    "1n": "1m",
    "-1n": "-1m",
    "1500001n": "2m",
    "1.500": "1.500",
    "1.500001": "1501m",
    "1.5000000": "1500m",
    "1e-6": "1e-3",
    "1E-3": "1E-3",
    "1.5e-4": "1e-3",
    "0.0001Ki": "103m",
    "1.0001Ki": "1024103m",
    "999999999u": "1k",
}


@pytest.mark.parametrize("text", ROUNDED)
def test_rounded(text: str) -> None:
    holder = {"limits": {"cpu": quantity.canonical(text), "x": "no quantity."}, "requests": None}
    round_amounts(holder, "limits", "requests", "more")
    assert holder == {"limits": {"cpu": ROUNDED[text], "x": "no quantity."}, "requests": None}
