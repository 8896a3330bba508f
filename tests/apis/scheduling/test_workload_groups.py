"""Faults of Workloads and PodGroups, and what of them is dropped."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Body = dict[str, Any]
BASIC: Body = {"basic": {}}
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
PATH = "spec.podGroupTemplates"


def template(name: str = "t", policy: Body = BASIC, **fields: Any) -> Body:
    return {"name": name, "schedulingPolicy": policy, **fields}


def workload(*templates: Body, **spec: Any) -> Body:
    return {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "Workload",
        "spec": {"podGroupTemplates": list(templates), **spec},
    }


def group(policy: Body = BASIC, **spec: Any) -> Body:
    return {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "PodGroup",
        "spec": {"schedulingPolicy": policy, **spec},
    }


def of(workload_name: str, template_name: str) -> Body:
    return {"workload": {"workloadName": workload_name, "podGroupTemplateName": template_name}}


NEW: dict[str, tuple[Body, list[str]]] = {
    "workload": (
        workload(
            template(policy={"gang": {"minCount": 2}}),
            template("u"),
            controllerRef={"kind": "Job", "name": "j", "apiGroup": "batch"},
        ),
        [],
    ),
    "workload of nothing": (workload(), [f"{PATH}: Required value"]),
    "workload of too much": (
        workload(*(template(f"t{number}") for number in range(9))),
        [f"{PATH}: Too many: 9: must have at most 8 items"],
    ),
    "controller": (
        workload(template(), controllerRef={"kind": "J/b", "name": ""}),
        [
            "spec.controllerRef.kind: Invalid value: \"J/b\": may not contain '/'",
            "spec.controllerRef.name: Required value",
        ],
    ),
    "templates": (
        workload(template("A"), template("A", {}), template("", {"basic": {}, "gang": {"minCount": -1}})),
        [
            f'{PATH}[1]: Duplicate value: {{"name":"A","schedulingPolicy":{{}}}}',
            f'{PATH}[0].name: Invalid value: "A": {LABEL}',
            f'{PATH}[1].name: Invalid value: "A": {LABEL}',
            f'{PATH}[1].schedulingPolicy: Invalid value: "": must specify one of: `basic`, `gang`',
            f"{PATH}[2].name: Required value",
            f'{PATH}[2].schedulingPolicy: Invalid value: "{{`basic`, `gang`}}": must specify exactly one of: `basic`, `gang`',
            f"{PATH}[2].schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1",
        ],
    ),
    "group": (group(podGroupTemplateRef=of("w", "t")), []),
    "group of nothing": (
        group({"gang": {"minCount": 0}}, podGroupTemplateRef={}),
        [
            'spec.podGroupTemplateRef: Invalid value: "": must specify one of: `workload`',
            "spec.schedulingPolicy.gang.minCount: Required value",
        ],
    ),
    "group of whom": (
        group(podGroupTemplateRef=of("", "T")),
        [
            "spec.podGroupTemplateRef.workload.workloadName: Required value",
            f'spec.podGroupTemplateRef.workload.podGroupTemplateName: Invalid value: "T": {LABEL}',
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "workload as it was": (workload(template("A")), workload(template("A")), []),
    "workload": (
        workload(template()),
        workload(template("u"), controllerRef={"name": "j", "kind": "Job"}),
        [
            'spec.controllerRef: Invalid value: {"kind":"Job","name":"j"}: field is immutable',
            f'{PATH}: Invalid value: [{{"name":"u","schedulingPolicy":{{"basic":{{}}}}}}]: field is immutable',
        ],
    ),
    "workload without templates": (
        workload(template()),
        workload(),
        [f"{PATH}: Invalid value: []: field is immutable", f"{PATH}: Required value"],
    ),
    "group of no workload": (
        group(podGroupTemplateRef=of("w", "t")),
        group(podGroupTemplateRef={}),
        ["spec.podGroupTemplateRef: Invalid value: {}: field is immutable"],
    ),
    "group": (
        group(podGroupTemplateRef=of("w", "t")),
        group({"gang": {"minCount": 1}}, podGroupTemplateRef=of("w", "u")),
        [
            'spec.podGroupTemplateRef: Invalid value: {"workload":{"workloadName":"w","podGroupTemplateName":"u"}}: '
            "field is immutable",
            'spec.schedulingPolicy: Invalid value: {"gang":{"minCount":1}}: field is immutable',
        ],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


def test_conditions_of_a_group(faults_of_status: Callable[[Body, Body, Body], list[str]]) -> None:
    scheduled = {
        "type": "PodGroupScheduled",
        "status": "True",
        "reason": "R",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert faults_of_status(group(), {}, {"conditions": [scheduled]}) == []
    assert faults_of_status(group(), {}, {"conditions": [scheduled, scheduled]}) == [
        'status.conditions[1].type: Duplicate value: "PodGroupScheduled"'
    ]
