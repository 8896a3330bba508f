"""The TLS transport's rules of writing and reading, against a scripted socket and loop."""

import ssl

import pytest
from tests.wire.scripted_tls import FakeBuffer, Made

from tiphys.wire.tls import (
    GATHER_BYTES,
    HIGH_WATER_BYTES,
    RECORD_BYTES,
    SLICE_BYTES,
    TURN_BYTES,
)  # fmt: skip


def test_a_write_goes_out_at_once(made: Made) -> None:
    loop, sock, protocol, transport = made
    sock.room = 100
    transport.write(b"one")
    transport.writelines([b"two", b"", b"three"])
    assert sock.sent == [b"one", b"two", b"three"]
    assert loop.writer is None
    assert protocol.told == []


def test_what_openssl_began_is_repeated_and_the_rest_shares_records(made: Made) -> None:
    loop, sock, _, transport = made
    for word in (b"begun", b"a", b"b", b"c" * (RECORD_BYTES - 2), b"d"):
        transport.write(word)
    assert transport.get_write_buffer_size() == 5 + 2 + RECORD_BYTES - 2 + 1
    sock.room = 1 << 20
    assert loop.writer is not None
    loop.writer()
    assert [len(one) for one in sock.sent] == [5, RECORD_BYTES, 1]
    assert b"".join(sock.sent) == b"begunab" + b"c" * (RECORD_BYTES - 2) + b"d"
    assert loop.writer is None
    assert transport.get_write_buffer_size() == 0


def test_a_joined_piece_is_repeated_too(made: Made) -> None:
    loop, sock, _, transport = made
    for word in (b"begun", b"a", b"b"):
        transport.write(word)
    for room in (5, 0, 2):
        sock.room = room
        assert loop.writer is not None
        loop.writer()
    assert sock.sent == [b"begun", b"ab"]


@pytest.fixture
def buffered(made: Made, monkeypatch: pytest.MonkeyPatch) -> FakeBuffer:
    """A large answer has been written whole into the buffer; the peer has taken nothing."""
    _, sock, _, transport = made
    buffer = FakeBuffer(sock)
    monkeypatch.setattr("tiphys.wire.tls.gather.lend", lambda session: buffer)
    sock.room = 1 << 30
    buffer.held = 100_000
    transport.write(b"small")
    assert transport._buffer is None
    transport.write(bytes(GATHER_BYTES))
    return buffer


