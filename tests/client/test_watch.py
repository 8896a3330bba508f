"""Lines of any length and cut become events; ERROR events become exceptions."""

import asyncio
from contextlib import suppress

import orjson
import pytest

from tiphys.apimachinery.errors import Expired
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.transport import Call, TransportError
from tiphys.client.watch import decode_event, read_events, read_lines
from tiphys.wire.message import Response


async def pieces(*chunks):
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="two in one"),
        pytest.param([b"a", b"b", b"c\n"], [b"abc"], id="one in three"),
        pytest.param([b"a\nb", b"c\n\nd"], [b"a", b"bc", b"", b"d"], id="mixed, unfinished tail"),
        pytest.param([b"x" * 70_000, b"\n"], [b"x" * 70_000], id="longer than any buffer"),
        pytest.param([], [], id="nothing"),
    ],
)
async def test_read_lines(chunks, lines):
    assert [line async for line in read_lines(pieces(*chunks))] == lines


class Chunk(bytes):
    """Says when it goes."""

    def __del__(self):
        self.gone.append(True)


async def once(gone):
    """Give one chunk of a line, and then nothing for ever."""
    chunk = Chunk(b"line\n")
    chunk.gone = gone
    yield chunk
    del chunk
    await asyncio.Event().wait()


async def is_let_go(lines, gone):
    """Read a line and wait for the next one: is the chunk gone then?"""
    assert b"line" in await anext(lines)
    waiting = asyncio.ensure_future(anext(lines))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    was_gone = gone == [True]
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    return was_gone


async def test_an_idle_watch_keeps_nothing_of_what_it_read():
    gone = []
    assert await is_let_go(read_lines(once(gone)), gone)


async def test_nor_does_the_way_to_a_server_in_the_same_process():
    gone = []

    async def handler(request):
        return Response(stream=once(gone))

    async with InProcessTransport(handler).stream(Call("GET", "/")) as stream:
        assert await is_let_go(stream.chunks, gone)


async def test_read_events_skips_blank_lines():
    line = orjson.dumps({"type": "ADDED", "object": {"metadata": {"resourceVersion": "7"}}})
    events = [event async for event in read_events(pieces(line + b"\n\n"))]
    assert [(event.type, event.resource_version) for event in events] == [("ADDED", "7")]


def test_an_error_event_raises_what_the_server_raised():
    with pytest.raises(Expired):
        decode_event(orjson.dumps({"type": "ERROR", "object": Expired("too old").to_status()}))


def test_half_an_event_is_a_broken_transport():
    with pytest.raises(TransportError):
        decode_event(b'{"type":"ADDED","obj')
