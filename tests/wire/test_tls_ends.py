"""How a TLS connection ends, and how its listener rests, against a scripted socket and loop."""

import ssl

import pytest
from tests.wire.scripted_tls import Loop, Made, Protocol

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki


@pytest.mark.parametrize("end", [b"", ssl.SSLEOFError()], ids=["close_notify", "cut off"])
def test_the_peers_end_closes(made: Made, end: bytes | Exception) -> None:
    loop, sock, protocol, transport = made
    sock.arriving.append(end)
    assert loop.reader is not None
    loop.reader()
    assert transport.is_closing()
    loop.turn()
    assert protocol.told == ["eof", "lost"]
    assert sock.calls == ["unwrap", "close"]
    assert protocol.error is None


def test_close_sends_what_is_left_then_waits_for_the_peers_end(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"last words")
    transport.close()
    transport.close()
    transport.write(b"too late")
    loop.turn()
    assert sock.calls == []
    sock.room = 100
    assert loop.writer is not None
    loop.writer()
    assert sock.sent == [b"last words"]
    assert sock.calls == ["unwrap", "shutdown"]
    sock.arriving.extend([b"still talking", b""])
    assert loop.reader is not None
    loop.reader()
    loop.reader()
    loop.turn()
    assert sock.calls == ["unwrap", "shutdown", "close"]
    assert protocol.told == ["lost"]
    assert (loop.later, loop.reader, loop.writer) == ([], None, None)


def test_close_does_not_wait_for_ever(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.close()
    loop.turn()
    ((call, *arguments),) = loop.later
    call(*arguments)
    loop.turn()
    assert sock.calls[-1] == "close"
    assert protocol.told == ["lost"]


def test_abort_drops_what_is_unsent(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"unsent")
    transport.abort()
    transport.abort()
    loop.turn()
    assert sock.sent == []
    assert (sock.calls, protocol.told) == (["close"], ["lost"])
    assert transport.get_write_buffer_size() == 0
    assert (loop.reader, loop.writer) == (None, None)


def test_a_failing_write_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    sock.failing = ConnectionResetError("gone")
    transport.write(b"x")
    transport.write(b"y")
    loop.turn()
    assert protocol.told == ["lost"]
    assert protocol.error is sock.failing


def test_a_write_that_fails_later_ends_the_connection(made: Made) -> None:
    loop, sock, protocol, transport = made
    transport.write(b"x")
    sock.failing = BrokenPipeError()
    assert loop.writer is not None
    loop.writer()
    loop.turn()
    assert (protocol.told, loop.writer) == (["lost"], None)


def test_a_failing_protocol_is_told_of_and_dropped(made: Made) -> None:
    loop, sock, protocol, _ = made
    protocol.failing = True
    sock.arriving.append(b"data")
    assert loop.reader is not None
    loop.reader()
    loop.turn()
    assert protocol.told == ["data", "lost"]
    assert [type(one["exception"]) for one in loop.complaints] == [ValueError]


async def test_accepting_rests_when_descriptors_run_out(caplog: pytest.LogCaptureFixture) -> None:
    import errno

    from tiphys.wire.tls_listener import TlsListener

    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self) -> int:
            return 9

        def getsockname(self) -> str:
            return "here"

        def close(self) -> None:
            pass

    loop = Loop()
    now = RealClock().now()
    pair = pki.issue_server(pki.make_ca("ca", now), "server", ["127.0.0.1"], now)
    context = pki.server_context(pair, None)
    listener = TlsListener(loop, Exhausted(), context, Protocol, 1.0)  # type: ignore[arg-type]
    assert loop.reader is not None
    loop.reader()
    assert loop.reader is None
    assert "cannot accept address=here" in caplog.text
    ((resume,),) = loop.later
    resume()
    assert loop.reader is not None
    listener.close()
    assert (loop.reader, listener.sockets) == (None, ())
