"""Faults of claims, their templates and device classes, with the API's texts."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

CLAIM = strategy_for(GVK("resource.k8s.io", "v1", "ResourceClaim"))
OLD_CLAIM = strategy_for(GVK("resource.k8s.io", "v1beta1", "ResourceClaim"))
TEMPLATE = strategy_for(GVK("resource.k8s.io", "v1", "ResourceClaimTemplate"))
CLASS = strategy_for(GVK("resource.k8s.io", "v1", "DeviceClass"))
AT = "spec.devices.requests[0]"
DRIVER = "gpu.example.com"
OTHER = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


def request(name: str = "gpu", **exactly: Any) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": "gpu", **exactly}}


def claim(*requests: dict[str, Any], **devices: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


def cel(expression: str) -> list[dict[str, Any]]:
    return [{"cel": {"expression": expression}}]


def faults(strategy: Any, obj: dict[str, Any]) -> list[str]:
    obj = copy_object(obj)
    strategy.default(obj)
    return [str(fault) for fault in strategy.validate(obj)]


FIRST = {"name": "gpu", "firstAvailable": [{"name": "big", "deviceClassName": "b"}]}
SELECTOR = f"{AT}.exactly.selectors[0].cel"
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one": (claim(request()), []),
    "alternatives": (
        claim(FIRST, constraints=[{"requests": ["gpu/big"], "matchAttribute": f"{DRIVER}/a"}]),
        [],
    ),
    "neither": (
        claim({"name": "gpu"}),
        [f"{AT}: Required value: exactly one of `exactly` or `firstAvailable` is required"],
    ),
    "both": (
        claim({**request(), **FIRST}),
        [
            f"{AT}: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but "
            "multiple fields are set"
        ],
    ),
    "no class": (
        claim({"name": "gpu", "exactly": {"allocationMode": "All"}}),
        [f"{AT}.exactly.deviceClassName: Required value"],
    ),
    "twice": (claim(request(), request()), ['spec.devices.requests[1]: Duplicate value: "gpu"']),
    "too many": (
        claim(*(request(f"r{index}") for index in range(33))),
        ["spec.devices.requests: Too many: 33: must have at most 32 items"],
    ),
    "mode": (
        claim(request(allocationMode="Some")),
        [f'{AT}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"'],
    ),
    "count": (
        claim(request(count=-1)),
        [f"{AT}.exactly.count: Invalid value: -1: must be greater than zero"],
    ),
    "all and a count": (
        claim(request(allocationMode="All", count=2)),
        [f"{AT}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"],
    ),
    "selector": (claim(request(selectors=cel(f'device.attributes["{DRIVER}"].numa == 1'))), []),
    "attribute alone": (claim(request(selectors=cel(f'device.attributes["{DRIVER}"].good'))), []),
    "no cel": (claim(request(selectors=[{}])), [f"{SELECTOR}: Required value"]),
    "selector's type": (
        claim(request(selectors=cel("device.driver"))),
        [
            f'{SELECTOR}.expression: Invalid value: "device.driver": must evaluate to bool or the unknown '
            "type, not string"
        ],
    ),
    "long selector": (
        claim(request(selectors=cel("true" + " " * 10240))),
        [f"{SELECTOR}.expression: Too long: may not be more than 10240 bytes"],
    ),
    "toleration": (
        claim(request(tolerations=[{"key": "a", "operator": "Exists", "value": "b", "effect": "Never"}])),
        [
            f'{AT}.exactly.tolerations[0].value: Invalid value: "b": must be empty for operator `Exists`',
            f'{AT}.exactly.tolerations[0].effect: Unsupported value: "Never": supported values: '
            '"NoExecute", "NoSchedule", "None"',
        ],
    ),
    "constraint on nothing": (
        claim(request(), constraints=[{"requests": ["cpu"], "matchAttribute": "plain"}]),
        [
            f'spec.devices.constraints[0].requests[0]: Invalid value: "cpu": {OTHER}',
            'spec.devices.constraints[0].matchAttribute: Invalid value: "plain": a fully qualified name '
            "must be a domain and a name separated by a slash",
        ],
    ),
    "constraint without attribute": (
        claim(request(), constraints=[{}]),
        [
            'spec.devices.constraints[0]: Required value: exactly one of "matchAttribute" or '
            '"distinctAttribute" is required, but multiple fields are set'
        ],
    ),
    "no such alternative": (
        claim(FIRST, config=[{"requests": ["gpu/small"], "opaque": {"driver": DRIVER, "parameters": {}}}]),
        [f'spec.devices.config[0].requests[0]: Invalid value: "gpu/small": {OTHER}'],
    ),
    "too deep": (
        claim(FIRST, config=[{"requests": ["a/b/c"], "opaque": {"driver": DRIVER, "parameters": {}}}]),
        [f'spec.devices.config[0].requests[0]: Invalid value: "a/b/c": {OTHER}'],
    ),
    "nothing configured": (
        claim(request(), config=[{}, {"opaque": {"driver": DRIVER}}]),
        [
            "spec.devices.config[0].opaque: Required value",
            "spec.devices.config[1].opaque.parameters: Required value",
        ],
    ),
    "parameters": (
        claim(request(), config=[{"opaque": {"driver": DRIVER, "parameters": [1]}}]),
        [
            'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid '
            "JSON object"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_claim(obj: dict[str, Any], expected: list[str]) -> None:
    assert faults(CLAIM, obj) == expected


def test_a_selector_that_does_not_compile() -> None:
    (found,) = faults(CLAIM, claim(request(selectors=cel("nothing"))))
    assert found.startswith(f'{SELECTOR}.expression: Invalid value: "nothing": compilation failed: ERROR: ')
    assert "undeclared reference to 'nothing'" in found


def test_the_flat_form_has_the_paths_of_the_other() -> None:
    flat = {"name": "gpu", "deviceClassName": "gpu", "count": -1}
    assert faults(OLD_CLAIM, claim(flat)) == [
        f"{AT}.exactly.count: Invalid value: -1: must be greater than zero"
    ]


def test_template() -> None:
    assert faults(TEMPLATE, {"spec": claim({"name": "gpu"})}) == [
        "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
        "required"
    ]


def test_metadata_of_what_a_template_makes() -> None:
    meta = {"labels": {"a": "-"}, "annotations": {"/": ""}, "finalizers": ["x"]}
    found = faults(TEMPLATE, {"spec": {**claim(request()), "metadata": meta}})
    assert [text.split(": ")[0] for text in found] == ["spec.metadata.annotations"] * 3 + [
        "spec.metadata.labels"
    ]


def test_device_class() -> None:
    spec = {"selectors": [{}], "config": [{}], "extendedResourceName": "cpu"}
    assert faults(CLASS, {"spec": spec}) == [
        "spec.selectors[0].cel: Required value",
        "spec.config[0].opaque: Required value",
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ]


def test_selectors_of_a_class_that_stay_are_let_through() -> None:
    old = {"spec": {"selectors": cel("gone()")}}
    assert CLASS.validate_update({"spec": {**old["spec"], "config": []}}, old) == []
    assert len(CLASS.validate_update({"spec": {"selectors": cel("gone2()")}}, old)) == 1
