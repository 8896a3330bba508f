"""The TLS transport and its listener: their rules, against a scripted socket and loop."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.tls import (
    GATHER_BYTES,
    HIGH_WATER_BYTES,
    RECORD_BYTES,
    SLICE_BYTES,
    TURN_BYTES,
    TlsTransport,
)  # fmt: skip

WANTS_ROOM = ssl.SSLWantWriteError()


class Loop:
    """Remembers what is watched; runs what is due when told to."""

    def __init__(self) -> None:
        self.reader: Callable[[], None] | None = None
        self.writer: Callable[[], None] | None = None
        self.soon: deque[tuple[Any, ...]] = deque()
        self.later: list[tuple[Any, ...]] = []
        self.complaints: list[dict[str, Any]] = []

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        self.reader = call

    def remove_reader(self, fd: int) -> None:
        self.reader = None

    def add_writer(self, fd: int, call: Callable[[], None]) -> None:
        self.writer = call

    def remove_writer(self, fd: int) -> None:
        self.writer = None

    def call_soon(self, *call: Any) -> None:
        self.soon.append(call)

    def call_later(self, delay_s: float, *call: Any) -> Any:
        self.later.append(call)
        return self

    def cancel(self) -> None:
        self.later.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(context)

    def turn(self) -> None:
        while self.soon:
            call, *arguments = self.soon.popleft()
            call(*arguments)


class ScriptedSocket:
    """Takes what ``room`` allows, whole or not at all; a begun write must be repeated as it was."""

    def __init__(self) -> None:
        self.room = 0
        self.sent: list[bytes] = []
        self.tried: list[bytes] = []
        self.begun: bytes | None = None
        self.arriving: deque[bytes | Exception] = deque()
        self.calls: list[str] = []
        self.failing: Exception | None = None
        self.detached = False

    @property
    def _sslobj(self) -> "ScriptedSocket":
        return self

    def fileno(self) -> int:
        return -1 if self.detached else 7

    def write(self, data: Any) -> int:
        if self.failing is not None:
            raise self.failing
        taken = bytes(data)
        assert self.begun in (None, taken), "OpenSSL refuses another buffer than the one it began with"
        if self.room < len(taken):
            self.begun = taken
            raise WANTS_ROOM
        self.room -= len(taken)
        self.begun = None
        self.sent.append(taken)
        return len(taken)

    def read(self, size: int, buffer: memoryview) -> int:
        found = self.arriving.popleft() if self.arriving else ssl.SSLWantReadError()
        if isinstance(found, Exception):
            raise found
        buffer[: len(found)] = found
        return len(found)

    def detach(self) -> int:
        self.detached = True
        return 7

    def unwrap(self) -> None:
        self.calls.append("unwrap")
        raise ssl.SSLWantReadError

    def shutdown(self, how: int) -> None:
        self.calls.append("shutdown")

    def close(self) -> None:
        self.calls.append("close")


class Descriptors:
    """In place of ``os``: reads and closes the descriptor that a socket was detached from."""

    def __init__(self, sock: ScriptedSocket) -> None:
        self.sock = sock

    def read(self, fd: int, size: int) -> bytes:
        assert (fd, self.sock.detached) == (7, True)
        found = self.sock.arriving.popleft() if self.sock.arriving else BlockingIOError()
        if isinstance(found, Exception):
            raise found
        return found

    def close(self, fd: int) -> None:
        assert (fd, self.sock.detached) == (7, True)
        self.sock.close()


class Protocol(asyncio.BufferedProtocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.buffer = memoryview(bytearray(32 * 1024))
        self.error: Exception | None = None
        self.failing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.told.append(bytes(self.buffer[:nbytes]).decode() if nbytes < 100 else f"read {nbytes}")
        if self.failing:
            raise ValueError("handler")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[Loop, ScriptedSocket, Protocol, TlsTransport]:
    loop, sock, protocol = Loop(), ScriptedSocket(), Protocol()
    monkeypatch.setattr("tiphys.wire.tls.os", Descriptors(sock))
    transport = TlsTransport(loop, sock, protocol, ("10.0.0.1", 5))  # type: ignore[arg-type]
    transport.start()
    protocol.told.clear()
    return loop, sock, protocol, transport


Made = tuple[Loop, ScriptedSocket, Protocol, TlsTransport]


def test_a_write_goes_out_at_once(made: Made) -> None:
    loop, sock, protocol, transport = made
    sock.room = 100
    transport.write(b"one")
    transport.writelines([b"two", b"", b"three"])
    assert sock.sent == [b"one", b"two", b"three"]
    assert loop.writer is None
    assert protocol.told == []


def test_what_openssl_began_is_repeated_and_the_rest_shares_records(made: Made) -> None:
    loop, sock, _, transport = made
    for word in (b"begun", b"a", b"b", b"c" * (RECORD_BYTES - 2), b"d"):
        transport.write(word)
    assert transport.get_write_buffer_size() == 5 + 2 + RECORD_BYTES - 2 + 1
    sock.room = 1 << 20
    assert loop.writer is not None
    loop.writer()
    assert [len(one) for one in sock.sent] == [5, RECORD_BYTES, 1]
    assert b"".join(sock.sent) == b"begunab" + b"c" * (RECORD_BYTES - 2) + b"d"
    assert loop.writer is None
    assert transport.get_write_buffer_size() == 0


def test_a_joined_piece_is_repeated_too(made: Made) -> None:
    loop, sock, _, transport = made
    for word in (b"begun", b"a", b"b"):
        transport.write(word)
    for room in (5, 0, 2):
        sock.room = room
        assert loop.writer is not None
        loop.writer()
    assert sock.sent == [b"begun", b"ab"]


class FakeBuffer:
    """In a scripted connection: takes all, and gives the kernel what ``room`` allows at a flush."""

    def __init__(self, sock: ScriptedSocket) -> None:
        self.sock = sock
        self.left = False
        self.held = 0
        self.room = 0

    def pending(self) -> int:
        return self.held

    def flush(self) -> None:
        self.held -= min(self.held, self.room)
        if self.held:
            raise WANTS_ROOM

    def leave(self) -> None:
        assert not self.left
        self.left = True


@pytest.fixture
def buffered(made: Made, monkeypatch: pytest.MonkeyPatch) -> FakeBuffer:
    """A large answer has been written whole into the buffer; the peer has taken nothing."""
    _, sock, _, transport = made
    buffer = FakeBuffer(sock)
    monkeypatch.setattr("tiphys.wire.tls.gather.lend", lambda session: buffer)
    sock.room = 1 << 30
    buffer.held = 100_000
    transport.write(b"small")
    assert transport._buffer is None
    transport.write(bytes(GATHER_BYTES))
    return buffer


def test_what_is_collected_is_unsent_until_it_is_flushed(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, protocol, transport = made
    assert protocol.told == ["pause"]
    assert transport.get_write_buffer_size() == 100_000
    transport.write(b"behind")
    assert sock.sent[-1] != b"behind"
    buffered.room = 1
    assert loop.writer is not None
    loop.writer()
    assert sock.sent[-1] == b"behind"
    assert (transport.get_write_buffer_size(), protocol.told) == (99_999, ["pause"])
    buffered.room = 1 << 20
    loop.writer()
    assert (buffered.left, protocol.told) == (True, ["pause", "resume"])
    assert loop.writer is None
    assert transport.get_write_buffer_size() == 0


def test_closing_waits_for_what_is_collected(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, _, transport = made
    transport.close()
    loop.turn()
    assert sock.calls == []
    buffered.room = 1 << 20
    assert loop.writer is not None
    loop.writer()
    assert (buffered.left, sock.calls) == (True, ["unwrap", "shutdown"])


def test_an_abort_takes_the_buffer_back(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, protocol, transport = made
    transport.abort()
    loop.turn()
    assert (buffered.left, sock.calls) == (True, ["close"])
    assert loop.writer is None
    assert protocol.told == ["pause", "lost"]


def test_writing_past_the_transport(made: Made) -> None:
    """For whoever writes the same to many: only while nothing waits to be sent."""
    loop, sock, _, transport = made
    direct = transport.direct(lambda: None)
    assert direct is not None
    sock.room = 3
    direct(b"one")
    with pytest.raises(ssl.SSLWantWriteError) as full:
        direct(b"second")
    transport.take_over(b"second", full.value)
    assert transport.direct(lambda: None) is None
    transport.write(b"third")
    sock.room = 100
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [b"one", b"second", b"third"]
    assert transport.direct(lambda: None) is not None
    transport.close()
    assert transport.direct(lambda: None) is None


@pytest.mark.parametrize("end", ["abort", "failed write"])
def test_who_may_write_past_the_transport_is_told_of_its_end(made: Made, end: str) -> None:
    """Before the descriptor is given back, as the next connection may get the same."""
    _, sock, _, transport = made
    open_then: list[bool] = []
    assert transport.direct(lambda: open_then.append("close" not in sock.calls)) is not None
    if end == "abort":
        transport.abort()
    else:
        transport.take_over(b"x", ConnectionResetError())
    assert open_then == [True]
    assert "close" in sock.calls


def test_what_was_begun_past_the_transport_is_repeated_in_one_piece(made: Made) -> None:
    loop, sock, protocol, transport = made
    large = bytes(SLICE_BYTES + 1)
    direct = transport.direct(lambda: None)
    assert direct is not None
    with pytest.raises(ssl.SSLWantWriteError) as full:
        direct(large)
    transport.take_over(large, full.value)
    assert transport.get_write_buffer_size() == len(large)
    assert protocol.told[-1] == "pause"
    sock.room = len(large)
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [large]
    assert protocol.told[-1] == "resume"


def test_a_write_past_the_transport_that_fails_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.take_over(b"lost", ConnectionResetError())
    transport.take_over(b"lost", ConnectionResetError())  # it is gone already
    loop.turn()
    assert sock.calls == ["close"]
    assert protocol.told[-1] == "lost"


def test_large_writes_are_sliced_and_take_turns(made: Made) -> None:
    loop, sock, _, transport = made
    body = bytes(TURN_BYTES + 3 * SLICE_BYTES)
    sock.room = len(body)
    transport.write(body)
    assert {len(one) for one in sock.sent} == {SLICE_BYTES}
    assert sum(map(len, sock.sent)) == TURN_BYTES
    assert loop.writer is not None
    loop.writer()
    assert b"".join(sock.sent) == body
    assert loop.writer is None


def test_large_writes_are_not_copied(made: Made) -> None:
    _, _, _, transport = made
    body = bytes(10 * SLICE_BYTES)
    transport.write(body)
    assert all(view.obj is body for view in transport._backlog)


def test_the_protocol_is_paused_and_resumed(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"x" * HIGH_WATER_BYTES)
    assert protocol.told == []
    transport.write(b"y")
    transport.write(b"z")
    assert protocol.told == ["pause"]
    sock.room = HIGH_WATER_BYTES
    assert loop.writer is not None
    loop.writer()
    assert protocol.told == ["pause", "resume"]


def test_reading_goes_on_after_a_full_record_only(made: Made) -> None:
    loop, sock, protocol, _ = made
    sock.arriving.extend([b"f" * RECORD_BYTES, b"rest", b"later"])
    assert loop.reader is not None
    loop.reader()
    assert protocol.told == [f"read {RECORD_BYTES}", "rest"]


@pytest.mark.parametrize("wants", [ssl.SSLWantReadError(), ssl.SSLWantWriteError()], ids=["data", "room"])
def test_reading_that_cannot_go_on_waits(made: Made, wants: Exception) -> None:
    loop, sock, protocol, transport = made
    sock.arriving.extend([wants, b"later"])
    assert loop.reader is not None
    loop.reader()
    assert (protocol.told, transport.is_closing()) == ([], False)
    loop.reader()
    assert protocol.told == ["later"]


def test_paused_reading_stays_paused(made: Made) -> None:
    loop, _, _, transport = made
    transport.pause_reading()
    transport.pause_reading()
    assert loop.reader is None
    assert not transport.is_reading()
    transport.resume_reading()
    assert loop.reader is not None
    transport.close()
    transport.resume_reading()
    assert not transport.is_reading()


@pytest.mark.parametrize("end", [b"", ssl.SSLEOFError()], ids=["close_notify", "cut off"])
def test_the_peers_end_closes(made: Made, end: bytes | Exception) -> None:
    loop, sock, protocol, transport = made
    sock.arriving.append(end)
    assert loop.reader is not None
    loop.reader()
    assert transport.is_closing()
    loop.turn()
    assert protocol.told == ["eof", "lost"]
    assert sock.calls == ["unwrap", "close"]
    assert protocol.error is None


def test_close_sends_what_is_left_then_waits_for_the_peers_end(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"last words")
    transport.close()
    transport.close()
    transport.write(b"too late")
    loop.turn()
    assert sock.calls == []
    sock.room = 100
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [b"last words"]
    assert sock.calls == ["unwrap", "shutdown"]
    sock.arriving.extend([b"still talking", b""])
    assert loop.reader is not None
    loop.reader()
    loop.reader()
    loop.turn()
    assert sock.calls == ["unwrap", "shutdown", "close"]
    assert protocol.told == ["lost"]
    assert (loop.later, loop.reader, loop.writer) == ([], None, None)


def test_close_does_not_wait_for_ever(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.close()
    loop.turn()
    ((call, *arguments),) = loop.later
    call(*arguments)
    loop.turn()
    assert sock.calls[-1] == "close"
    assert protocol.told == ["lost"]


def test_abort_drops_what_is_unsent(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"unsent")
    transport.abort()
    transport.abort()
    loop.turn()
    assert sock.sent == []
    assert (sock.calls, protocol.told) == (["close"], ["lost"])
    assert transport.get_write_buffer_size() == 0
    assert (loop.reader, loop.writer) == (None, None)


def test_a_failing_write_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    sock.failing = ConnectionResetError("gone")
    transport.write(b"x")
    transport.write(b"y")
    loop.turn()
    assert protocol.told == ["lost"]
    assert protocol.error is sock.failing


def test_a_write_that_fails_later_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"x")
    sock.failing = BrokenPipeError()
    assert loop.writer is not None
    loop.writer()
    loop.turn()
    assert (protocol.told, loop.writer) == (["lost"], None)


def test_a_failing_protocol_is_told_of_and_dropped(made: Made) -> None:
    loop, sock, protocol, _ = made
    protocol.failing = True
    sock.arriving.append(b"data")
    assert loop.reader is not None
    loop.reader()
    loop.turn()
    assert protocol.told == ["data", "lost"]
    assert [type(one["exception"]) for one in loop.complaints] == [ValueError]


def test_what_is_known_of_the_peer(made: Made) -> None:
    _, sock, protocol, transport = made
    assert transport.get_extra_info("peername") == ("10.0.0.1", 5)
    assert transport.get_extra_info("ssl_object") is sock
    assert transport.get_extra_info("nothing", 3) == 3
    assert transport.get_protocol() is protocol
    assert not transport.can_write_eof()


async def test_accepting_rests_when_descriptors_run_out(caplog: pytest.LogCaptureFixture) -> None:
    import errno

    from tiphys.wire.tls_listener import TlsListener

    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self) -> int:
            return 9

        def getsockname(self) -> str:
            return "here"

        def close(self) -> None:
            pass

    loop = Loop()
    now = RealClock().now()
    pair = pki.issue_server(pki.make_ca("ca", now), "server", ["127.0.0.1"], now)
    context = pki.server_context(pair, None)
    listener = TlsListener(loop, Exhausted(), context, Protocol, 1.0)  # type: ignore[arg-type]
    assert loop.reader is not None
    loop.reader()
    assert loop.reader is None
    assert "cannot accept address=here" in caplog.text
    ((resume,),) = loop.later
    resume()
    assert loop.reader is not None
    listener.close()
    assert (loop.reader, listener.sockets) == (None, ())
