"""Services through the server: what they get, keep, give back, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.apiserver.conftest import SIGNING_KEY, TOKENS, Api

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.server import ApiServer
from tiphys.storage.memory import MemoryStore

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"


async def serve(*ranges: str, ports: tuple[int, int] = (30000, 30003)) -> Api:
    options = ApiServerOptions(
        tokens=TOKENS,
        service_account_signing_key=SIGNING_KEY,
        service_cluster_ip_ranges=ranges,
        service_node_port_range=ports,
    )
    clock = FakeClock()
    server = ApiServer(MemoryStore(), options, clock)
    await server.start()
    return Api(server, clock)


@pytest.fixture
async def small() -> AsyncIterator[Api]:
    """Six addresses (one is the Service kubernetes'), four node ports."""
    api = await serve("10.0.0.0/29")
    yield api
    await api.server.stop()


@pytest.fixture
async def dual() -> AsyncIterator[Api]:
    api = await serve("10.0.0.0/24", "fd00::/112")
    yield api
    await api.server.stop()


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {"metadata": {"name": name}, "spec": {"ports": ports, **spec}}


async def held(api: Api) -> list[str]:
    return sorted(item["metadata"]["name"] for item in (await api.get(ADDRESSES))["items"])


async def taken(api: Api) -> list[int]:
    return list(await api.server.backend.services.ports.read())


async def test_an_address_is_an_object(small: Api) -> None:
    made = await small.create(SERVICES, service())
    address = made["spec"]["clusterIP"]
    assert made["spec"]["clusterIPs"] == [address]
    assert (made["spec"]["ipFamilies"], made["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    found = await small.get(f"{ADDRESSES}/{address}")
    assert found["spec"]["parentRef"] == {
        "group": "",
        "resource": "services",
        "namespace": "default",
        "name": "s",
    }
    assert found["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    assert (await small("DELETE", f"{SERVICES}/s")).status == 200
    assert await held(small) == ["10.0.0.1"]


ASKED = {
    "taken": ("10.0.0.1", "provided IP is already allocated"),
    "outside": ("1.2.3.4", "the provided network does not match the current range"),
    "the network's own": ("10.0.0.0", "the provided network does not match the current range"),
    "broadcast": ("10.0.0.7", "the provided network does not match the current range"),
}


@pytest.mark.parametrize(("address", "why"), ASKED.values(), ids=ASKED)
async def test_addresses_asked_for(small: Api, address: str, why: str) -> None:
    answer = await small("POST", SERVICES, service(clusterIP=address))
    assert (answer.status, answer.message) == (
        422,
        f'Service "s" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP '
        f"{address}: {why}",
    )


async def test_addresses_and_ports_run_out(small: Api) -> None:
    for index in range(4):
        await small.create(SERVICES, service(f"s{index}", type="NodePort"))
    answer = await small("POST", SERVICES, service("t", type="NodePort"))
    assert (answer.status, answer.message) == (
        500,
        "Internal error occurred: failed to allocate a nodePort: range is full",
    )
    assert len(await held(small)) == 5  # what the refused one had taken is free again
    await small.create(SERVICES, service("u"))
    answer = await small("POST", SERVICES, service("v"))
    assert (answer.status, answer.message) == (
        500,
        "Internal error occurred: failed to allocate a serviceIP: range is full",
    )


async def test_a_second_range_helps_and_one_that_goes_does_not(small: Api) -> None:
    more = {"metadata": {"name": "more", "finalizers": ["x/y"]}, "spec": {"cidrs": ["10.0.1.0/28"]}}
    await small.create(CIDRS, more)
    await small.settle()
    assert (await small.create(SERVICES, service(clusterIP="10.0.1.3")))["spec"]["clusterIP"] == "10.0.1.3"
    assert (await small("DELETE", f"{CIDRS}/more")).status == 200
    await small.settle()
    answer = await small("POST", SERVICES, service("t", clusterIP="10.0.1.4"))
    assert "does not match the current range" in answer.message
    ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await small.create(CIDRS, {"metadata": {"name": "late"}, "spec": {"cidrs": ["10.0.2.0/28"]}})
    assert (await small.patch(f"{CIDRS}/late/status", ready)).status == 200
    await small.settle()
    assert (await small("POST", SERVICES, service("t", clusterIP="10.0.2.4"))).status == 422


INVALID = {
    "bad port": service(ports=[{"port": 0}]),
    "no port": service(type="NodePort", ports=[{"nodePort": 30001}, {}]),
    "refused by validation after allocation": service(type="NodePort", externalName="x", sessionAffinity="X"),
}


@pytest.mark.parametrize("wanted", INVALID.values(), ids=INVALID)
async def test_what_is_refused_holds_nothing(small: Api, wanted: dict[str, Any]) -> None:
    assert (await small("POST", SERVICES, wanted)).status == 422
    assert await held(small) == ["10.0.0.1"]
    assert await taken(small) == []


async def test_the_same_name_twice_takes_nothing(small: Api) -> None:
    await small.create(SERVICES, service(type="NodePort"))
    before = await held(small), await taken(small)
    assert (await small("POST", SERVICES, service(type="NodePort"))).status == 409
    assert (await held(small), await taken(small)) == before


async def test_dry_run_takes_nothing(small: Api) -> None:
    made = await small.create(f"{SERVICES}?dryRun=All", service(type="NodePort"))
    assert made["spec"]["clusterIP"] == "10.0.0.0"
    assert made["spec"]["ports"][0]["nodePort"] in range(30000, 30004)
    assert await held(small) == ["10.0.0.1"]
    assert await taken(small) == []
    await small.create(SERVICES, service())
    changed = await small.put(f"{SERVICES}/s?dryRun=All", service(type="NodePort"))
    assert changed["spec"]["ports"][0]["nodePort"]
    assert await taken(small) == []


def numbers(obj: dict[str, Any]) -> list[int | None]:
    return [port.get("nodePort") for port in obj["spec"]["ports"]]


async def test_through_all_types(small: Api) -> None:
    path = f"{SERVICES}/s"
    made = await small.create(SERVICES, service(type="ExternalName", externalName="example.com", ports=[]))
    assert not made["spec"].keys() & {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
    node = await small.put(path, service(type="NodePort"))
    address, port = node["spec"]["clusterIP"], numbers(node)[0]
    assert (await held(small), await taken(small)) == (["10.0.0.1", address], [port])
    balanced = await small.put(path, service(type="LoadBalancer", externalTrafficPolicy="Local"))
    assert (balanced["spec"]["clusterIP"], numbers(balanced)) == (address, [port])
    check = balanced["spec"]["healthCheckNodePort"]
    assert balanced["spec"]["allocateLoadBalancerNodePorts"] is True
    assert await taken(small) == sorted([port, check])
    await small.patch(
        f"{path}/status", {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}}
    )
    plain = await small.patch(path, {"spec": {"type": "ClusterIP", "externalTrafficPolicy": None}})
    spec = plain.json["spec"]
    assert plain.json["status"] == {"loadBalancer": {}}
    assert not spec.keys() & {"healthCheckNodePort", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"}
    assert (numbers(plain.json), spec["clusterIP"]) == ([None], address)
    assert await taken(small) == []
    named = await small.patch(path, {"spec": {"type": "ExternalName", "externalName": "example.com"}})
    spec = named.json["spec"]
    assert not spec.keys() & {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
    assert await held(small) == ["10.0.0.1"]


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
async def test_an_external_name_shows_no_internal_policy(small: Api, policy: str) -> None:
    named = {"type": "ExternalName", "externalName": "example.com"}
    made = await small.create(SERVICES, service(**named, internalTrafficPolicy=policy))
    assert "internalTrafficPolicy" not in made["spec"]
    plain = await small.create(SERVICES, service("plain", internalTrafficPolicy=policy))
    assert plain["spec"]["internalTrafficPolicy"] == policy
    plain["spec"] |= named
    assert "internalTrafficPolicy" not in (await small.put(f"{SERVICES}/plain", plain))["spec"]


async def test_an_internal_policy_that_there_is_not_is_refused_all_the_same(small: Api) -> None:
    named = service(type="ExternalName", externalName="example.com", internalTrafficPolicy="Some")
    answer = await small("POST", SERVICES, named)
    assert (answer.status, answer.json["details"]["causes"][0]["field"]) == (
        422,
        "spec.internalTrafficPolicy",
    )


async def test_headless_holds_nothing(small: Api) -> None:
    made = await small.create(SERVICES, service(clusterIP="None", selector={"a": "b"}))
    assert made["spec"]["clusterIPs"] == ["None"]
    free = await small.create(SERVICES, service("t", clusterIP="None"))
    assert (free["spec"]["ipFamilyPolicy"], free["spec"]["ipFamilies"]) == (
        "RequireDualStack",
        ["IPv4", "IPv6"],
    )
    assert await held(small) == ["10.0.0.1"]
    answer = await small.patch(f"{SERVICES}/s", {"spec": {"clusterIP": "10.0.0.3"}})
    assert (answer.status, answer.message) == (
        422,
        'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.0.0.3"]: may not change once set',
    )


async def test_dual_stack_up_and_down(dual: Api) -> None:
    path = f"{SERVICES}/s"
    made = await dual.create(SERVICES, service())
    first = made["spec"]["clusterIP"]
    both = await dual.patch(path, {"spec": {"ipFamilyPolicy": "RequireDualStack"}})
    spec = both.json["spec"]
    assert (spec["ipFamilies"], spec["clusterIPs"][0]) == (["IPv4", "IPv6"], first)
    assert await held(dual) == sorted(["10.0.0.1", *spec["clusterIPs"]])
    one = await dual.patch(path, {"spec": {"ipFamilyPolicy": "SingleStack"}})
    assert (one.json["spec"]["ipFamilies"], one.json["spec"]["clusterIPs"]) == (["IPv4"], [first])
    assert await held(dual) == sorted(["10.0.0.1", first])


async def test_an_update_that_leaves_allocated_values_out_keeps_them(small: Api) -> None:
    made = await small.create(SERVICES, service(type="NodePort"))
    again = await small.put(f"{SERVICES}/s", service(type="NodePort"))
    assert again == made


async def test_tcp_and_udp_of_one_port_share_a_node_port(small: Api) -> None:
    ports = [
        {"name": "t", "port": 53, "protocol": "TCP"},
        {"name": "u", "port": 53, "protocol": "UDP"},
        {"name": "m", "port": 99},
    ]
    made = await small.create(SERVICES, service(type="NodePort", ports=ports))
    tcp, udp, other = numbers(made)
    assert tcp == udp != other
    assert await taken(small) == sorted([tcp, other])


async def test_many_at_once_get_different_values() -> None:
    api = await serve("10.0.0.0/24", ports=(30000, 30031))
    made = await asyncio.gather(*(api.create(SERVICES, service(f"s{n}", type="NodePort")) for n in range(32)))
    assert len({item["spec"]["clusterIP"] for item in made}) == 32
    assert len({item["spec"]["ports"][0]["nodePort"] for item in made}) == 32
    answer = await api("DELETE", SERVICES)
    assert answer.status == 200
    assert await taken(api) == []
    await api.server.stop()


async def test_a_service_kept_by_a_finalizer_keeps_its_address(small: Api) -> None:
    wanted = service()
    wanted["metadata"]["finalizers"] = ["x/y"]
    made = await small.create(SERVICES, wanted)
    await small("DELETE", f"{SERVICES}/s")
    assert made["spec"]["clusterIP"] in await held(small)
    await small.patch(f"{SERVICES}/s", {"metadata": {"finalizers": None}})
    assert await held(small) == ["10.0.0.1"]


async def test_the_default_range(small: Api) -> None:
    found = await small.get(f"{CIDRS}/kubernetes")
    assert found["spec"]["cidrs"] == ["10.0.0.0/29"]
    assert [c["status"] for c in found["status"]["conditions"]] == ["True"]
    assert (await small.get(f"{SERVICES}/kubernetes"))["spec"]["clusterIP"] == "10.0.0.1"
    assert await held(small) == ["10.0.0.1"]


async def test_the_default_range_gains_its_second_family() -> None:
    class Lasting(MemoryStore):
        async def close(self) -> None:
            pass

    store, clock = Lasting(), FakeClock()
    for ranges in (("10.0.0.0/24",), ("10.0.0.0/24", "fd00::/112")):
        options = ApiServerOptions(
            tokens=TOKENS, service_account_signing_key=SIGNING_KEY, service_cluster_ip_ranges=ranges
        )
        server = ApiServer(store, options, clock)
        await server.start()
        api = Api(server, clock)
        assert (await api.get(f"{CIDRS}/kubernetes"))["spec"]["cidrs"] == list(ranges)
        policy = "PreferDualStack"
        made = await api.create(SERVICES, service(f"s{len(ranges)}", ipFamilyPolicy=policy))
        assert len(made["spec"]["clusterIPs"]) == len(ranges)
        await server.stop()


async def test_endpoints_and_slices_point_at_the_server(small: Api) -> None:
    endpoints = await small.get("/api/v1/namespaces/default/endpoints/kubernetes")
    (subset,) = endpoints["subsets"]
    assert subset["addresses"] == [{"ip": "127.0.0.1"}]
    (piece,) = (await small.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"))["items"]
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
    assert piece["endpoints"][0]["addresses"] == ["127.0.0.1"]
    assert piece["ports"] == subset["ports"]


async def test_a_status_through_its_life(small: Api) -> None:
    """Written, patched and replaced as a load balancer does, without a word about the spec."""
    path = f"{SERVICES}/s/status"
    made = await small.create(SERVICES, service(type="LoadBalancer"))
    balanced = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    patched = await small.patch(path, {"metadata": {"annotations": {"a": "b"}}, "status": balanced})
    assert patched.json["status"]["loadBalancer"]["ingress"] == [{"ip": "203.0.113.1", "ipMode": "VIP"}]
    condition = {
        "type": "StatusUpdate",
        "status": "True",
        "reason": "E2E",
        "message": "Set from e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    replaced = patched.json
    replaced["status"] = {"loadBalancer": {}, "conditions": [condition]}
    replaced["spec"]["selector"] = {"x": "y"}
    written = await small.put(path, replaced)
    assert written["status"]["conditions"] == [condition]
    assert written["spec"] == made["spec"]
    everywhere = (await small.get("/api/v1/services"))["items"]
    assert [item["metadata"]["name"] for item in everywhere] == ["kubernetes", "s"]
