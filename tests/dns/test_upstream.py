"""Forwarding over loopback sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from dnslib import DNSRecord

from tiphys.dns.upstream import Upstream, nameservers


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("nameserver 192.0.2.53\nsearch x\n", ["192.0.2.53"]),
        ("nameserver 127.0.0.53\n", []),
        ("# none\nnameserver\nnameserver what\n", []),
        ("nameserver fd00::53\nnameserver 192.0.2.1", ["fd00::53", "192.0.2.1"]),
    ],
)
def test_nameservers(text: str, want: list[str]) -> None:
    assert nameservers(text) == want


class Fake(asyncio.DatagramProtocol):
    """A server that answers with the question; ``wrong_id`` ones must be ignored."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = bytes(DNSRecord.parse(data).reply().pack())
        self.transport.sendto(bytes((data[0] ^ 1, data[1])) + reply[2:], addr)
        self.transport.sendto(reply, addr)


async def test_asks_and_gives_back_under_the_own_id() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Fake, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        query = bytes(DNSRecord.question("example.test").pack())
        reply = await Upstream(["127.0.0.1"], port).ask(query)
        assert reply is not None
        assert reply[:2] == query[:2]
    finally:
        transport.close()


async def test_silence_is_none() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        assert await Upstream(["127.0.0.1"], port, try_s=0.01).ask(bytes(12)) is None
    finally:
        transport.close()
