"""Requests and answers over HTTP/2: handlers, bodies, windows, streams that last, bounds and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.wire.http2.peer import Peer, block, data, echo, fields, frame, head, heads, settle

from tiphys.apimachinery.errors import NotFound
from tiphys.wire.http2 import frames
from tiphys.wire.http2.connection import MAX_UNREAD_FRAMES
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.http2.receiver import KEPT_BYTES, STREAM_WINDOW
from tiphys.wire.known_head import KnownHead
from tiphys.wire.message import Request, Response, values_of
from tiphys.wire.outlet import NotNowError, Outlet
from tiphys.wire.server import ServerLimits

LARGE_WINDOW = [(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1)]


class App:
    """A handler that waits until it is told, and notes what happens to it."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.told: dict[str, asyncio.Future[Response]] = {}
        self.done: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path.startswith("/now"):
            return Response(200, {}, request.path.encode())
        if request.path == "/missing":
            raise NotFound("no such thing")
        if request.path == "/broken":
            raise RuntimeError("broken")
        waiting = self.told[request.path] = asyncio.get_running_loop().create_future()
        try:
            response = await waiting
        except asyncio.CancelledError:
            self.cancelled.append(request.path)
            raise
        self.done.append(request.path)
        return response

    def tell(self, path: str, response: Response | None = None) -> None:
        self.told[path].set_result(response or Response(200, {}, path.encode()))


