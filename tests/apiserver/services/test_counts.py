"""What is shown of addresses and ports: taken, free, refused, mended."""

from __future__ import annotations

from typing import Any

from tests.apiserver.conftest import Api

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.services.counts import RepairCounts
from tiphys.apiserver.services.ports import KEY
from tiphys.storage.base import Delete

SERVICES = "/api/v1/namespaces/default/services"
RANGE = '{cidr="10.96.0.0/12"'


def service(name: str, **spec: Any) -> dict[str, Any]:
    port = {"port": 80, **({"nodePort": spec.pop("port")} if "port" in spec else {})}
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [port], **spec}}


def shown(api: Api, *prefixes: str) -> dict[str, float]:
    lines = api.server.backend.metrics.render().decode().splitlines()
    return {
        line.rpartition(" ")[0].partition("_allocator_")[2]: float(line.rpartition(" ")[2])
        for line in lines if line.startswith(prefixes)
    }  # fmt: skip


async def test_addresses_and_ports_are_counted(api: Api) -> None:
    before = shown(api, "kube_apiserver_clusterip", "kube_apiserver_nodeport")
    await api.create(SERVICES, service("a"))
    await api.create(SERVICES, service("b", clusterIP="10.96.0.77", port=30077))
    assert (await api("POST", SERVICES, service("c", clusterIP="10.96.0.77"))).status == 422
    assert (await api("POST", SERVICES, service("d", port=30077))).status == 422
    for dry in (service("e"), service("f", port=30077)):
        await api("POST", f"{SERVICES}?dryRun=All", dry)
    await api.settle()
    now = shown(api, "kube_apiserver_clusterip", "kube_apiserver_nodeport")
    changes = {
        name: value - before.get(name, 0.0) for name, value in now.items() if "duration" not in name
    }  # fmt: skip
    # One address was taken for the Service whose port could not be had, and was given back.
    assert changes == {
        f"allocated_ips{RANGE}}}": 2.0, f"available_ips{RANGE}}}": -2.0,
        f'allocation_total{RANGE},scope="dynamic"}}': 2.0, f'allocation_total{RANGE},scope="static"}}': 1.0,
        f'allocation_errors_total{RANGE},scope="static"}}': 1.0,
        "allocated_ports": now["allocated_ports"] - before.get("allocated_ports", 0.0),
        "available_ports": now["available_ports"] - before.get("available_ports", 0.0),
        'allocation_total{scope="dynamic"}': 1.0, 'allocation_total{scope="static"}': 1.0,
        'allocation_errors_total{scope="static"}': 1.0,
    }  # fmt: skip
    assert (now["allocated_ports"], now["available_ports"]) == (2.0, 2766.0)
    size = 2**20 - 2
    assert now[f"allocated_ips{RANGE}}}"] + now[f"available_ips{RANGE}}}"] == size


async def test_how_long_addresses_took(serving: Any) -> None:
    clock = FakeClock()
    async with serving(clock=clock) as api:
        before = shown(api, "kube_apiserver_clusterip")
        quick = api.server.backend.services.addresses._create

        async def slow(address: str, service: dict[str, Any]) -> bool:
            clock.advance(0.5)
            return bool(await quick(address, service))

        api.server.backend.services.addresses._create = slow
        await api.create(SERVICES, service("a"))
        await api.create(SERVICES, service("b", clusterIP="10.96.0.77"))
        assert (await api("POST", SERVICES, service("c", clusterIP="10.96.0.77"))).status == 422
        now = shown(api, "kube_apiserver_clusterip")
    name = "allocation_duration_seconds"
    assert f"{name}_sum{RANGE}}}" not in before
    assert {key: now[f"{name}_{key}"] for key in (f"sum{RANGE}}}", f"count{RANGE}}}")} == {
        f"sum{RANGE}}}": 1.0, f"count{RANGE}}}": 2.0
    }  # fmt: skip
    bounds = [now[f'{name}_bucket{RANGE},le="{bound}"}}'] for bound in ("0.25", "0.5")]
    assert bounds == [0.0, 2.0]


async def test_what_was_mended_is_counted(api: Api) -> None:
    made = await api.create(SERVICES, service("a"))
    await api.settle()
    assert (
        await api("DELETE", f"/apis/networking.k8s.io/v1/ipaddresses/{made['spec']['clusterIP']}")
    ).status == 200
    await api.server._store.commit([Delete(KEY)])
    for _ in range(50):
        await api.settle()
    await api.server._repair.run_once()
    lines = api.server.backend.metrics.render().decode().splitlines()
    assert 'apiserver_clusterip_repair_ip_errors_total{type="repair"} 1' in lines
    assert 'apiserver_nodeport_repair_port_errors_total{type="repair"} 1' in lines
    assert "apiserver_clusterip_repair_reconcile_errors_total 0" in lines
    assert "apiserver_nodeport_repair_reconcile_errors_total 0" in lines


def test_faults_are_counted_by_upstreams_words() -> None:
    counts = RepairCounts()
    for reason in (
        "ClusterIPNotValid",
        "ClusterIPOutOfRange",
        "IPAddressNotAllocated",
        "PortAlreadyAllocated",
        "",
    ):
        counts.found(reason)
    counts.leaked()
    counts.failed["nodeport"] += 1
    found = {
        (family.name, sample.labels.get("type")): sample.value
        for family in counts.collect() for sample in family.samples
    }  # fmt: skip
    assert found == {
        ("apiserver_clusterip_repair_ip_errors", "invalid"): 1,
        ("apiserver_clusterip_repair_ip_errors", "leak"): 1,
        ("apiserver_clusterip_repair_ip_errors", "outOfRange"): 1,
        ("apiserver_clusterip_repair_reconcile_errors", None): 0,
        ("apiserver_nodeport_repair_port_errors", "duplicate"): 1,
        ("apiserver_nodeport_repair_port_errors", "leak"): 1,
        ("apiserver_nodeport_repair_reconcile_errors", None): 1,
    }  # fmt: skip
