import pytest

from tiphys.controllers.resourcequota.plan import (
    differs,
    frees_room,
    kind_counted,
    kinds_counted,
    plan_status,
)

PODS = ("", "pods")


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
        ("fruit", None),
    ],
)
def test_kind_counted(name, kind):
    assert kind_counted(name) == kind


def test_kinds_counted_skips_the_unknown():
    assert kinds_counted(quota({"pods": "1", "cpu": "1", "fruit": "2"})) == {PODS}


def test_everything_declared_is_counted_from_zero():
    status = plan_status(quota({"pods": "5", "cpu": "1", "memory": "1Gi", "fruit": "2"}), {PODS: []})
    assert status["used"] == {"cpu": "0", "memory": "0", "pods": "0"}


def test_ended_pods_hold_no_room():
    pods = [pod(cpu="100m"), pod(cpu="200m"), pod("Succeeded", cpu="1")]
    assert plan_status(quota({"pods": "5", "cpu": "1"}), {PODS: pods})["used"] == {"cpu": "300m", "pods": "2"}


def test_scopes():
    pods = [pod(cpu="100m"), pod(), pod(activeDeadlineSeconds=10)]
    for scope, count in {"BestEffort": "2", "NotBestEffort": "1", "Terminating": "1"}.items():
        counted = plan_status(quota({"pods": "5"}, scopes=[scope]), {PODS: pods})
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
