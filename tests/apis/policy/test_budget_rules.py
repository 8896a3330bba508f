"""What of selectors of PodDisruptionBudgets is from an older version."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

EMPTY = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
NONE = {"key": EMPTY, "operator": "Exists"}
ALL = {"key": EMPTY, "operator": "DoesNotExist"}
OWN = {"key": "a", "operator": "Exists"}

CASES: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
    "no selector": (None, None),
    "everything": ({}, {}),
    "nothing": ({"matchExpressions": [NONE]}, {"matchExpressions": [NONE]}),
    "everything, as it was": ({"matchExpressions": [ALL]}, {}),
    "with labels": ({"matchLabels": {"a": "b"}, "matchExpressions": [NONE]}, {"matchLabels": {"a": "b"}}),
    "with others": ({"matchExpressions": [NONE, OWN]}, {"matchExpressions": [OWN]}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_selectors(given: dict[str, Any] | None, expected: dict[str, Any] | None) -> None:
    budget = {"spec": {} if given is None else {"selector": given}}
    strategy_for(GVK("policy", "v1", "PodDisruptionBudget")).default(budget)
    assert budget["spec"] == ({} if expected is None else {"selector": expected})
