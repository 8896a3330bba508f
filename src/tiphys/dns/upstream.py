"""Asks other DNS servers about names that are not the cluster's.

Every question goes out from a fresh port; a truncated answer is asked again over TCP. Called by ``server``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import struct
from collections.abc import Sequence

_TRY_S = 2.0


def nameservers(resolv_conf: str) -> list[str]:
    """Return the servers of a resolv.conf text, but loopback ones, which another namespace cannot reach."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1].partition("%")[0])
        except ValueError:
            continue
        if not address.is_loopback:
            found.append(words[1])
    return found


class _Question(asyncio.DatagramProtocol):
    """Waits for the one reply that bears our id and question."""

    def __init__(self, query: bytes, reply: asyncio.Future[bytes]) -> None:
        self._query, self._reply = query, reply

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) >= 12 and data[:2] == self._query[:2] and data[2] & 0x80 and not self._reply.done():
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


class Upstream:
    """Forwards to the first server that answers."""

    def __init__(self, servers: Sequence[str], port: int = 53, try_s: float = _TRY_S) -> None:
        self._servers = tuple(servers)
        self._port, self._try_s = port, try_s

    def __bool__(self) -> bool:
        return bool(self._servers)

    async def ask(self, query: bytes) -> bytes | None:
        """Return the raw reply under the query's own id; None when no server answers in time."""
        sent = secrets.token_bytes(2) + query[2:]
        for server in self._servers:
            try:
                async with asyncio.timeout(self._try_s):
                    reply = await self._udp(server, sent)
                    if reply[2] & 0x02:
                        reply = await self._tcp(server, sent)
                return query[:2] + reply[2:]
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
        return None

    async def _udp(self, server: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Question(query, reply), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(query)
            return await reply
        finally:
            transport.close()

    async def _tcp(self, server: str, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            await writer.drain()
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.close()
