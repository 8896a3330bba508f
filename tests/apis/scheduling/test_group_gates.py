"""What groups of pods have behind gates: topology, claims, disruption and priority."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]
TOPOLOGY, PREEMPTION = "TopologyAwareWorkloadScheduling", "WorkloadAwarePreemption"
GROUP = strategy_for(GVK("scheduling.k8s.io", "v1alpha2", "PodGroup"))
WORKLOAD = strategy_for(GVK("scheduling.k8s.io", "v1alpha2", "Workload"))
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
KEY = "spec.schedulingConstraints.topology[0].key"
SOURCES = "`resourceClaimName`, `resourceClaimTemplateName`"
NAME_PART = "name part must be no more than 63 bytes"


def topology(*keys: str) -> Body:
    return {"schedulingConstraints": {"topology": [{"key": key} for key in keys]}}


def claims(*sources: Body, name: str = "c") -> Body:
    return {"resourceClaims": [{"name": f"{name}{index}", **one} for index, one in enumerate(sources)]}


def claim(name: str) -> Body:
    return {"resourceClaimName": name}


NEW: dict[str, tuple[Body, list[str]]] = {
    "no topology": ({"schedulingConstraints": {}}, []),
    "a key": (topology("example.com/Foo"), []),
    "a long key": (topology("a" * 253 + "/" + "b" * 63), []),
    "two keys": (
        topology("a", "b"),
        ["spec.schedulingConstraints.topology: Too many: 2: must have at most 1 item"],
    ),
    "an empty key": (topology(""), [f"{KEY}: Required value"]),
    "a longer key": (topology("b" * 64), [f'{KEY}: Invalid value: "{"b" * 64}": {NAME_PART}']),
    "a key of capitals": (
        topology("Example.com/Foo"),
        [f'{KEY}: Invalid value: "Example.com/Foo": prefix part {SUBDOMAIN}'],
    ),
    "claims": (claims(claim("c"), {"resourceClaimTemplateName": "t"}), []),
    "too many claims": (
        claims(*[claim("c")] * 5),
        ["spec.resourceClaims: Too many: 5: must have at most 4 items"],
    ),
    "a claim with a path": (
        claims(claim("c"), name="../"),
        [f'spec.resourceClaims[0].name: Invalid value: "../0": {LABEL}'],
    ),
    "a claim twice": (
        {"resourceClaims": [{"name": "c", **claim("a")}, {"name": "c", **claim("b")}]},
        ['spec.resourceClaims[1]: Duplicate value: {"name":"c","resourceClaimName":"b"}'],
    ),
    "claims of nothing and of two": (
        claims({}, {"resourceClaimName": ".x", "resourceClaimTemplateName": "t"}),
        [
            f'spec.resourceClaims[0]: Invalid value: "": must specify one of: {SOURCES}',
            f'spec.resourceClaims[1]: Invalid value: "{{{SOURCES}}}": must specify exactly one of: {SOURCES}',
            f'spec.resourceClaims[1].resourceClaimName: Invalid value: ".x": {SUBDOMAIN}',
        ],
    ),
    "a mode": ({"disruptionMode": "PodGroup"}, []),
    "no mode": (
        {"disruptionMode": "Invalid"},
        ['spec.disruptionMode: Unsupported value: "Invalid": supported values: "Pod", "PodGroup"'],
    ),
    "priority": ({"priority": -(2**31), "priorityClassName": "high"}, []),
    "too high": (
        {"priority": 10**9 + 1, "priorityClassName": "a/b"},
        [
            f'spec.priorityClassName: Invalid value: "a/b": {SUBDOMAIN}',
            "spec.priority: Invalid value: 1000000001: must be less than or equal to 1000000000",
        ],
    ),
}


def group(spec: Body) -> Body:
    meta = {"name": "g", "namespace": "ns"}
    return {"metadata": meta, "spec": {"schedulingPolicy": {"basic": {}}, **copy_object(spec)}}


@pytest.mark.parametrize(("spec", "expected"), NEW.values(), ids=NEW)
def test_groups_and_templates(spec: Body, expected: list[str]) -> None:
    assert [str(fault) for fault in GROUP.validate(group(spec))] == expected
    template = {**group(spec)["spec"], "name": "t"}
    found = WORKLOAD.validate({"spec": {"podGroupTemplates": [template]}})
    assert [str(fault).replace("spec.podGroupTemplates[0].", "spec.") for fault in found] == expected


@pytest.mark.parametrize("is_on", [True, False])
def test_pods_are_disrupted_one_by_one_by_themselves(*, is_on: bool) -> None:
    one, workload = group({}), {"spec": {"podGroupTemplates": [{"name": "t"}]}}
    with using(FeatureGates({PREEMPTION: is_on})):
        GROUP.default(one)
        WORKLOAD.default(workload)
    mode = "Pod" if is_on else None
    assert one["spec"].get("disruptionMode") == mode
    assert workload["spec"]["podGroupTemplates"][0].get("disruptionMode") == mode


CHANGED: dict[str, tuple[str, Body, Body, str]] = {
    "topology": (TOPOLOGY, topology("a"), topology("b"), '{"topology":[{"key":"b"}]}'),
    "topology that goes": (TOPOLOGY, topology("a"), {}, "null"),
    "mode": (PREEMPTION, {"disruptionMode": "Pod"}, {"disruptionMode": "PodGroup"}, '"PodGroup"'),
    "class": (PREEMPTION, {"priorityClassName": "low"}, {"priorityClassName": "high"}, '"high"'),
    "class that goes": (PREEMPTION, {"priorityClassName": "low"}, {}, '""'),
    "priority": (PREEMPTION, {"priority": 1}, {"priority": 0}, "0"),
}


@pytest.mark.parametrize(("gate", "old", "new", "shown"), CHANGED.values(), ids=CHANGED)
def test_what_a_gate_lets_in_stays(gate: str, old: Body, new: Body, shown: str) -> None:
    (key,) = old
    for is_on in (True, False):
        with using(FeatureGates({gate: is_on})):
            assert GROUP.validate_update(group(old), group(old)) == []
            faults = [str(fault) for fault in GROUP.validate_update(group(new), group(old))]
        off = [f"spec.{key}: Forbidden"] if new else []
        assert faults == ([f"spec.{key}: Invalid value: {shown}: field is immutable"] if is_on else off)


def test_claims_stay_whatever_the_gates_say() -> None:
    for old, new, shown in (
        ({}, claims(claim("a")), '[{"name":"c0","resourceClaimName":"a"}]'),
        (claims(claim("a")), {}, "[]"),
    ):
        faults = [str(fault) for fault in GROUP.validate_update(group(new), group(old))]
        assert faults == [f"spec.resourceClaims: Invalid value: {shown}: field is immutable"]


STATUSES: dict[str, tuple[list[Body], list[str]]] = {
    "as it should": ([{"name": "c0", "resourceClaimName": "foo-12345"}, {"name": "c1"}], []),
    "of no claim": (
        [{"name": "other"}],
        ['[0].name: Invalid value: "other": must match the name of an entry in `spec.resourceClaims`'],
    ),
    "a name that is none": (
        [{"name": "c0", "resourceClaimName": "%$"}],
        [f'[0].resourceClaimName: Invalid value: "%$": {SUBDOMAIN}'],
    ),
    "twice": ([{"name": "c0"}, {"name": "c1"}, {"name": "c1"}], ['[2]: Duplicate value: {"name":"c1"}']),
    "too many": ([{"name": "c0"}] * 5, [": Too many: 5: must have at most 4 items"]),
}


@pytest.mark.parametrize(("statuses", "expected"), STATUSES.values(), ids=STATUSES)
def test_what_is_said_of_claims(statuses: list[Body], expected: list[str]) -> None:
    old = {**group(claims(claim("a"), claim("b"))), "status": {}}
    new = {**old, "status": {"resourceClaimStatuses": statuses}}
    path = "status.resourceClaimStatuses"
    assert [str(fault) for fault in GROUP.validate_status_update(new, old)] == [
        f"{path}{text}" for text in expected
    ]