class Chunks:
    """A stream that is fed by hand."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.outlet: Outlet | None = None
        self.closed = False

    def attach(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.queue.get()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self.closed = True


async def test_a_request_as_handlers_see_it() -> None:
    app = App()
    peer = Peer(app)
    pairs = [
        ("cookie", "a=1"), ("cookie", "b=2"), ("x-one", "1"), ("x-many", "a, b"), ("x-many", "c"),
        ("authorization", "Bearer t"), ("trailer", "x"),
    ]  # fmt: skip
    peer.send(heads(1, block([*fields("/now/a%20b?x=%2F", "POST"), *pairs]), end=False))
    peer.send(data(1, b"12"), data(1, b"345", end=True))
    (request,) = app.asked
    assert (request.method, request.path, request.raw_path, request.raw_query) == (
        "POST", "/now/a b", "/now/a%20b", "x=%2F",
    )  # fmt: skip
    assert (request.body, request.peer_address, request.protocol) == (b"12345", "10.1.2.3", "HTTP/2.0")
    assert request.headers == {
        "host": "x", "cookie": "a=1; b=2", "x-one": "1", "x-many": "a, b, c", "authorization": "Bearer t",
    }  # fmt: skip
    assert values_of(request.headers, "x-many") == ["a, b", "c"]
    answer = peer.answer(1)
    assert answer.headers[":status"] == "200"
    assert (answer.headers["content-length"], answer.body, answer.ended) == ("8", b"/now/a b", True)
    assert answer.headers["date"]


async def test_a_client_that_repeats_itself_keeps_its_memo() -> None:
    app = App()
    peer = Peer(app)
    for path in ("/now/1", "/now/2", "/now/1"):
        peer.ask(path, accept="a", user_agent="b")
    peer.ask("/now/1", "POST", b"xyz", accept="a", user_agent="b")
    peer.ask("/now/1", accept="other", user_agent="b")
    memos = [id(request.memo) for request in app.asked]
    assert len(set(memos[:4])) == 1
    assert memos[4] != memos[0]
    assert [request.path for request in app.asked[:3]] == ["/now/1", "/now/2", "/now/1"]


async def test_handlers_that_wait_do_not_hold_up_others() -> None:
    app = App()
    peer = Peer(app)
    slow, other, quick = peer.ask("/slow"), peer.ask("/other"), peer.ask("/now")
    assert peer.answer(quick).ended
    app.tell("/other")
    await settle()
    assert peer.answer(other).body == b"/other"
    assert not peer.answer(slow).headers
    app.tell("/slow")
    await settle()
    assert peer.answer(slow).body == b"/slow"
    assert len(peer.connection.tasks) == 2, "one is kept for the next, beside the connection itself"
    peer.lose()
    await settle()


async def test_what_handlers_raise() -> None:
    peer = Peer(App())
    assert peer.answer(peer.ask("/missing")).status == 404
    broken = peer.answer(peer.ask("/broken"))
    assert (broken.status, b"broken" in broken.body) == (500, False)
    peer.lose()
    await settle()


@pytest.mark.parametrize(
    ("method", "status", "shown"), [("HEAD", 200, "5"), ("GET", 204, None), ("GET", 304, None)]
)
async def test_answers_without_a_body(method: str, status: int, shown: str | None) -> None:
    async def handler(request: Request) -> Response:
        return Response(status, {"x": "1"}, b"12345")

    peer = Peer(handler)
    answer = peer.answer(peer.ask("/", method))
    assert (answer.status, answer.body, answer.ended, answer.reset) == (status, b"", True, None)
    assert answer.headers.get("content-length") == shown


async def test_a_client_is_told_to_go_on() -> None:
    peer = Peer(echo)
    peer.send(head(1, "/", "POST", end=False, expect="100-continue", content_length="2"))
    assert peer.answer(1).informational == ["100"]
    peer.send(data(1, b"ab", end=True))
    assert peer.answer(1).body.endswith(b"ab")


async def test_an_upgrade_is_refused() -> None:
    async def handler(request: Request) -> Response:
        async def run(stream: Any) -> None:
            raise AssertionError

        return Response(101, {}, upgrade=run)

    peer = Peer(handler)
    stream_id = peer.ask("/exec")
    await settle()
    answer = peer.answer(stream_id)
    assert (answer.status, answer.body) == (400, b"unable to upgrade: missing upgrade headers in request")
    peer.lose()
    await settle()


# -- bodies of requests


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit(declared: bool) -> None:
    peer = Peer(echo, limits=ServerLimits(max_body_bytes=1000))
    more = {"content-length": "1001"} if declared else {}
    peer.send(head(1, "/", "POST", end=False, **more))
    if not declared:
        peer.send(data(1, b"x" * 600), data(1, b"x" * 600))
    answer = peer.answer(1)
    assert (answer.status, answer.ended, answer.reset) == (413, True, ErrorCode.NO_ERROR)
    peer.send(data(1, b"x" * 600, end=True))  # it was on its way
    assert peer.gone is None
    peer.next_id()
    assert peer.answer(peer.ask("/x")).status == 200
    assert peer.connection._kept == 0


async def test_windows_are_given_back_as_bodies_come() -> None:
    peer = Peer(echo)
    peer.send(head(1, "/", "POST", end=False))
    body = bytes(range(256)) * 4096
    for at in range(0, len(body), 1 << 16):
        peer.send(data(1, body[at : at + (1 << 16)]))
    windows = peer.windows()
    assert windows[1] == len(body)
    assert windows[0] == len(body)
    peer.send(data(1, b"", end=True))
    peer.send(frames.window_update(0, 1 << 24), frames.window_update(1, 1 << 24))
    assert peer.answer(1).body.endswith(body)


@pytest.mark.parametrize("stream_window", [True, False])
async def test_more_than_a_window_is_refused(stream_window: bool) -> None:
    peer = Peer(echo, limits=ServerLimits(max_streams=1 if not stream_window else 100))
    peer.send(head(1, "/", "POST", end=False))
    stream = peer.connection.streams[1]
    stream.owed = -(10 * STREAM_WINDOW)  # nothing is given back
    if not stream_window:
        peer.connection._owed = -(10 * STREAM_WINDOW)
        stream.room = 10 * STREAM_WINDOW
    peer.send(data(1, b"x" * (STREAM_WINDOW + 1)))
    if stream_window:
        assert peer.answer(1).reset == ErrorCode.FLOW_CONTROL_ERROR
    else:
        assert peer.gone is not None
        assert peer.gone[1] == ErrorCode.FLOW_CONTROL_ERROR


async def test_what_is_kept_of_bodies_is_bounded_and_the_oldest_goes_on() -> None:
    peer = Peer(echo, limits=ServerLimits(max_body_bytes=8 << 20))
    connection = peer.connection
    ids = [peer.next_id() for _ in range(90)]
    peer.send(*(head(stream_id, "/", "POST", end=False) for stream_id in ids))
    while movers := [one for one in list(connection.streams.values()) if one.room >= 1 << 16]:
        if all(len(one.body) >= 4 << 20 for one in movers):
            break
        peer.send(*(data(one.id, b"x" * (1 << 16)) for one in movers if len(one.body) < 4 << 20))
    assert KEPT_BYTES < connection._kept <= KEPT_BYTES + 91 * STREAM_WINDOW + (4 << 20)
    assert len(connection.streams[ids[0]].body) == 4 << 20, "the oldest is never held up"
    assert connection.streams[ids[-1]].room == 0
    for stream_id in ids[:-1]:
        peer.send(data(stream_id, b"", end=True))
        peer.send(frames.reset(stream_id, ErrorCode.CANCEL))
    assert connection.streams[ids[-1]].room > 0, "there is room again"
    peer.send(frames.reset(ids[-1], ErrorCode.CANCEL))
    assert connection._kept == 0


# -- answers and windows


async def test_a_large_answer_waits_for_windows() -> None:
    body = bytes(range(256)) * 1024

    async def handler(request: Request) -> Response:
        return Response(200, {}, body if request.path == "/one" else [body[:100], b"", body[100:]])

    peer = Peer(handler)
    one, parts = peer.ask("/one"), peer.ask("/parts")
    assert len(peer.answer(one).body) + len(peer.answer(parts).body) == 65535
    peer.send(frames.window_update(0, 1 << 24))
    assert [len(peer.answer(stream_id).body) for stream_id in (one, parts)] == [65535, 65535]
    peer.send(frames.window_update(parts, 1 << 20))
    assert (peer.answer(parts).body, peer.answer(parts).ended) == (body, True)
    peer.send(frames.window_update(one, len(body) - 65535))
    assert (peer.answer(one).body, peer.answer(one).ended) == (body, True)
    assert not peer.connection.streams


async def test_a_first_window_that_changes_counts_for_all() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, b"x" * 1000)

    peer = Peer(handler, settings=[(frames.INITIAL_WINDOW_SIZE, 10)])
    stream_id = peer.ask()
    assert len(peer.answer(stream_id).body) == 10
    peer.send(frames.settings([(frames.INITIAL_WINDOW_SIZE, 5)]), frames.window_update(stream_id, 5))
    assert len(peer.answer(stream_id).body) == 10, "the window is 0 now"
    peer.send(frames.settings([(frames.INITIAL_WINDOW_SIZE, 2000)]))
    assert peer.answer(stream_id).ended


async def test_frames_are_as_large_as_the_client_takes_them() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {"x": "y" * 40000}, b"x" * 100000)

    peer = Peer(handler, settings=[*LARGE_WINDOW, (frames.MAX_FRAME_SIZE, 60000)])
    peer.send(frames.window_update(0, 1 << 24), head(1))
    sizes = [len(payload) for kind, _, _, payload in frames.FrameReader(1 << 24).feed(bytes(peer.wire.sent))
             if kind == frames.DATA]  # fmt: skip
    assert sizes == [60000, 40000]


async def test_a_long_head_goes_on_in_more_frames() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {"x": "y" * 40000}, b"")

    peer = Peer(handler)
    peer.send(head(1))
    kinds = [kind for kind, *_ in frames.FrameReader(1 << 24).feed(bytes(peer.wire.sent))]
    assert kinds == [frames.HEADERS, frames.CONTINUATION, frames.CONTINUATION, frames.DATA]


async def test_a_transport_that_is_full_is_spared() -> None:
    body = b"x" * 1000

    async def handler(request: Request) -> Response:
        return Response(200, {}, body)

    peer = Peer(handler)
    peer.connection.pause_writing()
    stream_id = peer.ask()
    assert peer.answer(stream_id).body == b""
    peer.connection.resume_writing()
    assert peer.answer(stream_id).ended


async def test_answers_of_one_read_are_one_write() -> None:
    peer = Peer(echo)
    before = peer.wire.writes
    peer.send(*(head(peer.next_id()) for _ in range(20)))
    assert peer.wire.writes == before + 1
    assert sum(answer.ended for answer in peer.read().values()) == 20


async def test_large_answers_take_turns() -> None:
    """And neither holds up the loop: so much at a time."""

    async def handler(request: Request) -> Response:
        return Response(200, {}, request.path[-1].encode() * (3 << 20))

    peer = Peer(handler, settings=LARGE_WINDOW)
    peer.send(frames.window_update(0, (1 << 31) - 1 - 65535))
    one, two = peer.ask("/a"), peer.ask("/b")
    await settle(1)
    sizes = [len(peer.answer(stream_id).body) for stream_id in (one, two)]
    assert 0 < sizes[1] <= sizes[0] < 3 << 20
    await settle(50)
    assert [peer.answer(stream_id).ended for stream_id in (one, two)] == [True, True]
    assert peer.answer(two).body == b"b" * (3 << 20)


# -- at once


class AtOnce:
    """Has the answer to one path ready, for those whose headers it knows."""

    def __init__(self, body: bytes = b"quick") -> None:
        self.head = KnownHead(200, {"content-type": "a"}, "audit-id")
        self.body = body
        self.quick = 0

    async def __call__(self, request: Request) -> Response:
        request.memo[AtOnce] = True
        return Response(200, {}, b"slow")

    def at_once(self, memo: dict[Any, Any], line: Any) -> tuple[KnownHead, bytes, bytes] | None:
        if AtOnce not in memo or line[2] != "/known":
            return None
        self.quick += 1
        return self.head, b"id-1", self.body


async def test_what_is_at_hand_is_answered_at_once() -> None:
    handler = AtOnce()
    peer = Peer(handler)
    bodies = [peer.answer(peer.ask(path)).body for path in ("/known", "/known", "/other", "/known")]
    assert bodies == [b"slow", b"quick", b"slow", b"quick"]
    answer = peer.answers[3]
    assert (answer.headers["audit-id"], answer.headers["content-length"], answer.ended) == ("id-1", "5", True)
    assert answer.headers["content-type"] == "a"
    assert answer.headers["date"]
    assert not peer.connection.streams


async def test_what_is_at_hand_obeys_windows() -> None:
    peer = Peer(AtOnce(b"x" * 100), settings=[(frames.INITIAL_WINDOW_SIZE, 60)])
    peer.ask("/known")
    stream_id = peer.ask("/known")
    assert len(peer.answer(stream_id).body) == 60
    peer.send(frames.window_update(stream_id, 40))
    assert peer.answer(stream_id).ended
    peer.connection.pause_writing()
    assert not peer.answer(peer.ask("/known")).body


# -- streams that last


def watching(count: int = 1, **options: Any) -> tuple[Peer, list[Chunks], list[int]]:
    streams: list[Chunks] = []

    async def handler(request: Request) -> Response:
        if request.path == "/now":
            return Response(200, {}, b"now")
        streams.append(Chunks())
        return Response(200, {"content-type": "application/json"}, stream=streams[-1])

    peer = Peer(handler, **options)
    return peer, streams, [peer.ask("/watch") for _ in range(count)]


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


# -- bounds


async def test_streams_beyond_the_maximum_are_refused() -> None:
    peer, _, ids = watching(4, limits=ServerLimits(max_streams=3))
    await settle()
    assert [peer.answer(stream_id).reset for stream_id in ids] == [None, None, None, ErrorCode.REFUSED_STREAM]
    peer.send(frames.reset(ids[0], ErrorCode.CANCEL))
    await settle()
    assert peer.answer(peer.ask("/now")).status == 200
    peer.lose()
    await settle()


async def test_resets_do_not_make_more_work_than_streams_may() -> None:
    app = App()
    peer = Peer(app, limits=ServerLimits(max_streams=3))
    for _ in range(15):
        stream_id = peer.ask("/slow")
        peer.send(frames.reset(stream_id, ErrorCode.CANCEL))
    assert len(app.asked) == 3
    assert peer.gone is None
    peer.ask("/slow")
    assert peer.gone is not None
    assert peer.gone[1] == ErrorCode.ENHANCE_YOUR_CALM
    peer.lose()
    peer.connection.abort()
    await settle()


async def test_what_waits_for_a_handler_is_served_unless_it_was_reset() -> None:
    app = App()
    peer = Peer(app, limits=ServerLimits(max_streams=2))
    for path in ("/a", "/b"):
        peer.send(frames.reset(peer.ask(path), ErrorCode.CANCEL))
    dropped, kept = peer.ask("/now/dropped"), peer.ask("/now/kept")
    peer.send(frames.reset(dropped, ErrorCode.CANCEL))
    assert len(app.asked) == 2
    app.tell("/a")
    await settle()
    assert [request.path for request in app.asked] == ["/a", "/b", "/now/kept"]
    assert peer.answer(kept).status == 200
    app.tell("/b")
    peer.lose()
    await settle()
    assert not peer.connection.tasks


@pytest.mark.parametrize("flood", ["ping", "settings", "faults"])
async def test_who_makes_us_talk_must_listen(flood: str) -> None:
    peer = Peer(echo)
    peer.connection.pause_writing()
    one = {
        "ping": frame(frames.PING, 0, 0, b"12345678"),
        "settings": frames.settings([]),
        "faults": frame(frames.PRIORITY, 0, 1, b""),
    }[flood]
    peer.send(one * MAX_UNREAD_FRAMES)
    assert not peer.wire.aborted
    peer.send(one)
    assert peer.wire.aborted
    assert len(peer.wire.sent) < 64 * MAX_UNREAD_FRAMES


async def test_who_listens_may_ping() -> None:
    peer = Peer(echo)
    peer.send(frame(frames.PING, 0, 0, b"12345678") * (3 * MAX_UNREAD_FRAMES))
    assert not peer.wire.closing


async def test_headers_over_the_limit() -> None:
    peer = Peer(echo, limits=ServerLimits(max_header_bytes=1000))
    peer.send(head(1, "/", x="y" * 1200))
    assert peer.answer(1).status == 431
    assert b"Request Header Field(s) Too Large" in peer.answer(1).body
    peer.send(head(3))
    assert peer.answer(3).status == 200


async def test_an_idle_connection_keeps_little() -> None:
    peer, _, _ = watching(1)
    await settle()
    for at in range(1000):
        peer.ask("/now", x=str(at))
    heads = peer.connection._heads
    assert len(heads._blocks) <= 64
    assert len(heads._sets) <= 32
    assert peer.connection._frames.kept_bytes == 0
    assert len(peer.connection.streams) == 1
    peer.lose()
    await settle()


# -- the end


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
