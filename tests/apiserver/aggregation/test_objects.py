"""What becomes of the APIServices of a server's own APIs."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.table import TABLE
from tiphys.apiserver.aggregation.objects import (
    AUTOMANAGED,
    by_priority,
    local_services,
    next_step,
    path_of,
)


def service(label: str = "", priority: int = 1) -> dict[str, Any]:
    labels = {"labels": {AUTOMANAGED: label}} if label else {}
    return {"metadata": {"name": "v1.a", **labels}, "spec": {"versionPriority": priority}}


ONCE, ALWAYS, OWN, CHANGED = service("onstart"), service("true"), service(), 7
STEPS: dict[str, tuple[Any, Any, bool, bool, str]] = {
    "neither there nor wanted": (None, None, False, False, ""),
    "made at the start": (None, ONCE, False, False, "create"),
    "made at the start, and taken away since": (None, ONCE, False, True, ""),
    "made whenever it is missing": (None, ALWAYS, False, True, "create"),
    "somebody's own": (OWN, None, True, False, ""),
    "somebody's own in the place of one": (service(priority=CHANGED), ALWAYS, True, False, ""),
    "in order": (ONCE, ONCE, True, False, ""),
    "of an older server": (ONCE, None, True, False, "delete"),
    "put right at the start": (service("onstart", CHANGED), ONCE, True, False, "update"),
    "changed since the start": (service("onstart", CHANGED), ONCE, True, True, ""),
    "came after the start": (service("onstart", CHANGED), ONCE, False, False, ""),
    "came after the start, for nothing": (ONCE, None, False, False, ""),
    "of a definition that went": (ALWAYS, None, False, True, "delete"),
    "of a definition, changed": (service("true", CHANGED), ALWAYS, False, True, "update"),
    "of a definition, wanted once": (service("true", CHANGED), ONCE, False, False, "update"),
    "of a definition, wanted once, and done": (service("true", CHANGED), ONCE, False, True, ""),
    "of the start, wanted always": (service("onstart", CHANGED), ALWAYS, True, False, "update"),
}


@pytest.mark.parametrize("name", STEPS)
def test_next_step(name: str) -> None:
    current, wanted, at_start, done, step = STEPS[name]
    assert next_step(current, wanted, at_start=at_start, done=done) == step


PRIORITIES = {
    "v1.": (18000, 1), "v1.apps": (17800, 15), "v1.events.k8s.io": (17750, 15),
    "v1.authentication.k8s.io": (17700, 15), "v1.authorization.k8s.io": (17600, 15),
    "v1.autoscaling": (17500, 15), "v2.autoscaling": (17500, 30), "v1.batch": (17400, 15),
    "v1.certificates.k8s.io": (17300, 15), "v1beta1.certificates.k8s.io": (17300, 9),
    "v1alpha1.certificates.k8s.io": (17300, 1), "v1.networking.k8s.io": (17200, 15),
    "v1beta1.networking.k8s.io": (17200, 9), "v1.policy": (17100, 15),
    "v1.rbac.authorization.k8s.io": (17000, 15), "v1.storage.k8s.io": (16800, 15),
    "v1beta1.storage.k8s.io": (16800, 9), "v1.admissionregistration.k8s.io": (16700, 15),
    "v1beta1.admissionregistration.k8s.io": (16700, 12), "v1alpha1.admissionregistration.k8s.io": (16700, 9),
    "v1.apiextensions.k8s.io": (16700, 15), "v1.scheduling.k8s.io": (16600, 15),
    "v1.coordination.k8s.io": (16500, 15), "v1beta1.coordination.k8s.io": (16500, 13),
    "v1alpha2.coordination.k8s.io": (16500, 12), "v1.node.k8s.io": (16300, 15),
    "v1.discovery.k8s.io": (16200, 15), "v1.resource.k8s.io": (16200, 20),
    "v1beta2.resource.k8s.io": (16200, 15), "v1beta1.resource.k8s.io": (16200, 9),
    "v1alpha3.resource.k8s.io": (16200, 1), "v1.flowcontrol.apiserver.k8s.io": (16100, 21),
    "v1alpha1.internal.apiserver.k8s.io": (16000, 9), "v1beta1.storagemigration.k8s.io": (15800, 9),
}  # fmt: skip


def test_priorities_of_local_services() -> None:
    """Nobody registers the group of APIServices: it is how the others are."""
    found = {
        one["metadata"]["name"]: (one["spec"]["groupPriorityMinimum"], one["spec"]["versionPriority"])
        for one in local_services(TABLE)
    }
    assert {name: found.get(name) for name in PRIORITIES} == PRIORITIES
    assert not [name for name in found if name.endswith("apiregistration.k8s.io")]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"group": "a.b", "version": "v1"}, "/apis/a.b/v1"),
        ({"version": "v1"}, "/api/v1"),
        ({"group": "", "version": "v1"}, "/api/v1"),
    ],
)
def test_paths(spec: dict[str, Any], path: str) -> None:
    assert path_of({"spec": spec}) == path


def test_whose_documents_count_first() -> None:
    def service(name: str, group: str, least: int, version: int) -> dict[str, Any]:
        spec = {"group": group, "groupPriorityMinimum": least, "versionPriority": version}
        return {"metadata": {"name": name}, "spec": spec}

    services = [
        service("FirstService", "Group1", 10, 5),
        service("SecondService", "Group2", 15, 3),
        service("FirstServiceInternal", "Group1", 16, 3),
        service("ThirdService", "Group3", 15, 3),
    ]
    names = [one["metadata"]["name"] for one in by_priority(reversed(services))]
    assert names == ["FirstService", "FirstServiceInternal", "SecondService", "ThirdService"]
