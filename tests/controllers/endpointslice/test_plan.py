"""Slices from services and pods: contents, grouping, and few writes."""

import pytest

from tiphys.apimachinery.meta import copy_object
from tiphys.controllers.endpointslice.plan import plan


def service(**spec):
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "d", "uid": "s", "labels": {"app": "web"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "10.0.0.1",
            "ipFamilies": ["IPv4"],
            "ports": ports,
            **spec,
        },
    }


def pod(number, ready=True, deleting=False, phase="Running", **spec):
    metadata = {"name": f"p{number}", "namespace": "d", "uid": f"u{number}", "labels": {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ip = f"10.1.{number // 250}.{number % 250}"
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": "n1",
            "containers": [{"ports": [{"name": "web", "containerPort": 9000}]}],
            **spec,
        },
        "status": {
            "phase": phase,
            "podIP": ip,
            "podIPs": [{"ip": ip}, {"ip": f"fd00::{number}"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def kept(planned):
    """What the API has after the plan was applied to nothing."""
    slices = copy_object(planned.create)
    for index, item in enumerate(slices):
        item["metadata"]["name"] = f"web-{index}"
    return slices


def test_a_slice_in_full():
    (made,) = plan(service(), [pod(1)], [], {"n1": "zone-a"}).create
    assert made["metadata"]["labels"] == {
        "app": "web",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made["metadata"]["generateName"] == "web-"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert made["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert made["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "d", "name": "p1", "uid": "u1"},
            "nodeName": "n1",
            "zone": "zone-a",
        }
    ]


@pytest.mark.parametrize(
    ("svc", "backend", "conditions"),
    [
        pytest.param({}, pod(1, ready=False), (False, False, False), id="unready"),
        pytest.param({}, pod(1, deleting=True), (False, True, True), id="leaving but serving"),
        pytest.param(
            {"publishNotReadyAddresses": True}, pod(1, ready=False), (True, False, False), id="published"
        ),
        pytest.param({}, pod(1, phase="Failed"), None, id="finished"),
    ],
)
def test_conditions(svc, backend, conditions):
    (made,) = plan(service(**svc), [backend], []).create
    found = [tuple(item["conditions"].values()) for item in made["endpoints"]]
    assert found == ([conditions] if conditions else [])


def test_named_ports_that_differ_make_slices_of_their_own():
    svc = service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    other = pod(2)
    other["spec"]["containers"][0]["ports"][0]["containerPort"] = 9001
    made = plan(svc, [pod(1), other], []).create
    assert sorted(item["ports"][0]["port"] for item in made) == [9000, 9001]


def test_both_families_and_headless():
    made = plan(service(ipFamilies=["IPv4", "IPv6"], clusterIP="None"), [pod(1)], []).create
    assert [item["addressType"] for item in made] == ["IPv4", "IPv6"]
    assert made[1]["endpoints"][0]["addresses"] == ["fd00::1"]
    assert made[0]["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_hostnames_need_the_right_subdomain():
    pods = [pod(1, hostname="a", subdomain="web"), pod(2, hostname="b", subdomain="else")]
    (made,) = plan(service(clusterIP="None"), pods, []).create
    assert [item.get("hostname") for item in made["endpoints"]] == ["a", None]


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (100, [100]), (101, [1, 100]), (250, [50, 100, 100])])
def test_a_hundred_to_a_slice(count, sizes):
    made = plan(service(), [pod(n) for n in range(1, count + 1)], []).create
    assert sorted(len(item["endpoints"]) for item in made) == sizes


def test_nothing_changed_writes_nothing():
    pods = [pod(n) for n in range(1, 150)]
    planned = plan(service(), pods, kept(plan(service(), pods, [])))
    assert (planned.create, planned.update, planned.delete) == ([], [], [])


def test_one_pod_gone_changes_one_slice_and_a_new_one_takes_its_room():
    pods = [pod(n) for n in range(1, 151)]
    slices = kept(plan(service(), pods, []))
    planned = plan(service(), pods[1:], slices)
    assert (planned.create, len(planned.update), planned.delete) == ([], 1, [])
    planned = plan(service(), [*pods[1:], pod(200)], slices)
    assert (planned.create, len(planned.update)) == ([], 1)


def test_the_last_pod_gone_leaves_an_empty_slice():
    slices = kept(plan(service(), [pod(1)], []))
    planned = plan(service(), [], slices)
    # The ports of nobody are unknown: the slice with ports goes, an empty one stands for the service.
    assert [item["endpoints"] for item in planned.create] == [[]]
    assert len(planned.delete) == 1
    again = plan(service(), [], kept(planned))
    assert (again.create, again.update, again.delete) == ([], [], [])


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName"}])
def test_services_without_pods_of_their_own_are_left_alone(spec):
    planned = plan(service(**spec), [pod(1)], [])
    assert (planned.create, planned.delete) == ([], [])


NEAR = {
    "nothing said": (None, True, None),
    "same zone": ("PreferSameZone", True, {"forZones": [{"name": "zone-a"}]}),
    "old name of it": ("PreferClose", True, {"forZones": [{"name": "zone-a"}]}),
    "same node": (
        "PreferSameNode",
        True,
        {"forNodes": [{"name": "n1"}], "forZones": [{"name": "zone-a"}]},
    ),
    "not ready": ("PreferSameZone", False, None),
}


@pytest.mark.parametrize(("distribution", "ready", "hints"), NEAR.values(), ids=NEAR)
def test_hints_of_traffic_distribution(distribution, ready, hints):
    wanted = service(trafficDistribution=distribution) if distribution else service()
    (made,) = plan(wanted, [pod(1, ready=ready)], [], {"n1": "zone-a"}).create
    assert made["endpoints"][0].get("hints") == hints


def test_hints_come_and_go_with_the_setting():
    slices = kept(plan(service(trafficDistribution="PreferSameZone"), [pod(1)], [], {"n1": "zone-a"}))
    (changed,) = plan(service(), [pod(1)], slices, {"n1": "zone-a"}).update
    assert "hints" not in changed["endpoints"][0]
