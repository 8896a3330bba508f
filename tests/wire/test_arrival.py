"""Bodies that are asked for when somebody wants them, over either protocol."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator

import pytest
from tests.wire.http2.peer import Peer, data, head
from tests.wire.test_connection import until
from tests.wire.test_server import CHUNKED, CLOSE, DEADLINE_S, get, split, talk

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import StatusError, Unauthorized
from tiphys.wire.arrival import HELD_S, SLOW_S, Arrival
from tiphys.wire.http2 import connection
from tiphys.wire.message import Request, Response
from tiphys.wire.server import Server, ServerLimits, serve

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS = "Expect: 100-continue"
LONG = "Content-Length: 5000"


class Careful:
    """Refuses who asks for ``/no`` before it wants a body, and notes what became of bodies."""

    asks_for_bodies = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.held: list[float] = []
        self.go = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.seen.append(f"{request.method} {request.path}")
        if HELD_S in request.scope:
            self.held.append(request.scope[HELD_S])
        if request.path == "/no":
            raise Unauthorized("who are you?")
        if request.path == "/waits":
            await self.go.wait()
        try:
            await request.arrive()
            await request.arrive()
        except StatusError as error:
            self.seen.append(error.message)
            raise
        return Response(200, {}, b"got " + request.body)


@contextlib.asynccontextmanager
async def careful() -> AsyncIterator[tuple[Server, Careful]]:
    app = Careful()
    limits = ServerLimits(max_body_bytes=1000, unasked_bytes=100)
    async with asyncio.timeout(DEADLINE_S), serve(app, limits=limits) as server:
        yield server, app


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_client_is_asked_when_the_body_is_wanted(framing: str) -> None:
    said = "Content-Length: 3" if framing == "length" else CHUNKED
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/waits", EXPECTS, said, method="POST"))
        await until(lambda: bool(app.seen))
        app.go.set()
        assert await reader.readexactly(len(CONTINUE)) == CONTINUE
        writer.write(b"abc" if framing == "length" else b"3\r\nabc\r\n0\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"got abc")
        writer.write(get("/plain", CLOSE))  # the connection goes on
        assert (await reader.read()).endswith(b"got ")
        writer.close()


async def test_who_is_refused_is_not_asked() -> None:
    async with careful() as (server, app):
        request = get("/no", EXPECTS, "Content-Length: 3", method="POST") + b"abc"
        line, headers, body = split(await talk(server, request + get("/plain"), eof=False))
    assert (line, headers["connection"]) == ("HTTP/1.1 401 Unauthorized", "close")
    assert b"who are you?" in body
    assert app.seen == ["POST /no"]  # what followed may have been the body


async def test_a_body_that_is_there_already_is_asked_for_all_the_same() -> None:
    async with careful() as (server, _):
        request = get("/plain", EXPECTS, method="POST", body=b"abc") + get("/plain", CLOSE)
        answer = await talk(server, request, eof=False)
    assert answer.startswith(CONTINUE + b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 ") == 3


async def test_requests_in_front_are_answered_first() -> None:
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        waits = get("/waits", method="POST", body=b"first") + get("/plain") * 40
        writer.write(waits + get("/plain", EXPECTS, "Content-Length: 3", CLOSE, method="PUT"))
        await until(lambda: bool(app.seen))
        app.go.set()
        assert (await reader.readuntil(CONTINUE)).count(b"200 OK") == 41
        writer.write(b"abc")
        assert b"got abc" in await reader.read()
        writer.close()


@pytest.mark.parametrize("expects", [(), (EXPECTS,)], ids=["", "expects"])
@pytest.mark.parametrize(
    ("path", "status"), [("/no", "401 Unauthorized"), ("/plain", "413 Request Entity Too Large")]
)
async def test_whether_a_body_is_too_long_is_said_to_who_may_ask(
    path: str, status: str, expects: tuple[str, ...]
) -> None:
    async with careful() as (server, _):
        line, headers, body = split(await talk(server, get(path, LONG, *expects, method="POST"), eof=False))
    assert (line, headers["connection"]) == (f"HTTP/1.1 {status}", "close")
    assert path == "/no" or b"Request entity too large: limit is 1000" in body


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"3\nabc", b"400 Bad Request", "400 Bad Request"),
        (b"7d0\r\n" + b"x" * 2000, b"413 Request", "Request entity too large: limit is 1000"),
    ],
    ids=["malformed", "too long"],
)
async def test_what_is_wrong_with_a_body_is_answered_by_who_waits(
    sent: bytes, status: bytes, told: str
) -> None:
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/plain", EXPECTS, CHUNKED, method="POST"))
        await reader.readexactly(len(CONTINUE))
        writer.write(sent)
        assert status in await reader.read()
        assert app.seen[-1] == told
        writer.close()


@pytest.mark.parametrize("how", ["half closed", "gone"])
async def test_a_body_that_does_not_come(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/plain", EXPECTS, "Content-Length: 3", method="POST"))
        await reader.readexactly(len(CONTINUE))
        writer.write(b"ab")
        if how == "half closed":
            writer.write_eof()
            assert b"400 Bad Request" in await reader.read()
        else:
            writer.transport.abort()
        await until(lambda: "unexpected EOF" in app.seen)
        writer.close()
    assert not caplog.records


async def test_nobody_is_hurried_by_the_connection() -> None:
    """How long a body may take is said by whoever waits for it."""
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/waits", EXPECTS, "Content-Length: 3", method="POST"))
        await until(lambda: bool(app.seen))
        (connection,) = server.connections
        connection.sweep(server.tick + 40, idle_s=50, read_s=2, stall_s=9)
        app.go.set()
        assert await reader.readexactly(len(CONTINUE)) == CONTINUE
        connection.sweep(server.tick + 99, idle_s=50, read_s=2, stall_s=9)
        writer.write(b"abc")
        await reader.readuntil(b"got abc")
        writer.close()


async def test_whoever_wants_a_body_again_asks_nobody_again() -> None:
    asked: list[str] = []
    arrival = Arrival(lambda: asked.append("continue"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await arrival.take()
    arrival.end(b"abc")
    assert (await arrival.take(), await arrival.take(), asked) == (b"abc", b"abc", ["continue"])


FRAMINGS = {
    "length": ("Content-Length: 300", [b"x" * 150, b"x" * 150]),
    "chunks": (CHUNKED, [b"96\r\n" + b"x" * 150 + b"\r\n", b"96\r\n" + b"x" * 150 + b"\r\n0\r\n\r\n"]),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("path", ["/no", "/plain"])
async def test_a_long_body_is_looked_at_before_all_of_it_has_come(framing: str, path: str) -> None:
    """Who is refused fills no memory first, and who is not is not told to go on: it never waited."""
    header, (first, rest) = FRAMINGS[framing]
    async with careful() as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get(path, header, method="POST") + first)
        await until(lambda: app.seen == [f"POST {path}"])
        if path == "/no":
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"Connection: close" in answer
            assert not any(one._body for one in server.connections)  # type: ignore[union-attr]
        else:
            writer.write(rest + get("/plain", CLOSE))
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"got " + b"x" * 300 in answer
            assert app.seen[1:] == ["GET /plain"], "the connection goes on behind it"
        writer.close()


async def test_http2_lets_who_is_still_sending_read_its_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0)
    http2, _ = peer()
    http2.send(head(1, "/no", "POST", end=False) + data(1, b"x" * 150))
    await until(lambda: 1 in http2.read() and http2.answers[1].ended)
    http2.connection.retire()
    for _ in range(3):
        http2.send(data(1, b"x" * 150))
        assert not http2.wire.closing, "before the loop has come round"
    await until(lambda: http2.wire.closing)
    assert not http2.wire.aborted


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("path", ["/no", "/plain"])
async def test_a_slow_body_is_looked_at_before_all_of_it_has_come(framing: str, path: str) -> None:
    """Who is refused hears of it though the body never comes, and whoever waits for it has the clock."""
    header, (first, rest) = FRAMINGS[framing]
    async with careful() as (server, app):
        clock = server._clock = FakeClock()
        server._set_time()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get(path, header, method="POST") + first[:60])
        await until(lambda: any(one._body for one in server.connections))  # type: ignore[union-attr]
        (connection,) = server.connections
        connection.sweep(server.tick + SLOW_S, idle_s=50, read_s=2, stall_s=9)
        assert app.seen == []
        sweep = functools.partial(connection.sweep, idle_s=50, read_s=2, stall_s=9)
        clock.advance(SLOW_S + 1)
        server._set_time()
        asyncio.get_running_loop().call_soon(sweep, server.tick)  # as the server does
        await until(lambda: app.seen == [f"POST {path}"])
        assert app.held == [SLOW_S + 1]
        if path == "/no":
            assert (await reader.read()).startswith(b"HTTP/1.1 401")
        else:
            connection.sweep(server.tick + 99, idle_s=50, read_s=2, stall_s=9)
            writer.write(first[60:] + rest + get("/plain", CLOSE))
            assert b"got " + b"x" * 300 in await reader.read()
            assert app.seen[1:] == ["GET /plain"]
        writer.close()


@pytest.mark.parametrize(("path", "status"), [("/no", 401), ("/plain", 200)])
async def test_http2_looks_at_a_slow_body_before_all_of_it_has_come(path: str, status: int) -> None:
    http2, app = peer()
    http2.send(head(1, path, "POST", end=False) + data(1, b"x"))
    http2.sweep(SLOW_S)
    assert app.seen == []
    http2.sweep(1)
    assert (app.seen, app.held) == ([f"POST {path}"], [SLOW_S + 1])
    if status == 200:
        http2.sweep(99)
        http2.send(data(1, b"yz", end=True))
    await until(lambda: 1 in http2.read() and http2.answers[1].ended)
    assert (http2.answers[1].status, http2.answers[1].reset) == (status, None if status == 200 else 0)
    assert status != 200 or http2.answers[1].body == b"got xyz"


@pytest.mark.parametrize(("path", "status"), [("/no", 401), ("/plain", 200)])
async def test_http2_looks_at_a_long_body_before_all_of_it_has_come(path: str, status: int) -> None:
    http2, app = peer()
    http2.send(head(1, path, "POST", end=False) + data(1, b"x" * 150))
    await until(lambda: app.seen == [f"POST {path}"])
    if status == 200:
        http2.send(data(1, b"x" * 150, end=True))
    await until(lambda: 1 in http2.read() and http2.answers[1].ended)
    answer = http2.answers[1]
    assert (answer.status, answer.informational) == (status, [])
    if status == 200:
        assert answer.body == b"got " + b"x" * 300


def peer() -> tuple[Peer, Careful]:
    app = Careful()
    return Peer(app, limits=ServerLimits(max_body_bytes=1000, unasked_bytes=100)), app


async def test_http2_asks_when_the_body_is_wanted() -> None:
    http2, app = peer()
    http2.send(head(1, "/waits", "POST", end=False, expect="100-continue", content_length="3"))
    assert 1 not in http2.read()
    app.go.set()
    await until(lambda: 1 in http2.read())
    assert http2.answers[1].informational == ["100"]
    http2.send(data(1, b"abc", end=True))
    await until(lambda: http2.read()[1].ended)
    assert http2.answers[1].body == b"got abc"


async def test_http2_does_not_ask_who_is_refused() -> None:
    http2, _ = peer()
    http2.send(head(1, "/no", "POST", end=False, expect="100-continue", content_length="3"))
    answer = http2.read()[1]
    assert (answer.status, answer.informational, answer.reset) == (401, [], 0)


@pytest.mark.parametrize(("path", "status"), [("/no", 401), ("/plain", 413)])
async def test_http2_says_who_may_ask_that_a_body_is_too_long(path: str, status: int) -> None:
    http2, _ = peer()
    http2.send(head(1, path, "POST", end=False, content_length="5000"))
    assert http2.read()[1].status == status


async def test_http2_bodies_that_do_not_come() -> None:
    http2, app = peer()
    for stream_id in (1, 3):
        http2.send(head(stream_id, "/plain", "POST", end=False, expect="100-continue"))
    http2.send(data(1, b"x" * 1500, end=False))
    await until(lambda: http2.read()[1].ended)
    assert http2.answers[1].status == 413
    http2.connection.connection_lost(None)
    await until(lambda: "unexpected EOF" in app.seen)


async def test_http2_hurries_nobody_either() -> None:
    http2, app = peer()
    http2.send(head(1, "/waits", "POST", end=False, expect="100-continue"))
    later = http2.server.tick + 100
    http2.connection.sweep(later, idle_s=500, read_s=2, stall_s=9)
    assert 1 not in http2.read()
    app.go.set()
    await until(lambda: 1 in http2.read())
    http2.connection.sweep(later, idle_s=500, read_s=2, stall_s=9)
    assert http2.read()[1].reset is None
    http2.send(data(1, b"abc", end=True))
    await until(lambda: http2.read()[1].ended)
