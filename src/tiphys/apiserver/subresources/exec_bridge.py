"""Between the v5 websocket protocol of exec and attach, and the SPDY streams of a kubelet.

A websocket message's first byte names its channel; channel 255 closes another one (that is what v5 adds).

Source: KEP-4006; channel numbers as in the older ``channel.k8s.io`` protocols.
"""

from __future__ import annotations

import asyncio

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.wire.message import ByteStream
from tiphys.wire.relay import first_of, pace
from tiphys.wire.spdy import Session, SpdyError, Stream
from tiphys.wire.websocket import WebSocket, WebSocketError

PROTOCOL = "v5.channel.k8s.io"
SPDY_PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_OUTGOING = {STDOUT: "stdout", STDERR: "stderr", ERROR: "error"}


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


async def run(socket: WebSocket, connection: ByteStream, channels: Channels, bytes_per_s: int = 0) -> None:
    """Carry both ways until the command has ended or the client is gone, each channel so fast at most."""
    session = Session(connection)

    async def carry() -> None:
        try:
            streams = {
                number: await session.open_stream({"streamType": kind})
                for number, kind in channels.wanted().items()
            }
        except SpdyError as error:
            await socket.close(1011, str(error)[:120])
            return
        await first_of(_outward(socket, streams, bytes_per_s), _inward(socket, streams, bytes_per_s))

    await first_of(carry(), _until_done(session))


async def refuse(socket: WebSocket, error: StatusError) -> None:
    """Tell the client why there are no streams."""
    status = {key: value for key, value in error.to_status().items() if key not in ("kind", "apiVersion")}
    try:
        await socket.send(bytes([ERROR]) + orjson.dumps(status))
        await socket.close()
    except ConnectionError:
        return


async def _until_done(session: Session) -> None:
    await session.run()
    # The streams have ended by now; give their last bytes to the client before the group ends.
    await asyncio.get_running_loop().create_future()


async def _outward(socket: WebSocket, streams: dict[int, Stream], bytes_per_s: int) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for number in _OUTGOING:
                if number in streams:
                    group.create_task(_copy_out(socket, number, streams[number], bytes_per_s))
    except* (ConnectionError, SpdyError):
        pass
    else:
        await socket.close()


async def _copy_out(socket: WebSocket, number: int, stream: Stream, bytes_per_s: int) -> None:
    while data := await stream.read():
        await socket.send(bytes([number]) + data)
        await pace(data, bytes_per_s)


async def _inward(socket: WebSocket, streams: dict[int, Stream], bytes_per_s: int) -> None:
    try:
        while (message := await socket.receive()) is not None:
            if not message:
                continue
            number, data = message[0], message[1:]
            if number == CLOSE and data and data[0] in streams:
                await streams[data[0]].finish()
            elif number in (STDIN, RESIZE) and number in streams and data:
                await streams[number].write(data)
                await pace(data, bytes_per_s)
    except (ConnectionError, WebSocketError):
        return
