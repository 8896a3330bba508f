"""Bodies and answers within the windows that either side gives."""

from __future__ import annotations

import pytest
from tests.wire.http2.peer import Peer, data, echo, head, settle

from tiphys.wire.http2 import frames
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.http2.receiver import KEPT_BYTES, STREAM_WINDOW
from tiphys.wire.message import Request, Response
from tiphys.wire.server import ServerLimits

LARGE_WINDOW = [(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1)]


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


@pytest.mark.parametrize("leaves", [False, True])
async def test_who_wants_to_know_hears_when_an_answer_is_written(leaves: bool) -> None:
    heard: list[str] = []

    async def handler(request: Request) -> Response:
        body = b"x" * (100 if request.path == "/small" else 300_000)
        return Response(200, {}, body, written=lambda: heard.append(request.path))

    peer = Peer(handler)
    small, large = peer.ask("/small"), peer.ask("/large")
    await settle()
    assert peer.answer(small).ended
    assert heard == ["/small"], "the client gives no window for the other"
    if leaves:
        peer.send(frames.reset(large, ErrorCode.CANCEL))
    else:
        peer.send(frames.window_update(0, 1 << 20), frames.window_update(large, 1 << 20))
    await settle()
    assert heard == ["/small", "/large"]
    assert leaves or len(peer.answer(large).body) == 300_000
