"""Rules of DeviceTaintRules and of what is asked about pools."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

RULE = strategy_for(GVK("resource.k8s.io", "v1beta2", "DeviceTaintRule"))
REQUEST = strategy_for(GVK("resource.k8s.io", "v1alpha3", "ResourcePoolStatusRequest"))
TAINT = {"key": "k", "effect": "NoSchedule"}
P = "status.pools[0]"


def rule(taint: dict[str, Any] | None = None, **selector: Any) -> dict[str, Any]:
    return {"spec": {"deviceSelector": selector, "taint": TAINT if taint is None else taint}}


def request(**spec: Any) -> dict[str, Any]:
    return {"spec": {"driver": "d.example.com", **spec}}


def answered(**status: Any) -> dict[str, Any]:
    return {**request(), "status": status}


RULES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "for all": (rule(), []),
    "for one": (rule(driver="d.example.com", pool="p", device="d"), []),
    "for oddly named": (
        rule(driver="", pool="", device="D"),
        [
            "spec.deviceSelector.driver: Required value",
            "spec.deviceSelector.pool: Required value",
            'spec.deviceSelector.device: Invalid value: "D": a lowercase RFC 1123 label',
        ],
    ),
    "no taint": (
        rule(taint={}),
        [
            'spec.taint.key: Invalid value: "": name part must be non-empty',
            'spec.taint.key: Invalid value: "": name part must consist of',
            "spec.taint.effect: Required value",
        ],
    ),
    "an effect of another kind": (
        rule(taint={"key": "k", "effect": "PreferNoSchedule"}),
        [
            'spec.taint.effect: Unsupported value: "PreferNoSchedule": supported values: "NoExecute", '
            '"NoSchedule", "None"'
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), RULES.values(), ids=RULES)
def test_taint_rule(obj: dict[str, Any], expected: list[str]) -> None:
    texts = [str(fault) for fault in RULE.validate(obj)]
    assert [text[: len(start)] for text, start in zip(texts, expected, strict=True)] == expected


def test_an_effect_that_stays_is_let_through() -> None:
    old = rule(taint={"key": "k", "effect": "Later"})
    assert RULE.validate_update(old, old) == []
    assert len(RULE.validate_update(rule(taint={"key": "k", "effect": "Other"}), old)) == 1


def test_status_of_a_taint_rule() -> None:
    part = {"status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    many = [{"type": f"t{index}", **part} for index in range(9)]
    new = {**rule(), "status": {"conditions": many}}
    assert [str(fault) for fault in RULE.validate_status_update(new, rule())] == [
        "status.conditions: Too many: 9: must have at most 8 items"
    ]


def test_a_new_rule_has_no_status() -> None:
    obj = {**rule(), "status": {"conditions": [{}]}}
    RULE.prepare_create(obj)
    assert obj["status"] == {}


SUBDOMAIN = (
    "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'Example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all pools": (request(limit=100), []),
    "one pool": (request(poolName="p/q", limit=1), []),
    "of a driver in capitals": (request(driver="D.Example.com", limit=1), []),
    "of no driver": (request(driver="", limit=1), ["spec.driver: Required value"]),
    "of an odd driver": (
        request(driver="d!", limit=1),
        [f'spec.driver: Invalid value: "d!": {SUBDOMAIN}'],
    ),
    "of an empty pool": (
        request(poolName="", limit=1),
        ['spec.poolName: Invalid value: "": segment 0: must not be empty'],
    ),
    "of half a pool": (
        request(poolName="p/", limit=1),
        ['spec.poolName: Invalid value: "p/": segment 1: must not be empty'],
    ),
    "nobody knows how many": (request(), ["spec.limit: Required value"]),
    "none": (request(limit=0), ["spec.limit: Invalid value: 0: must be greater than or equal to 1"]),
    "very many": (
        request(limit=1001),
        ["spec.limit: Invalid value: 1001: must be less than or equal to 1000"],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), REQUESTS.values(), ids=REQUESTS)
def test_request(obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in REQUEST.validate(obj)] == expected


def test_a_new_request_asks_for_some_and_is_not_answered() -> None:
    obj = answered(poolCount=1)
    REQUEST.default(obj)
    REQUEST.prepare_create(obj)
    assert obj == request(limit=100)


def test_a_request_stays_as_it_was_asked() -> None:
    assert [str(fault) for fault in REQUEST.validate_update(request(limit=2), request())] == [
        'spec: Invalid value: {"driver":"d.example.com","limit":2}: field is immutable'
    ]


POOL = {"driver": "d.example.com", "poolName": "p", "generation": 1}
LESS = {"generation": -3, "resourceSliceCount": 0, "totalDevices": -1, "unavailableDevices": -2}
READY = {
    "type": "Complete",
    "status": "True",
    "reason": "R",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
ANSWERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no answer": (request(), []),
    "one pool": (answered(pools=[{**POOL, "resourceSliceCount": 1}], poolCount=1, conditions=[READY]), []),
    "a pool that nobody understands": (
        answered(pools=[{**POOL, "validationError": "x" * 257}], poolCount=1),
        [f"{P}.validationError: Too long: may not be more than 256 bytes"],
    ),
    "an empty pool": (
        answered(pools=[{}], poolCount=-1),
        [
            "status.poolCount: Invalid value: -1: must be greater than or equal to 0",
            f"{P}.driver: Required value",
            f"{P}.poolName: Required value",
            f"{P}.generation: Required value",
        ],
    ),
    "less than nothing": (
        answered(pools=[{**POOL, **LESS}], poolCount=0),
        [
            f"{P}.generation: Invalid value: -3: must be greater than or equal to 0",
            f"{P}.resourceSliceCount: Invalid value: 0: must be greater than or equal to 1",
            f"{P}.totalDevices: Invalid value: -1: must be greater than or equal to 0",
            f"{P}.unavailableDevices: Invalid value: -2: must be greater than or equal to 0",
        ],
    ),
    "too much": (
        answered(pools=[{}] * 1001, conditions=[{**READY, "type": f"t{number}"} for number in range(11)]),
        [
            "status.poolCount: Required value",
            "status.pools: Too many: 1001: must have at most 1000 items",
            "status.conditions: Too many: 11: must have at most 10 items",
        ],
    ),
}


@pytest.mark.parametrize(("new", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answer(new: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in REQUEST.validate_status_update(new, request())] == expected


def test_a_request_is_answered_once() -> None:
    old = answered(poolCount=0)
    assert REQUEST.validate_status_update(old, old) == []
    new = answered(poolCount=1)
    assert [str(fault) for fault in REQUEST.validate_status_update(new, old)] == [
        'status: Invalid value: {"PoolCount":1,"Pools":null,"Conditions":null}: field is immutable'
    ]
    assert [str(fault) for fault in REQUEST.validate_status_update(request(), old)] == [
        "status: Invalid value: null: field is immutable"
    ]
