"""What a pod as a whole is given where that is said in part; what claims are filled with."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]
POD = strategy_for(GVK("", "v1", "Pod"))
CLAIM = strategy_for(GVK("", "v1", "PersistentVolumeClaim"))
HUGE = "hugepages-2Mi"


def container(requests: Body, limits: Body | None = None) -> Body:
    return {"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits or {}}}


RESOURCES: dict[str, tuple[list[Body], Body | None, Body]] = {
    "nothing said": ([container({"cpu": "1"})], None, {}),
    "nothing in it": ([container({"cpu": "1"})], {"limits": {}}, {"limits": {}}),
    "a request": (
        [container({"cpu": "1", "memory": "1Gi"}), container({"memory": "1Gi"})],
        {"requests": {"cpu": "4"}},
        {"requests": {"cpu": "4", "memory": "2Gi"}},
    ),
    "limits": (
        [container({"cpu": "1"})],
        {"limits": {"cpu": "2", "memory": "1Gi"}},
        {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
    ),
    "huge pages of containers": (
        [container({HUGE: "2Mi"}, {HUGE: "2Mi"}), container({HUGE: "4Mi"}, {HUGE: "4Mi"})],
        {"limits": {"cpu": "2"}},
        {"limits": {HUGE: "6Mi", "cpu": "2"}, "requests": {HUGE: "6Mi", "cpu": "2"}},
    ),
    "huge pages of the pod": (
        [container({HUGE: "2Mi"}, {HUGE: "2Mi"})],
        {"limits": {HUGE: "8Mi"}},
        {"limits": {HUGE: "8Mi"}, "requests": {HUGE: "8Mi"}},
    ),
    "what pods as a whole cannot have": (
        [container({"ephemeral-storage": "1Gi"})],
        {"requests": {"cpu": "1"}},
        {"requests": {"cpu": "1"}},
    ),
}


@pytest.mark.parametrize(("containers", "given", "expected"), RESOURCES.values(), ids=RESOURCES)
def test_resources_of_a_pod(containers: list[Body], given: Body | None, expected: Body) -> None:
    spec: Body = {"containers": copy_object(containers)}
    if given is not None:
        spec["resources"] = copy_object(given)
    pod = {"metadata": {"name": "p"}, "spec": spec}
    POD.default(pod)
    assert pod["spec"].get("resources", {}) == expected


OTHER = {"apiGroup": "a.b", "kind": "Populator", "name": "p"}
SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
SOURCES: dict[str, tuple[Body, Body | None, Body]] = {
    "nothing": ({}, None, {}),
    "old way": ({"dataSource": SNAPSHOT}, None, {"dataSource": SNAPSHOT, "dataSourceRef": SNAPSHOT}),
    "new way": ({"dataSourceRef": OTHER}, None, {"dataSource": OTHER, "dataSourceRef": OTHER}),
    "elsewhere": (
        {"dataSourceRef": {**OTHER, "namespace": "n"}},
        None,
        {"dataSourceRef": {**OTHER, "namespace": "n"}},
    ),
    "old way, of another kind": ({"dataSource": OTHER}, None, {}),
    "old way, as it was": (
        {"dataSource": OTHER},
        {"dataSource": OTHER},
        {"dataSource": OTHER, "dataSourceRef": OTHER},
    ),
}


@pytest.mark.parametrize(("given", "before", "expected"), SOURCES.values(), ids=SOURCES)
def test_sources_of_a_claim(given: Body, before: Body | None, expected: Body) -> None:
    claim = {"metadata": {"name": "c"}, "spec": copy_object(given)}
    if before is None:
        CLAIM.prepare_create(claim)
    else:
        CLAIM.prepare_update(claim, {"metadata": {"name": "c"}, "spec": before})
    assert claim["spec"] == expected
