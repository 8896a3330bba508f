"""Faults of ResourceSlices, with the API's texts."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

SLICE = strategy_for(GVK("resource.k8s.io", "v1", "ResourceSlice"))
OLD_SLICE = strategy_for(GVK("resource.k8s.io", "v1beta1", "ResourceSlice"))
POOL = {"name": "p", "generation": 1, "resourceSliceCount": 1}
AT = "spec.devices[0]"
MAPPED = f"{AT}.nodeAllocatableResourceMappings"
POLICY = ".requestPolicy: Forbidden: allowMultipleAllocations must be true"
WHERE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
PER_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is "
    "set to true in the ResourceSlice spec"
)
TERM = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}


def sliced(*devices: dict[str, Any], **spec: Any) -> dict[str, Any]:
    whole = {"driver": "d.example.com", "pool": POOL, "nodeName": "n", "devices": list(devices), **spec}
    return {"spec": {key: value for key, value in whole.items() if value is not None}}


def device(**fields: Any) -> dict[str, Any]:
    return {"name": "d", **fields}


def attributes(**values: Any) -> dict[str, Any]:
    return sliced(device(attributes=values))


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "fine": (
        sliced(
            device(
                attributes={"a": {"int": 1}, "x.io/b": {"version": "1.2.3-rc.1+b"}, "c": {"strings": ["x"]}},
                capacity={"memory": {"value": "1Gi"}},
                taints=[{"key": "k", "effect": "NoSchedule"}],
            )
        ),
        [],
    ),
    "no driver": (
        sliced(driver="", pool={**POOL, "name": "", "resourceSliceCount": 0, "generation": -1}),
        [
            "spec.driver: Required value",
            "spec.pool.name: Required value",
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
        ],
    ),
    "nowhere": (sliced(nodeName=None), [f"spec: Required value: {WHERE}"]),
    "in two places": (
        sliced(allNodes=True),
        [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {WHERE}, but multiple fields are set'],
    ),
    "said to be false": (
        sliced(allNodes=False),
        ["spec.allNodes: Invalid value: false: must be either unset or set to true"],
    ),
    "by labels": (sliced(nodeName=None, nodeSelector={"nodeSelectorTerms": [TERM]}), []),
    "by two terms": (
        sliced(nodeName=None, nodeSelector={"nodeSelectorTerms": [{}, {}]}),
        [
            'spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":null,"MatchFields":null},'
            '{"MatchExpressions":null,"MatchFields":null}]: must have exactly one node selector term'
        ],
    ),
    "counters and devices": (
        sliced(device(), sharedCounters=[]),
        ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed'],
    ),
    "twice": (sliced(device(), device()), ['spec.devices[1]: Duplicate value: "d"']),
    "many": (
        sliced(*({"name": f"d{index}"} for index in range(129))),
        ["spec.devices: Too many: 129: must have at most 128 items"],
    ),
    "many with taints": (
        sliced(*({"name": f"d{index}", "taints": [{}]} for index in range(65))),
        ["spec.devices: Too many: 65: must have at most 64 items"],
    ),
    "as many values as there may be": (attributes(a={"ints": list(range(47))}, b={"bool": True}), []),
    "more values": (
        attributes(a={"ints": list(range(47))}, b={"bool": True}, c={"int": 1}),
        [f"{AT}: Invalid value: 49: the total number of attribute values must not exceed 48"],
    ),
    "a list of nothing is one value": (
        attributes(a={"ints": list(range(47))}, b={"bools": []}, c={"int": 1}),
        [
            f"{AT}: Invalid value: 49: the total number of attribute values must not exceed 48",
            f"{AT}.attributes[b].bools: Invalid value: []: must not be empty if specified",
        ],
    ),
    "a long name, in the middle of which nothing is shown": (
        sliced(device(capacity={f"{'x' * 63}/{'y' * 33}": {"value": "1", "requestPolicy": {}}})),
        [
            f"{AT}.capacity: Too long: may not be more than 32 bytes",
            f"{AT}.capacity[{'x' * 47}...{'x' * 12}/{'y' * 33}]{POLICY}",
        ],
    ),
    "its node's resources": (
        sliced(
            device(
                capacity={"cores": {"value": "8"}},
                nodeAllocatableResourceMappings={
                    "cpu": {"capacityKey": "cores", "allocationMultiplier": "2"},
                    "hugepages-2Mi": {},
                    "ephemeral-storage": {"allocationMultiplier": "1Gi"},
                },
            )
        ),
        [],
    ),
    "what is none of its node's resources": (
        sliced(
            device(
                nodeAllocatableResourceMappings={
                    "pods": {"capacityKey": "cores"},
                    "cpu": {"capacityKey": ""},
                    "memory": {"allocationMultiplier": "0"},
                }
            )
        ),
        [
            f'{MAPPED}[pods]: Invalid value: "pods": must be a node allocatable resource name',
            f'{MAPPED}[pods].capacityKey: Not found: "cores"',
            f'{MAPPED}[cpu].capacityKey: Invalid value: "": capacityKey must not be an empty string',
            f'{MAPPED}[memory].allocationMultiplier: Invalid value: "0": must be positive',
        ],
    ),
    "no value": (
        attributes(a={}),
        [f'{AT}.attributes[a]: Invalid value: "": exactly one value must be specified'],
    ),
    "two values": (
        attributes(a={"int": 1, "bool": True}),
        [
            f'{AT}.attributes[a]: Invalid value: {{"IntValue":1,"BoolValue":true,"StringValue":null,'
            '"VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: '
            "exactly one value must be specified"
        ],
    ),
    "version": (
        attributes(a={"version": "1.02.0"}),
        [
            f'{AT}.attributes[a].version: Invalid value: "1.02.0": must be a string compatible with '
            "semver.org spec 2.0.0"
        ],
    ),
    "long texts": (
        attributes(a={"strings": ["x", "y" * 65]}),
        [f"{AT}.attributes[a].strings[1]: Too long: may not be more than 64 bytes"],
    ),
    "no texts": (
        attributes(a={"strings": []}),
        [f"{AT}.attributes[a].strings: Invalid value: []: must not be empty if specified"],
    ),
    "names": (
        sliced(device(attributes={"/a": {"int": 1}, "x.io/": {"int": 1}, "a/b/c": {"int": 1}})),
        [
            f'{AT}.attributes: Invalid value: "": the domain must not be empty',
            f'{AT}.attributes: Invalid value: "": the name must not be empty',
            f'{AT}.attributes: Invalid value: "a/b/c": must not contain more than one slash',
        ],
    ),
    "too much said": (
        attributes(**{f"a{index}": {"int": 1} for index in range(33)}),
        [f"{AT}: Invalid value: 33: the total number of attributes and capacities must not exceed 32"],
    ),
    "request policy": (
        sliced(device(capacity={"m": {"value": "1", "requestPolicy": {}}})),
        [f"{AT}.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"],
    ),
    "taint": (sliced(device(taints=[{"key": "k"}])), [f"{AT}.taints[0].effect: Required value"]),
    "device on a node": (
        sliced(device(nodeName="n")),
        [
            f"{AT}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        ],
    ),
    "each on its own": (sliced(device(nodeName="n"), nodeName=None, perDeviceNodeSelection=True), []),
    "on none": (
        sliced(device(), nodeName=None, perDeviceNodeSelection=True),
        [f"{AT}: Required value: {PER_DEVICE}"],
    ),
    "on two": (
        sliced(device(nodeName="n", allNodes=True), nodeName=None, perDeviceNodeSelection=True),
        [f'{AT}: Invalid value: "{{`nodeName`, `allNodes`}}": {PER_DEVICE}'],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_slice(obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in SLICE.validate(obj)] == expected


def test_the_deeper_form_has_the_paths_of_the_other() -> None:
    found = OLD_SLICE.validate(sliced(device(basic={"attributes": {"a": {}}})))
    assert [str(fault) for fault in found] == [
        f'{AT}.attributes[a]: Invalid value: "": exactly one value must be specified'
    ]


@pytest.mark.parametrize("before", [None, sliced(driver="GPU.example.com")])
def test_drivers_are_best_named_in_lower_case(before: dict[str, Any] | None) -> None:
    text = 'spec.driver: driver names should be lowercase; "GPU.example.com" contains uppercase characters'
    assert SLICE.warnings(sliced(driver="GPU.example.com"), before) == [text]
    assert SLICE.warnings(sliced(), before) == []


def test_a_slice_stays_where_it_is() -> None:
    new = sliced(driver="e.example.com", pool={**POOL, "name": "q"}, nodeName="m")
    assert [str(fault) for fault in SLICE.validate_update(new, sliced())] == [
        'spec.pool.name: Invalid value: "q": field is immutable',
        'spec.driver: Invalid value: "e.example.com": field is immutable',
        'spec.nodeName: Invalid value: "m": field is immutable',
    ]


def test_capacity_and_taints_that_stay_are_let_through() -> None:
    old = sliced(device(taints=[{}], capacity={"m": {"value": "1", "requestPolicy": {}}}))
    assert SLICE.validate_update(old, old) == []
    assert SLICE.validate_update(sliced(device(taints=[{}, {}])), old)
