"""Between the v5 websocket protocol of exec and attach, and the SPDY streams of a kubelet or a runtime.

A websocket message's first byte names its channel; channel 255 closes another one (that is what v5 adds).
What a kubelet says on its stream of errors is understood and said anew: the client hears of the end last.

Source: KEP-4006; channel numbers as in the older ``channel.k8s.io`` protocols.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import InternalError, StatusError
from tiphys.apimachinery.schema.json_fault import explain
from tiphys.wire.message import ByteStream
from tiphys.wire.relay import first_of, pace
from tiphys.wire.spdy import Session, SpdyError, Stream
from tiphys.wire.websocket import WebSocket, WebSocketError

PROTOCOL: Final = "v5.channel.k8s.io"
SPDY_PROTOCOL: Final = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSING: Final = b"\xff"
_READ: Final = (STDIN, RESIZE)
_CHANNELS: Final = 5
_PING_S: Final = 5.0
_PARTING_S: Final = 900.0
"""So long a client may take to read what was written before its end was told."""
_IDLE_S: Final = 4 * 3600.0
"""Who says and hears nothing for so long is left. What only keeps the connection awake does not count."""
_MOST_TOLD: Final = 1 << 20
_MOST_CODE: Final = 255
_NON_ZERO, _EXIT_CODE = "NonZeroExitCode", "ExitCode"
_BROKEN: Final = "error stream protocol error: "
SUCCESS: Final[Mapping[str, Any]] = {"metadata": {}, "status": "Success"}


@dataclass(frozen=True, slots=True)
class Channels:
    """What the client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def wanted(self) -> dict[int, str]:
        """Return channel numbers and SPDY stream types, in the order that kubelets expect."""
        wanted = {ERROR: "error"}
        if self.stdin:
            wanted[STDIN] = "stdin"
        if self.stdout:
            wanted[STDOUT] = "stdout"
        if self.stderr and not self.tty:
            wanted[STDERR] = "stderr"
        if self.tty:
            wanted[RESIZE] = "resize"
        return wanted


async def greet(socket: WebSocket, channels: Channels) -> None:
    """Tell the client that it is heard: nothing, on the lowest channel that is written to."""
    first = STDOUT if channels.stdout else STDERR if channels.stderr else ERROR
    with suppress(ConnectionError):
        await socket.send(bytes([first]))


async def run(socket: WebSocket, connection: ByteStream, channels: Channels, bytes_per_s: int = 0) -> int:
    """Carry both ways until the command has ended, the client is gone or idle, each channel so fast at most.

    Return the status code that it came to: 200 also for a command that failed by itself.
    """
    session, codes = Session(connection), [500]

    async def carry() -> None:
        try:
            streams = {
                number: await session.open_stream({"streamType": kind})
                for number, kind in channels.wanted().items()
            }
        except SpdyError as error:
            await refuse(socket, InternalError.of(error))
            return

        async def outward() -> None:
            try:
                told = await _outward(socket, streams, bytes_per_s)
                codes[0], status = outcome(told)
                await _part(socket, status)
            except ConnectionError:
                return
            await asyncio.sleep(_PARTING_S)

        await first_of(_inward(socket, streams, bytes_per_s), outward())

    await first_of(carry(), _until_done(session), _ping(session), socket.until_idle(_IDLE_S))
    return codes[0]


async def refuse(socket: WebSocket, error: StatusError) -> None:
    """Tell the client why there are no streams, and wait for it to go."""
    try:
        await _part(socket, _status(error))
        async with asyncio.timeout(_PARTING_S):
            await socket.ignore()
    except (ConnectionError, TimeoutError):
        return


async def _part(socket: WebSocket, status: Mapping[str, Any]) -> None:
    """Say how it ended, and that nothing more comes.

    Whoever closed the connection now would take back what the client has not read yet: that is up to it.
    """
    await socket.send(bytes([ERROR]) + orjson.dumps(status))
    await socket.close()


def _status(error: StatusError) -> dict[str, Any]:
    return {key: value for key, value in error.to_status().items() if key not in ("kind", "apiVersion")}


