"""Quotas that count some pods only: who ends by a deadline, who asks for nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Typed, eventually

HARD = {
    "requests.cpu": "1",
    "requests.memory": "500Mi",
    "limits.cpu": "2",
    "limits.memory": "1Gi",
    "pods": "5",
}
USED = {
    "pods": "1", "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1",
    "limits.memory": "400Mi",
}  # fmt: skip
NONE = dict.fromkeys(USED, "0")
SIZE = {"requests": {"cpu": "500m", "memory": "200Mi"}, "limits": {"cpu": "1", "memory": "400Mi"}}


class Quotas:
    """Two quotas of one namespace, and its pods."""

    def __init__(self, api: Any, namespace: str, hard: Object, *scopes: str) -> None:
        self.quotas = Typed(api, "v1", "resourcequotas", namespace)
        self.pods = Typed(api, "v1", "pods", namespace)
        for scope in scopes:
            meta = {"name": scope.lower()}
            spec = {"hard": hard, "scopes": [scope]}
            self.quotas.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec})
            self.used(scope, dict.fromkeys(hard, "0"))

    def used(self, scope: str, amounts: Object) -> None:
        self.quotas.until(scope.lower(), lambda found: found.get("status", {}).get("used") == amounts)

    def pod(self, resources: Object | None = None, **spec: Any) -> None:
        container = {"name": "pause", "image": "pause", "resources": resources or {}}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "test-pod"}}
        self.pods.create(made | {"spec": {"containers": [container], **spec}})

    def gone(self) -> None:
        self.pods.delete("test-pod", gracePeriodSeconds=0)
        eventually(lambda: self.pods.gone("test-pod"))


@pytest.mark.parametrize(
    ("spec", "counts", "other"),
    [
        ({}, "NotTerminating", "Terminating"),
        ({"activeDeadlineSeconds": 3600}, "Terminating", "NotTerminating"),
    ],
    ids=["a long running pod", "a terminating pod"],
)
def test_by_deadline(api: Any, namespace: str, spec: Object, counts: str, other: str) -> None:
    quotas = Quotas(api, namespace, HARD, "Terminating", "NotTerminating")
    quotas.pod(SIZE, **spec)
    quotas.used(counts, USED)
    quotas.used(other, NONE)
    quotas.gone()
    quotas.used(counts, NONE)


@pytest.mark.parametrize(
    ("resources", "counts", "other"),
    [(None, "BestEffort", "NotBestEffort"), (SIZE, "NotBestEffort", "BestEffort")],
    ids=["a best-effort pod", "a burstable pod"],
)
def test_by_quality(api: Any, namespace: str, resources: Object | None, counts: str, other: str) -> None:
    quotas = Quotas(api, namespace, {"pods": "5"}, "BestEffort", "NotBestEffort")
    quotas.pod(resources)
    quotas.used(counts, {"pods": "1"})
    quotas.used(other, {"pods": "0"})
    quotas.gone()
    quotas.used(counts, {"pods": "0"})
