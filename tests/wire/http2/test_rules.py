"""What RFC 9113 says a server must do, clause by clause, with frames that break it."""

from __future__ import annotations

from typing import Final

import pytest
from tests.wire.http2.peer import Peer, block, data, echo, fields, frame, head, heads

from tiphys.wire.http2 import frames, hpack
from tiphys.wire.http2.errors import ErrorCode
from tiphys.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)  # fmt: skip

PROTOCOL, FLOW, SIZE = ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.FRAME_SIZE_ERROR
CLOSED, CALM = ErrorCode.STREAM_CLOSED, ErrorCode.ENHANCE_YOUR_CALM
GET = head(1)
BLOCK = block(fields())
WORD = b"\0\0\0\1"


def word(value: int) -> bytes:
    return value.to_bytes(4, "big")


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, name.to_bytes(2, "big") + word(value))


def asked(**more: str) -> bytes:
    """A request whose fields differ; None leaves one out."""
    return block([pair for pair in fields(**more) if pair[1] != "-"])


def pairs(*more: tuple[str, str], first: list[tuple[str, str]] | None = None) -> bytes:
    return heads(1, block([*(fields() if first is None else first), *more]))


Case = tuple[str, bytes, ErrorCode]

CONNECTION: Final[list[Case]] = [
    ("4.2 a frame larger than was allowed", frame(DATA, 0, 1, b"x" * (256 * 1024 + 1)), SIZE),
    ("4.3 a header block that is none", heads(1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
    ("5.1 data on an idle stream", data(5, b"x"), PROTOCOL),
    ("5.1 a reset of an idle stream", frames.reset(5, 0), PROTOCOL),
    ("5.1 a window of an idle stream", frames.window_update(5, 1), PROTOCOL),
    ("5.1 headers on a closed stream", GET + GET, CLOSED),
    ("5.1.1 an even stream", head(2), PROTOCOL),
    ("5.1.1 a stream that goes down", head(5) + head(3), CLOSED),
    ("6.1 data on no stream", data(0, b"x"), PROTOCOL),
    ("6.1 more padding than data", head(1, end=False) + frame(DATA, PADDED, 1, b"\x05abc"), PROTOCOL),
    ("6.1 no length of the padding", head(1, end=False) + frame(DATA, PADDED, 1), SIZE),
    ("6.2 headers on no stream", heads(0, BLOCK), PROTOCOL),
    ("6.2 more padding than headers", frame(HEADERS, PADDED | END_HEADERS, 1, b"\x09abc"), PROTOCOL),
    ("6.2 headers cut within the priority", frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, b"abc"), SIZE),
    ("6.3 a priority of no stream", frame(PRIORITY, 0, 0, b"\0\0\0\1\0"), PROTOCOL),
    ("6.4 a reset of no stream", frame(RST_STREAM, 0, 0, WORD), PROTOCOL),
    ("6.4 a reset of another length", GET + frame(RST_STREAM, 0, 1, b"\0\0\0"), SIZE),
    ("6.5 settings of a stream", frame(SETTINGS, 0, 1), PROTOCOL),
    ("6.5 an acknowledgement with more in it", frame(SETTINGS, ACK, 0, b"\0" * 6), SIZE),
    ("6.5 settings cut short", frame(SETTINGS, 0, 0, b"\0" * 5), SIZE),
    ("6.5.2 push neither on nor off", setting(frames.ENABLE_PUSH, 2), PROTOCOL),
    ("6.5.2 a first window too large", setting(frames.INITIAL_WINDOW_SIZE, 1 << 31), FLOW),
    ("6.5.2 frames too small", setting(frames.MAX_FRAME_SIZE, (1 << 14) - 1), PROTOCOL),
    ("6.5.2 frames too large", setting(frames.MAX_FRAME_SIZE, 1 << 24), PROTOCOL),
    ("6.6 a client that pushes", frame(PUSH_PROMISE, END_HEADERS, 1, WORD), PROTOCOL),
    ("6.7 a ping on a stream", frame(PING, 0, 1, b"12345678"), PROTOCOL),
    ("6.7 a ping of another length", frame(PING, 0, 0, b"1234567"), SIZE),
    ("6.8 an end of a stream's", frame(GOAWAY, 0, 1, b"\0" * 8), PROTOCOL),
    ("6.8 an end cut short", frame(GOAWAY, 0, 0, b"\0" * 7), SIZE),
    ("6.9 a window that does not grow", frame(WINDOW_UPDATE, 0, 0, word(0)), PROTOCOL),
    ("6.9 a window of another length", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), SIZE),
    ("6.9.1 a window too large", frames.window_update(0, (1 << 31) - 1), FLOW),
    ("6.10 no block to go on with", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL),
    ("6.10 a block that goes on on another stream",
     frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 3), PROTOCOL),
    ("6.10 a block with data within", frame(HEADERS, 0, 1, BLOCK) + data(1, b"x"), PROTOCOL),
    ("6.10 a block with headers within", frame(HEADERS, 0, 1, BLOCK) + GET, PROTOCOL),
    ("6.10 a block with a strange frame within", frame(HEADERS, 0, 1, BLOCK) + frame(99, 0, 1), PROTOCOL),
    ("10.5 too many settings", frame(SETTINGS, 0, 0, b"\0\x63\0\0\0\0" * 101), PROTOCOL),
    ("10.5 a block without an end",
     frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"") * 100, CALM),
    ("10.5 a block much too long",
     frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"\x82" * (1 << 17)) * 17, CALM),
    ("10.5 data without end and without data", head(1, end=False) + frame(DATA, 0, 1) * 1001, CALM),
]  # fmt: skip

