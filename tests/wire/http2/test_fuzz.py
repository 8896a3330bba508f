"""Any bytes behind the preface: frames or our own fault, nothing kept without bound, nothing left behind."""

from __future__ import annotations

import asyncio
import struct

from hypothesis import given
from hypothesis import strategies as st
from tests.wire.http2.peer import Peer, block, data, echo, fields, frame, heads, settle

from tiphys.wire.http2 import frames
from tiphys.wire.http2.errors import ConnectionFault
from tiphys.wire.http2.receiver import STREAM_WINDOW
from tiphys.wire.message import Request, Response

IDS = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 1 << 30])
FLAGS = st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF])
BLOCK = block(fields("/"))
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\0\0\0\1", b"\0\0\0\0", b"\0" * 5, b"\0" * 6, b"\0" * 8, BLOCK, BLOCK[:20]]),
    st.builds(
        lambda name, value: struct.pack(">HI", name, value), st.integers(0, 8), st.integers(0, 1 << 31)
    ),
    st.builds(lambda size: b"x" * size, st.integers(0, 30000)),
)
SENSIBLE = st.one_of(
    st.builds(lambda stream_id, end: heads(stream_id, BLOCK, end=end), IDS, st.booleans()),
    st.builds(lambda stream_id, end: data(stream_id, b"x" * 100, end=end), IDS, st.booleans()),
    st.builds(lambda stream_id: frames.reset(stream_id, 8), IDS),
    st.builds(frames.window_update, IDS, st.integers(0, 1 << 20)),
    st.builds(lambda size: frames.settings([(frames.INITIAL_WINDOW_SIZE, size)]), st.integers(0, 1 << 17)),
)
STRANGE = st.builds(frame, st.integers(0, 11), FLAGS, IDS, PAYLOADS)


async def slow(request: Request) -> Response:
    """Waits for some, streams to others."""
    if request.method == "GET" and len(request.body) == 0:
        await asyncio.sleep(0)
    return Response(200, {"x": "y"}, b"x" * 70000)


async def _feed(sent: list[bytes]) -> None:
    for handler in (echo, slow):
        peer = Peer(handler)
        connection = peer.connection
        for part in sent:
            peer.send(part)
            if peer.wire.closing:
                break
            await settle(1)
            assert len(connection.streams) <= 100
            assert connection._kept == sum(len(one.body) for one in connection.streams.values())
            assert connection._frames.kept_bytes <= STREAM_WINDOW + frames.HEAD_BYTES
        peer.read()
        peer.lose()
        await settle()
        assert not connection.streams
        assert not connection._sender.waiting
        assert connection._kept == 0
        assert not connection.tasks


@given(st.lists(SENSIBLE | STRANGE, max_size=12))
async def test_any_frames(sent: list[bytes]) -> None:
    await _feed(sent)


@given(st.lists(st.binary(max_size=200), max_size=6))
async def test_any_bytes(sent: list[bytes]) -> None:
    await _feed(sent)


@given(st.lists(STRANGE, max_size=5), st.data())
def test_frames_are_the_same_however_they_come(sent: list[bytes], more: st.DataObject) -> None:
    whole = b"".join(sent)
    reader = frames.FrameReader(1 << 14)

    def feed(data: bytes) -> list[frames.Frame]:
        try:
            return list(reader.feed(data))
        except ConnectionFault:
            return []

    at_once = feed(whole)
    reader = frames.FrameReader(1 << 14)
    found: list[frames.Frame] = []
    at = 0
    while at < len(whole):
        size = more.draw(st.integers(1, max(1, len(whole) // 2)))
        found += feed(whole[at : at + size])
        at += size
    if all(len(part) <= (1 << 14) + 9 for part in sent):
        assert found == at_once
        assert len(found) == len(sent)
