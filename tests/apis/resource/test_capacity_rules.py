"""What devices may share: capacities by policy, counters, conditions to wait for."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

SLICE = strategy_for(GVK("resource.k8s.io", "v1", "ResourceSlice"))
D = "spec.devices[0]"
POLICY = f"{D}.capacity[m].requestPolicy"
VALUES, RANGE = f"{POLICY}.validValues", f"{POLICY}.validRange"
LABEL = "a lowercase RFC 1123 label"


def sliced(**spec: Any) -> dict[str, Any]:
    pool = {"name": "p", "resourceSliceCount": 1, "generation": 1}
    return {"spec": {"driver": "d.example.com", "pool": pool, "nodeName": "n", **spec}}


def device(**parts: Any) -> dict[str, Any]:
    return sliced(devices=[{"name": "d", **parts}])


def capacity(value: str = "10", **policy: Any) -> dict[str, Any]:
    return device(allowMultipleAllocations=True, capacity={"m": {"value": value, "requestPolicy": policy}})


def ranged(default: str = "4", value: str = "10", **bounds: Any) -> dict[str, Any]:
    return capacity(value, default=default, validRange=bounds)


def counters(*names: str) -> dict[str, Any]:
    return {name: {"value": "1"} for name in names}


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no policy": (capacity(), []),
    "a default alone": (capacity(default="3"), []),
    "two policies": (
        capacity(default="1", validValues=["1"], validRange={"min": "1"}),
        [
            f'{POLICY}: Forbidden: exactly one policy can be specified, cannot specify "validValues" and '
            '"validRange" at the same time'
        ],
    ),
    "values": (capacity("8Gi", default="2Gi", validValues=["1Gi", "2Gi", "8Gi"]), []),
    "values without a default": (
        capacity(validValues=["1"]),
        [f"{POLICY}.default: Required value: required when validValues is defined"],
    ),
    "values in disorder": (
        capacity(default="1", validValues=["2", "1"]),
        [f'{VALUES}[1]: Invalid value: "1": values must be sorted in ascending order'],
    ),
    "a value beyond all": (
        capacity(default="1", validValues=["1", "11"]),
        [f'{VALUES}[1]: Invalid value: "11": option is larger than capacity value: 10'],
    ),
    "a value twice": (
        capacity("10k", default="1k", validValues=["1k", "1000"]),
        [f'{VALUES}[1]: Duplicate value: "1000"'],
    ),
    "a default that is no value": (
        capacity(default="3", validValues=["1"]),
        [f'{VALUES}: Invalid value: "3": default value is not valid according to the requestPolicy'],
    ),
    "many values": (
        capacity("20", default="1", validValues=[str(number) for number in range(1, 12)]),
        [
            f"{VALUES}: Too many: 11: must have at most 10 items",
            f'{VALUES}: Invalid value: "1": default value is not valid according to the requestPolicy',
        ],
    ),
    "a range": (ranged(min="2", max="8", step="2"), []),
    "a range without a default": (
        capacity(validRange={"min": "1"}),
        [f"{POLICY}.default: Required value: required when validRange is defined"],
    ),
    "a range without a start": (
        ranged(max="8"),
        [f"{RANGE}.min: Required value: required when validRange is defined"],
    ),
    "a start beyond all": (
        ranged("12", min="11"),
        [f'{RANGE}.min: Invalid value: "11": min is larger than capacity value: 10'],
    ),
    "a default below the range": (
        ranged("1", min="2"),
        [f'{RANGE}.min: Invalid value: "1": default is less than min: 2'],
    ),
    "a range upside down": (
        ranged("6", min="5", max="4"),
        [
            f'{RANGE}.max: Invalid value: "5": min is larger than max: 4',
            f'{RANGE}.max: Invalid value: "6": default is more than max: 4',
        ],
    ),
    "an end beyond all": (
        ranged(min="1", max="11"),
        [f'{RANGE}.max: Invalid value: "11": max is larger than capacity value: 10'],
    ),
    "a step beyond all": (
        ranged("2", min="2", step="9"),
        [f'{RANGE}.step: Invalid value: "9": one step 11 is larger than capacity value: 10'],
    ),
    "off the steps": (
        ranged("3", min="2", max="7", step="2"),
        [
            f'{RANGE}.step: Invalid value: "3": value is not a multiple of a given step (2) from (2)',
            f'{RANGE}.step: Invalid value: "7": value is not a multiple of a given step (2) from (2)',
        ],
    ),
    "no step at all": (
        ranged("2", min="2", step="0"),
        [f'{RANGE}.step: Invalid value: "2": value is not a multiple of a given step (0) from (2)'],
    ),
    "shared counters": (sliced(sharedCounters=[{"name": "s", "counters": counters("a")}]), []),
    "counters without names": (
        sliced(sharedCounters=[{}]),
        ["spec.sharedCounters[0].name: Required value", "spec.sharedCounters[0].counters: Required value"],
    ),
    "counters with odd names": (
        sliced(sharedCounters=[{"name": "S", "counters": counters("A")}]),
        [
            f'spec.sharedCounters[0].name: Invalid value: "S": {LABEL}',
            f'spec.sharedCounters[0].counters: Invalid value: "A": {LABEL}',
        ],
    ),
    "a set twice": (
        sliced(sharedCounters=[{"name": "s", "counters": counters("a")}] * 2),
        ['spec.sharedCounters[1]: Duplicate value: "s"'],
    ),
    "many sets": (
        sliced(sharedCounters=[{"name": f"s{index}", "counters": counters("a")} for index in range(9)]),
        ["spec.sharedCounters: Too many: 9: must have at most 8 items"],
    ),
    "many counters": (
        sliced(sharedCounters=[{"name": "s", "counters": counters(*(f"a{index}" for index in range(33)))}]),
        ["spec.sharedCounters[0].counters: Too many: 33: must have at most 32 items"],
    ),
    "consumed": (device(consumesCounters=[{"counterSet": "s", "counters": counters("a")}]), []),
    "consumed from nowhere": (
        device(consumesCounters=[{}]),
        [
            f"{D}.consumesCounters[0].counterSet: Required value",
            f"{D}.consumesCounters[0].counters: Required value",
        ],
    ),
    "consumed from many": (
        device(
            consumesCounters=[{"counterSet": f"s{index}", "counters": counters("a")} for index in range(3)]
        ),
        [f"{D}.consumesCounters: Too many: 3: must have at most 2 items"],
    ),
    "conditions": (device(bindingConditions=["a.io/b"], bindingFailureConditions=["c"]), []),
    "failures alone": (
        device(bindingFailureConditions=["c"]),
        [
            f"{D}.bindingConditions: Invalid value: null: bindingConditions are required to use "
            "bindingFailureConditions"
        ],
    ),
    "conditions that repeat": (
        device(bindingConditions=["a", "a"], bindingFailureConditions=["a", "a"]),
        [
            f'{D}.bindingConditions[1]: Duplicate value: "a"',
            f'{D}.bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap '
            "with bindingConditions",
            f'{D}.bindingFailureConditions[1]: Duplicate value: "a"',
            f'{D}.bindingFailureConditions[1]: Invalid value: "a": bindingFailureConditions must not overlap '
            "with bindingConditions",
        ],
    ),
    "many conditions": (
        device(bindingConditions=list("abcde"), bindingFailureConditions=["z"]),
        [f"{D}.bindingConditions: Too many: 5: must have at most 4 items"],
    ),
    "a condition with an odd name": (
        device(bindingConditions=["a b"], bindingFailureConditions=["z"]),
        [f'{D}.bindingConditions[0]: Invalid value: "a b": name part'],
    ),
    "many taints": (
        device(taints=[{"key": "k", "effect": "NoSchedule"}] * 17),
        [f"{D}.taints: Too many: 17: must have at most 16 items"],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_shared(obj: dict[str, Any], expected: list[str]) -> None:
    texts = [str(fault) for fault in SLICE.validate(obj)]
    assert [text[: len(start)] for text, start in zip(texts, expected, strict=True)] == expected


DEEP = "device.attributes['d'].all(a, " * 4 + "a == 'x'" + ")" * 4
COSTS = {
    "plain": ("device.driver == 'a'", []),
    "of unknown size": ("device.attributes['d'].x.matches('a.*b')", []),
    "loops in loops": (DEEP, ["too complex, exceeds cost limit"]),
}


@pytest.mark.parametrize(("expression", "expected"), COSTS.values(), ids=COSTS)
def test_cost_of_selectors(expression: str, expected: list[str]) -> None:
    strategy = strategy_for(GVK("resource.k8s.io", "v1", "DeviceClass"))
    obj = {"spec": {"selectors": [{"cel": {"expression": expression}}]}}
    at = "spec.selectors[0].cel.expression"
    assert [str(fault) for fault in strategy.validate(obj)] == [
        f"{at}: Forbidden: {text}" for text in expected
    ]


def test_long_parameters_that_were_stored_may_stay() -> None:
    strategy = strategy_for(GVK("resource.k8s.io", "v1", "DeviceClass"))
    config = [{"opaque": {"driver": "d.example.com", "parameters": {"a": "x" * 10240}}}]
    obj = {"spec": {"config": config}}
    assert [fault.field for fault in strategy.validate(obj)] == ["spec.config[0].opaque.parameters"]
    assert strategy.validate_update(obj, obj) == []
