"""Streams that last: what goes out as it comes, what is pushed, who is cut off."""

from __future__ import annotations

import pytest
from tests.wire.http2.applications import App, Chunks, watching
from tests.wire.http2.peer import Peer, settle

from tiphys.wire.http2 import frames
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.message import Request, Response
from tiphys.wire.outlet import NotNowError

LARGE_WINDOW = [(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1)]


async def test_a_stream_goes_out_as_it_comes() -> None:
    peer, streams, (stream_id,) = watching()
    await settle()
    (chunks,) = streams
    answer = peer.answer(stream_id)
    assert (answer.status, answer.body, answer.ended) == (200, b"", False)
    assert "content-length" not in answer.headers
    for text in (b"one", b"", b"two"):
        chunks.queue.put_nowait(text)
    await settle()
    assert (peer.answer(stream_id).body, peer.answer(stream_id).ended) == (b"onetwo", False)
    chunks.queue.put_nowait(None)
    await settle()
    assert (peer.answer(stream_id).ended, chunks.closed) == (True, True)
    peer.lose()
    await settle()


async def test_a_reset_ends_a_stream_and_no_other() -> None:
    peer, streams, (one, other) = watching(2)
    await settle()
    peer.send(frames.reset(one, ErrorCode.CANCEL))
    await settle()
    assert [chunks.closed for chunks in streams] == [True, False]
    streams[1].queue.put_nowait(b"event")
    await settle()
    assert peer.answer(other).body == b"event"
    assert peer.answer(one).reset is None
    peer.lose()
    await settle()
    assert streams[1].closed
    assert not peer.connection.tasks


async def test_a_request_at_work_is_not_cut_by_a_reset() -> None:
    """As with a connection that is lost: what it writes is written."""
    app = App()
    peer = Peer(app)
    one = peer.ask("/slow")
    peer.send(frames.reset(one, ErrorCode.CANCEL))
    await settle()
    app.tell("/slow")
    await settle()
    assert (app.done, app.cancelled) == (["/slow"], [])
    assert not peer.answer(one).headers
    assert not peer.connection.streams
    peer.lose()
    await settle()


async def test_events_are_pushed_past_the_task() -> None:
    peer, streams, (one, other) = watching(2)
    await settle()
    outlets = [chunks.outlet for chunks in streams]
    writers = [outlet.writer(lambda: None) for outlet in outlets if outlet is not None]
    assert outlets[0] is not None
    framed = outlets[0].framed(b"event")
    assert (outlets[0].framing, outlets[0].anywhere) == ("data", False)
    for write in writers:
        assert write is not None
        write(framed)
    assert [peer.answer(stream_id).body for stream_id in (one, other)] == [b"event", b"event"]
    peer.lose()
    await settle()


async def test_a_push_that_no_window_takes_is_the_tasks() -> None:
    peer, streams, (one, other) = watching(2, settings=[(frames.INITIAL_WINDOW_SIZE, 8)])
    await settle()
    outlet = streams[0].outlet
    assert outlet is not None
    write = outlet.writer(lambda: None)
    assert write is not None
    with pytest.raises(NotNowError) as raised:
        write(b"too much for it")
    assert outlet.rescue(b"too much for it", raised.value) is False
    streams[0].queue.put_nowait(b"too much for it")
    streams[1].queue.put_nowait(b"fits")
    await settle()
    assert [peer.answer(stream_id).body for stream_id in (one, other)] == [b"too much", b"fits"]
    assert outlet.writer(lambda: None) is None, "what came before goes first"
    peer.send(frames.window_update(one, 100))
    await settle()
    assert peer.answer(one).body == b"too much for it"
    assert outlet.writer(lambda: None) is not None
    peer.lose()
    await settle()
    with pytest.raises(NotNowError):
        write(b"x")


async def test_an_idle_stream_keeps_nothing_of_what_it_sent() -> None:
    gone: list[bool] = []

    class Chunk(bytes):
        """Says when it goes."""

        def __del__(self) -> None:
            gone.append(True)

    peer, streams, (one,) = watching()
    await settle()
    streams[0].queue.put_nowait(Chunk(b"first"))
    await settle()
    assert peer.answer(one).body == b"first"
    assert gone
    peer.lose()
    await settle()


async def test_a_stream_that_fails_is_cut() -> None:
    class Broken(Chunks):
        async def __anext__(self) -> bytes:
            raise RuntimeError("broken")

    async def handler(request: Request) -> Response:
        return Response(200, {}, stream=Broken())

    peer = Peer(handler)
    stream_id = peer.ask()
    await settle()
    assert (peer.answer(stream_id).ended, peer.answer(stream_id).reset) == (False, ErrorCode.INTERNAL_ERROR)
    peer.lose()
    await settle()


async def test_who_takes_nothing_is_cut_off_alone() -> None:
    peer, streams, (slow, _) = watching(2, settings=[(frames.INITIAL_WINDOW_SIZE, 8)])
    await settle()
    streams[0].queue.put_nowait(b"more than eight")
    await settle()
    peer.sweep(59)
    assert peer.answer(slow).reset is None
    peer.sweep(2)
    await settle()
    assert peer.answer(slow).reset == ErrorCode.CANCEL
    assert [chunks.closed for chunks in streams] == [True, False]
    assert peer.gone is None
    peer.lose()
    await settle()


async def test_a_slow_client_that_takes_something_goes_on() -> None:
    peer, streams, (slow,) = watching(1, settings=[(frames.INITIAL_WINDOW_SIZE, 8)])
    await settle()
    streams[0].queue.put_nowait(b"x" * 100)
    await settle()
    for _ in range(5):
        peer.sweep(50)
        peer.send(frames.window_update(slow, 1))
    assert (peer.answer(slow).reset, len(peer.answer(slow).body)) == (None, 13)
    peer.lose()
    await settle()
