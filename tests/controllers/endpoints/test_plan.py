"""The Endpoints object of a service: who is in it, ports put together, what is left out."""

from __future__ import annotations

import pytest
from tests.controllers.endpointslice.test_plan import pod, service

from tiphys.controllers.endpoints.plan import CAPACITY, OVER_CAPACITY, build_subsets, plan


def seen(subsets):
    """Return each subset as text: ports, then addresses by their last number, unready ones in brackets."""
    return [
        " ".join(
            [
                ",".join(f"{port.get('name', '')}:{port['port']}" for port in one.get("ports") or ()),
                *(item["ip"].rpartition(".")[2] for item in one.get("addresses") or ()),
                *(f"({item['ip'].rpartition('.')[2]})" for item in one.get("notReadyAddresses") or ()),
            ]
        ).strip()
        for one in subsets
    ]


def named(number):
    return {"containers": [{"ports": [{"name": "web", "containerPort": number}]}]}


HTTP = {"name": "http", "port": 80, "targetPort": "web"}
TLS = {"name": "tls", "port": 443, "targetPort": 8443}
BARE = {"port": 80, "targetPort": 8080}

CASES = {
    "one port": ({}, [pod(1), pod(2, ready=False), pod(3, deleting=True)], ["http:8080 1 (2)"]),
    "two ports of the same pods": ({"ports": [HTTP, TLS]}, [pod(1), pod(2)], ["http:9000,tls:8443 1 2"]),
    "a name that means two numbers": (
        {"ports": [HTTP, TLS]},
        [pod(1, **named(9000)), pod(2, **named(9001))],
        ["http:9000 1", "http:9001 2", "tls:8443 1 2"],
    ),
    "a name that one of them does not know": (
        {"ports": [HTTP, TLS]},
        [pod(1), pod(2, containers=[{}])],
        ["http:9000 1", "tls:8443 1 2"],
    ),
    "a name that nobody knows": ({"ports": [HTTP]}, [pod(1, containers=[{}])], []),
    "no name": ({"ports": [BARE]}, [pod(1)], [":8080 1"]),
    "headless, no ports": ({"ports": [], "clusterIP": "None"}, [pod(1), pod(2)], ["1 2"]),
    "headless, a name that nobody knows": (
        {"ports": [HTTP], "clusterIP": "None"}, [pod(1, containers=[{}])], []),
    "not headless, no ports": ({"ports": []}, [pod(1)], []),
    "all are published": (
        {"publishNotReadyAddresses": True}, [pod(1, ready=False), pod(2, deleting=True)], ["http:8080 1 2"]),
    "ended": ({}, [pod(1, phase="Succeeded"), pod(2, phase="Failed")], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_subsets(name):
    spec, pods, expected = CASES[name]
    found, truncated = build_subsets(service(**spec), pods)
    assert (sorted(seen(found)), truncated) == (sorted(expected), False)


def test_beyond_the_capacity_ready_ones_stay():
    pods = [pod(number, ready=number % 2 == 0) for number in range(1, CAPACITY + 101)]
    (subset,), truncated = build_subsets(service(), pods)
    assert truncated
    assert len(subset["addresses"]) == (CAPACITY + 100) // 2
    assert len(subset["addresses"]) + len(subset["notReadyAddresses"]) == CAPACITY
    made = plan(service(), pods, None)
    assert made is not None
    assert made["metadata"]["annotations"] == {OVER_CAPACITY: "truncated"}


def test_a_second_look_writes_nothing():
    pods = [pod(1, **named(9000)), pod(2, **named(9001))]
    made = plan(service(ports=[HTTP, TLS]), pods, None)
    assert made is not None
    assert plan(service(ports=[HTTP, TLS]), list(reversed(pods)), made) is None
