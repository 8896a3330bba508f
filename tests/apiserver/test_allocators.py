"""Cluster IPs and node ports."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import Invalid
from tiphys.apiserver.allocators import ServiceAllocator, addresses_of, ports_of

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {"metadata": {"name": name}, "spec": {"type": "ClusterIP", "ports": ports, **spec}}


def allocator(*ranges: str) -> ServiceAllocator:
    return ServiceAllocator(ranges or ("10.0.0.0/24",), (30000, 30003))


def give(found: ServiceAllocator, wanted: dict[str, Any]) -> dict[str, Any]:
    with found.reserve(wanted, None):
        pass
    return wanted["spec"]


def test_any_address() -> None:
    spec = give(allocator(), service())
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["clusterIP"].startswith("10.0.0.")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


def test_asked_address_and_its_refusals() -> None:
    found = allocator()
    assert give(found, service(clusterIP="10.0.0.5"))["clusterIP"] == "10.0.0.5"
    with pytest.raises(Invalid, match=r"failed to allocate IP 10.0.0.5: provided IP is already allocated"):
        give(found, service("t", clusterIP="10.0.0.5"))
    with pytest.raises(Invalid, match=r"not in the valid range. The range of valid IPs is 10.0.0.0/24"):
        give(found, service("t", clusterIP="1.2.3.4"))


def test_headless_and_external() -> None:
    found = allocator()
    assert give(found, service(clusterIP="None", selector={"a": "b"}))["clusterIPs"] == ["None"]
    spec = give(found, service(clusterIP="None"))
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])
    assert "clusterIP" not in give(found, service(type="ExternalName", clusterIP=""))


def test_dual_stack() -> None:
    found = allocator("10.0.0.0/24", "fd00::/112")
    spec = give(found, service(ipFamilyPolicy="PreferDualStack"))
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert len(spec["clusterIPs"]) == 2
    with pytest.raises(Invalid, match="this cluster is not configured for dual-stack services"):
        give(allocator(), service(ipFamilyPolicy="RequireDualStack"))


def test_node_ports_run_out() -> None:
    found = allocator()
    for index in range(4):
        spec = give(found, service(f"s{index}", type="NodePort"))
        assert 30000 <= spec["ports"][0]["nodePort"] <= 30003
    with pytest.raises(Invalid, match="range is full"):
        give(found, service("t", type="NodePort"))


def test_asked_node_port() -> None:
    found = allocator()
    ports = [{"port": 80, "nodePort": 30001}]
    give(found, service(type="NodePort", ports=ports))
    with pytest.raises(
        Invalid, match=r"spec.ports\[0\].nodePort: Invalid value: 30001: provided port is already"
    ):
        give(found, service("t", type="NodePort", ports=[dict(ports[0])]))
    with pytest.raises(Invalid, match="The range of valid ports is 30000-30003"):
        give(found, service("t", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))


def test_a_failed_write_gives_back() -> None:
    found = allocator()
    wanted = service(clusterIP="10.0.0.9", type="NodePort")
    with pytest.raises(RuntimeError), found.reserve(wanted, None):
        raise RuntimeError
    assert give(found, service(clusterIP="10.0.0.9"))["clusterIP"] == "10.0.0.9"


def test_observing_a_deletion_frees() -> None:
    found = allocator()
    wanted = service(clusterIP="10.0.0.9", type="NodePort")
    give(found, wanted)
    assert addresses_of(wanted) == ["10.0.0.9"]
    assert len(ports_of(wanted)) == 1
    found.observe(wanted, None)
    assert give(found, service(clusterIP="10.0.0.9"))["clusterIP"] == "10.0.0.9"


async def test_through_the_server(api: Any) -> None:
    made = await api.create(SERVICES, service(type="NodePort"))
    port, address = made["spec"]["ports"][0]["nodePort"], made["spec"]["clusterIP"]
    plain = service(type="NodePort")
    plain["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    again = await api.put(SERVICES + "/s", plain)
    assert (again["spec"]["ports"][0]["nodePort"], again["spec"]["clusterIP"]) == (port, address)
    answer = await api("POST", SERVICES, service("t", clusterIP=address))
    assert answer.status == 422
    changed = await api.put(SERVICES + "/s", service(type="ClusterIP", clusterIP=address))
    assert "nodePort" not in changed["spec"]["ports"][0]


async def test_the_kubernetes_service(api: Any) -> None:
    found = await api.get(SERVICES + "/kubernetes")
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    pieces = await api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert pieces["endpoints"][0]["addresses"] == ["127.0.0.1"]