STREAM: Final[list[Case]] = [
    ("5.1 data on a closed stream", GET + data(1, b"x"), CLOSED),
    ("5.3.1 a stream that depends on itself",
     frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, WORD + b"\0" + BLOCK), PROTOCOL),
    ("5.3.1 and says so later", frame(PRIORITY, 0, 1, WORD + b"\0"), PROTOCOL),
    ("6.3 a priority of another length", frame(PRIORITY, 0, 1, b"\0\0\0\0"), SIZE),
    ("6.9 a stream's window that does not grow",
     head(1, end=False) + frame(WINDOW_UPDATE, 0, 1, word(0)), PROTOCOL),
    ("6.9.1 a stream's window too large",
     head(1, end=False) + frames.window_update(1, (1 << 31) - 1), FLOW),
    ("8.1 trailers that end nothing", head(1, end=False) + heads(1, b"", end=False), PROTOCOL),
    ("8.1 trailers with a path", head(1, end=False) + heads(1, block([(":path", "/")])), PROTOCOL),
    ("8.1.1 more data than declared", head(1, end=False, content_length="1") + data(1, b"xx"), PROTOCOL),
    ("8.1.1 less data than declared",
     head(1, end=False, content_length="3") + data(1, b"xx", end=True), PROTOCOL),
    ("8.1.1 no data, yet declared", head(1, content_length="1"), PROTOCOL),
    ("8.1.1 less data than declared, with trailers",
     head(1, end=False, content_length="3") + data(1, b"xx") + heads(1, b""), PROTOCOL),
    ("8.1.1 two lengths", pairs(("content-length", "0"), ("content-length", "1")), PROTOCOL),
    ("8.1.1 a length that is none", head(1, content_length="-1"), PROTOCOL),
    ("8.2.1 a name in capitals", pairs(("X-Y", "1")), PROTOCOL),
    ("8.2.1 a name with a space", pairs(("x y", "1")), PROTOCOL),
    ("8.2.1 no name", pairs(("", "1")), PROTOCOL),
    ("8.2.1 a value with a line break", pairs(("x", "1\r\ny: 2")), PROTOCOL),
    ("8.2.1 a value with a zero", pairs(("x", "1\0")), PROTOCOL),
    ("8.3 a pseudo-header field that is none", pairs((":x", "1")), PROTOCOL),
    ("8.3 one of answers", pairs((":status", "200")), PROTOCOL),
    ("8.3 one behind the others", pairs(("x", "1"), (":authority", "y"), first=fields()[:3]), PROTOCOL),
    ("8.3 a path behind the others", pairs(("x", "1"), (":path", "/"), first=fields()[:2]), PROTOCOL),
    ("8.3.1 two methods", pairs(first=[(":method", "GET"), *fields()]), PROTOCOL),
    ("8.3.1 two paths", pairs(first=[(":path", "/a"), *fields()]), PROTOCOL),
    ("8.3.1 two schemes", pairs(first=[(":scheme", "https"), *fields()]), PROTOCOL),
    ("8.3.1 no method", pairs(first=fields()[1:]), PROTOCOL),
    ("8.3.1 no scheme", pairs(first=[fields()[0], *fields()[2:]]), PROTOCOL),
    ("8.3.1 another scheme", pairs(first=[(":scheme", "ftp"), fields()[0], *fields()[2:]]), PROTOCOL),
    ("8.3.1 no path", pairs(first=[*fields()[:2], fields()[3]]), PROTOCOL),
    ("8.3.1 an empty path", head(1, ""), PROTOCOL),
    ("8.3.1 a path that is none", head(1, "x"), PROTOCOL),
    ("8.3.1 a path with a line break", head(1, "/\r\nx"), PROTOCOL),
    ("8.3.1 a path with a broken escape", head(1, "/%2x%"), PROTOCOL),
    ("8.3.1 a path with a space", head(1, "/x HTTP/1.1"), PROTOCOL),
    ("8.3.1 a method with a space", head(1, method="GET /"), PROTOCOL),
    ("8.5 a tunnel", head(1, method="CONNECT"), PROTOCOL),
]  # fmt: skip


