"""Between websockets and the SPDY of kubelets: what each side reads when the other speaks, ends or breaks."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest
from tests.wire.pipe import Pipe

from tiphys.testing.simulation import VirtualLoop
from tiphys.wire import exec_bridge, spdy
from tiphys.wire.exec_bridge import Channels, outcome
from tiphys.wire.spdy import FrameReader, HeaderCodec, encode_control, encode_data
from tiphys.wire.websocket import WebSocket

STREAMS = Channels(stdin=True, stdout=True, stderr=True, tty=False)
CLOSE = struct.pack(">BBH", 0x88, 2, 1000)


class Runtime(Pipe):
    """What runs commands: accepts every stream, or none; notes what comes on them."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.kinds: dict[str, int] = {}
        self.said: list[tuple[str, bytes]] = []
        self.pings: list[int] = []
        self._reader, self._headers, self._refuses = FrameReader(), HeaderCodec(), refuses

    async def write(self, data: bytes) -> None:
        await super().write(data)
        for frame in self._reader.feed(data):
            if frame.type == spdy.SYN_STREAM:
                kind = self._headers.decode(frame.payload[10:])["streamtype"]
                self.kinds[kind] = frame.stream_id
                self._answer(frame.stream_id)
            elif frame.type == spdy.PING:
                self.pings.append(frame.stream_id)
            elif frame.type == 0:
                kind = next(kind for kind, number in self.kinds.items() if number == frame.stream_id)
                self.said.append((kind, frame.payload if not frame.flags else b"<end>"))

    def _answer(self, number: int) -> None:
        if self._refuses:
            self.inward.put_nowait(encode_control(spdy.RST_STREAM, 0, struct.pack(">II", number, 3)))
        else:
            block = struct.pack(">I", number) + self._headers.encode({})
            self.inward.put_nowait(encode_control(spdy.SYN_REPLY, 0, block))

    def say(self, kind: str, data: bytes, *, fin: bool = False) -> None:
        self.inward.put_nowait(encode_data(self.kinds[kind], data, fin=fin))


def masked(payload: bytes, opcode: int = 2) -> bytes:
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


class Bridge:
    def __init__(self, channels: Channels = STREAMS, *, refuses: bool = False) -> None:
        self.client, self.runtime = Pipe(), Runtime(refuses=refuses)
        running = exec_bridge.run(WebSocket(self.client), self.runtime, channels)
        self.task = asyncio.create_task(running)
        self.count = len(channels.wanted())

    async def started(self) -> Bridge:
        async with asyncio.timeout(10):
            while len(self.runtime.kinds) < self.count:
                self.runtime.wrote.clear()
                await self.runtime.wrote.wait()
        return self

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.client.inward.put_nowait(masked(message))

    async def heard(self, *said: tuple[str, bytes]) -> None:
        async with asyncio.timeout(10):
            while self.runtime.said != list(said):
                self.runtime.wrote.clear()
                await self.runtime.wrote.wait()

    async def left(self) -> int:
        self.client.inward.put_nowait(masked(struct.pack(">H", 1000), opcode=8))
        async with asyncio.timeout(10):
            return await self.task


async def test_the_end_is_told_last() -> None:
    bridge = await Bridge().started()
    bridge.runtime.say("error", b'{"status":"Success"}', fin=True)
    bridge.runtime.say("stderr", b"", fin=True)
    bridge.runtime.say("stdout", b"late")
    await bridge.client.until(b"\x01late")
    assert b"\x03" not in bridge.client.outward
    bridge.runtime.say("stdout", b"", fin=True)
    await bridge.client.until(CLOSE)
    assert bridge.client.outward.endswith(b'\x03{"metadata":{},"status":"Success"}' + CLOSE)
    bridge.send(b"\x00more")  # a client that writes on does not lose what it has not read
    assert not bridge.task.done()
    assert await bridge.left() == 200


async def test_streams_are_opened_in_order() -> None:
    bridge = await Bridge(Channels(stdin=True, stdout=True, stderr=True, tty=True)).started()
    assert list(bridge.runtime.kinds) == ["error", "stdin", "stdout", "resize"]
    bridge.send(b'\x04{"Width":80,"Height":24}', b"\x00a")
    await bridge.heard(("resize", b'{"Width":80,"Height":24}'), ("stdin", b"a"))
    await bridge.left()


async def test_half_closed() -> None:
    bridge = await Bridge().started()
    bridge.send(
        b"", b"\x00", b"\x01to an output", b"\x09", b"\x00a", b"\xff\x01", b"\xff\x00", b"\xff\x00", b"\x00b"
    )
    await bridge.heard(("stdin", b"a"), ("stdin", b"<end>"))
    bridge.runtime.say("stdout", b"still heard")
    await bridge.client.until(b"\x01still heard")
    assert bridge.runtime.said == [("stdin", b"a"), ("stdin", b"<end>")]
    await bridge.left()


@pytest.mark.parametrize("message", [b"\xff", b"\xff\x00\x00", b"\xff\x05", b"\xff\xff"])
async def test_a_broken_signal_ends_it(message: bytes) -> None:
    bridge = await Bridge().started()
    bridge.send(message)
    async with asyncio.timeout(10):
        assert await bridge.task == 500


