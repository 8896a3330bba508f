"""Makes the tunnels that a configuration describes. Loaded by servers that have one.

Owns: what is read of files at the start, and what is counted and traced of each dial.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import Clock
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.egress.config import DIRECT, GRPC, KIND, Selection
from tiphys.apiserver.egress.counts import CONNECT, PROXY, DialCounts, Way
from tiphys.apiserver.egress.http_connect import TcpProxy, UnixProxy, joined
from tiphys.apiserver.egress.konnectivity import GrpcProxy
from tiphys.apiserver.egress.selector import EgressSelector
from tiphys.apiserver.egress.spans import Spans
from tiphys.wire.dial import Tunnel
from tiphys.wire.peer_names import NamedContext

_HTTP: Final = "http_connect"


class Proxy(Protocol):
    """Somebody who connects for others, in two stages."""

    async def connect(self) -> Any:
        """Reach the proxy. Raises TunnelFailed."""
        ...

    async def lead_on(self, reached: Any, /, host: str, port: int) -> socket:
        """Have it connect to an address. Raises TunnelFailed."""
        ...


class Dialer:
    """Dials through one proxy, counting."""

    def __init__(self, proxy: Proxy, way: Way, counts: DialCounts, clock: Clock) -> None:
        self._proxy, self._way, self._counts, self._clock = proxy, way, counts, clock

    async def __call__(self, host: str, port: int) -> socket:
        protocol, transport = self._way
        name = f"Proxy via {protocol} protocol over {transport}"
        with tracing.step(name, {"address": joined(host, port)}):
            began, stage = self._clock.monotonic(), CONNECT
            self._counts.started(self._way)
            try:
                reached = await self._proxy.connect()
                stage = PROXY
                sock = await self._proxy.lead_on(reached, host, port)
            except BaseException:
                self._counts.failed(self._way, stage)
                raise
            self._counts.succeeded(self._way, self._clock.monotonic() - began)
            return sock


def make(selections: Sequence[Selection], clock: Clock) -> EgressSelector:
    """Return the tunnels of a server. Raises BadConfiguration: certificates cannot be used."""
    spans, counts = Spans(), DialCounts()
    found: dict[str, Tunnel] = {}
    for one in selections:
        if one.protocol != DIRECT:
            try:
                found[one.name] = _dialer(one, spans, counts, clock)
            except (OSError, ssl.SSLError, ValueError) as error:
                text = f'failed to create dialer for egressSelection "{one.name}": {error}'
                raise BadConfiguration(f"failed to setup egress selector: {text}", KIND.name) from error
    return EgressSelector(**found, collect=counts.collect, close=spans.close)


def _dialer(one: Selection, spans: Spans, counts: DialCounts, clock: Clock) -> Dialer:
    if one.protocol == GRPC:
        return Dialer(GrpcProxy(one.socket, spans, counts), ("grpc", "uds"), counts, clock)
    if one.socket:
        return Dialer(UnixProxy(one.socket), (_HTTP, "uds"), counts, clock)
    parts = urlsplit(one.url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    context = _context(one) if secure else None
    port = parts.port or (443 if secure else 80)
    return Dialer(
        TcpProxy(host, port, context, one.server_name or host, spans), (_HTTP, "tcp"), counts, clock
    )


def _context(one: Selection) -> ssl.SSLContext:
    """Return the client side of TLS towards a proxy. Raises OSError, ValueError, in upstream's words."""
    bundle = None
    if one.ca_file:
        try:
            bundle = Path(one.ca_file).read_text()
        except OSError as error:
            raise ValueError(f"failed to read cert file {one.ca_file}, got {error.strerror}") from error
    try:
        context = NamedContext()
        context.trust(bundle or "")
    except ssl.SSLError as error:
        raise ValueError("failed to append CA cert to the cert pool") from error
    try:
        context.load_cert_chain(one.certificate_file, one.key_file)
    except (OSError, ssl.SSLError) as error:
        pair = f"{one.certificate_file} & {one.key_file}"
        raise ValueError(f"failed to read key pair {pair}, got {error}") from error
    return context
