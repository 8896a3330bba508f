"""What a proxy counts: changes, writings, failures."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.metrics import REGISTRY
from tiphys.client.rest import Client
from tiphys.proxy import nft
from tiphys.proxy.beat import write
from tiphys.proxy.proxy import Proxy, ProxyOptions


class Kernel:
    """Takes what it is given; ``broken`` takes nothing."""

    broken = False

    async def apply(self, commands: Any) -> None:
        if self.broken:
            raise nft.NftError("no")

    async def chain_names(self, table: Any) -> set[str] | None:
        return None

    async def forget_flows(self, targets: Any) -> None: ...


def value(name: str) -> float:
    found = REGISTRY.sample_value(f"kubeproxy_sync_proxy_rules_{name}", {"ip_family": "IPv4"})
    return found or 0.0


NAMES = (
    "service_changes_total",
    "endpoint_changes_total",
    "duration_seconds_count",
    "nftables_sync_failures_total",
)


async def nothing(_request: Any) -> Any:
    raise AssertionError


async def test_counts(service: Any, endpoint_slice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.proxy.beat._RETRY_S", 0)
    kernel = Kernel()
    proxy = Proxy(Client(InProcessTransport(nothing)), ProxyOptions("n1"), kernel=kernel)
    before = [value(name) for name in NAMES]
    proxy.on_service(None, service())
    proxy.on_slice(None, endpoint_slice("10.128.1.5@n1"))
    await write(proxy, proxy._changed)
    kernel.broken = True
    proxy.on_service(service(), None)
    await write(proxy, proxy._changed)
    assert [value(name) - was for name, was in zip(NAMES, before, strict=True)] == [2, 1, 1, 1]
    assert value("last_timestamp_seconds") > 0
    assert value("last_queued_timestamp_seconds") > 0