def names(cases: list[Case]) -> list[str]:
    return [name for name, _, _ in cases]


@pytest.mark.parametrize(("sent", "code"), [case[1:] for case in CONNECTION], ids=names(CONNECTION))
async def test_what_ends_the_connection(sent: bytes, code: ErrorCode) -> None:
    peer = Peer(echo)
    peer.send(sent)
    assert peer.gone is not None
    assert peer.gone[1] == code
    assert peer.wire.closing
    assert not peer.connection.streams
    peer.lose()


@pytest.mark.parametrize(("sent", "code"), [case[1:] for case in STREAM], ids=names(STREAM))
async def test_what_ends_a_stream(sent: bytes, code: ErrorCode) -> None:
    peer = Peer(echo)
    peer.send(sent)
    assert peer.answer(1).reset == code
    assert peer.gone is None
    peer.send(head(3, "/after"))
    assert peer.answer(3).body == b"GET /after? HTTP/2.0"
    assert not peer.connection.streams
    peer.lose()


FINE: Final = {
    "4.1 a frame of an unknown kind": frame(99, 0xFF, 1, b"x") + GET,
    "4.1 flags that mean nothing": frame(HEADERS, END_HEADERS | END_STREAM | 0x40, 1, BLOCK),
    "4.1 a reserved bit": frame(HEADERS, END_HEADERS | END_STREAM, 1 << 31 | 1, BLOCK),
    "5.1 a window of a closed stream": GET + frames.window_update(1, 5),
    "5.1 a reset of a closed stream": GET + frames.reset(1, 0),
    "5.1 a priority of a closed stream": GET + frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"),
    "5.3 a priority of an idle stream": frame(PRIORITY, 0, 9, b"\0\0\0\3\x10") + GET,
    "5.5 a setting that is unknown": setting(0x99, 5) + GET,
    "6.1 padding": head(1, method="POST", end=False) + frame(DATA, PADDED | END_STREAM, 1, b"\x02x\0\0"),
    "6.2 padding and priority": frame(
        HEADERS, END_HEADERS | END_STREAM | PADDED | HAS_PRIORITY, 1, b"\x03\0\0\0\3\x10" + BLOCK + b"\0" * 3
    ),
    "6.5 an acknowledgement": frame(SETTINGS, ACK, 0) + GET,
    "6.7 an answer to no ping": frame(PING, ACK, 0, b"12345678") + GET,
    "6.10 a block in three frames": frame(HEADERS, END_STREAM, 1, BLOCK[:5])
    + frame(CONTINUATION, 0, 1, BLOCK[5:9])
    + frame(CONTINUATION, END_HEADERS, 1, BLOCK[9:]),
    "8.1 trailers": head(1, method="POST", end=False) + data(1, b"x") + heads(1, block([("x", "1")])),
    "8.1 nothing but trailers": head(1, method="POST", end=False) + heads(1, block([("x", "1")])),
    "8.2.2 trailers are allowed": head(1, te="trailers"),
    "8.3.1 no authority": heads(1, block([*fields()[:3], ("host", "x")])),
}


