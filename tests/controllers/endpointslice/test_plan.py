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
    # The ports of nobody are unknown: the slice that is left over becomes one without any.
    (changed,) = planned.update
    assert (planned.create, planned.delete) == ([], [])
    assert (changed["metadata"]["name"], changed["endpoints"], changed["ports"]) == ("web-0", [], [])
    again = plan(service(), [], [changed])
    assert (again.create, again.update, again.delete) == ([], [], [])


def filled(*sizes):
    """Slices with so many pods each, and those pods."""
    slices, pods, number = [], [], 1
    for index, size in enumerate(sizes):
        mine = [pod(number + n) for n in range(size)]
        (made,) = plan(service(), mine, []).create
        made["metadata"]["name"] = f"web-{index}"
        slices.append(made)
        pods += mine
        number += size
    return slices, pods


@pytest.mark.parametrize(
    ("sizes", "gone", "fresh", "writes", "after"),
    [
        pytest.param([99, 99, 99], 0, 3, (1, 0, 0), [3, 99, 99, 99], id="no slice takes all: a new one"),
        pytest.param([90, 95, 40], 0, 5, (0, 1, 0), [40, 90, 100], id="the fullest that takes all"),
        pytest.param(
            [90, 97, 40], 0, 5, (0, 1, 0), [40, 95, 97], id="the fullest that does not take all is left"
        ),
        pytest.param([100, 50], 1, 1, (0, 1, 0), [50, 100], id="into the slice that changes anyway"),
        pytest.param([100, 50], 1, 10, (0, 2, 0), [59, 100], id="what is left goes into another"),
        pytest.param([100, 100], 0, 150, (2, 0, 0), [50, 100, 100, 100], id="more than a slice takes"),
        pytest.param([1, 60], 1, 0, (0, 0, 1), [60], id="a slice without anybody goes"),
        pytest.param([1, 100], 1, 5, (0, 1, 0), [5, 100], id="a slice to go is used again"),
    ],
)
def test_few_writes(sizes, gone, fresh, writes, after):
    slices, pods = filled(*sizes)
    planned = plan(service(), [*pods[gone:], *(pod(1000 + n) for n in range(fresh))], slices)
    assert (len(planned.create), len(planned.update), len(planned.delete)) == writes
    touched = {item["metadata"]["name"] for item in (*planned.update, *planned.delete)}
    left = [item for item in slices if item["metadata"]["name"] not in touched]
    found = sorted(len(item["endpoints"]) for item in (*left, *planned.update, *planned.create))
    assert found == after


def test_another_port_changes_slices_in_place():
    slices, pods = filled(100, 30)
    moved = service(ports=[{"name": "http", "port": 80, "targetPort": 9090, "protocol": "TCP"}])
    planned = plan(moved, pods, slices)
    assert (planned.create, planned.delete) == ([], [])
    assert sorted((len(item["endpoints"]), item["ports"][0]["port"]) for item in planned.update) == [
        (30, 9090),
        (100, 9090),
    ]


def test_slices_of_a_former_service_are_not_used_again():
    slices, _ = filled(2)
    slices[0]["metadata"]["ownerReferences"][0]["uid"] = "former"
    planned = plan(service(), [], slices)
    assert (len(planned.create), planned.update, planned.delete) == (1, [], slices)


def test_of_empty_slices_one_is_enough():
    (empty,) = plan(service(), [], []).create
    slices = [{**empty, "metadata": {**empty["metadata"], "name": f"web-{n}"}} for n in range(3)]
    planned = plan(service(), [], slices)
    assert (planned.create, planned.update, len(planned.delete)) == ([], [], 2)


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


@pytest.mark.parametrize(
    ("zones", "spec", "addresses"),
    [
        (None, {}, 1),
        ({"n1": ""}, {}, 1),
        ({}, {}, 0),
        ({}, {"publishNotReadyAddresses": True}, 1),
    ],
    ids=["nodes are not known", "there", "gone", "gone, and published all the same"],
)
def test_a_pod_of_a_node_that_is_gone_is_left_out(zones, spec, addresses):
    (made,) = plan(service(**spec), [pod(1)], [], zones).create
    assert len(made["endpoints"]) == addresses
