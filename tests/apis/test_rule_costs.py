"""What rules cost when they run, by the API's published figures: one that comes to cost more breaks users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.cel import Budget
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apis.apiextensions.rule_checks import Rules

CASES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("rule_costs.yaml").read_text())
RULES = [(name, rule) for name, case in CASES.items() for rule in case["costs"]]


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_costs(name: str, rule: str) -> None:
    case = CASES[name]
    schema = {"type": "object", "properties": case["fields"], "x-kubernetes-validations": [{"rule": rule}]}
    budget = Budget()
    given = budget.remaining
    assert Rules(build_custom(schema)).check(case["object"], budget=budget) == []
    assert given - budget.remaining == case["costs"][rule]
