"""Faults of workloads: what creating and replacing them must refuse, with the API's texts."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.test_kind_validation import claim, created, kind

from tiphys.apimachinery.meta import GVK, gvk_of
from tiphys.apis.strategies import strategy_for

TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "x"}}


def apps(name: str, template: dict[str, Any] = TEMPLATE, **spec: Any) -> dict[str, Any]:
    return kind("apps/v1", name, spec={"selector": SELECTOR, "template": template, **spec})


def job(template: dict[str, Any] = ONCE, **spec: Any) -> dict[str, Any]:
    return kind("batch/v1", "Job", spec={"template": template, **spec})


def cron(template: dict[str, Any] = ONCE, **spec: Any) -> dict[str, Any]:
    inner = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": template}}, **spec}
    return kind("batch/v1", "CronJob", spec=inner)


OTHER_LABELS = {**TEMPLATE, "metadata": {"labels": {"app": "y"}}}
CREATE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "deployment": (apps("Deployment"), []),
    "replica set": (apps("ReplicaSet"), []),
    "stateful set": (apps("StatefulSet", serviceName="s"), []),
    "daemon set": (apps("DaemonSet"), []),
    "job": (job(), []),
    "cron job": (cron(), []),
    "labels do not match": (
        apps("Deployment", OTHER_LABELS),
        [
            'spec.template.metadata.labels: Invalid value: {"app":"y"}: `selector` does not match template '
            "`labels`"
        ],
    ),
    "no selector": (
        apps("Deployment", selector=None),
        [
            "spec.selector: Required value",
            'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
        ],
    ),
    "empty selector": (
        apps("Deployment", selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ),
    "bad selector operator": (
        apps("Deployment", selector={"matchExpressions": [{"key": "app", "operator": "X"}]}),
        [
            'spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator',
            'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"X"}]}: invalid label '
            "selector",
        ],
    ),
    "negative replicas": (
        apps("Deployment", replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "template restart policy": (
        apps("Deployment", ONCE),
        ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ),
    "template image": (
        apps("Deployment", {**TEMPLATE, "spec": {"containers": [{"name": "c"}]}}),
        ["spec.template.spec.containers[0].image: Required value"],
    ),
    "recreate with rolling": (
        apps("Deployment", strategy={"type": "Recreate", "rollingUpdate": {}}),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ),
    "nothing may move": (
        apps("Deployment", strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ),
    "deadline too early": (
        apps("Deployment", minReadySeconds=600),
        ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ),
    "daemon surge": (
        apps("DaemonSet", updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}),
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when "
            "maxUnavailable "
            "is non-zero"
        ],
    ),
    "stateful policy": (
        apps("StatefulSet", podManagementPolicy="X"),
        ["spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'"],
    ),
    "stateful claims are volumes": (
        apps(
            "StatefulSet",
            {
                **TEMPLATE,
                "spec": {
                    "containers": [
                        {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
                    ]
                },
            },
            volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": claim()["spec"]}],
        ),
        [],
    ),
    "job restart policy": (
        job(TEMPLATE),
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ),
    "indexed without completions": (
        job(completionMode="Indexed", parallelism=1),
        ["spec.completions: Required value: when completion mode is Indexed"],
    ),
    "job selector by hand": (
        job(selector={"matchLabels": {"a": "b"}}),
        [
            "spec.selector: Invalid value: "
            '{"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u"}}: '
            "`selector` not auto-generated",
            "spec.template.metadata.labels: Invalid value: "
            '{"app":"x","batch.kubernetes.io/controller-uid":"u",'
            '"batch.kubernetes.io/job-name":"x","controller-uid":"u","job-name":"x"}: `selector` does not '
            "match "
            "template `labels`",
        ],
    ),
    "failure policy restarts": (
        job(
            {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "OnFailure"}},
            podFailurePolicy={"rules": []},
        ),
        [
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when '
            "podFailurePolicy is specified"
        ],
    ),
    "schedule missing": (cron(schedule=""), ["spec.schedule: Required value"]),
    "schedule fields": (
        cron(schedule="* * * *"),
        ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'],
    ),
    "schedule zone": (
        cron(schedule="TZ=UTC * * * * *"),
        [
            'spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use '
            "timeZone field instead"
        ],
    ),
    "concurrency": (
        cron(concurrencyPolicy="X"),
        ['spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow", "Forbid", "Replace"'],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CREATE.values(), ids=CREATE)
def test_create(obj: dict[str, Any], expected: list[str]) -> None:
    new = created(obj)
    assert [str(fault) for fault in strategy_for(gvk_of(obj)).validate(new)] == expected


SAME_SELECTOR = 'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable'
REPLACE: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "deployment scaled": (apps("Deployment"), apps("Deployment", replicas=5), []),
    "deployment selector": (
        apps("Deployment"),
        apps("Deployment", OTHER_LABELS, selector={"matchLabels": {"app": "y"}}),
        [SAME_SELECTOR],
    ),
    "daemon set selector": (
        apps("DaemonSet"),
        apps("DaemonSet", OTHER_LABELS, selector={"matchLabels": {"app": "y"}}),
        [SAME_SELECTOR],
    ),
    "stateful service": (
        apps("StatefulSet", serviceName="a"),
        apps("StatefulSet", serviceName="b"),
        [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
            "'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' "
            "and "
            "'minReadySeconds' are forbidden"
        ],
    ),
    "stateful replicas": (apps("StatefulSet"), apps("StatefulSet", replicas=3), []),
    "job parallelism": (job(), job(parallelism=5, completions=1), []),
    "job completions": (
        job(),
        job(parallelism=1, completions=4),
        ["spec.completions: Invalid value: 4: field is immutable"],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), REPLACE.values(), ids=REPLACE)
def test_replace(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    found = strategy_for(gvk_of(new)).validate_update(created(new), created(old))
    assert [str(fault) for fault in found] == expected


def test_status_counts() -> None:
    strategy = strategy_for(GVK("apps", "v1", "Deployment"))
    found = strategy.validate_status_update({"status": {"replicas": 1, "readyReplicas": 2}}, {})
    assert [str(f) for f in found] == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"
    ]
