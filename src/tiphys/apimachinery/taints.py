"""Does a toleration cover a taint? Pure; asked by all who keep pods off nodes.

Source: core/v1 Toleration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apimachinery.atoi import atoi


def tolerates(tolerations: Sequence[dict[str, Any]], taint: dict[str, Any]) -> bool:
    """Say whether any toleration covers the taint."""
    return any(covers(toleration, taint) for toleration in tolerations)


def covers(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """Say whether this toleration covers the taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    value, own = toleration.get("value") or "", taint.get("value") or ""
    if operator in ("Lt", "Gt"):
        return _compare_numbers(operator, value, own)
    return bool(toleration.get("key")) and bool(value == own)


def _compare_numbers(operator: str, tolerated: str, tainted: str) -> bool:
    left, right = atoi(tainted), atoi(tolerated)
    if left is None or right is None:
        return False
    return left < right if operator == "Lt" else left > right
