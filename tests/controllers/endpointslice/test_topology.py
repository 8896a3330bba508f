"""Which zones endpoints are for, by the processors of the zones."""

import pytest

from tiphys.client.kinds import NODES, SERVICES
from tiphys.client.kinds import PODS as POD_KIND
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslice.plan import plan
from tiphys.controllers.endpointslice.topology import hints_for, wants_hints, zone_shares


def node(zone, cpu="4", ready="True", **labels):
    return {
        "metadata": {
            "name": "n",
            "labels": {"topology.kubernetes.io/zone": zone, **labels} if zone else labels,
        },
        "status": {
            "allocatable": {"cpu": cpu} if cpu else {},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("a"), node("b"), node("b")], {"a": 1 / 3, "b": 2 / 3}),
        ([node("a", "1"), node("b", "3000m")], {"a": 0.25, "b": 0.75}),
        ([node("a"), node("b"), node("c", ready="False")], {"a": 0.5, "b": 0.5}),
        (
            [node("a"), node("b"), node("", **{"node-role.kubernetes.io/control-plane": ""})],
            {"a": 0.5, "b": 0.5},
        ),
        ([node("a"), node("a")], None),
        ([node("a"), node("")], None),
        ([node("a"), node("b", "")], None),
        ([], None),
    ],
    ids=["by nodes", "by size", "ready ones", "control plane", "one zone", "no zone", "no amount", "none"],
)
def test_shares(nodes, expected):
    assert zone_shares(nodes) == expected


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({"service.kubernetes.io/topology-mode": "Auto"}, True),
        ({"service.kubernetes.io/topology-mode": "auto"}, True),
        ({"service.kubernetes.io/topology-aware-hints": "Auto"}, True),
        (
            {
                "service.kubernetes.io/topology-mode": "Off",
                "service.kubernetes.io/topology-aware-hints": "auto",
            },
            False,
        ),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, False),
        ({}, False),
    ],
)
def test_who_asks(notes, expected):
    assert wants_hints({"metadata": {"annotations": notes}}) is expected


def endpoints(**zones):
    """So many ready endpoints in each zone."""
    return [
        {"addresses": [f"10.0.0.{zone}{number}"], "zone": zone, "conditions": {"ready": True}}
        for zone, count in zones.items()
        for number in range(count)
    ]


def counted(found):
    zones = list(found.zones.values())
    return {zone: zones.count(zone) for zone in sorted(set(zones))}


HALF = {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("have", "shares", "expected"),
    [
        ({"a": 3, "b": 3}, HALF, {"a": 3, "b": 3}),
        ({"a": 6, "b": 2}, HALF, {"a": 4, "b": 4}),
        ({"a": 4}, HALF, {"a": 2, "b": 2}),
        ({"a": 3, "b": 3}, {"a": 0.25, "b": 0.75}, {"a": 2, "b": 4}),
        ({"a": 3, "b": 3, "c": 3}, {"a": 0.4, "b": 0.4, "c": 0.2}, {"a": 4, "b": 3, "c": 2}),
    ],
    ids=["even", "one lends", "all in one", "by share", "three"],
)
def test_lending(have, shares, expected):
    assert counted(hints_for(endpoints(**have), shares, {})) == expected


@pytest.mark.parametrize(
    ("have", "shares", "fault"),
    [
        (
            {"a": 3},
            None,
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
        ),
        ({"a": 1}, HALF, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        (
            {"a": 2, "b": 1},
            {"a": 0.45, "b": 0.35, "c": 0.2},
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
            "(3 endpoints, 3 zones)",
        ),
        ({"": 2, "b": 2}, HALF, "One or more endpoints do not have a zone specified"),
    ],
    ids=["no shares", "too few", "overload", "no zone"],
)
def test_faults(have, shares, fault):
    assert hints_for(endpoints(**have), shares, {}).fault == fault


def test_who_was_lent_stays():
    many = endpoints(a=4)
    first = hints_for(many, HALF, {}).zones
    lent = {address: zone for address, zone in first.items() if zone == "b"}
    other = {address: "b" for address in first if address not in lent}
    assert {k for k, v in hints_for(many, HALF, other).zones.items() if v == "b"} == set(other)


def test_those_that_are_not_ready_get_none():
    many = endpoints(a=2, b=2)
    many[0]["conditions"]["ready"] = False
    found = hints_for(many, HALF, {})
    assert many[0]["addresses"][0] not in found.zones


def service(**notes):
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    meta = {"name": "web", "namespace": "d", "uid": "s", "annotations": notes}
    spec = {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def pod(number, node):
    return {
        "metadata": {"name": f"p{number}", "namespace": "d", "uid": f"u{number}", "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": []},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.1.0.{number}"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


AUTO = {"service.kubernetes.io/topology-mode": "Auto"}
ZONES = {"n1": "a", "n2": "b"}
PODS = [pod(1, "n1"), pod(2, "n1"), pod(3, "n1"), pod(4, "n2")]


def hinted(slices):
    return {one["addresses"][0]: one.get("hints") for item in slices for one in item["endpoints"]}


def test_slices_have_hints():
    planned = plan(service(**AUTO), PODS, [], ZONES, HALF)
    assert planned.hints == {"IPv4": ""}
    zones = [found["forZones"][0]["name"] for found in hinted(planned.create).values()]
    assert sorted(zones) == ["a", "a", "b", "b"]
    (made,) = planned.create
    made["metadata"]["name"] = "web-1"
    again = plan(service(**AUTO), PODS, [made], ZONES, HALF)
    assert (again.create, again.update) == ([], [])


def test_hints_go_where_there_are_too_few_endpoints_or_nobody_asks():
    (made,) = plan(service(**AUTO), PODS, [], ZONES, HALF).create
    made["metadata"]["name"] = "web-1"
    few = plan(service(**AUTO), PODS[:1], [made], ZONES, HALF)
    assert few.hints == {"IPv4": "Insufficient number of endpoints (1 endpoints, 2 zones)"}
    assert set(map(str, hinted(few.update).values())) == {"None"}
    nobody = plan(service(), PODS, [made], ZONES, HALF)
    assert nobody.hints == {}
    assert set(map(str, hinted(nobody.update).values())) == {"None"}


async def test_events_tell_of_it(world):
    def put_node(name, zone):
        made = node(zone)
        made["metadata"]["name"] = name
        world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", **made})

    put_node("n1", "a")
    world.api.put(SERVICES, service(**AUTO))
    for one in PODS:
        world.api.put(POD_KIND, {"apiVersion": "v1", "kind": "Pod", **one})

    def told():
        return [(reason, text) for reason, text in world.events() if reason.startswith("Topology")]

    async with world.running(EndpointSliceController):
        await world.settle()
        assert told()[-1][1].startswith("Insufficient Node information")
        put_node("n2", "b")
        await world.settle()
        enabled = ("TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4")
        assert told()[-1] == enabled
        world.api.put(SERVICES, service())
        await world.settle()
        assert told()[-1] == (
            "TopologyAwareHintsDisabled",
            "Topology Aware Hints has been disabled, addressType: IPv4",
        )
        assert len(told()) == 3