async def test_streams_that_are_refused() -> None:
    bridge = Bridge(refuses=True)
    await bridge.client.until(CLOSE)
    assert b'"message":"Internal error occurred: stream reset with status 3"' in bridge.client.outward
    assert await bridge.left() == 500


async def test_a_runtime_that_goes_without_a_word() -> None:
    bridge = await Bridge().started()
    bridge.runtime.inward.put_nowait(b"")
    await bridge.client.until(b'\x03{"metadata":{},"status":"Success"}')
    bridge.runtime.broken = True
    bridge.send(b"\x00a", b"\x00b")
    assert await bridge.left() == 200


async def test_a_client_that_is_gone() -> None:
    bridge = await Bridge().started()
    bridge.client.broken = True
    bridge.runtime.say("stdout", b"for nobody")
    async with asyncio.timeout(10):
        assert await bridge.task == 500


async def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_bridge, "_PING_S", 0.001)
    bridge = await Bridge().started()
    async with asyncio.timeout(10):
        while len(bridge.runtime.pings) < 3:
            bridge.runtime.wrote.clear()
            await bridge.runtime.wrote.wait()
    assert bridge.runtime.pings[:3] == [1, 3, 5]
    await bridge.left()


def in_virtual_time(story: Coroutine[Any, Any, float]) -> float:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()


async def _ended_after(*said_s: float, by: str) -> float:
    """Return when a session ends in which something is said at these seconds by one side alone."""
    bridge, loop = await Bridge().started(), asyncio.get_running_loop()
    for at_s in said_s:
        await asyncio.sleep(at_s - loop.time())
        if by == "client":
            bridge.send(b"\x00a")
        elif by == "command":
            bridge.runtime.say("stdout", b"a")
        else:
            bridge.client.inward.put_nowait(masked(b"awake", opcode=9))
    assert await bridge.task == 500
    return round(loop.time())


@pytest.mark.parametrize(
    ("said_s", "by", "ended_s"),
    [
        ((), "nobody", 14400),
        ((14000, 28000), "client", 42400),
        ((14000, 28000), "command", 42400),
        ((5000, 10000), "pings", 14400),
    ],
)
def test_who_is_silent_for_hours_is_left(said_s: tuple[float, ...], by: str, ended_s: float) -> None:
    assert in_virtual_time(_ended_after(*said_s, by=by)) == ended_s


@pytest.mark.parametrize(
    ("wanted", "greeting"),
    [
        ((True, True, True, False), b"\x82\x01\x01"),
        ((True, False, True, False), b"\x82\x01\x02"),
        ((True, False, False, False), b"\x82\x01\x03"),
        ((False, False, True, True), b"\x82\x01\x02"),
    ],
)
async def test_greeting(wanted: tuple[bool, bool, bool, bool], greeting: bytes) -> None:
    client = Pipe()
    names = ("stdin", "stdout", "stderr", "tty")
    await exec_bridge.greet(WebSocket(client), Channels(**dict(zip(names, wanted, strict=True))))
    assert client.outward == greeting


def failure(**status: Any) -> bytes:
    return orjson.dumps({"status": "Failure", **status})


def exit_code(text: str) -> bytes:
    details = {"causes": [{"reason": "Other"}, {"reason": "ExitCode", "message": text}]}
    return failure(reason="NonZeroExitCode", details=details, message="as the runtime has it")


BROKEN = "error stream protocol error: "
FAILED: dict[str, tuple[bytes, str]] = {
    "a fault": (failure(message="no such container"), "no such container"),
    "a fault without a word": (failure(), ""),
    "no JSON": (b"what", f"{BROKEN}invalid character 'w' looking for beginning of value in \"what\""),
    "half a JSON": (b'{"status":', f'{BROKEN}unexpected end of JSON input in "{{\\"status\\":"'),
    "no status": (b"{}", f"{BROKEN}unknown error"),
    "another status": (b'{"status":"Maybe"}', f"{BROKEN}unknown error"),
    "no details": (failure(reason="NonZeroExitCode"), f"{BROKEN}details must be set"),
    "no code": (failure(reason="NonZeroExitCode", details={}), f"{BROKEN}no ExitCode cause given"),
    "a code that is none": (exit_code("x"), f'{BROKEN}invalid exit code value "x"'),
    "a code that is too large": (exit_code("256"), f'{BROKEN}invalid exit code value "256"'),
    "a code below zero": (exit_code("-1"), f'{BROKEN}invalid exit code value "-1"'),
}


@pytest.mark.parametrize(("told", "text"), FAILED.values(), ids=FAILED.keys())
def test_faults(told: bytes, text: str) -> None:
    code, status = outcome(told)
    assert (code, status["code"], status["reason"]) == (500, 500, "InternalError")
    assert status["message"] == f"Internal error occurred: {text}"


@pytest.mark.parametrize(
    "told", [b"", b'{"status":"Success"}', b'{"metadata":{},"status":"Success","code":7}']
)
def test_success(told: bytes) -> None:
    assert outcome(told) == (200, {"metadata": {}, "status": "Success"})


def test_a_command_that_fails() -> None:
    code, status = outcome(exit_code("137"))
    assert code == 200
    assert status == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: command terminated with exit code 137",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "137"}]},
    }
