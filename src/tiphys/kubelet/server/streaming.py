"""Passing an upgraded connection (exec, attach, port-forward) on to the runtime's streaming server.

Owns the second half of the way: it repeats the client's upgrade towards the URL that CRI gave, then copies
bytes both ways without looking at them, so SPDY and older websockets alike go through. For newer websockets
it speaks SPDY to the runtime (``wire.stream_upgrade``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from tiphys.apimachinery.errors import StatusError
from tiphys.kubelet.runtime import RuntimeFailure
from tiphys.kubelet.server.replies import fault, http_error
from tiphys.wire import client
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.reasons import reason_of
from tiphys.wire.relay import relay
from tiphys.wire.stream_upgrade import Backend, spdy_headers, tunnel, tunneled

_HEAD_S: Final = 30.0
_HTTP_PORT: Final = 80
_DROPPED: Final = frozenset({"host", "content-length", "transfer-encoding", "authorization"})
_SWITCHED: Final = 101
_LEAST_FAULT: Final = 400
_STATUS: Final[Mapping[str, int]] = {"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429}
_RETRY_S: Final = 60
"""So long a runtime keeps the URL of a stream that nobody has come for."""


class DialFailed(StatusError):
    """The runtime's streaming server cannot be asked."""


def runtime_fault(error: RuntimeFailure) -> Response:
    """Return what is said of a stream that the runtime has no URL for."""
    status = _STATUS.get(error.code, 500)
    headers = {"Retry-After": str(_RETRY_S)} if status == _STATUS["RESOURCE_EXHAUSTED"] else {}
    return fault(status, str(error), **headers)


def headers_for_runtime(headers: Mapping[str, str], peer: str) -> list[tuple[str, str]]:
    """Return the headers to send on; a list of protocols becomes one header each, as older servers want."""
    pairs = []
    for name, value in headers.items():
        if name in _DROPPED or name == "x-forwarded-for":
            continue
        values = value.split(",") if name == "x-stream-protocol-version" else [value]
        pairs += [(name, item.strip()) for item in values]
    ways = [one for one in (headers.get("x-forwarded-for", ""), peer) if one]
    return [*pairs, ("x-forwarded-for", ", ".join(ways))] if ways else pairs


async def dial(method: str, url: str, headers: list[tuple[str, str]]) -> client.Answer:
    """Ask the runtime's streaming server, and return its answer's head. Raises DialFailed."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    host, port = parts.hostname or "", parts.port or _HTTP_PORT
    try:
        async with asyncio.timeout(_HEAD_S):
            return await client.send(host, port, method, target, headers)
    except client.ConnectFailed as error:
        raise DialFailed(reason_of(error)) from error
    except TimeoutError as error:
        raise DialFailed(f"dial tcp {host}:{port}: i/o timeout") from error


async def proxy_upgrade(request: Request, url: str) -> Response:
    """Repeat the upgrade at ``url`` and return what the runtime answered."""
    headers = headers_for_runtime(request.headers, request.peer_address)
    try:
        answer = await dial(request.method, url, headers)
    except DialFailed as error:
        return _unreached(error)
    if answer.status == _SWITCHED:

        async def copy(stream: ByteStream) -> None:
            await relay(stream, answer.raw)

        return Response(_SWITCHED, dict(answer.headers), upgrade=copy)
    return await _refused(answer)


async def proxy_tunnel(request: Request, url: str) -> Response:
    """Ask at ``url`` for the SPDY that a websocket for ports carries, and join both."""
    backend = spdy_backend(url)
    try:
        answer = await backend.ask(spdy_headers(tunneled(request)))
    except DialFailed as error:
        return _unreached(error)
    return await (tunnel(request, answer, backend) if answer.status == _SWITCHED else _refused(answer))


def spdy_backend(url: str) -> Backend:
    """Return the way to the runtime for whoever speaks SPDY to it."""

    async def ask(headers: Mapping[str, str]) -> client.Answer:
        lower = {name.lower(): value for name, value in headers.items()}
        return await dial("POST", url, headers_for_runtime(lower, ""))

    return Backend(url, ask, Counter())


def _unreached(error: DialFailed) -> Response:
    return http_error(500, f"error dialing backend: {error.message}")


async def _refused(answer: client.Answer) -> Response:
    try:
        if answer.status < _LEAST_FAULT:
            return http_error(500, f"invalid upgrade response: status code {answer.status}")
        kind = answer.header("content-type")
        return Response(answer.status, {"Content-Type": kind} if kind else {}, await answer.read())
    finally:
        await answer.close()
