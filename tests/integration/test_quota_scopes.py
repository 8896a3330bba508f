"""Quotas that count some pods only: who ends by a deadline, who asks for nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Refused, Typed, eventually

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
            self.add(scope.lower(), {"hard": hard, "scopes": [scope]})
            self.used(scope, dict.fromkeys(hard, "0"))

    def add(self, name: str, spec: Object) -> None:
        meta = {"name": name}
        self.quotas.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec})

    def used(self, scope: str, amounts: Object) -> None:
        self.quotas.until(scope.lower(), lambda found: found.get("status", {}).get("used") == amounts)

    def pod(self, resources: Object | None = None, name: str = "test-pod", **spec: Any) -> None:
        container = {"name": "pause", "image": "pause", "resources": resources or {}}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
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


def priority(operator: str, *values: str) -> Object:
    wanted = {"scopeName": "PriorityClass", "operator": operator} | ({"values": [*values]} if values else {})
    return {"scopeSelector": {"matchExpressions": [wanted]}}


AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
    {"labelSelector": {"matchLabels": {"foo": "bar"}}, "namespaces": ["other"], "topologyKey": "a"}
]}}  # fmt: skip
HUGE = {"requests": {"cpu": "100m", "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}}


@pytest.mark.parametrize(
    ("quota", "uncounted", "counted"),
    [
        (priority("In", "one"), {}, {"priorityClassName": "one"}),
        (priority("In", "one", "two"), {}, {"priorityClassName": "two"}),
        (priority("NotIn", "one"), {"priorityClassName": "one"}, {"priorityClassName": "two"}),
        (priority("Exists"), {}, {"priorityClassName": "one"}),
        ({"scopes": ["CrossNamespacePodAffinity"]}, {}, {"affinity": AFFINITY}),
    ],
    ids=["a class", "classes", "other classes", "any class", "affinity"],
)
def test_by_what_pods_ask_for(
    api: Any, namespace: str, quota: Object, uncounted: Object, counted: Object
) -> None:
    quotas = Quotas(api, namespace, {})
    classes = Typed(api, "scheduling.k8s.io/v1", "priorityclasses")
    for name in {"one", "two"} - {found["metadata"]["name"] for found in classes.list()["items"]}:
        made = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        classes.create({**made, "value": 1000})
    quotas.add("q", {"hard": {"pods": "1"}, **quota})
    quotas.used("q", {"pods": "0"})
    quotas.pod(name="uncounted", **uncounted)
    quotas.pod(name="counted", **counted)
    quotas.used("q", {"pods": "1"})
    with pytest.raises(Refused, match="exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        quotas.pod(name="more", **counted)
    quotas.pod(name="another", **uncounted)


def test_who_has_ended_counts_as_an_object_only(api: Any, namespace: str) -> None:
    quotas = Quotas(api, namespace, {})
    hard = {"pods": "10", "requests.cpu": "10", "count/pods": "10", "requests.hugepages-2Mi": "2Mi"}
    quotas.add("q", {"hard": hard})
    quotas.used("q", {"pods": "0", "requests.cpu": "0", "count/pods": "0", "requests.hugepages-2Mi": "0"})
    quotas.pod(HUGE)
    used = {"count/pods": "1", "pods": "1", "requests.cpu": "100m", "requests.hugepages-2Mi": "2Mi"}
    quotas.used("q", used)
    with pytest.raises(Refused, match=r"requested: requests\.hugepages-2Mi=2Mi"):
        quotas.pod(HUGE, name="more")
    ended = {"phase": "Succeeded"}
    quotas.pods.patch("test-pod", {"status": ended}, subresource="status")
    quotas.used("q", {**dict.fromkeys(used, "0"), "count/pods": "1"})
