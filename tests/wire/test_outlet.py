"""One chunk to many connections: what each of two threads does, failures, and real TLS."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.outlet import WORTH_A_THREAD, FanOut, Outlet, Writer
from tiphys.wire.server import serve

DEADLINE_S = 60
NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
PAIR = pki.issue_server(CA, "server", ["127.0.0.1"], NOW)
MANY = 2 * WORTH_A_THREAD


@pytest.fixture
def fan_out() -> Iterator[FanOut]:
    made = FanOut(cores=2)
    yield made
    made.close()


class Crew:
    """Writers that note what they were given and by which thread.

    The first of each thread waits until the other has begun, where there are two.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.got: list[list[bytes]] = [[] for _ in range(count)]
        self.threads: set[int] = set()
        self._met = threading.Barrier(threads)
        self.writers = [self._writer(at) for at in range(count)]

    def _writer(self, at: int) -> Writer:
        def write(chunk: bytes) -> None:
            if threading.get_ident() not in self.threads:
                self.threads.add(threading.get_ident())
                self._met.wait(DEADLINE_S)
            self.got[at].append(chunk)

        return write


def test_two_threads_share_the_writing(fan_out: FanOut) -> None:
    crew = Crew(MANY, 2)
    for _ in range(3):
        assert fan_out.write(crew.writers, b"x", anywhere=True) == []
    assert crew.got == [[b"x"] * 3] * MANY
    assert len(crew.threads) == 2


@pytest.mark.parametrize(
    ("count", "cores", "anywhere"),
    [(WORTH_A_THREAD - 1, 2, True), (MANY, 1, True), (MANY, 2, False)],
    ids=["few", "one core", "the loop's own"],
)
def test_one_thread_does_it_all(count: int, cores: int, anywhere: bool) -> None:
    crew, fan_out = Crew(count, 1), FanOut(cores=cores)
    assert fan_out.write(crew.writers, b"x", anywhere=anywhere) == []
    assert crew.got == [[b"x"]] * count
    assert crew.threads == {threading.get_ident()}
    fan_out.close()


def test_nobody_waits_for_a_helper_that_has_not_begun(fan_out: FanOut) -> None:
    """It may be long in coming on a busy machine, and there is nothing left for it."""
    held = threading.Event()
    fan_out.write(Crew(MANY, 2).writers, b"x", anywhere=True)
    assert fan_out._helper is not None
    fan_out._helper.submit(held.wait, DEADLINE_S)
    crew = Crew(MANY, 1)
    assert fan_out.write(crew.writers, b"y", anywhere=True) == []
    held.set()
    assert crew.got == [[b"y"]] * MANY


@pytest.mark.parametrize("count", [4, MANY])
def test_failures_are_told_and_stop_nobody(fan_out: FanOut, count: int) -> None:
    crew, error = Crew(count, 2 if count == MANY else 1), OSError()

    def fail(chunk: bytes) -> None:
        raise error

    crew.writers[0] = crew.writers[2] = fail
    failed = fan_out.write(crew.writers, b"x", anywhere=True)
    assert sorted(failed) == [(0, error), (2, error)]
    assert [got for at, got in enumerate(crew.got) if at not in (0, 2)] == [[b"x"]] * (count - 2)


def test_closing_twice(fan_out: FanOut) -> None:
    fan_out.write(Crew(MANY, 2).writers, b"x", anywhere=True)
    fan_out.close()
    fan_out.close()


# -- real connections


class Streams:
    """Each answer is a stream that never ends; their outlets come here."""

    def __init__(self) -> None:
        self.outlets: list[Outlet] = []

    async def __call__(self, request: Request) -> Response:
        return Response(200, {}, stream=_Endless(self.outlets))


class _Endless:
    def __init__(self, outlets: list[Outlet]) -> None:
        self._outlets = outlets

    def attach(self, outlet: Outlet) -> None:
        self._outlets.append(outlet)

    def __aiter__(self) -> "_Endless":
        return self

    async def __anext__(self) -> bytes:
        await asyncio.Event().wait()
        raise StopAsyncIteration


@contextlib.asynccontextmanager
async def streaming(count: int) -> AsyncIterator[tuple[Streams, list[asyncio.StreamReader]]]:
    app = Streams()
    trusting = ssl.create_default_context(cadata=CA.certificate.decode())
    context = pki.server_context(PAIR, None)
    async with asyncio.timeout(DEADLINE_S), serve(app, ssl_context=context) as server:
        pairs = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
            pairs.append((reader, writer))
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        yield app, [reader for reader, _ in pairs]
        for _, writer in pairs:
            writer.transport.abort()


async def test_many_encrypted_connections_get_every_chunk_in_order(fan_out: FanOut) -> None:
    async with streaming(WORTH_A_THREAD) as (app, readers):
        assert all(outlet.anywhere for outlet in app.outlets)
        writers = [writer for outlet in app.outlets if (writer := outlet.writer(lambda: None)) is not None]
        chunks = [app.outlets[0].framed(b"%d" % number * 100) for number in range(20)]
        for chunk in chunks:
            assert fan_out.write(writers, chunk, anywhere=True) == []
        whole = b"".join(chunks)
        for reader in readers:
            assert await reader.readexactly(len(whole)) == whole


async def test_a_client_that_does_not_read_gets_all_of_it_later(fan_out: FanOut) -> None:
    async with streaming(1) as (app, readers):
        (outlet,), (reader,) = app.outlets, readers
        chunk, count = outlet.framed(bytes(range(256)) * 4096), 0
        writer = outlet.writer(lambda: None)
        while writer is not None:
            count += 1
            for _, error in fan_out.write([writer], chunk, anywhere=True):
                assert isinstance(error, ssl.SSLWantWriteError)
                assert outlet.rescue(chunk, error)  # the connection keeps it
            writer = outlet.writer(lambda: None)
        for _ in range(count):
            assert await reader.readexactly(len(chunk)) == chunk
        while outlet.writer(lambda: None) is None:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_client_that_has_gone(fan_out: FanOut) -> None:
    async with streaming(1) as (app, _):
        (outlet,) = app.outlets
        writer = outlet.writer(lambda: None)
        assert writer is not None
        outlet._transport.abort()
        ((_, error),) = fan_out.write([writer], b"x", anywhere=True)
        assert outlet.rescue(b"x", error)  # there is nobody to send it to
        assert outlet.writer(lambda: None) is None
