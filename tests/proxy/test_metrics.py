"""What a proxy counts: changes, writings, failures."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.proxy import nft
from tiphys.proxy.beat import write
from tiphys.proxy.metrics import REGISTRY
from tiphys.proxy.proxy import Proxy, ProxyOptions
from tiphys.wire.message import Request


class Kernel:
    """Takes what it is given, and its time; ``broken`` takes nothing."""

    broken = False

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    async def apply(self, commands: Any) -> None:
        if self.broken:
            raise nft.NftError("no")
        self.clock.advance(0.5)

    async def chain_names(self, table: Any) -> set[str] | None:
        return None

    async def forget_flows(self, targets: Any) -> int:
        self.clock.advance(0.25)
        return 2 * len(list(targets))


FAMILY = {"ip_family": "IPv4"}
SYNC = "kubeproxy_sync_proxy_rules"
FULL, PARTIAL = (f"kubeproxy_sync_{kind}_proxy_rules_duration_seconds_sum" for kind in ("full", "partial"))
PROGRAMMING = "kubeproxy_network_programming_duration_seconds"
FLOWS = "kubeproxy_conntrack_reconciler"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


def value(name: str, **labels: str) -> float:
    return REGISTRY.sample_value(name, labels) or 0.0


def family(name: str, **labels: str) -> float:
    return value(name, **FAMILY, **labels)


async def nothing(_request: Any) -> Any:
    raise AssertionError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def proxy(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    monkeypatch.setattr("tiphys.proxy.beat._RETRY_S", 0)
    client = Client(InProcessTransport(nothing))
    return Proxy(client, ProxyOptions("n1"), kernel=Kernel(clock), clock=clock)


async def test_changes_wait_until_they_are_written(proxy: Proxy, service: Any, endpoint_slice: Any) -> None:
    totals = [f"{SYNC}_{what}_changes_total" for what in ("service", "endpoint")]
    waiting = [f"{SYNC}_{what}_changes_pending" for what in ("service", "endpoint")]
    before = list(map(value, totals))
    proxy.on_service(None, service())
    proxy.on_service(service(), service())
    proxy.on_slice(None, endpoint_slice("10.128.1.5@n1"))
    assert list(map(value, waiting)) == [1, 1], "of one service each"
    await write(proxy, proxy._changed)
    assert list(map(value, waiting)) == [0, 0]
    assert [value(name) - was for name, was in zip(totals, before, strict=True)] == [2, 1]
    assert family(f"{SYNC}_last_queued_timestamp_seconds") < family(f"{SYNC}_last_timestamp_seconds")


async def test_writings_of_all_and_of_differences(proxy: Proxy, service: Any, endpoint_slice: Any) -> None:
    names = (FULL, PARTIAL, f"{SYNC}_duration_seconds_sum")
    before = [family(name) for name in (*names, f"{SYNC}_nftables_sync_failures_total")]
    proxy.on_service(None, service())
    await write(proxy, proxy._changed)
    for address in ("10.128.1.5", "10.128.1.6"):
        proxy.on_slice(None, endpoint_slice(address))
        await write(proxy, proxy._changed)
    proxy._kernel.broken = True  # type: ignore[attr-defined]
    proxy.on_service(service(), None)
    await write(proxy, proxy._changed)
    now = [family(name) for name in (*names, f"{SYNC}_nftables_sync_failures_total")]
    assert [new - old for new, old in zip(now, before, strict=True)] == [0.5, 1.0, 1.5, 1]


async def test_how_long_changes_took_to_come_here(
    proxy: Proxy, clock: FakeClock, endpoint_slice: Any
) -> None:
    def changed_at(time: str) -> Any:
        found = endpoint_slice("10.128.1.5@n1")
        found["metadata"]["annotations"] = {TRIGGER: time}
        return found

    before = family(f"{PROGRAMMING}_sum"), family(f"{PROGRAMMING}_count")
    proxy.on_slice(None, changed_at(rfc3339(clock.now())))  # as old as the proxy: it says nothing of it
    proxy.on_slice(None, changed_at("no time"))
    proxy.on_slice(None, endpoint_slice("10.128.1.5@n1"))
    clock.advance(10)
    proxy.on_slice(None, changed_at(rfc3339(clock.now())))
    clock.advance(2)
    await write(proxy, proxy._changed)
    proxy.on_slice(endpoint_slice("10.128.1.5@n1"), None)
    await write(proxy, proxy._changed)
    now = family(f"{PROGRAMMING}_sum"), family(f"{PROGRAMMING}_count")
    assert [new - old for new, old in zip(now, before, strict=True)] == [2.5, 1]


@pytest.mark.parametrize(
    ("spec", "where", "internal", "external"),
    [
        ({"internalTrafficPolicy": "Local"}, "n2", 1, 0),
        ({"internalTrafficPolicy": "Local"}, "n1", 0, 0),
        ({"internalTrafficPolicy": "Local"}, "", 0, 0),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, "n2", 0, 1),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "n2", 0, 0),
        ({}, "n2", 0, 0),
    ],
)
async def test_services_that_are_to_stay_where_they_have_nobody(
    proxy: Proxy, service: Any, endpoint_slice: Any, spec: Any, where: str, internal: int, external: int
) -> None:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}]
    proxy.on_service(None, service(ports=ports, **spec))
    if where:
        proxy.on_slice(None, endpoint_slice(f"10.128.1.5@{where}"))
    await write(proxy, proxy._changed)
    name = f"{SYNC}_no_local_endpoints_total"
    found = [family(name, traffic_policy=policy) for policy in ("internal", "external")]
    assert found == [internal, external]


async def test_flows_that_are_forgotten(proxy: Proxy, service: Any, endpoint_slice: Any) -> None:
    names = (f"{FLOWS}_deleted_entries_total", f"{FLOWS}_sync_duration_seconds_sum")
    proxy.on_service(None, service(ports=[{"name": "http", "port": 53, "protocol": "UDP"}]))
    slices = [endpoint_slice(*ips, protocol="UDP") for ips in (["10.128.1.5", "10.128.1.6"], ["10.128.1.6"])]
    proxy.on_slice(None, slices[0])
    await write(proxy, proxy._changed)
    before = [family(name) for name in names]
    proxy.on_slice(*slices)
    await write(proxy, proxy._changed)
    assert [family(name) - old for name, old in zip(names, before, strict=True)] == [2, 0.25]


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("conntrack v1.4.7 (conntrack-tools): 3 flow entries have been deleted.\n", 3),
        ("conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n", 0),
        ("conntrack: something else", 0),
    ],
)
def test_how_many_flows_conntrack_deleted(said: str, count: int) -> None:
    assert nft.deleted_flows(said) == count


@pytest.mark.parametrize("path", ["healthz", "livez"])
async def test_answers_about_health(proxy: Proxy, path: str) -> None:
    name = f"kubeproxy_proxy_{path}_total"
    before = [value(name, code=code) for code in ("503", "200")]
    health = proxy._health
    await health._healthz_reply(Request("GET", f"/{path}"))
    health.synced()
    for asked in (path, path, "none"):
        await health._healthz_reply(Request("GET", f"/{asked}"))
    assert [value(name, code=code) for code in ("503", "200")] == [before[0] + 1, before[1] + 2]
