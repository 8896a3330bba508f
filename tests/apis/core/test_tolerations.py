"""Which toleration covers which, and how lists are joined."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.core.tolerations import add_toleration, all_covered, covers, merge


def one(key: str = "", **more: Any) -> dict[str, Any]:
    return {**({"key": key} if key else {}), **more}


EXISTS: Any = {"operator": "Exists"}
COVERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "itself": (one("a", value="v"), one("a", value="v"), True),
    "everything": (EXISTS, one("a", value="v", effect="NoSchedule"), True),
    "any value of a key": (one("a", **EXISTS), one("a", value="v"), True),
    "another key": (one("a", **EXISTS), one("b", **EXISTS), False),
    "another value": (one("a", value="v"), one("a", value="w"), False),
    "one value is not all": (one("a", value="v"), one("a", **EXISTS), False),
    "Equal is the usual operator": (one("a", value="v", operator="Equal"), one("a", value="v"), True),
    "any effect": (one("a", **EXISTS), one("a", effect="NoSchedule", **EXISTS), True),
    "one effect is not all": (one("a", effect="NoSchedule", **EXISTS), one("a", **EXISTS), False),
    "a shorter time": (
        one("a", effect="NoExecute", tolerationSeconds=5, **EXISTS),
        one("a", effect="NoExecute", tolerationSeconds=4, **EXISTS), True,
    ),
    "a longer time": (
        one("a", effect="NoExecute", tolerationSeconds=5, **EXISTS),
        one("a", effect="NoExecute", tolerationSeconds=6, **EXISTS), False,
    ),
    "for ever": (
        one("a", effect="NoExecute", tolerationSeconds=5, **EXISTS),
        one("a", effect="NoExecute", **EXISTS), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow", "holds"), COVERS.values(), ids=COVERS)
def test_covers(wide: dict[str, Any], narrow: dict[str, Any], holds: bool) -> None:
    assert covers(wide, narrow) is holds


def test_merge_leaves_out_what_is_covered() -> None:
    a, b, all_of_a = one("a", value="1"), one("b", **EXISTS), one("a", **EXISTS)
    assert merge([a], [b]) == [a, b]
    assert merge([a], [all_of_a]) == [all_of_a]
    assert merge([all_of_a], [a]) == [all_of_a]
    assert merge([a], [dict(a)]) == [a]
    assert merge([], []) == []


def test_all_covered() -> None:
    a, b = one("a", **EXISTS), one("b", **EXISTS)
    assert all_covered([a, b], [])
    assert all_covered([], [a])
    assert all_covered([one("a", value="1")], [b, a])
    assert not all_covered([a, b], [a])


def test_adding_replaces_what_differs_in_time_alone() -> None:
    added = one("a", effect="NoExecute", **EXISTS)
    timed = {**added, "tolerationSeconds": 3}
    assert add_toleration([timed, one("b")], added) == [added, one("b")]
    assert add_toleration([added], dict(added)) == [added]
    assert add_toleration([one("b")], added) == [one("b"), added]
