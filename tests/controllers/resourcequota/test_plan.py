from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.resourcequota.plan import (
    differs,
    frees_room,
    kind_counted,
    kinds_counted,
    plan_status,
)

PODS = ("", "pods")
CLAIMS = ("resource.k8s.io", "resourceclaims")
DEVICES = "gpu.deviceclass.resource.k8s.io/devices"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(phase="Running", cpu=None, **spec):
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [container], **spec},
        "status": {"phase": phase},
    }


def quota(hard, **spec):
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pods", PODS),
        ("requests.cpu", PODS),
        ("limits.memory", PODS),
        ("requests.nvidia.com/gpu", PODS),
        ("hugepages-2Mi", PODS),
        ("requests.storage", ("", "persistentvolumeclaims")),
        ("gold.storageclass.storage.k8s.io/requests.storage", ("", "persistentvolumeclaims")),
        ("services.nodeports", ("", "services")),
        ("secrets", ("", "secrets")),
        ("count/replicasets.apps", ("apps", "replicasets")),
        ("count/secrets", ("", "secrets")),
        (DEVICES, CLAIMS),
        ("fruit", None),
    ],
)
def test_kind_counted(name, kind):
    assert kind_counted(name) == kind


def test_kinds_counted_skips_the_unknown():
    assert kinds_counted(quota({"pods": "1", "cpu": "1", "fruit": "2"})) == {PODS}


def test_everything_declared_is_counted_from_zero():
    status = plan_status(quota({"pods": "5", "cpu": "1", "memory": "1Gi", "fruit": "2"}), {PODS: []}, NOW)
    assert status["used"] == {"cpu": "0", "memory": "0", "pods": "0"}


def test_ended_pods_hold_no_room():
    pods = [pod(cpu="100m"), pod(cpu="200m"), pod("Succeeded", cpu="1")]
    assert plan_status(quota({"pods": "5", "cpu": "1"}), {PODS: pods}, NOW)["used"] == {
        "cpu": "300m",
        "pods": "2",
    }


@pytest.mark.parametrize(("late_s", "grace_s", "count"), [(31, 30, "0"), (29, 30, "1"), (31, None, "1")])
def test_pods_of_lost_nodes_hold_no_room(late_s, grace_s, count):
    meta = {"deletionTimestamp": rfc3339(NOW - timedelta(seconds=late_s))}
    if grace_s is not None:
        meta["deletionGracePeriodSeconds"] = grace_s
    item = {**pod(), "metadata": {"name": "p", **meta}}
    hard = {"pods": "5", "count/pods": "5"}
    assert plan_status(quota(hard), {PODS: [item]}, NOW)["used"] == {"pods": count, "count/pods": "1"}


def test_devices_are_counted():
    claim = {"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "gpu", "count": 2}}]}}}
    assert plan_status(quota({DEVICES: "5"}), {CLAIMS: [claim]}, NOW)["used"] == {DEVICES: "2"}


GPU, IMPLICIT = "requests.example.com/gpu", "requests.deviceclass.resource.kubernetes.io/gpu"
CLASSES = [
    {"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}},
    {"metadata": {"name": "plain"}, "spec": {}},
]


def device_claim(name="c", count=1, owner="", made="2026-01-01T00:00:00Z", device_class="gpu"):
    meta = {"name": name, "creationTimestamp": made}
    if owner:
        meta["annotations"] = {"resource.kubernetes.io/extended-resource-claim": "true"}
        meta["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": f"uid-{owner}", "controller": True}
        ]
    asked = {"deviceClassName": device_class, "count": count}
    return {"metadata": meta, "spec": {"devices": {"requests": [{"exactly": asked}]}}}


def gpu_pod(name="p", resource="example.com/gpu", claim=""):
    status = {
        "phase": "Running",
        **({"extendedResourceClaimStatus": {"resourceClaimName": claim}} if claim else {}),
    }
    container = {"name": "c", "resources": {"requests": {resource: "1"}}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"containers": [container]},
        "status": status,
    }


@pytest.mark.parametrize(
    ("pods", "claims", "want"),
    [
        ([], [device_claim(count=2)], ("2", "2", "2")),
        ([gpu_pod()], [], ("0", "1", "0")),
        ([gpu_pod()], [device_claim(owner="p")], ("1", "1", "1")),
        ([gpu_pod(resource=IMPLICIT.removeprefix("requests."))], [device_claim(owner="p")], ("1", "1", "1")),
        ([gpu_pod()], [device_claim(owner="gone")], ("1", "2", "1")),
        ([gpu_pod(claim="c")], [device_claim(owner="p")], ("1", "1", "1")),
        ([gpu_pod(claim="other")], [device_claim(owner="p")], ("1", "2", "1")),
        ([gpu_pod()], [device_claim("a", owner="p"), device_claim("b", owner="p")], ("2", "2", "2")),
        ([gpu_pod()], [device_claim(count=3, owner="p")], ("3", "3", "3")),
    ],
)
def test_devices_count_under_the_names_of_extended_resources(pods, claims, want):
    hard = {DEVICES: "9", GPU: "9", IMPLICIT: "9"}
    assert kinds_counted(quota({GPU: "9"})) == kinds_counted(quota({IMPLICIT: "9"})) == {PODS, CLAIMS}
    used = plan_status(quota(hard), {PODS: pods, CLAIMS: claims}, NOW, CLASSES)["used"]
    assert used == dict(zip((DEVICES, GPU, IMPLICIT), want, strict=True))


def test_devices_of_classes_that_are_not_there_count_under_no_other_name():
    name = "requests.deviceclass.resource.kubernetes.io/gone"
    objects = {PODS: [], CLAIMS: [device_claim(device_class="gone"), device_claim(device_class="plain")]}
    assert plan_status(quota({name: "9", GPU: "9"}), objects, NOW, CLASSES)["used"] == {name: "0", GPU: "0"}
    assert plan_status(quota({GPU: "9"}), {PODS: [], CLAIMS: [device_claim()]}, NOW)["used"] == {GPU: "0"}


def test_scopes():
    pods = [pod(cpu="100m"), pod(), pod(activeDeadlineSeconds=10)]
    for scope, count in {"BestEffort": "2", "NotBestEffort": "1", "Terminating": "1"}.items():
        counted = plan_status(quota({"pods": "5"}, scopes=[scope]), {PODS: pods}, NOW)
        assert counted["used"] == {"pods": count}


def test_notation_is_no_difference():
    assert not differs({"hard": {"cpu": "1000m"}, "used": {}}, {"hard": {"cpu": "1"}, "used": {}})
    assert differs({}, {"hard": {"cpu": "1"}, "used": {"cpu": "0"}})


def test_what_frees_room():
    running, ended = pod(), pod("Failed")
    assert not frees_room(PODS, None, running)
    assert frees_room(PODS, running, None)
    assert frees_room(PODS, running, ended)
    assert not frees_room(PODS, running, running)


def test_what_cannot_be_counted_now_stays_as_it_was():
    hard = {"pods": "3", "count/foos.example.com": "5", "count/bars.example.com": "5"}
    counted = quota(hard)
    counted["status"] = {"hard": hard, "used": {"pods": "3", "count/foos.example.com": "2", "secrets": "1"}}
    status = plan_status(counted, {PODS: [pod()]}, NOW)
    assert status == {"hard": hard, "used": {"count/foos.example.com": "2", "pods": "1"}}
