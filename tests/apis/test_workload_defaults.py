"""Defaults of workloads and of the pods they are to make, one named case each."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.test_defaults import defaulted
from tests.apis.test_strategies import TEMPLATE, kind

POD_SPEC_DEFAULTS = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "securityContext": {},
}

WORKLOADS = {
    "deployment": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE}),
        {
            "replicas": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
    ),
    "deployment recreate": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE, "strategy": {"type": "Recreate"}}),
        {"strategy": {"type": "Recreate"}},
    ),
    "deployment of zero": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE, "replicas": 0}),
        {"replicas": 0},
    ),
    "deployment surge kept": (
        kind(
            "apps/v1",
            "Deployment",
            spec={"template": TEMPLATE, "strategy": {"rollingUpdate": {"maxSurge": 0}}},
        ),
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}},
    ),
    "replica set": (kind("apps/v1", "ReplicaSet", spec={"template": TEMPLATE}), {"replicas": 1}),
    "daemon set": (
        kind("apps/v1", "DaemonSet", spec={"template": TEMPLATE}),
        {
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
        },
    ),
    "stateful set": (
        kind("apps/v1", "StatefulSet", spec={"template": TEMPLATE}),
        {
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": 0},
            },
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "replicas": 1,
            "revisionHistoryLimit": 10,
        },
    ),
    "job": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE}),
        {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
            "manualSelector": False,
        },
    ),
    "job work queue": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "parallelism": 3}),
        {"parallelism": 3},
    ),
    "job indexed retries": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "completions": 2, "backoffLimitPerIndex": 1}),
        {"completions": 2, "parallelism": 1, "backoffLimit": 2147483647},
    ),
    "job failure policy": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "podFailurePolicy": {"rules": []}}),
        {"podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": None}},
    ),
    "job failure policy of nothing": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "podFailurePolicy": {}}),
        {"podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": None}},
    ),
    "cron job": (
        kind("batch/v1", "CronJob", spec={"jobTemplate": {"spec": {"template": TEMPLATE}}}),
        {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    ),
    "replication controller": (
        kind("v1", "ReplicationController", spec={"template": TEMPLATE}),
        {"replicas": 1, "selector": {"app": "x"}},
    ),
}


@pytest.mark.parametrize(("obj", "expected"), WORKLOADS.values(), ids=WORKLOADS)
def test_workload_specs(obj: dict[str, Any], expected: dict[str, Any]) -> None:
    spec = defaulted(obj)["spec"]
    assert {key: spec.get(key) for key in expected} == expected
    template = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
    pod = template["spec"]
    assert {key: pod.get(key) for key in POD_SPEC_DEFAULTS} == POD_SPEC_DEFAULTS
    assert pod["containers"] == [
        {
            "name": "c",
            "image": "nginx",
            "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "resources": {},
        }
    ]


@pytest.mark.parametrize(("obj", "_expected"), WORKLOADS.values(), ids=WORKLOADS)
def test_defaulting_settles(obj: dict[str, Any], _expected: dict[str, Any]) -> None:
    once = defaulted(obj)
    assert defaulted(once) == once


def test_work_queue_job_has_no_completions() -> None:
    assert "completions" not in defaulted(WORKLOADS["job work queue"][0])["spec"]
