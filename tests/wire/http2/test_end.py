"""How a connection of HTTP/2 ends: idle, sent away, in order."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from tests.wire.http2.applications import App, watching
from tests.wire.http2.peer import Peer, data, echo, frame, head, settle

from tiphys.wire.http2 import frames
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.message import Request, Response
from tiphys.wire.server import ServerLimits

LARGE_WINDOW = [(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1)]


async def test_the_idle_are_sent_away() -> None:
    peer = Peer(echo)
    peer.ask()
    peer.sweep(119)
    assert peer.gone is None
    peer.send(frame(frames.PING, 0, 0, b"12345678"))
    peer.sweep(2)
    assert peer.gone == (1, ErrorCode.NO_ERROR)
    assert peer.wire.closing


async def test_who_does_not_even_greet_is_not_waited_for() -> None:
    peer = Peer(echo, greet=False)
    peer.sweep(33)
    assert peer.wire.closing


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    peer = Peer(echo)
    peer.send(head(1, "/", "POST", end=False))
    peer.sweep(31)
    peer.send(data(1, b"x"))
    peer.sweep(31)
    assert peer.answer(1).reset is None
    peer.sweep(2)
    assert peer.answer(1).reset == ErrorCode.CANCEL


async def test_connection_close_is_the_last_of_its_connection() -> None:
    app = App()
    peer = Peer(app)
    slow, last = peer.ask("/slow"), peer.ask("/last")
    app.tell("/last", Response(200, {"connection": "close"}, b"bye"))
    await settle()
    assert (peer.answer(last).body, "connection" in peer.answer(last).headers) == (b"bye", False)
    assert peer.gone == (3, ErrorCode.NO_ERROR)
    late = peer.ask("/now")
    assert late not in peer.read(), "whoever sent it may send it again elsewhere"
    peer.send(data(late, b""), frames.window_update(late, 1), frames.reset(late, 0))
    assert not peer.wire.closing
    app.tell("/slow")
    await settle()
    assert peer.answer(slow).body == b"/slow"
    assert peer.wire.closing
    peer.lose()
    await settle()


@pytest.mark.parametrize(("chance", "sent_away"), [(0.0, False), (1.0, True)])
async def test_some_are_sent_elsewhere(chance: float, sent_away: bool) -> None:
    peer = Peer(echo, limits=ServerLimits(goaway_chance=chance))
    answer = peer.answer(peer.ask())
    assert (answer.status, answer.ended) == (200, True)
    assert (peer.gone == (1, ErrorCode.NO_ERROR)) == sent_away
    assert peer.wire.closing == sent_away


async def test_a_client_that_leaves_is_served_to_the_end() -> None:
    app = App()
    peer = Peer(app)
    slow = peer.ask("/slow")
    peer.send(frames.go_away(0, 0))
    assert not peer.wire.closing
    app.tell("/slow")
    await settle()
    assert peer.answer(slow).ended
    assert peer.wire.closing
    peer.lose()
    await settle()


async def test_a_graceful_end() -> None:
    """What came whole is answered, what is streamed ends in order, what is arriving may be sent elsewhere."""
    peer, streams, (watch,) = watching()
    await settle()
    peer.send(head(peer.next_id(), "/now", "POST", end=False))
    peer.connection.end()
    await settle()
    assert (peer.answer(watch).ended, streams[0].closed) == (True, True)
    assert peer.answer(3).reset == ErrorCode.REFUSED_STREAM
    assert peer.gone == (3, ErrorCode.NO_ERROR)
    assert peer.wire.closing
    peer.lose()
    await settle()
    assert not peer.connection.tasks


async def test_streams_last_when_a_server_takes_no_more() -> None:
    peer, streams, (watch, other) = watching(2)
    await settle()
    peer.server.close()
    assert peer.gone == (3, ErrorCode.NO_ERROR)
    streams[0].queue.put_nowait(b"event")
    await settle()
    assert peer.answer(watch).body == b"event"
    await peer.server.end_streams(0.0, 1000)
    await settle()
    assert [peer.answer(stream_id).ended for stream_id in (watch, other)] == [True, True]
    assert peer.wire.closing
    peer.lose()
    await peer.server.stop(0.1)


async def test_a_server_that_stops_waits_for_answers_on_their_way() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, b"x" * 100)

    peer = Peer(handler, settings=[(frames.INITIAL_WINDOW_SIZE, 60)])
    stream_id = peer.ask()
    stopping = asyncio.ensure_future(peer.server.stop(60))
    await settle()
    assert not stopping.done()
    peer.send(frames.window_update(stream_id, 40))
    assert peer.answer(stream_id).ended
    assert (peer.wire.closing, peer.wire.aborted) == (True, False)
    peer.lose()
    await stopping


async def test_a_server_that_stops_leaves_nothing() -> None:
    app = App()
    peer = Peer(app)
    peer.ask("/slow")
    stopping = asyncio.ensure_future(peer.server.stop(0.05))
    await stopping
    assert app.cancelled == ["/slow"]
    assert peer.wire.aborted
    peer.lose()
    assert not peer.connection.tasks


@pytest.mark.parametrize("path", ["", "/now", "/slow", "/missing", "/large", "/flood"])
async def test_nothing_of_a_connection_waits_for_the_collector(path: str) -> None:
    app = App()

    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield bytes(frames.LEAST_FRAME_BYTES)

    async def handler(request: Request) -> Response:
        if request.path == "/flood":
            return Response(200, {}, stream=flood())
        return Response(200, {}, bytes(1 << 20)) if request.path == "/large" else await app(request)

    gc.disable()
    try:
        peer = Peer(handler)
        if path:
            peer.ask(path)
        await settle()
        left = weakref.ref(peer.connection)
        peer.lose()
        if path == "/slow":
            app.tell(path)
        await settle()
        del peer
        assert left() is None
    finally:
        gc.enable()