def test_what_is_collected_is_unsent_until_it_is_flushed(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, protocol, transport = made
    assert protocol.told == ["pause"]
    assert transport.get_write_buffer_size() == 100_000
    transport.write(b"behind")
    assert sock.sent[-1] != b"behind"
    buffered.room = 1
    assert loop.writer is not None
    loop.writer()
    assert sock.sent[-1] == b"behind"
    assert (transport.get_write_buffer_size(), protocol.told) == (99_999, ["pause"])
    buffered.room = 1 << 20
    loop.writer()
    assert (buffered.left, protocol.told) == (True, ["pause", "resume"])
    assert loop.writer is None
    assert transport.get_write_buffer_size() == 0


def test_closing_waits_for_what_is_collected(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, _, transport = made
    transport.close()
    loop.turn()
    assert sock.calls == []
    buffered.room = 1 << 20
    assert loop.writer is not None
    loop.writer()
    assert (buffered.left, sock.calls) == (True, ["unwrap", "shutdown"])


def test_an_abort_takes_the_buffer_back(made: Made, buffered: FakeBuffer) -> None:
    loop, sock, protocol, transport = made
    transport.abort()
    loop.turn()
    assert (buffered.left, sock.calls) == (True, ["close"])
    assert loop.writer is None
    assert protocol.told == ["pause", "lost"]


def test_writing_past_the_transport(made: Made) -> None:
    """For whoever writes the same to many: only while nothing waits to be sent."""
    loop, sock, _, transport = made
    direct = transport.direct(lambda: None)
    assert direct is not None
    sock.room = 3
    direct(b"one")
    with pytest.raises(ssl.SSLWantWriteError) as full:
        direct(b"second")
    transport.take_over(b"second", full.value)
    assert transport.direct(lambda: None) is None
    transport.write(b"third")
    sock.room = 100
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [b"one", b"second", b"third"]
    assert transport.direct(lambda: None) is not None
    transport.close()
    assert transport.direct(lambda: None) is None


@pytest.mark.parametrize("end", ["abort", "failed write"])
def test_who_may_write_past_the_transport_is_told_of_its_end(made: Made, end: str) -> None:
    """Before the descriptor is given back, as the next connection may get the same."""
    _, sock, _, transport = made
    open_then: list[bool] = []
    assert transport.direct(lambda: open_then.append("close" not in sock.calls)) is not None
    if end == "abort":
        transport.abort()
    else:
        transport.take_over(b"x", ConnectionResetError())
    assert open_then == [True]
    assert "close" in sock.calls


def test_what_was_begun_past_the_transport_is_repeated_in_one_piece(made: Made) -> None:
    loop, sock, protocol, transport = made
    large = bytes(SLICE_BYTES + 1)
    direct = transport.direct(lambda: None)
    assert direct is not None
    with pytest.raises(ssl.SSLWantWriteError) as full:
        direct(large)
    transport.take_over(large, full.value)
    assert transport.get_write_buffer_size() == len(large)
    assert protocol.told[-1] == "pause"
    sock.room = len(large)
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [large]
    assert protocol.told[-1] == "resume"


def test_a_write_past_the_transport_that_fails_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.take_over(b"lost", ConnectionResetError())
    transport.take_over(b"lost", ConnectionResetError())  # it is gone already
    loop.turn()
    assert sock.calls == ["close"]
    assert protocol.told[-1] == "lost"


def test_large_writes_are_sliced_and_take_turns(made: Made) -> None:
    loop, sock, _, transport = made
    body = bytes(TURN_BYTES + 3 * SLICE_BYTES)
    sock.room = len(body)
    transport.write(body)
    assert {len(one) for one in sock.sent} == {SLICE_BYTES}
    assert sum(map(len, sock.sent)) == TURN_BYTES
    assert loop.writer is not None
    loop.writer()
    assert b"".join(sock.sent) == body
    assert loop.writer is None


def test_large_writes_are_not_copied(made: Made) -> None:
    _, _, _, transport = made
    body = bytes(10 * SLICE_BYTES)
    transport.write(body)
    assert all(view.obj is body for view in transport._backlog)


def test_the_protocol_is_paused_and_resumed(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"x" * HIGH_WATER_BYTES)
    assert protocol.told == []
    transport.write(b"y")
    transport.write(b"z")
    assert protocol.told == ["pause"]
    sock.room = HIGH_WATER_BYTES
    assert loop.writer is not None
    loop.writer()
    assert protocol.told == ["pause", "resume"]


def test_reading_goes_on_after_a_full_record_only(made: Made) -> None:
    loop, sock, protocol, _ = made
    sock.arriving.extend([b"f" * RECORD_BYTES, b"rest", b"later"])
    assert loop.reader is not None
    loop.reader()
    assert protocol.told == [f"read {RECORD_BYTES}", "rest"]


@pytest.mark.parametrize("wants", [ssl.SSLWantReadError(), ssl.SSLWantWriteError()], ids=["data", "room"])
def test_reading_that_cannot_go_on_waits(made: Made, wants: Exception) -> None:
    loop, sock, protocol, transport = made
    sock.arriving.extend([wants, b"later"])
    assert loop.reader is not None
    loop.reader()
    assert (protocol.told, transport.is_closing()) == ([], False)
    loop.reader()
    assert protocol.told == ["later"]


def test_paused_reading_stays_paused(made: Made) -> None:
    loop, _, _, transport = made
    transport.pause_reading()
    transport.pause_reading()
    assert loop.reader is None
    assert not transport.is_reading()
    transport.resume_reading()
    assert loop.reader is not None
    transport.close()
    transport.resume_reading()
    assert not transport.is_reading()


def test_what_is_known_of_the_peer(made: Made) -> None:
    _, sock, protocol, transport = made
    assert transport.get_extra_info("peername") == ("10.0.0.1", 5)
    assert transport.get_extra_info("ssl_object") is sock
    assert transport.get_extra_info("nothing", 3) == 3
    assert transport.get_protocol() is protocol
    assert not transport.can_write_eof()
