"""How a server ends: who is still served, what the others are told, and in which order it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.filters.flights import Flights
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.graceful_shutdown import GracefulShutdown, ShutdownOptions, TooLate
from tiphys.wire.message import Handler, Request, Response
from tiphys.wire.server import Server, serve

NAMESPACES = "/api/v1/namespaces"
EXEC = f"{NAMESPACES}/default/pods/p/exec"
LATE = b"The apiserver is shutting down, please try again later.\n"
TELLS = ShutdownOptions(tells=True)
SILENT = ShutdownOptions()
PATIENT = ShutdownOptions(watch_grace_s=5.0)
BOTH = ShutdownOptions(tells=True, watch_grace_s=5.0)


async def served(_: Request) -> Response:
    return Response(200, {"retry-after": ""})


@pytest.mark.parametrize(
    ("options", "path", "agent", "status", "retry_after"),
    [
        pytest.param(TELLS, NAMESPACES, "foo", 429, "5", id="not exempt"),
        pytest.param(TELLS, f"{NAMESPACES}?watch=1", "foo", 429, "5", id="a watch neither"),
        pytest.param(BOTH, f"{NAMESPACES}?watch=1", "foo", 429, "5", id="whether watches are awaited or not"),
        pytest.param(TELLS, EXEC, "foo", 429, "5", id="what lasts neither"),
        pytest.param(TELLS, "/metrics?foo=bar", "foo", 200, "", id="metrics"),
        pytest.param(TELLS, "/livez?verbose", "foo", 200, "", id="livez"),
        pytest.param(TELLS, "/readyz?verbose", "foo", 200, "", id="readyz"),
        pytest.param(TELLS, "/healthz?verbose", "foo", 200, "", id="healthz"),
        pytest.param(TELLS, NAMESPACES, "kube-apiserver/", 200, "", id="the loopback"),
        pytest.param(SILENT, NAMESPACES, "foo", 503, "1", id="not told: a request"),
        pytest.param(SILENT, "/readyz?verbose", "foo", 200, "", id="not told: readyz"),
        pytest.param(SILENT, NAMESPACES, "kube-apiserver/", 200, "", id="not told: the loopback"),
        pytest.param(SILENT, EXEC, "foo", 200, "", id="not told: what lasts"),
        pytest.param(SILENT, f"{NAMESPACES}?watch=1", "foo", 200, "", id="watches that nobody awaits"),
        pytest.param(PATIENT, f"{NAMESPACES}?watch=1", "foo", 503, "1", id="watches that are awaited"),
    ],
)
async def test_who_comes_too_late(
    options: ShutdownOptions, path: str, agent: str, status: int, retry_after: str
) -> None:
    path, _, query = path.partition("?")
    response = await TooLate(served, options)(Request("GET", path, query, {"user-agent": agent}))
    assert (response.status, response.headers["retry-after"]) == (status, retry_after)
    assert (response.headers.get("connection") == "close") is (status == 429)
    if status == 429:
        assert response.body == LATE
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert "cache-control" not in response.headers
    if status == 503:
        assert isinstance(response.body, bytes)
        said = orjson.loads(response.body)
        assert (said["reason"], said["message"]) == ("ServiceUnavailable", "apiserver is shutting down")
        assert response.headers["content-type"] == "application/json"
    if status != 200:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["audit-id"]


class App:
    """A server whose requests to ``/waits`` are under way until they are let go."""

    def __init__(self, options: ShutdownOptions) -> None:
        self.flights = Flights(RealClock(), 60.0)
        self.events: list[str] = []
        self.arrived, self.release = asyncio.Event(), asyncio.Event()
        self.ending = GracefulShutdown(options, self.flights, self.happened)
        self.server: Server | None = None
        self.waits: dict[str, asyncio.Event] = {}
        self.goes_on, self.finishes = asyncio.Event(), asyncio.Event()
        """What streams wait for."""

    def happened(self, name: str) -> None:
        self.events.append(name)
        self.event(name).set()

    def event(self, name: str) -> asyncio.Event:
        return self.waits.setdefault(name, asyncio.Event())

    async def __call__(self, request: Request) -> Response:
        if request.path == "/streams":
            return Response(200, {}, stream=self.stream())
        flight = self.flights.begin(parse(request.method, request.path), "", 0.0)
        assert flight is not None
        try:
            if request.path == "/waits":
                self.arrived.set()
                await self.release.wait()
            return Response(200, {}, b"served")
        finally:
            self.flights.end(flight)

    async def stream(self) -> AsyncIterator[bytes]:
        yield b"begun"
        await self.goes_on.wait()
        yield b"still here"
        await self.finishes.wait()


class Peer:
    """A client on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, path: str) -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return int(head.split()[1]), head + await self.reader.readexactly(length)

    async def get(self, path: str) -> tuple[int, bytes]:
        self.ask(path)
        return await self.answer()


