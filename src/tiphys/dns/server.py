"""The cluster's DNS on one node: UDP and TCP on the node's own address, behind Service kube-dns.

Owns the sockets, the informers that feed ``Records``, and the node's EndpointSlice. Answers nothing before it
knows every service, as a wrong NXDOMAIN is remembered by clients. Run by ``tiphys dns``.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any

from dnslib import QTYPE, RCODE, DNSRecord

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import ENDPOINT_SLICES, SERVICES
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.dns.answer import Outcome, answer, merge_chased
from tiphys.dns.publish import publish
from tiphys.dns.records import Records
from tiphys.dns.upstream import Upstream
from tiphys.wire.message import Request, Response

log = logging.getLogger(__name__)

_PUBLISH_EVERY_S = 30.0
_PUBLISH_RETRY_S = 0.3
_IDLE_TCP_S = 10.0
_MAX_FORWARDS = 512


@dataclass(frozen=True, slots=True)
class DnsOptions:
    """``node_name`` empty: no EndpointSlice is kept. ``upstreams``: servers for all other names."""

    bind_address: str
    port: int = 53
    zone: str = "cluster.local"
    cluster_dns: str = ""
    node_name: str = ""
    upstreams: tuple[str, ...] = ()
    upstream_port: int = 53
    stub_addresses: tuple[str, ...] = ()
    """Where programs of the node ask, as the machine's resolver stands there; nobody else is told of them."""
    health_address: str = ""
    """``host:port`` of /health and /ready; empty for none."""


class DnsServer:
    """Answers from what the API server says; ``run`` works until cancelled."""

    def __init__(self, client: Client, options: DnsOptions) -> None:
        self._client, self._options = client, options
        self.records = Records(options.zone, options.cluster_dns)
        self._upstream = Upstream(options.upstreams, options.upstream_port)
        self._services: dict[str, Object] = {}
        self._slices: dict[str, dict[str, Object]] = {}
        self._informers = InformerSet(client)
        self._informers.get(SERVICES).add_handler(self.on_service)
        self._informers.get(ENDPOINT_SLICES).add_handler(self.on_slice)
        self._ready = False
        self._forwards: set[asyncio.Task[None]] = set()
        self.port = options.port

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError when the address is taken."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._informers.run())
            if self._options.health_address:
                tasks.create_task(self._serve_health())
            await self._informers.wait_synced()
            sockets = [
                await self._bind(host) for host in (self._options.bind_address, *self._options.stub_addresses)
            ]
            self._ready = True
            log.info("answering address=%s port=%d", self._options.bind_address, self.port)
            try:
                if self._options.node_name:
                    tasks.create_task(self._keep_published())
                await asyncio.Event().wait()
            finally:
                self._ready = False
                for transport, server in sockets:
                    transport.close()
                    server.close()

    async def _bind(self, host: str) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve_tcp, host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(host, self.port))
        return transport, server

    def on_service(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        key = object_key(new or old or {})
        if new is None:
            self._services.pop(key, None)
            self.records.remove(key)
            return
        self._services[key] = new
        self._update(key)

    def on_slice(self, old: Object | None, new: Object | None) -> None:
        """Informer handler; a slice whose label moved touches both services."""
        before, after = _service_of(old), _service_of(new)
        if old is not None:
            self._slices.get(before, {}).pop(object_key(old), None)
        if new is not None:
            self._slices.setdefault(after, {})[object_key(new)] = new
        if not self._slices.get(before):
            self._slices.pop(before, None)
        for key in {before, after}:
            self._update(key)

    def _update(self, key: str) -> None:
        service = self._services.get(key)
        if service is not None:
            self.records.update(service, self._slices.get(key, {}).values())

    def handle_nowait(self, query: bytes, send: Callable[[bytes], None]) -> None:
        """Answer one datagram: at once from the records, later when others must be asked."""
        outcome = answer(query, self.records, upstream=bool(self._upstream))
        if not outcome.forward and not (outcome.chase and self._upstream):
            if outcome.reply:
                send(outcome.reply)
            return
        if len(self._forwards) >= _MAX_FORWARDS:
            return
        task = self._tasks.create_task(self._finish(query, outcome, send))
        self._forwards.add(task)
        task.add_done_callback(self._forwards.discard)

    async def _finish(self, query: bytes, outcome: Outcome, send: Callable[[bytes], None]) -> None:
        send(await self._resolve(query, outcome, tcp=False))

    async def _resolve(self, query: bytes, outcome: Outcome, *, tcp: bool) -> bytes:
        if outcome.forward:
            return await self._upstream.ask(query) or _failure(query)
        if outcome.chase and self._upstream:
            asked = DNSRecord.parse(query)
            question = DNSRecord.question(outcome.chase, str(QTYPE.get(asked.q.qtype)))
            found = await self._upstream.ask(bytes(question.pack()))
            if found:
                return merge_chased(outcome.reply, found, tcp=tcp)
        return outcome.reply

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_TCP_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    query = await reader.readexactly(length)
                outcome = answer(query, self.records, tcp=True, upstream=bool(self._upstream))
                reply = await self._resolve(query, outcome, tcp=True)
                if not reply:
                    return
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _keep_published(self) -> None:
        while True:
            wait_s = _PUBLISH_EVERY_S
            try:
                options = self._options
                await publish(self._client, options.node_name, options.bind_address, self.port)
            except (StatusError, TransportError) as error:
                log.info("endpoint slice not written yet error=%s", error)
                wait_s = _PUBLISH_RETRY_S
            await asyncio.sleep(wait_s)

    async def _serve_health(self) -> None:
        from tiphys.wire.server import serve

        host, _, port = self._options.health_address.rpartition(":")
        async with serve(self._health, host=host, port=int(port)):
            await asyncio.Event().wait()

    async def _health(self, request: Request) -> Response:
        headers = {"content-type": "text/plain; charset=utf-8"}
        if request.path == "/health":
            return Response(200, headers, b"OK")
        if request.path == "/ready":
            return Response(200 if self._ready else 503, headers, b"OK" if self._ready else b"kubernetes")
        return Response(404, headers, b"404 page not found\n")


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.handle_nowait(data, lambda reply: self._transport.sendto(reply, addr))

    def error_received(self, exc: Exception) -> None:
        log.debug("datagram not delivered error=%s", exc)


def _failure(query: bytes) -> bytes:
    """SERVFAIL: the others did not answer."""
    reply = DNSRecord.parse(query).reply(ra=1, aa=0)
    reply.header.rcode = RCODE.SERVFAIL
    return bytes(reply.pack())


def _service_of(item: Object | None) -> str:
    meta = (item or {}).get("metadata") or {}
    name = (meta.get("labels") or {}).get("kubernetes.io/service-name")
    return f"{meta.get('namespace', '')}/{name}" if name else ""
