"""Lines of any length and cut become events; ERROR events become exceptions."""

import orjson
import pytest

from tiphys.apimachinery.errors import Expired
from tiphys.client.transport import TransportError
from tiphys.client.watch import decode_event, read_events, read_lines


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