@asynccontextmanager
async def ending(options: ShutdownOptions) -> AsyncIterator[tuple[App, Callable[[], Any]]]:
    app = App(options)
    writers = []
    async with serve(app) as server, asyncio.timeout(30):
        app.server, port = server, server.port

        async def connect() -> Peer:
            peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
            writers.append(peer.writer)
            return peer

        try:
            yield app, connect
        finally:
            for writer in writers:
                writer.close()


def run(app: App) -> asyncio.Task[None]:
    assert app.server is not None
    handler: Handler = app
    return asyncio.ensure_future(app.ending.run(app.server, handler))


async def test_who_is_told_to_come_again() -> None:
    async with ending(TELLS) as (app, connect):
        waiting, known = await connect(), await connect()
        assert (await known.get("/readyz"))[0] == 200
        waiting.ask("/waits")
        await app.arrived.wait()
        ended = run(app)
        await app.event("NotAcceptingNewRequest").wait()
        status, said = await (await connect()).get("/echo")
        assert (status, said.count(b"Connection: close"), b"Retry-After: 5" in said) == (429, 1, True)
        assert (await known.get("/readyz"))[0] == 200
        assert (await known.get("/echo"))[0] == 429
        assert await known.reader.read() == b""
        assert "InFlightRequestsDrained" not in app.events
        app.release.set()
        assert (await waiting.answer())[0] == 200
        await ended
        assert app.events == [
            "ShutdownInitiated", "PreShutdownHooksStopped", "AfterShutdownDelayDuration",
            "NotAcceptingNewRequest", "InFlightRequestsDrained", "HTTPServerStoppedListening",
        ]  # fmt: skip
        with pytest.raises(OSError, match="Connect"):
            await connect()


async def test_who_finds_nobody() -> None:
    async with ending(SILENT) as (app, connect):
        waiting = await connect()
        waiting.ask("/waits")
        await app.arrived.wait()
        ended = run(app)
        await app.event("HTTPServerStoppedListening").wait()
        with pytest.raises(OSError, match="Connect"):
            await connect()
        app.release.set()
        status, said = await waiting.answer()
        assert (status, b"Connection: close" in said) == (200, True)
        await ended
        assert app.events == [
            "ShutdownInitiated", "PreShutdownHooksStopped", "AfterShutdownDelayDuration",
            "NotAcceptingNewRequest", "HTTPServerStoppedListening", "InFlightRequestsDrained",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(ShutdownOptions(request_timeout_s=0.05), id="when time is up"),
        pytest.param(ShutdownOptions(watch_grace_s=0.02), id="one by one"),
        pytest.param(ShutdownOptions(tells=True, watch_grace_s=0.02), id="one by one, others being told"),
    ],
)
async def test_streams_end_whole(options: ShutdownOptions) -> None:
    async with ending(options) as (app, connect):
        peers = [await connect() for _ in range(3)]
        for peer in peers:
            peer.ask("/streams")
            await peer.reader.readuntil(b"begun\r\n")
        await run(app)
        for peer in peers:
            assert await peer.reader.read() == b"0\r\n\r\n"


async def test_streams_that_nobody_waits_for_go_on_until_they_end() -> None:
    """They do so behind everything else, and the server ends with the last of them."""
    async with ending(SILENT) as (app, connect):
        peers = [await connect() for _ in range(2)]
        for peer in peers:
            peer.ask("/streams")
            await peer.reader.readuntil(b"begun\r\n")
        ended = run(app)
        await app.event("InFlightRequestsDrained").wait()
        app.goes_on.set()
        said = {await peer.reader.readuntil(b"here\r\n") for peer in peers}
        assert said == {b"a\r\nstill here\r\n"}
        assert not ended.done()
        app.finishes.set()
        for peer in peers:
            assert await peer.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        await ended
        assert app.events[-2:] == ["HTTPServerStoppedListening", "InFlightRequestsDrained"]


async def test_streams_go_on_until_it_is_their_turn() -> None:
    async with ending(SILENT) as (app, connect):
        peers = [await connect() for _ in range(4)]
        for peer in peers:
            peer.ask("/streams")
            await peer.reader.readuntil(b"begun\r\n")
        assert app.server is not None
        app.server.close()
        drained = asyncio.ensure_future(app.server.end_streams(60.0))
        done, pending = await asyncio.wait(
            [asyncio.ensure_future(peer.reader.read()) for peer in peers], return_when="FIRST_COMPLETED"
        )
        assert (len(done), len(pending)) == (1, 3)
        drained.cancel()


async def test_a_server_says_first_that_it_is_not_ready(serving: Any) -> None:
    async with serving(shutdown_send_retry_after=True, shutdown_delay_s=3600.0) as api:
        before, unready = api.server.handler, asyncio.Event()
        listener = Server(before)
        ended = asyncio.ensure_future(api.server.end(listener, lambda _name: unready.set()))
        await unready.wait()
        assert (await api("GET", "/readyz")).status == 500
        assert (await api("GET", NAMESPACES)).status == 200
        assert listener.handler is before
        ended.cancel()
