"""The shell: what it writes to a recording kernel when informers report changes."""

from __future__ import annotations

from typing import Any

import pytest
from recorder import Recorder

from tiphys.proxy.nft import NftError
from tiphys.proxy.proxy import Proxy, ProxyOptions


@pytest.fixture
def kernel() -> Recorder:
    return Recorder()


@pytest.fixture
def proxy(kernel: Recorder) -> Proxy:
    client: Any = object()
    return Proxy(client, ProxyOptions("n1", ("10.128.0.0/16",)), kernel=kernel)


async def test_writes_once_and_then_only_differences(
    proxy: Proxy, kernel: Recorder, service: Any, endpoint_slice: Any
) -> None:
    proxy.on_service(None, service())
    proxy.on_slice(None, endpoint_slice("10.128.1.5"))
    await proxy.sync()
    assert kernel.writes[0][1] == "delete table ip kube-proxy"
    await proxy.sync()
    assert len(kernel.writes) == 1
    proxy.on_slice(endpoint_slice("10.128.1.5"), endpoint_slice("10.128.1.6"))
    await proxy.sync()
    assert "flush chain" in kernel.writes[1][0]
    proxy.on_service(service(), None)
    await proxy.sync()
    assert any(command.startswith("delete chain") for command in kernel.writes[2])


async def test_failed_write_loses_nothing(
    proxy: Proxy, kernel: Recorder, service: Any, endpoint_slice: Any
) -> None:
    await proxy.sync()
    proxy.on_service(None, service())
    proxy.on_slice(None, endpoint_slice("10.128.1.5"))
    kernel.fail = True
    with pytest.raises(NftError):
        await proxy.sync()
    await proxy.sync()
    assert any("10.128.1.5 . 8080" in command for command in kernel.writes[1])


async def test_meddling_is_undone(proxy: Proxy, kernel: Recorder) -> None:
    await proxy.sync()
    await proxy.check()
    await proxy.sync()
    assert len(kernel.writes) == 1
    kernel.chains = {"services"}
    await proxy.check()
    await proxy.sync()
    assert kernel.writes[1] == kernel.writes[0]


async def test_node_addresses_serve_node_ports(proxy: Proxy, kernel: Recorder, service: Any) -> None:
    addresses = [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "172.29.0.2"}]
    proxy.on_node(None, {"metadata": {"name": "n1"}, "status": {"addresses": addresses}})
    await proxy.sync()
    assert "add element ip kube-proxy nodeport-ips { 172.29.0.2 }" in kernel.writes[0]


async def test_udp_flows_of_gone_endpoints_are_forgotten(
    proxy: Proxy, kernel: Recorder, service: Any, endpoint_slice: Any
) -> None:
    dns = service(ports=[{"name": "http", "port": 53, "protocol": "UDP"}])
    before, after = (
        endpoint_slice(*ips, protocol="UDP") for ips in (["10.128.1.5", "10.128.1.6"], ["10.128.1.6"])
    )
    proxy.on_service(None, dns)
    proxy.on_slice(None, before)
    await proxy.sync()
    kernel.flows.clear()
    proxy.on_slice(before, after)
    await proxy.sync()
    assert kernel.flows == [("10.64.0.20", "10.128.1.5", 53)]


async def test_of_slices_that_are_gone_nothing_is_kept(proxy: Proxy, endpoint_slice: Any) -> None:
    first, second = endpoint_slice("10.128.1.5"), endpoint_slice("10.128.1.6")
    proxy.on_slice(None, first)
    proxy.on_slice(first, second)
    assert len(proxy._slices) == 1
    proxy.on_slice(second, None)
    assert proxy._slices == {}
