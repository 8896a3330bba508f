"""SPDY framing, header blocks, and a session against a peer that plays the server."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire import spdy


class Pipe:
    """One side of an in-memory connection."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.peer: Pipe | None = None

    async def read(self) -> bytes:
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        assert self.peer is not None
        await self.peer.inbox.put(data)

    async def close(self) -> None:
        assert self.peer is not None
        await self.peer.inbox.put(b"")


def pipes() -> tuple[Pipe, Pipe]:
    left, right = Pipe(), Pipe()
    left.peer, right.peer = right, left
    return left, right


def test_the_dictionary_is_the_protocols_own() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


@given(st.binary(max_size=200), st.lists(st.integers(1, 7), max_size=30))
def test_frames_survive_any_cut(payload: bytes, cuts: list[int]) -> None:
    raw = spdy.encode_data(3, payload, fin=True) + spdy.encode_control(spdy.PING, 0, struct.pack(">I", 2))
    reader, frames, at = spdy.FrameReader(), [], 0
    for cut in [*cuts, len(raw)]:
        frames += list(reader.feed(raw[at : at + cut]))
        at += cut
    frames += list(reader.feed(raw[at:]))
    assert frames[0] == spdy.Frame(0, spdy.FLAG_FIN, 3, payload)
    assert frames[1].type == spdy.PING


@given(st.dictionaries(st.sampled_from(["streamtype", "port", "requestid"]), st.text(max_size=20)))
def test_header_blocks_round_trip_and_keep_state(headers: dict[str, str]) -> None:
    sender, receiver = spdy.HeaderCodec(), spdy.HeaderCodec()
    for _ in range(3):
        assert receiver.decode(sender.encode(headers)) == headers


@given(st.binary(max_size=300))
def test_any_bytes_give_frames_or_our_error(raw: bytes) -> None:
    try:
        list(spdy.FrameReader().feed(raw))
        spdy.HeaderCodec().decode(raw)
    except spdy.SpdyError:
        pass


async def _echo_server(side: Pipe, *, refuse: bool = False) -> None:
    reader, codec = spdy.FrameReader(), spdy.HeaderCodec()
    while data := await side.read():
        for frame in reader.feed(data):
            if frame.type == spdy.SYN_STREAM and refuse:
                await side.write(
                    spdy.encode_control(spdy.RST_STREAM, 0, struct.pack(">II", frame.stream_id, 3))
                )
            elif frame.type == spdy.SYN_STREAM:
                assert codec.decode(frame.payload[10:]) == {"streamtype": "stdin"}
                reply = struct.pack(">I", frame.stream_id) + codec.encode({})
                await side.write(spdy.encode_control(spdy.SYN_REPLY, 0, reply))
            elif frame.type == 0:
                fin = bool(frame.flags & spdy.FLAG_FIN)
                await side.write(spdy.encode_data(frame.stream_id, frame.payload, fin=fin))


async def test_a_stream_carries_both_ways_and_ends() -> None:
    ours, theirs = pipes()
    session = spdy.Session(ours)
    async with asyncio.TaskGroup() as group:
        group.create_task(_echo_server(theirs))
        running = group.create_task(session.run())
        stream = await session.open_stream({"streamType": "stdin"})
        await stream.write(b"ahoy")
        assert await stream.read() == b"ahoy"
        await stream.finish()
        assert await stream.read() == b""
        await ours.close()
        await theirs.close()
        await running


async def test_a_refused_stream_is_an_error() -> None:
    ours, theirs = pipes()
    session = spdy.Session(ours)
    async with asyncio.TaskGroup() as group:
        group.create_task(_echo_server(theirs, refuse=True))
        running = group.create_task(session.run())
        with pytest.raises(spdy.SpdyError, match="status 3"):
            await session.open_stream({"streamType": "stdin"})
        await ours.close()
        await theirs.close()
        await running


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_session_ends_though_nobody_reads_its_streams(how: str) -> None:
    """Who left in the middle of much output must not be waited for."""
    ours, theirs = pipes()
    session = spdy.Session(ours)
    running = asyncio.ensure_future(session.run())
    opening = asyncio.ensure_future(session.open_stream({"streamType": "stdout"}))
    await theirs.read()
    reply = struct.pack(">I", 1) + spdy.HeaderCodec().encode({})
    await theirs.write(spdy.encode_control(spdy.SYN_REPLY, 0, reply))
    stream = await opening
    count = spdy._BUFFERED_FRAMES + (1 if how == "cancelled" else 0)
    for number in range(count):
        await theirs.write(spdy.encode_data(1, b"%d," % number))
    async with asyncio.timeout(30):
        while stream._frames.qsize() < spdy._BUFFERED_FRAMES:  # noqa: ASYNC110
            await asyncio.sleep(0)
        if how == "cancelled":
            running.cancel()
        else:
            await theirs.close()
        await asyncio.wait([running])
        told = [await stream.read() for _ in range(spdy._BUFFERED_FRAMES + 2)]
    assert told == [*(b"%d," % number for number in range(spdy._BUFFERED_FRAMES)), b"", b""]
