"""The server over loopback sockets, fed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dnslib import DNSRecord

from tiphys.dns.server import DnsOptions, DnsServer

NAME = "web.default.svc.cluster.local"


def service(ip: str) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": ip, "ports": []}}


def endpoint_slice(ip: str, name: str = "web") -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": "web-x", "namespace": "default", "labels": labels},
        "endpoints": [{"addresses": [ip]}],
    }


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    client: Any = object()
    made = DnsServer(client, DnsOptions("127.0.0.1", port=0))
    transport, listener = await made._bind("127.0.0.1")
    try:
        yield made
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()


async def ask(server: DnsServer, *, tcp: bool = False) -> list[str]:
    query = DNSRecord.question(NAME)
    reply = await asyncio.to_thread(query.send, "127.0.0.1", server.port, tcp=tcp, timeout=5)
    return sorted(str(item.rdata) for item in DNSRecord.parse(reply).rr)


async def test_follows_the_objects(server: DnsServer) -> None:
    assert await ask(server) == []
    server.on_service(None, service("10.64.0.20"))
    assert await ask(server) == ["10.64.0.20"]
    assert await ask(server, tcp=True) == ["10.64.0.20"]
    server.on_service(service("10.64.0.20"), None)
    assert await ask(server) == []


async def test_slices_before_and_after_their_service(server: DnsServer) -> None:
    first, second = endpoint_slice("10.128.1.5"), endpoint_slice("10.128.1.6")
    server.on_slice(None, first)
    server.on_service(None, service("None"))
    assert await ask(server) == ["10.128.1.5"]
    server.on_slice(first, second)
    assert await ask(server) == ["10.128.1.6"]
    server.on_slice(second, endpoint_slice("10.128.1.6", "other"))
    assert await ask(server) == []


async def test_answers_where_programs_of_the_node_ask() -> None:
    """The same server on another address of loopback, over both protocols."""
    client: Any = object()
    made = DnsServer(client, DnsOptions("127.0.0.1", port=0, stub_addresses=("127.0.0.53",)))
    sockets = [await made._bind(host) for host in ("127.0.0.1", "127.0.0.53")]
    try:
        made.on_service(None, service("10.64.0.20"))
        for tcp in (False, True):
            reply = await asyncio.to_thread(
                DNSRecord.question(NAME).send, "127.0.0.53", made.port, tcp=tcp, timeout=5
            )
            assert [str(item.rdata) for item in DNSRecord.parse(reply).rr] == ["10.64.0.20"]
    finally:
        for transport, listener in sockets:
            transport.close()
            listener.close()


async def test_of_slices_that_are_gone_nothing_is_kept(server: DnsServer) -> None:
    first, other = endpoint_slice("10.128.1.5"), endpoint_slice("10.128.1.6", "other")
    server.on_slice(None, first)
    assert len(server._slices) == 1
    server.on_slice(first, other)
    assert len(server._slices) == 1
    server.on_slice(other, None)
    assert server._slices == {}
