"""Websockets of newer clients, answered by whoever can only ask for SPDY behind it.

Owns: which websockets these are, the request for SPDY that stands for one, and what is said where that is
refused. The v5 protocol of commands is translated (``exec_bridge``); a forwarded port's websocket carries
SPDY's bytes, which are unpacked. Used by the API server towards kubelets, by kubelets towards their runtime.

Source: KEP-4006 (SPDY to websockets).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urljoin

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import InternalError, StatusError
from tiphys.wire import exec_bridge
from tiphys.wire.client import Answer, CutOff
from tiphys.wire.exec_bridge import Channels
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.relay import first_of, pace
from tiphys.wire.websocket import WebSocket, WebSocketError, accept_headers, is_websocket, offered_protocols

_TUNNELED: Final = "SPDY/3.1+"
_OURS: Final = ".k8s.io"
_SWITCHED: Final = 101
_NO_UPGRADE: Final = "unable to upgrade: missing upgrade headers in response"

Ask = Callable[[Mapping[str, str]], Awaitable[Answer]]
"""Asks, by POST, for an upgrade. Raises StatusError whose message is why nobody could be asked."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where SPDY is asked for, how fast it may be (0: any), and where what it came to is counted."""

    url: str
    ask: Ask
    counts: Counter[int]
    bytes_per_s: int = 0


def is_command(request: Request) -> bool:
    """Tell whether a request is a websocket in which a command's streams can be closed one by one."""
    return is_websocket(request) and exec_bridge.PROTOCOL in offered_protocols(request)


def tunneled(request: Request) -> list[str]:
    """Return the SPDY protocols that a websocket for ports stands for; none for any other request."""
    return spdy_protocols(offered_protocols(request)) if is_websocket(request) else []


def spdy_protocols(offered: Iterable[str]) -> list[str]:
    """Return the SPDY protocols that websocket protocols stand for. Pure."""
    found = (one.removeprefix(_TUNNELED) for one in offered if one.startswith(_TUNNELED))
    return [one for one in found if one.endswith(_OURS)]


def spdy_headers(protocols: Iterable[str]) -> dict[str, str]:
    """Return what SPDY is asked for with."""
    return {
        "Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": ", ".join(protocols),
    }  # fmt: skip


def translate(request: Request, channels: Channels, backend: Backend) -> Response:
    """Speak websocket to the client whatever the other side says; the channel of errors tells its refusal."""
    counts = backend.counts

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream)
        await exec_bridge.greet(socket, channels)
        try:
            answer = await _streams(backend)
        except StatusError as error:
            counts[error.status_code] += 1
            await exec_bridge.refuse(socket, error)
            return
        try:
            counts[await exec_bridge.run(socket, answer.raw, channels, backend.bytes_per_s)] += 1
        finally:
            await answer.close()

    return Response(_SWITCHED, accept_headers(request, exec_bridge.PROTOCOL), upgrade=run)


async def _streams(backend: Backend) -> Answer:
    """Return the other side's end of a command's streams. Raises StatusError as the client is to read it."""
    try:
        answer = await backend.ask(spdy_headers([exec_bridge.SPDY_PROTOCOL]))
    except StatusError as error:
        raise InternalError.of(f'error sending request: Post "{backend.url}": {error.message}') from error
    if answer.status == _SWITCHED:
        return answer
    try:
        body = await answer.read()
    except CutOff:
        body = b"unable to read error from server response"
    finally:
        await answer.close()
    if 300 <= answer.status < 400 and (elsewhere := answer.header("location")):
        at = urljoin(backend.url, elsewhere)
        raise InternalError.of(f'error sending request: Post "{at}": redirect not allowed')
    raise status_error(body) or InternalError.of(
        f"unable to upgrade connection: {body.decode(errors='replace').strip()}"
    )


def status_error(body: bytes) -> StatusError | None:
    """Return the failure that a ``Status`` tells of; None for any other text. Pure."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or (found.get("kind"), found.get("apiVersion")) != ("Status", "v1"):
        return None
    return StatusError(
        str(found.get("message") or ""),
        code=int(found.get("code") or 500),
        reason=str(found.get("reason") or ""),
        details=found.get("details"),
    )


async def tunnel(request: Request, answer: Answer, backend: Backend) -> Response:
    """Join a websocket for ports with an answer to what it stands for, which switches protocols."""
    if not _is_spdy(answer):
        backend.counts[500] += 1
        await answer.close()
        headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
        return Response(500, headers, f"{_NO_UPGRADE}\n".encode())
    backend.counts[_SWITCHED] += 1
    agreed = answer.header("x-stream-protocol-version").strip()

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream)
        try:
            limit = backend.bytes_per_s
            await first_of(_inward(socket, answer.raw, limit), _outward(socket, answer.raw, limit))
        finally:
            await answer.close()

    known = agreed in tunneled(request)
    return Response(_SWITCHED, accept_headers(request, f"{_TUNNELED}{agreed}" if known else ""), upgrade=run)


async def _inward(socket: WebSocket, raw: ByteStream, bytes_per_s: int) -> None:
    try:
        while (message := await socket.receive()) is not None:
            await raw.write(message)
            await pace(message, bytes_per_s)
    except (ConnectionError, WebSocketError):
        return


async def _outward(socket: WebSocket, raw: ByteStream, bytes_per_s: int) -> None:
    try:
        while data := await raw.read():
            await socket.send(data)
            await pace(data, bytes_per_s)
        await socket.close()
    except ConnectionError:
        return


def _is_spdy(answer: Answer) -> bool:
    """Tell whether who switches protocols switches to the one that it was asked for."""
    words = answer.header("connection").lower(), answer.header("upgrade").lower()
    return "upgrade" in words[0] and "spdy/3.1" in words[1]
