"""What may not be in Deployments, ReplicaSets, StatefulSets and DaemonSets, and what of them never changes."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]

POD = {"containers": [{"name": "c", "image": "nginx"}]}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
OTHER = {"metadata": {"labels": {"app": "y"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "x"}}
MISMATCH = "`selector` does not match template `labels`"
UNREADABLE = {"matchExpressions": [{"key": "app", "operator": "X"}]}
SHOWN = '{"matchExpressions":[{"key":"app","operator":"X"}]}'
OPERATOR = 'spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator'
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
    "for validation is '[0-9]+%')"
)


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def workload(kind: str, **spec: Any) -> Body:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "spec": {"selector": SELECTOR, "template": TEMPLATE, **spec},
    }


def deployment(**spec: Any) -> Body:
    return workload("Deployment", **spec)


def controller(**spec: Any) -> Body:
    spec = {"selector": {"app": "x"}, "template": TEMPLATE, **spec}
    return {"apiVersion": "v1", "kind": "ReplicationController", "spec": spec}


def rolling(kind: str, key: str, **rolling: Any) -> Body:
    return workload(kind, **{key: {"type": "RollingUpdate", "rollingUpdate": rolling}})


def revision(**fields: Any) -> Body:
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {}, **fields}


NEW: dict[str, tuple[Body, list[str]]] = {
    "unreadable selector": (
        deployment(selector=UNREADABLE),
        [OPERATOR, f"spec.selector: Invalid value: {SHOWN}: invalid label selector"],
    ),
    "empty selector of a replica set": (
        workload("ReplicaSet", selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ),
    "controller without a template": (
        controller(template=None),
        ["spec.template: Required value"],
    ),
    "controller of nothing": (
        controller(selector=None, template=None),
        ["spec.selector: Required value", "spec.template: Required value"],
    ),
    "unreadable selector of a controller": (
        controller(selector={"a b": "c"}),
        [f'spec.template.metadata.labels: Invalid value: {{"app":"x"}}: {MISMATCH}'],
    ),
    "recreated": (deployment(strategy={"type": "Recreate"}), []),
    "recreated and rolling": (
        deployment(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ),
    "unknown strategy": (
        deployment(strategy={"type": "X"}),
        [
            'spec.strategy: Unsupported value: {"Type":"X","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"'
        ],
    ),
    "bad percentage": (
        rolling("Deployment", "strategy", maxSurge="1", maxUnavailable="x%"),
        [
            f'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "x%": {PERCENT}',
            f'spec.strategy.rollingUpdate.maxSurge: Invalid value: "1": {PERCENT}',
        ],
    ),
    "all at once": (
        deployment(replicas=-1, minReadySeconds=-2, revisionHistoryLimit=-3, progressDeadlineSeconds=-4),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
            "spec.revisionHistoryLimit: Invalid value: -3: must be greater than or equal to 0",
            "spec.progressDeadlineSeconds: Invalid value: -4: must be greater than or equal to 0",
            "spec.progressDeadlineSeconds: Invalid value: -4: must be greater than minReadySeconds",
        ],
    ),
    "deadline of pods": (
        deployment(template={**TEMPLATE, "spec": {**POD, "activeDeadlineSeconds": 5}}),
        [
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
        ],
    ),
    "daemon set without selector": (
        workload("DaemonSet", selector=None),
        [f'spec.template.metadata.labels: Invalid value: {{"app":"x"}}: {MISMATCH}'],
    ),
    "daemon set with an unreadable selector": (workload("DaemonSet", selector=UNREADABLE), [OPERATOR]),
    "daemon set, empty selector": (
        workload("DaemonSet", selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    ),
    "daemon set strategy": (
        workload("DaemonSet", updateStrategy={"type": "X"}, minReadySeconds=-1, revisionHistoryLimit=-1),
        [
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            'spec.updateStrategy: Unsupported value: {"Type":"X","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete"',
            "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    "daemon set moves nothing": (
        rolling("DaemonSet", "updateStrategy", maxUnavailable=0),
        ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    ),
    "daemon set far above all": (
        rolling("DaemonSet", "updateStrategy", maxUnavailable="9" * 5000 + "%"),
        [
            f'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "{"9" * 5000}%": must not be greater than 100%'
        ],
    ),
    "daemon set above all": (
        rolling("DaemonSet", "updateStrategy", maxUnavailable="101%", maxSurge=-1),
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0",
            'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: -1: may not be set when maxUnavailable is non-zero",
        ],
    ),
    "stateful set policy": (
        workload("StatefulSet", podManagementPolicy="X"),
        ["spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'"],
    ),
    "stateful set strategy": (
        workload("StatefulSet", updateStrategy={"type": "X"}),
        [
            'spec.updateStrategy: Invalid value: {"Type":"X","RollingUpdate":null}: must be \'RollingUpdate\' or \'OnDelete\''
        ],
    ),
    "stateful set rolls on delete": (
        workload("StatefulSet", updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
        [
            'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for '
            "updateStrategy 'RollingUpdate'"
        ],
    ),
    "stateful set rolling": (
        rolling("StatefulSet", "updateStrategy", partition=-1, maxUnavailable=0),
        [
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"
        ],
    ),
    "stateful set retention": (
        workload("StatefulSet", persistentVolumeClaimRetentionPolicy={"whenDeleted": "X"}),
        [
            'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "X": supported values: "Retain", "Delete"'
        ],
    ),
    "stateful set selector": (
        workload(
            "StatefulSet",
            selector=UNREADABLE,
            template={**TEMPLATE, "spec": {**POD, "restartPolicy": "Never"}},
        ),
        [
            OPERATOR,
            f"spec.selector: Invalid value: {SHOWN}",
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ],
    ),
    "stateful set counts": (
        workload("StatefulSet", replicas=-1, minReadySeconds=-1, ordinals={"start": -1}),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    "stateful set service": (
        workload("StatefulSet", serviceName="a.b"),
        ['spec.serviceName: Invalid value: "a.b": must not contain dots'],
    ),
    "stateful set history without end": (workload("StatefulSet", revisionHistoryLimit=-1), []),
    "revision": (
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": -1},
        [
            "revision: Invalid value: -1: must be greater than or equal to 0",
            "data: Required value: data is mandatory",
        ],
    ),
    "stateful set in order": (
        workload(
            "StatefulSet",
            volumeClaimTemplates=[{"metadata": {"name": "V"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
            replicas=-1,
            serviceName="A",
            template={
                **TEMPLATE,
                "spec": {
                    **POD,
                    "hostname": "A",
                    "subdomain": "A",
                    "volumes": [{"name": "v", "hostPath": {}}],
                },
            },
        ),
        [
            "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            f'spec.serviceName: Invalid value: "A": {LABEL}',
            f'spec.template.spec.volumes[0].name: Invalid value: "V": {LABEL}',
            "spec.template.spec.volumes[1].hostPath.path: Required value",
        ],
    ),
    "stateful set whose claim takes a volume's place": (
        workload(
            "StatefulSet",
            volumeClaimTemplates=[{"metadata": {"name": "v"}, "spec": CLAIM}],
            template={**TEMPLATE, "spec": {**POD, "volumes": [{"name": "v"}]}},
        ),
        [],
    ),
    "stateful set of labels": (
        workload(
            "StatefulSet",
            template={**TEMPLATE, "metadata": {"labels": {"app": "x", "b": "?"}, "annotations": {"?": "a"}}},
        ),
        [
            f'spec.template.labels: Invalid value: "?": {LABEL_VALUE}',
            f'spec.template.annotations: Invalid value: "?": {NAME_PART}',
        ]
        * 2,
    ),
    "revision of a list": (revision(data=[]), ["data: Required value: data must be a valid JSON object"]),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


MOVED = {"matchLabels": {"app": "y"}}
FIXED = 'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable'
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "replica set selector": (
        workload("ReplicaSet"),
        workload("ReplicaSet", selector=MOVED, template=OTHER),
        [FIXED],
    ),
    "replica set count, told twice": (
        workload("ReplicaSet"),
        workload("ReplicaSet", replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"] * 2,
    ),
    "daemon set seconds, told twice": (
        workload("DaemonSet"),
        workload("DaemonSet", minReadySeconds=-1),
        ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"] * 2,
    ),
    "controller template, told twice": (
        controller(),
        controller(template=None),
        ["spec.template: Required value"] * 2,
    ),
    "daemon set selector, told between": (
        workload("DaemonSet"),
        workload("DaemonSet", minReadySeconds=-1, selector=MOVED, template=OTHER),
        [
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            FIXED,
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    "stateful set of no count may have any template": (
        workload("StatefulSet", replicas=-1),
        workload("StatefulSet", replicas=-1, template={**TEMPLATE, "spec": {}}),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "revision without data": (revision(data=None), revision(data=None, revision=1), []),
    "deployment count, told once": (
        deployment(),
        deployment(replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "selector taken away": (
        deployment(),
        deployment(selector=None),
        [
            "spec.selector: Required value",
            f'spec.template.metadata.labels: Invalid value: {{"app":"x"}}: {MISMATCH}',
            "spec.selector: Invalid value: null: field is immutable",
        ],
    ),
    "stateful set history": (workload("StatefulSet"), workload("StatefulSet", revisionHistoryLimit=1), []),
    "stateful set policy": (
        workload("StatefulSet"),
        workload("StatefulSet", podManagementPolicy="Parallel"),
        [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ],
    ),
    "stateful set service of old": (
        workload("StatefulSet", serviceName="A.b"),
        workload("StatefulSet", serviceName="A.b", replicas=2),
        [],
    ),
    "stateful set template of old": (
        workload("StatefulSet", template={**TEMPLATE, "spec": {}}),
        workload("StatefulSet", template={**TEMPLATE, "spec": {}}, replicas=2),
        [],
    ),
    "stateful set template": (
        workload("StatefulSet"),
        workload("StatefulSet", template={**TEMPLATE, "spec": {}}),
        ["spec.template.spec.containers: Required value"],
    ),
    "revision numbered": (revision(revision=1), revision(revision=2), []),
    "revision rewritten": (
        revision(),
        revision(data={"a": 1}),
        ['data: Invalid value: {"a":1}: field is immutable'],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


STATUS: dict[str, tuple[Body, Body, Body, list[str]]] = {
    "fine": (deployment(), {}, {"replicas": 2, "readyReplicas": 1}, []),
    "deployment": (
        deployment(),
        {"collisionCount": 2},
        {"replicas": 1, "updatedReplicas": 2, "availableReplicas": 3, "unavailableReplicas": -1},
        [
            "status.unavailableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            "status.collisionCount: Invalid value: 0: cannot be decremented",
        ],
    ),
    "replica set": (
        workload("ReplicaSet"),
        {},
        {"replicas": 1, "fullyLabeledReplicas": 2},
        ["status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas"],
    ),
    "stateful set": (
        workload("StatefulSet"),
        {},
        {"replicas": 1, "currentReplicas": 2, "availableReplicas": 1},
        [
            "status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
        ],
    ),
    "daemon set": (
        workload("DaemonSet"),
        {"collisionCount": 1},
        {"numberReady": -1, "collisionCount": 0},
        [
            "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
            "status.collisionCount: Invalid value: 0: cannot be decremented",
        ],
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


DOTS = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
    "recommended: [must not contain dots]"
)


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
def test_names_that_pods_take_over(kind: str, warnings_of: Callable[[Body], list[str]]) -> None:
    assert warnings_of({**workload(kind), "metadata": {"name": "a.b"}}) == [DOTS]
    assert warnings_of({**workload(kind), "metadata": {"name": "a"}}) == []


def test_how_many_may_be_missing(
    kept_of_new: Callable[[Body], Body], kept_of_change: Callable[[Body, Body], Body]
) -> None:
    """A StatefulSet keeps what it had of old; nobody asks for it anew."""
    strategy = strategy_for(GVK("apps", "v1", "StatefulSet"))
    new, old = (rolling("StatefulSet", "updateStrategy", partition=1, maxUnavailable=0) for _ in "12")
    kept = kept_of_change(old, new)
    assert list(map(str, strategy.validate_update(kept, kept))) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"
    ]
    for gone in (kept_of_change(workload("StatefulSet"), new), kept_of_new(old)):
        assert gone["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 1}


def test_amounts_of_claims(
    warnings_of: Callable[[Body], list[str]], warnings_of_change: Callable[[Body, Body], list[str]]
) -> None:
    claim = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1.5"}}}}
    sets = workload("StatefulSet", volumeClaimTemplates=[claim])
    text = 'resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'
    assert warnings_of(sets) == [f"spec.volumeClaimTemplates[0].{text}"]
    assert warnings_of_change(sets, sets) == [f"spec.volumeClaimTemplates[0].Spec.{text}"]


def test_history_without_end(warnings_of: Callable[[Body], list[str]]) -> None:
    assert warnings_of(workload("StatefulSet", revisionHistoryLimit=-1)) == [
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    ]


def annotated(**annotations: str) -> Body:
    return {**deployment(), "metadata": {"name": "x", "generation": 3, "annotations": annotations}}


def test_annotations_of_deployments_are_a_change(kept_of_change: Callable[[Body, Body], Body]) -> None:
    assert kept_of_change(annotated(), annotated(a="b"))["metadata"]["generation"] == 4
    assert kept_of_change(annotated(a="b"), annotated(a="b"))["metadata"]["generation"] == 3


@pytest.mark.parametrize(("given", "expected"), [("7", "7"), ("0", "1"), ("-3", "1"), (None, "1")])
def test_the_template_starts_at_what_it_is_given(
    given: str | None, expected: str, kept_of_new: Callable[[Body], Body]
) -> None:
    key = "deprecated.daemonset.template.generation"
    metadata = {"name": "x", "annotations": {key: given} if given else {}}
    new = kept_of_new({**workload("DaemonSet"), "metadata": metadata})
    assert new["metadata"]["annotations"] == {key: expected}