def outcome(told: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return what a kubelet's word on its stream of errors comes to: a code, and the status for the client.

    Pure. No word at all is a success.
    """
    if not told:
        return 200, SUCCESS
    try:
        status = orjson.loads(told)
    except orjson.JSONDecodeError as error:
        shown = json.dumps(told.decode(errors="replace"), ensure_ascii=False)
        return _failed(f"{_BROKEN}{explain(told) or error} in {shown}")
    if not isinstance(status, dict) or status.get("status") not in ("Success", "Failure"):
        return _failed(f"{_BROKEN}unknown error")
    if status["status"] == "Success":
        return 200, SUCCESS
    if status.get("reason") != _NON_ZERO:
        return _failed(str(status.get("message") or ""))
    return _exited(status.get("details"))


def _exited(details: Any) -> tuple[int, Mapping[str, Any]]:
    if not isinstance(details, dict):
        return _failed(f"{_BROKEN}details must be set")
    causes = (one for one in details.get("causes") or () if one.get("reason") == _EXIT_CODE)
    cause = next(causes, None)
    if cause is None:
        return _failed(f"{_BROKEN}no {_EXIT_CODE} cause given")
    text = str(cause.get("message") or "")
    if not (text.isascii() and text.isdigit() and int(text[:4]) <= _MOST_CODE):
        return _failed(f'{_BROKEN}invalid exit code value "{text}"')
    number = int(text)
    return 200, {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {number}",
        "reason": _NON_ZERO,
        "details": {"causes": [{"reason": _EXIT_CODE, "message": str(number)}]},
    }


def _failed(text: str) -> tuple[int, Mapping[str, Any]]:
    return 500, _status(InternalError.of(text))


async def _until_done(session: Session) -> None:
    await session.run()
    # The streams have ended by now; give their last bytes to the client before the group ends.
    await asyncio.get_running_loop().create_future()


async def _ping(session: Session) -> None:
    """Keep what lies between from taking a silent connection for a dead one."""
    with suppress(ConnectionError):
        for number in itertools.count(1, 2):
            await asyncio.sleep(_PING_S)
            await session.ping(number)
    await asyncio.get_running_loop().create_future()


async def _outward(socket: WebSocket, streams: dict[int, Stream], bytes_per_s: int) -> bytes:
    """Give the client what the command says; return what the kubelet says of it."""
    try:
        async with asyncio.TaskGroup() as group:
            for number in (STDOUT, STDERR):
                if number in streams:
                    group.create_task(_copy_out(socket, number, streams[number], bytes_per_s))
            told = group.create_task(_collect(streams[ERROR]))
    except* ConnectionError:
        raise ConnectionResetError("the client is gone") from None
    return told.result()


async def _collect(stream: Stream) -> bytes:
    told = b""
    while data := await stream.read():
        told = (told + data)[:_MOST_TOLD]
    return told


async def _copy_out(socket: WebSocket, number: int, stream: Stream, bytes_per_s: int) -> None:
    while data := await stream.read():
        await socket.send(bytes([number]) + data)
        await pace(data, bytes_per_s)


async def _inward(socket: WebSocket, streams: dict[int, Stream], bytes_per_s: int) -> None:
    """Give the kubelet what the client says, until it is gone; what nobody takes any more is let go."""
    takers = {number: streams[number] for number in _READ if number in streams}
    try:
        while (message := await socket.receive()) is not None:
            number, data = message[:1], message[1:]
            if number == _CLOSING:
                if len(data) != 1 or data[0] >= _CHANNELS:
                    return
                number, data = data, b""
            elif not data:
                continue
            if number and number[0] in takers:
                await _give(takers, number[0], data)
                await pace(data, bytes_per_s)
    except (ConnectionError, WebSocketError):
        return


async def _give(takers: dict[int, Stream], number: int, data: bytes) -> None:
    """Write to one that still takes something, or, with no bytes, finish it."""
    try:
        if data:
            await takers[number].write(data)
        else:
            await takers.pop(number).finish()
    except ConnectionError:
        takers.clear()
