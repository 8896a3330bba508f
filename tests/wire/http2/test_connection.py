"""Requests and answers over HTTP/2: handlers, what is answered at once, bounds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.wire.http2.applications import App, watching
from tests.wire.http2.peer import Peer, block, data, echo, fields, frame, head, heads, settle

from tiphys.wire.http2 import frames
from tiphys.wire.http2.connection import MAX_UNREAD_FRAMES
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.known_head import KnownHead
from tiphys.wire.message import Request, Response, values_of
from tiphys.wire.server import ServerLimits

LARGE_WINDOW = [(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1)]


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
    assert (request.body, request.protocol) == (b"12345", "HTTP/2.0")
    assert (request.peer_address, request.peer_port) == ("10.1.2.3", 5)
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
