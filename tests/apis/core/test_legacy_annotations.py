"""Annotations from before there were fields: what of them the API refuses, and what of nodes it drops."""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apis.core.legacy_node_config import node_config_faults

Body = dict[str, Any]
P = "scheduler.alpha.kubernetes.io/"
AT = f"metadata.annotations.{P}"
POD = {"containers": [{"name": "c", "image": "i"}]}
RC = {"apiVersion": "v1", "kind": "ReplicationController", "name": "a", "uid": "u"}


def node(annotations: Body | None = None, **spec: Any) -> Body:
    meta = {"name": "n", "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}


def pod(text: str) -> Body:
    meta = {"name": "p", "namespace": "ns", "annotations": {f"{P}tolerations": text}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": POD}


def avoid(*entries: Body) -> Body:
    return node({f"{P}preferAvoidPods": json.dumps({"preferAvoidPods": list(entries)})})


def signed(**by: Any) -> Body:
    return {"podSignature": {"podController": {**RC, **by}}, "reason": "r"}


CASES: dict[str, tuple[Body, list[str]]] = {
    "pods of a controller": (avoid(signed(controller=True)), []),
    "pods of nobody": (avoid({"reason": "r"}), [f"{AT}preferAvoidPods[0].PodSignature: Required value"]),
    "pods of an owner that does not control": (
        avoid(signed(controller=True), signed(controller=False)),
        [
            f"{AT}preferAvoidPods[1].PodSignature.PodController.Controller: Invalid value: false: must point to a controller"
        ],
    ),
    "avoidance that is no JSON": (
        node({f"{P}preferAvoidPods": "{"}),
        [
            f'metadata.annotations.AvoidPods: Invalid value: "{P}preferAvoidPods": unexpected end of JSON input'
        ],
    ),
    "avoidance that is a list": (
        node({f"{P}preferAvoidPods": "[]"}),
        [
            f'metadata.annotations.AvoidPods: Invalid value: "{P}preferAvoidPods": json: cannot unmarshal array into Go value of type v1.AvoidPods'
        ],
    ),
    "taints": (node({f"{P}taints": '[{"key": "a", "effect": "NoSchedule"}]'}), []),
    "taints without effect": (
        node({f"{P}taints": '[{"key": "a"}, null]'}),
        [
            f"{AT}taints[0].effect: Required value",
            f'{AT}taints[1].key: Invalid value: "": name part must be non-empty',
            f"{AT}taints[1].key: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            f"{AT}taints[1].effect: Required value",
        ],
    ),
    "taints that are one": (
        node({f"{P}taints": "{}"}),
        [
            f'metadata.annotations: Invalid value: "{P}taints": json: cannot unmarshal object into Go value of type []core.Taint'
        ],
    ),
    "taints that are texts": (
        node({f"{P}taints": '["a"]'}),
        [
            f'metadata.annotations: Invalid value: "{P}taints": json: cannot unmarshal string into Go value of type core.Taint'
        ],
    ),
    "no taints": (node({f"{P}taints": "null"}), []),
    "tolerations": (pod('[{"operator": "Exists"}]'), []),
    "a toleration of a value and of all": (
        pod('[{"key": "a", "operator": "Exists", "value": "b"}]'),
        [
            f"{AT}tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"
        ],
    ),
    "tolerations that are no JSON": (
        pod("x"),
        [
            f"metadata.annotations: Invalid value: \"{P}tolerations\": invalid character 'x' looking for beginning of value"
        ],
    ),
    "ranges that are not exact, and one twice": (
        node(podCIDRs=["10.0.0.1/16", "10.0.0.1/16"]),
        [
            'spec.podCIDRs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length',
            'spec.podCIDRs[1]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length',
            'spec.podCIDRs: Invalid value: ["10.0.0.1/16","10.0.0.1/16"]: may specify no more than one CIDR for each IP family',
        ],
    ),
    "one of two is no range": (
        node(podCIDRs=["10.0.0.0/16", "x"]),
        [
            'spec.podCIDRs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
            "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[1]: <nil> (invalid CIDR address: x)",
            'spec.podCIDRs: Invalid value: ["10.0.0.0/16","x"]: may specify no more than one CIDR for each IP family',
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_a_node_is_asked_again_when_it_changes(faults_of_change: Callable[[Body, Body], list[str]]) -> None:
    found = faults_of_change(node(), avoid({"reason": "r"}))
    assert found == [f"{AT}preferAvoidPods[0].PodSignature: Required value"] * 2


SOURCE = {"configMap": {"name": "c"}}
WHOLE = {"namespace": "ns", "name": "c", "kubeletConfigKey": "k"}
CONFIG: dict[str, tuple[Body, Body, list[str]]] = {
    "in full": (
        {"configMap": WHOLE},
        {"active": {"configMap": {**WHOLE, "uid": "u", "resourceVersion": "1"}}},
        [],
    ),
    "of nothing": (
        {},
        {},
        [
            'spec.configSource: Invalid value: {"ConfigMap":null}: exactly one reference subfield must be non-nil'
        ],
    ),
    "of a version": (
        {"configMap": {**WHOLE, "uid": "u", "namespace": ""}},
        {"assigned": {"configMap": WHOLE}},
        [
            "spec.configSource.configMap.uid: Forbidden: uid must not be set in spec",
            "spec.configSource.configMap.namespace: Required value",
            "status.config.assigned.configMap.uid: Required value",
            "status.config.assigned.configMap.resourceVersion: Required value",
        ],
    ),
}


@pytest.mark.parametrize(("source", "config", "expected"), CONFIG.values(), ids=CONFIG)
def test_configurations_of_old(source: Body, config: Body, expected: list[str]) -> None:
    whole = {"metadata": {"name": "n"}, "spec": {"configSource": source}, "status": {"config": config}}
    assert [str(fault) for fault in node_config_faults(whole)] == expected


def test_a_nodes_own_configuration_is_gone(
    kept_of_new: Callable[[Body], Body], kept_of_change: Callable[[Body, Body], Body]
) -> None:
    assert kept_of_new(node(configSource=SOURCE))["spec"] == {}
    assert kept_of_change(node(), node(configSource=SOURCE))["spec"] == {}
    kept = kept_of_change(node(configSource=SOURCE), node(configSource={}, unschedulable=True))
    assert kept["spec"] == {"configSource": {}, "unschedulable": True}


def test_what_a_kubelet_says_of_it_is_gone(kept_of_status: Callable[[Body, Body, Body], Body]) -> None:
    assert kept_of_status(node(), {}, {"config": {"error": "e"}, "phase": "x"}) == {"phase": "x"}
    there = {"config": {"error": "e"}}
    assert kept_of_status(node(), there, {"config": {"error": "f"}}) == {"config": {"error": "f"}}


EMPTY: dict[str, tuple[Body, str]] = {
    "policy of a group": (
        {**POD, "securityContext": {"fsGroupChangePolicy": ""}},
        'spec.securityContext.fsGroupChangePolicy: Unsupported value: "": supported values: "Always", "OnRootMismatch"',
    ),
    "restart policy of a container": (
        {"containers": [{"name": "c", "image": "i", "restartPolicy": ""}]},
        'spec.containers[0].restartPolicy: Unsupported value: "": supported values: "Always", "Never", "OnFailure"',
    ),
}


@pytest.mark.parametrize(("spec", "expected"), EMPTY.values(), ids=EMPTY)
def test_an_empty_text_is_not_left_out(
    spec: Body, expected: str, faults_of_new: Callable[[Body], list[str]]
) -> None:
    meta = {"name": "p", "namespace": "ns"}
    assert faults_of_new({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}) == [expected]
