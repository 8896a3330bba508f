"""What may not be in Jobs, what of a Job may change and when, and what may not be in a Job's status."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Body = dict[str, Any]

POD = {"containers": [{"name": "c", "image": "nginx"}], "restartPolicy": "Never"}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
NOT_NEGATIVE = "must be greater than or equal to 0"
INDEXED = {"completionMode": "Indexed", "completions": 3}
CODES = {"operator": "In", "values": [1]}


def job(template: Body = TEMPLATE, *, name: str = "x", status: Body | None = None, **spec: Any) -> Body:
    meta = {"name": name, "namespace": "ns", "uid": "u"}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template, **spec}}
    return body if status is None else {**body, "status": status}


def failure(**rule: Any) -> Body:
    return job(podFailurePolicy={"rules": [{"action": "FailJob", **rule}]})


def success(**rule: Any) -> Body:
    return job(**INDEXED, successPolicy={"rules": [rule]})


AT = "spec.podFailurePolicy.rules[0]"
HAPPY = "spec.successPolicy.rules[0]"
NEW: dict[str, tuple[Body, list[str]]] = {
    "fine": (job(), []),
    "numbers": (
        job(parallelism=-1, activeDeadlineSeconds=-1, backoffLimit=-1, ttlSecondsAfterFinished=-1),
        [
            f"spec.parallelism: Invalid value: -1: {NOT_NEGATIVE}",
            f"spec.activeDeadlineSeconds: Invalid value: -1: {NOT_NEGATIVE}",
            f"spec.backoffLimit: Invalid value: -1: {NOT_NEGATIVE}",
            f"spec.ttlSecondsAfterFinished: Invalid value: -1: {NOT_NEGATIVE}",
        ],
    ),
    "failed indexes alone": (
        job(**INDEXED, maxFailedIndexes=4),
        [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ],
    ),
    "per index without indexes": (
        job(backoffLimitPerIndex=1, maxFailedIndexes=1),
        [
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        ],
    ),
    "manager": (
        job(managedBy="x"),
        ['spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'],
    ),
    "long manager": (
        job(managedBy="a.b/" + "x" * 60),
        ["spec.managedBy: Too long: may not be more than 63 bytes"],
    ),
    "mode": (
        job(completionMode="X"),
        ['spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", "Indexed"'],
    ),
    "indexed and wide": (
        job(completionMode="Indexed", completions=1, parallelism=100001),
        [
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"
        ],
    ),
    "many indexes": (
        job(completionMode="Indexed", completions=100001, parallelism=10001, backoffLimitPerIndex=1),
        [
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and "
            "used with backoff limit per index",
        ],
    ),
    "index in the name": (
        job(**INDEXED, name="x" * 62),
        [
            f'metadata.name: Invalid value: "{"x" * 62}": will not able to create pod with invalid DNS label: {"x" * 62}-2'
        ],
    ),
    "replacement": (
        job(podReplacementPolicy="X"),
        [
            'spec.podReplacementPolicy: Unsupported value: "X": supported values: "Failed", "TerminatingOrFailed"'
        ],
    ),
    "replacement beside a failure policy": (
        job(podReplacementPolicy="TerminatingOrFailed", podFailurePolicy={"rules": []}),
        ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
    ),
    "action missing": (
        failure(action="", onExitCodes=CODES),
        [f'{AT}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'],
    ),
    "action unknown": (
        failure(action="X", onExitCodes=CODES),
        [f'{AT}.action: Unsupported value: "X": supported values: "Count", "FailIndex", "FailJob", "Ignore"'],
    ),
    "action of indexes": (
        failure(action="FailIndex", onExitCodes=CODES),
        [f'{AT}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'],
    ),
    "rule without reason": (
        failure(),
        [f"{AT}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
    ),
    "rule with two reasons": (
        failure(onExitCodes=CODES, onPodConditions=[{"type": "A"}]),
        [f"{AT}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"],
    ),
    "exit codes": (
        failure(onExitCodes={"operator": "In", "containerName": "z", "values": [2, 0, 2]}),
        [
            f'{AT}.onExitCodes.containerName: Invalid value: "z": must be one of the container or initContainer names in the pod template',
            f"{AT}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            f"{AT}.onExitCodes.values[2]: Duplicate value: 2",
            f"{AT}.onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
        ],
    ),
    "no exit codes": (
        failure(onExitCodes={"operator": ""}),
        [
            f'{AT}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
            f"{AT}.onExitCodes.values: Invalid value: null: at least one value is required",
        ],
    ),
    "pod condition": (
        failure(onPodConditions=[{"type": "A", "status": "X"}]),
        [
            f'{AT}.onPodConditions[0].status: Unsupported value: "X": supported values: "False", "True", "Unknown"'
        ],
    ),
    "too many rules": (
        job(podFailurePolicy={"rules": [{"action": "Count", "onExitCodes": CODES}] * 21}),
        ["spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"],
    ),
    "success without indexes": (
        job(successPolicy={}),
        ['spec.successPolicy: Invalid value: {"Rules":null}: requires indexed completion mode'],
    ),
    "success without rules": (
        job(**INDEXED, successPolicy={}),
        [
            "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"
        ],
    ),
    "success of nothing": (
        success(),
        [f"{HAPPY}: Required value: at least one of succeededCount or succeededIndexes must be specified"],
    ),
    "success of too many": (
        success(succeededCount=4, succeededIndexes="0-1"),
        [
            f"{HAPPY}.succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified completions)",
            f"{HAPPY}.succeededCount: Invalid value: 4: must be less than or equal to 2 (the number of indexes in the specified "
            "succeededIndexes field)",
        ],
    ),
}
NEW |= {
    f"success of {indexes}": (
        success(succeededIndexes=indexes),
        [f'{HAPPY}.succeededIndexes: Invalid value: "{indexes}": error parsing succeededIndexes: {text}'],
    )
    for indexes, text in {
        "x": 'cannot convert string to integer for index: "x"',
        "3": 'too large index: "3"',
        "9" * 5000: f'cannot convert string to integer for index: "{"9" * 5000}"',
        "1,0": "non-increasing order, previous: 1, current: 0",
        "2-1": "non-increasing order, previous: 2, current: 1",
        "0-1-2": "the fragment \"0-1-2\" violates the requirement that an index interval can have at most two parts separated by '-'",
    }.items()
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_labels_given_by_hand(faults_of_new: Callable[[Body], list[str]]) -> None:
    labels = {"controller-uid": "other", "batch.kubernetes.io/job-name": "x"}
    found = faults_of_new(job({"metadata": {"labels": labels}, "spec": POD}))
    shown = (
        '{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"x","controller-uid":"other",'
        '"job-name":"x"}'
    )
    assert found == [
        f"spec.template.metadata.labels[controller-uid]: Invalid value: {shown}: must be 'u'",
    ]


def placed(**pod: Any) -> Body:
    return {**TEMPLATE, "spec": {**POD, **pod}}


def sized(cpu: str) -> Body:
    return placed(containers=[{**POD["containers"][0], "resources": {"requests": {"cpu": cpu}}}])


NEAR = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
        }
    }
}
STARTED = {"startTime": "2026-01-01T00:00:00Z"}
STOPPED = {**STARTED, "conditions": [{"type": "Suspended", "status": "True"}]}
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "suspended": (job(), job(suspend=True), []),
    "elastic": (
        job(**INDEXED, parallelism=3),
        job(completionMode="Indexed", completions=5, parallelism=5),
        [],
    ),
    "out of step": (
        job(**INDEXED, parallelism=3),
        job(completionMode="Indexed", completions=5, parallelism=4),
        ["spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"],
    ),
    "fixed": (
        job(managedBy="a.b/c"),
        job(managedBy="a.b/d"),
        ['spec.managedBy: Invalid value: "a.b/d": field is immutable'],
    ),
    "placed while it waits": (
        job(suspend=True),
        job(placed(nodeSelector={"a": "b"}, affinity=NEAR), suspend=True),
        [],
    ),
    "affinity taken back": (job(placed(affinity=NEAR), suspend=True), job(suspend=True), []),
    "placed after its pods are gone": (
        job(suspend=True, status=STOPPED),
        job(placed(nodeSelector={"a": "b"}), suspend=True),
        [],
    ),
    "resized after its pods are gone": (
        job(sized("1"), suspend=True, status=STOPPED),
        job(sized("2"), suspend=True),
        [],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


REFUSED = {
    "placed while it runs": (job(), job(placed(nodeSelector={"a": "b"}))),
    "placed while its pods end": (
        job(suspend=True, status=STARTED),
        job(placed(nodeSelector={"a": "b"}), suspend=True),
    ),
    "resized before its pods are gone": (job(sized("1"), suspend=True), job(sized("2"), suspend=True)),
    "pod affinity": (
        job(suspend=True),
        job(placed(affinity={"podAffinity": {}}), suspend=True),
    ),
    "another image": (
        job(suspend=True),
        job(placed(containers=[{"name": "c", "image": "other"}]), suspend=True),
    ),
}


@pytest.mark.parametrize(("old", "new"), REFUSED.values(), ids=REFUSED)
def test_templates_that_stay(
    old: Body, new: Body, faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    (found,) = faults_of_change(old, new)
    assert found.startswith("spec.template: Invalid value: ")
    assert found.endswith(": field is immutable")


TWO, ONE = [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}], [{"name": "c", "image": "i"}]
AFTER = {
    "another image": (TWO, [TWO[0], {"name": "d", "image": "other"}]),
    "another order": (TWO, TWO[::-1]),
    "one less": (TWO, ONE),
}


@pytest.mark.parametrize(("before", "after"), AFTER.values(), ids=AFTER)
def test_of_pods_that_are_gone_only_resources_change(
    before: list[Body], after: list[Body], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    old = job(placed(containers=before), suspend=True, status=STOPPED)
    (found,) = faults_of_change(old, job(placed(containers=after), suspend=True))
    assert found.startswith('spec.template.spec: Invalid value: {"Volumes":null,')
    assert found.endswith(": field is immutable")


def test_what_is_wrong_with_a_change_is_told_twice(
    faults_of_change: Callable[[Body, Body], list[str]],
) -> None:
    fault = f"spec.backoffLimit: Invalid value: -1: {NOT_NEGATIVE}"
    assert faults_of_change(job(), job(backoffLimit=-1)) == [fault, fault]


def told(*kinds: str, **fields: Any) -> Body:
    return {"conditions": [{"type": kind, "status": "True"} for kind in kinds], **fields}


SET = "status.conditions: Invalid value: cannot set"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
DONE = told("SuccessCriteriaMet", "Complete", startTime=EARLY, completionTime=LATE)
STATUS: dict[str, tuple[Body, Body, Body, list[str]]] = {
    "done": (job(), {}, DONE, []),
    "failed": (job(), {}, told("FailureTarget", "Failed", startTime=EARLY), []),
    "both": (
        job(),
        {},
        told(
            "SuccessCriteriaMet", "Complete", "Failed", "FailureTarget", startTime=EARLY, completionTime=LATE
        ),
        [
            f"{SET} Complete=True and Failed=true conditions",
            f"{SET} Complete=True and FailureTarget=true conditions",
            f"{SET} SuccessCriteriaMet=True and Failed=true conditions",
            f"{SET} SuccessCriteriaMet=True and FailureTarget=true conditions",
        ],
    ),
    "too soon": (
        job(),
        {},
        told("Complete", active=1, terminating=1, uncountedTerminatedPods={"succeeded": ["a"]}),
        [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            f"{SET} Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
            'status.uncountedTerminatedPods: Invalid value: {"Succeeded":["a"],"Failed":null}: uncountedTerminatedPods needs to be empty for finished job',
            "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
        ],
    ),
    "failed at once": (
        job(),
        {},
        told("Failed", startTime=EARLY),
        [f"{SET} Failed=True condition without the FailureTarget=true condition"],
    ),
    "back in time": (
        job(),
        {},
        {**DONE, "startTime": LATE, "completionTime": EARLY},
        [f'status.completionTime: Invalid value: "{EARLY}": completionTime cannot be set before startTime'],
    ),
    "taken back": (
        job(),
        {**DONE, "succeeded": 2, "failed": 1},
        {"startTime": EARLY, "succeeded": 1, "failed": 0},
        [
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.failed: Invalid value: 0: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ],
    ),
    "other times": (
        job(),
        {**DONE, "startTime": EARLY, "completionTime": EARLY},
        {**DONE, "startTime": LATE, "completionTime": LATE},
        [
            f'status.completionTime: Invalid value: "{LATE}": completionTime cannot be mutated',
            'status.startTime: Invalid value: "2026-01-02T00:00:00Z": field is immutable for unsuspended job once set',
        ],
    ),
    "started once more after a pause": (
        job(),
        {"startTime": EARLY, "conditions": [{"type": "Suspended", "status": "True"}]},
        {"startTime": LATE, "conditions": [{"type": "Suspended", "status": "False"}]},
        [],
    ),
    "started at another time while it is paused": (job(suspend=True), {"startTime": EARLY}, {}, []),
    "a pause that goes on": (
        job(),
        {"startTime": EARLY, "conditions": [{"type": "Suspended", "status": "True"}]},
        {"conditions": [{"type": "Suspended", "status": "True"}]},
        ["status.startTime: Invalid value: null: field is immutable for unsuspended job once set"],
    ),
    "uncounted": (
        job(),
        {},
        {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
        [
            'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
            'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        ],
    ),
    "indexes of no indexed job": (
        job(),
        {},
        {"completedIndexes": "0", "failedIndexes": "0"},
        [
            'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
            'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
            'status.failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0',
        ],
    ),
    "indexes": (
        job(**INDEXED, backoffLimitPerIndex=1),
        {},
        {"completedIndexes": "x", "failedIndexes": "3"},
        [
            'status.completedIndexes: Invalid value: "x": error parsing completedIndexes: cannot convert string to integer for index: "x"',
            'status.failedIndexes: Invalid value: "3": error parsing failedIndexes: too large index: "3"',
        ],
    ),
    "more ready than there are": (
        job(),
        {},
        {"ready": 2, "active": 1},
        ["status.ready: Invalid value: 2: cannot set more ready pods than active"],
    ),
    "fewer than none that are active": (
        job(),
        {},
        {"active": -1},
        [
            "status.active: Invalid value: -1: must be greater than or equal to 0",
            "status.ready: Invalid value: 0: cannot set more ready pods than active",
        ],
    ),
    "what was so before is let through": (job(), {"ready": 2, "active": 1}, {"ready": 2, "active": 1}, []),
    "a policy for success": (
        job(**INDEXED, successPolicy={"rules": [{"succeededCount": 1}]}),
        told("Complete"),
        told("Complete"),
        [f"{SET} Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"],
    ),
}


@pytest.mark.parametrize(("obj", "old", "new", "expected"), STATUS.values(), ids=STATUS)
def test_status(
    obj: Body,
    old: Body,
    new: Body,
    expected: list[str],
    faults_of_status: Callable[[Body, Body, Body], list[str]],
) -> None:
    assert faults_of_status(obj, old, new) == expected


def test_many_indexes_at_once(warnings_of: Callable[[Body], list[str]]) -> None:
    wide = job(completionMode="Indexed", completions=100001, parallelism=10001)
    assert len(warnings_of(wide)) == 1
    assert warnings_of(job(**INDEXED)) == []
