"""A socket, a loop and a protocol that do as a test says: in place of real ones below the TLS transport."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from tiphys.wire.tls import TlsTransport

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

    def is_closed(self) -> bool:
        return False

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


Made = tuple[Loop, ScriptedSocket, Protocol, TlsTransport]