@pytest.mark.parametrize("sent", FINE.values(), ids=FINE.keys())
async def test_what_is_fine(sent: bytes) -> None:
    peer = Peer(echo)
    peer.send(sent)
    answer = peer.answer(1)
    assert (answer.status, answer.ended, answer.reset) == (200, True, None)
    assert peer.gone is None
    assert not peer.connection.streams
    peer.lose()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"connection": "keep-alive"}, 'request header "Connection" is not valid in HTTP/2'),
        ({"keep_alive": "5"}, 'request header "Keep-Alive" is not valid in HTTP/2'),
        ({"proxy_connection": "x"}, 'request header "Proxy-Connection" is not valid in HTTP/2'),
        ({"transfer_encoding": "chunked"}, 'request header "Transfer-Encoding" is not valid in HTTP/2'),
        ({"upgrade": "websocket"}, 'request header "Upgrade" is not valid in HTTP/2'),
        ({"te": "gzip"}, 'request header "TE" may only be "trailers" in HTTP/2'),
    ],
)
async def test_headers_of_connections_are_refused_as_go_does(more: dict[str, str], text: str) -> None:
    peer = Peer(echo)
    answer = peer.answer(peer.ask("/x", **more))
    assert (answer.status, answer.body.decode(), answer.ended) == (400, text + "\n", True)


@pytest.mark.parametrize("split", [1, 3, 24, 30])
async def test_the_preface_comes_in_pieces(split: int) -> None:
    peer = Peer(echo, greet=False)
    sent = frames.PREFACE + frames.settings([]) + GET
    peer.send(sent[:split])
    peer.send(sent[split:])
    assert peer.answer(1).status == 200


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE + GET, frames.PREFACE + frames.SETTINGS_ACK]
)
async def test_who_does_not_greet_is_gone(sent: bytes) -> None:
    peer = Peer(echo, greet=False)
    peer.send(sent)
    assert peer.gone == (0, PROTOCOL)


async def test_the_server_greets_with_upstreams_settings() -> None:
    peer = Peer(echo, greet=False)
    peer.read()
    kind, flags, _, payload = peer.control[0]
    assert (kind, flags) == (SETTINGS, 0)
    assert dict(frames.settings_of(payload)) == {
        frames.MAX_FRAME_SIZE: 262144, frames.MAX_CONCURRENT_STREAMS: 100,
        frames.MAX_HEADER_LIST_SIZE: 1048576, frames.INITIAL_WINDOW_SIZE: 262144,
    }  # fmt: skip
    assert peer.windows() == {0: 100 * 262144 - 65535}
    peer.send(frames.PREFACE, frames.settings([]))
    peer.read()
    assert peer.control[-1] == (SETTINGS, ACK, 0, b"")


async def test_pings_are_answered() -> None:
    peer = Peer(echo)
    peer.send(frame(PING, 0, 0, b"abcdefgh"))
    peer.read()
    assert peer.control == [(PING, ACK, 0, b"abcdefgh")]


async def test_a_smaller_table_is_confirmed_before_the_next_block() -> None:
    peer = Peer(echo)
    peer.send(setting(frames.HEADER_TABLE_SIZE, 0), GET)
    kinds = list(frames.FrameReader(1 << 24).feed(bytes(peer.wire.sent)))
    (payload,) = [payload for kind, _, _, payload in kinds if kind == HEADERS]
    assert payload.startswith(hpack.EMPTY_TABLE)
