"""Heads of requests: a table of what Go's server takes and refuses, and any bytes at all."""

import random
from typing import Any

import httptools
import pytest

from tiphys.wire.message import RepeatedHeaders
from tiphys.wire.request_head import CHUNKED, HeadFault, RequestHead, check_line, end_of, read

BAD = (400, "400 Bad Request")
LINE = b"GET / HTTP/1.1"
HOST = b"Host: h"
CHUNKS = b"Transfer-Encoding: chunked"


def told(data: bytes) -> RequestHead:
    found = read(data)
    assert found is not None
    assert found[1] == len(data)
    return found[0]


def lines(*given: bytes, end: bytes = b"\r\n") -> bytes:
    return end.join([*given, b"", b""])


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        pytest.param(lines(LINE, HOST, b"X: y"), {"host": "h", "x": "y"}, id="ordinary"),
        pytest.param(lines(LINE, HOST, b"X: y", end=b"\n"), {"host": "h", "x": "y"}, id="line feeds alone"),
        pytest.param(LINE + b"\n" + HOST + b"\r\nX: y\n\r\n", {"host": "h", "x": "y"}, id="both mixed"),
        pytest.param(LINE + b"\r\n" + HOST + b"\r\nX: y\r\n\n", {"host": "h", "x": "y"}, id="a bare last"),
        pytest.param(lines(LINE, HOST, b"X: a", b" b", b"\t c "), {"host": "h", "x": "a b c"}, id="folded"),
        pytest.param(lines(LINE, HOST, b"X:", b" b"), {"host": "h", "x": "b"}, id="folded at once"),
        pytest.param(lines(LINE, HOST, b"X: a", b" "), {"host": "h", "x": "a"}, id="folded into nothing"),
        pytest.param(lines(LINE, HOST, b"X:\t a\tb \t"), {"host": "h", "x": "a\tb"}, id="white space"),
        pytest.param(lines(LINE, HOST, b"X:"), {"host": "h", "x": ""}, id="empty"),
        pytest.param(lines(LINE, HOST, b"X:y:z"), {"host": "h", "x": "y:z"}, id="colons"),
        pytest.param(lines(LINE, HOST, "X: ä".encode()), {"host": "h", "x": "Ã¤"}, id="not ASCII"),
        pytest.param(lines(LINE, HOST, b"x: 1", b"X: 2"), {"host": "h", "x": "1, 2"}, id="twice"),
        pytest.param(
            lines(LINE, HOST, b"Content-Length: 1", b"content-length:  1"),
            {"host": "h", "content-length": "1"}, id="one length twice",
        ),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", {}, id="HTTP/1.0 has no host"),
        pytest.param(b"GET / HTTP/1.0\n\n", {}, id="HTTP/1.0 in line feeds"),
        pytest.param(lines(LINE, b"Host:"), {"host": ""}, id="an empty host"),
        pytest.param(lines(LINE, b"Host: [::1]:6443"), {"host": "[::1]:6443"}, id="an address"),
        pytest.param(
            lines(LINE, HOST, b"Transfer-Encoding: chunked", b"Trailer: A, B"), {"host": "h"},
            id="trailers are nobody's",
        ),
    ],
)  # fmt: skip
def test_fields(data: bytes, headers: dict[str, str]) -> None:
    assert told(data).headers == headers


@pytest.mark.parametrize(
    ("line", "method", "target"),
    [
        (b"GET /a?b=c HTTP/1.1", "GET", b"/a?b=c"),
        (b"brew /pot HTTP/1.1", "brew", b"/pot"),
        (b"M-SEARCH /pot HTTP/1.2", "M-SEARCH", b"/pot"),
        (b"OPTIONS * HTTP/1.1", "OPTIONS", b"*"),
        (b"GET https://h/a HTTP/1.1", "GET", b"https://h/a"),
        (b"CONNECT h:80 HTTP/1.1", "CONNECT", b"h:80"),
        ("GET /ä HTTP/1.1".encode(), "GET", "/ä".encode()),
        (b'GET /"<>\\^`{|}#x HTTP/1.1', "GET", b'/"<>\\^`{|}#x'),
        (b"GET /?a=%zz HTTP/1.1", "GET", b"/?a=%zz"),
    ],
)
def test_lines(line: bytes, method: str, target: bytes) -> None:
    head = told(lines(line, HOST))
    assert (head.method, head.target) == (method, target)
    check_line(line + b"\r\nmore")


@pytest.mark.parametrize(
    "line",
    [
        b"", b" ", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / b HTTP/1.1",
        b" GET / HTTP/1.1", b"GET / HTTP/1", b"GET / HTTP/1.10", b"GET / http/1.1", b"GET / HTTPS/1.1",
        b"GET / HTTP/1,1", b"GET / HTTP/x.1", b"G@T / HTTP/1.1", b"GET foo HTTP/1.1", b"GET ?x=:// HTTP/1.1",
        b"GET 1://a HTTP/1.1", b"GET /%2 HTTP/1.1", b"GET /%41%zz HTTP/1.1", b"GET /\x01 HTTP/1.1",
        b"GET /\x7f HTTP/1.1", b"GET /\0 HTTP/1.1", b"GET / HTTP/1.1\r\r",
        b"GET /\r HTTP/1.1", b"GET /\r\n HTTP/1.1", b"CONNECT  HTTP/1.1", b"\x16\x03\x01\x02",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_that_are_none(line: bytes, end: bytes) -> None:
    with pytest.raises(HeadFault) as caught:
        read(lines(line, HOST, end=end))
    assert (caught.value.status, caught.value.text) == BAD


@pytest.mark.parametrize("line", [b"", b"GET /", b"GET / HTTP/1", b"\x16\x03\x01"])
def test_a_line_that_is_none_need_not_wait_for_the_rest(line: bytes) -> None:
    with pytest.raises(HeadFault):
        check_line(line + b"\nHost")


@pytest.mark.parametrize(
    ("given", "status", "text"),
    [
        pytest.param((b" X: y", HOST), *BAD, id="begins folded"),
        pytest.param((b"\tX: y", HOST), *BAD, id="begins with a tab"),
        pytest.param((HOST, b"X"), *BAD, id="no colon"),
        pytest.param((HOST, b"Accept"), *BAD, id="no colon behind a known name"),
        pytest.param((HOST, b": y"), *BAD, id="no name"),
        pytest.param((HOST, b"X : y"), *BAD, id="space before the colon"),
        pytest.param((HOST, b"X(y: z"), *BAD, id="no name that can be"),
        pytest.param((HOST, "Xä: z".encode()), *BAD, id="a name that is not ASCII"),
        pytest.param((HOST, b"X: a\rb"), *BAD, id="a carriage return within"),
        pytest.param((HOST, b"X: a\r\r"), *BAD, id="more carriage returns"),
        pytest.param((HOST, b"X: a\0b"), *BAD, id="a null"),
        pytest.param((HOST, b"X: a\x1bb"), *BAD, id="a control character"),
        pytest.param((HOST, b"X: a\x7f"), *BAD, id="a delete"),
        pytest.param((), 400, "400 Bad Request: missing required Host header", id="no host"),
        pytest.param((HOST, b"host: i"), 400, "400 Bad Request: too many Host headers", id="two hosts"),
        pytest.param((HOST, HOST), 400, "400 Bad Request: too many Host headers", id="one host twice"),
        pytest.param((b"Host: a b",), 400, "400 Bad Request: malformed Host header", id="no such host"),
        pytest.param((b"Host: a/b",), 400, "400 Bad Request: malformed Host header", id="a host with a path"),
        pytest.param((HOST, b"Content-Length: 1", b"Content-Length: 2"), *BAD, id="two lengths"),
        pytest.param((HOST, b"Content-Length: 1, 1"), *BAD, id="a list of lengths"),
        pytest.param((HOST, b"Content-Length:"), *BAD, id="an empty length"),
        pytest.param((HOST, b"Content-Length: +1"), *BAD, id="a length with a sign"),
        pytest.param((HOST, b"Content-Length: -1"), *BAD, id="a length below nothing"),
        pytest.param((HOST, b"Content-Length: 0x1"), *BAD, id="a length in another base"),
        pytest.param((HOST, b"Content-Length: 1_0"), *BAD, id="a length as Python writes it"),
        pytest.param((HOST, "Content-Length: ١".encode()), *BAD, id="other digits"),
        pytest.param((HOST, b"Content-Length: 9223372036854775808"), *BAD, id="a length over all bounds"),
        pytest.param((HOST, b"Content-Length: " + b"9" * 5000), *BAD, id="a length of many digits"),
        pytest.param((HOST, b"Transfer-Encoding: gzip"), 501, "Unsupported transfer encoding", id="gzip"),
        pytest.param((HOST, b"Transfer-Encoding:"), 501, "Unsupported transfer encoding", id="empty"),
        pytest.param(
            (HOST, b"Transfer-Encoding: identity, chunked"), 501, "Unsupported transfer encoding", id="two",
        ),
        pytest.param(
            (HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
            501, "Unsupported transfer encoding", id="twice",
        ),
        pytest.param(
            (HOST, b"Transfer-Encoding: \x0bchunked"), *BAD, id="white space that is none",
        ),
        pytest.param((HOST, CHUNKS, b"Trailer: content-length"), *BAD, id="bad trailer"),
        pytest.param((HOST, b"Expect: patience"), 417, "", id="expects more"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_heads_that_are_refused(given: tuple[bytes, ...], status: int, text: str, end: bytes) -> None:
    with pytest.raises(HeadFault) as caught:
        read(lines(LINE, *given, end=end))
    assert (caught.value.status, caught.value.text) == (status, text)


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.1"])
def test_other_versions(version: bytes) -> None:
    with pytest.raises(HeadFault) as caught:
        read(lines(b"GET / " + version, HOST))
    assert caught.value.status == 505


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        (b"1.1", (), {"length": 0, "keep_alive": True, "http10": False, "continues": False}),
        (b"1.1", (b"Connection: close",), {"keep_alive": False}),
        (b"1.1", (b"Connection: keep-alive, CLOSE",), {"keep_alive": False}),
        (b"1.1", (b"Connection: keep-alive", b"Connection: close"), {"keep_alive": False}),
        (b"1.2", (b"Connection: closed",), {"keep_alive": True, "http10": False}),
        (b"1.0", (), {"keep_alive": False, "http10": True}),
        (b"1.0", (b"Connection: Keep-Alive",), {"keep_alive": True}),
        (b"1.0", (b"Connection: keep-alive, close",), {"keep_alive": False}),
        (b"1.1", (b"Content-Length: 007",), {"length": 7, "keep_alive": True}),
        (b"1.1", (b"Transfer-Encoding: Chunked",), {"length": CHUNKED, "keep_alive": True}),
        (b"1.1", (CHUNKS, b"Content-Length: 4"), {"length": CHUNKED, "keep_alive": False}),
        (b"1.1", (b"Content-Length: 4", CHUNKS), {"length": CHUNKED, "keep_alive": False}),
        (b"1.0", (b"Transfer-Encoding: gzip", b"Content-Length: 4"), {"length": 4, "keep_alive": False}),
        (b"1.0", (b"Connection: keep-alive", CHUNKS), {"length": 0, "keep_alive": True}),
        (b"1.1", (b"Expect: 100-Continue", b"Content-Length: 4"), {"continues": True}),
        (b"1.1", (b"Expect: a, 100-continue", b"Transfer-Encoding: chunked"), {"continues": True}),
        (b"1.1", (b"Expect: 100-continue",), {"continues": False}),
        (b"1.0", (b"Expect: 100-continue", b"Content-Length: 4"), {"continues": False}),
        (b"1.1", (b"Connection: Upgrade", b"Upgrade: SPDY/3.1"), {"upgrade": True}),
        (b"1.1", (b"Connection: keep-alive, upgrade", b"Upgrade: websocket"), {"upgrade": True}),
        (b"1.1", (b"Upgrade: websocket",), {"upgrade": False}),
        (b"1.1", (b"Connection: upgrade",), {"upgrade": False}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_what_heads_say(
    version: bytes, given: tuple[bytes, ...], expected: dict[str, Any], end: bytes
) -> None:
    head = told(lines(b"PUT / HTTP/" + version, HOST, *given, end=end))
    if version == b"1.0" and any(one.startswith(b"Transfer") for one in given):
        expected = {**expected, "keep_alive": False}  # unlike Go's: see the decision
    assert {name: getattr(head, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1), (b"a\r\n", -1), (b"a\r\n\r", -1), (b"a\r\n\r\n", 5), (b"a\n\nb\r\n\r\n", 3),
        (b"a\n\r\nb\n\n", 4), (b"a\r\n\n\r\n", 4), (b"a\r\r\n", -1),
    ],
)  # fmt: skip
def test_ends(data: bytes, end: int) -> None:
    assert end_of(data) == end


def test_what_follows_a_head_is_not_looked_at() -> None:
    first, second = lines(LINE, HOST), b"\0\0\r\n\r\n"
    for data in (first + second, lines(LINE, HOST, end=b"\n") + second, first + b"x" * 9000):
        found = read(data)
        assert found is not None
        assert data[: found[1]].endswith((b"\r\n\r\n", b"\n\n"))
        assert found[1] <= len(first)


def test_long_heads_are_read_as_short_ones() -> None:
    head = told(lines(LINE, HOST, b"X: " + b"y" * 9000))
    assert (head.plain, len(head.headers["x"])) == (True, 9000)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (lines(LINE, HOST, b"Strange-Name: x"), True), (lines(LINE, HOST, b"A: 1", b"A: 2"), True),
        (lines(LINE, HOST, end=b"\n"), False), (lines(LINE, HOST, b"A: 1", b" 2"), False),
        (lines(LINE, HOST, b"Content-Length: 1", b"content-length: 1"), False),
        (LINE + b"\r\n" + HOST + b"\r\n\n", False), (lines(LINE, HOST, b"Expect: 100-continue"), False),
    ],
)  # fmt: skip
def test_plain(given: bytes, plain: bool) -> None:
    assert told(given).plain is plain


class Reading:
    """What llhttp says of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.target, self.ended = b"", False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode().lower(), value.decode("latin-1").rstrip(" \t")
        if key not in self.headers:
            self.headers[key] = text
        else:
            if not isinstance(self.headers, RepeatedHeaders):
                self.headers = RepeatedHeaders(self.headers)
            self.headers.repeat(key, text)

    def on_headers_complete(self) -> None:
        self.ended, self.keeps_alive = True, self.parser.should_keep_alive()


def test_whatever_a_strict_parser_takes_is_read_alike() -> None:
    rng = random.Random(11)
    names = [b"Host", b"Accept", b"X-A", b"x-a", b"Cookie", b"User-Agent", b"Weird.Name", b"Connection"]
    values = [b"", b"a", b"a b", b" x\t", b"\xff", b"a,b", b"keep-alive", b"close", b"%20:"]
    agreed = 0
    for _ in range(3000):
        given = [b"%b:%b%b" % (rng.choice(names), rng.choice((b" ", b"", b"\t ")), rng.choice(values))
                 for _ in range(rng.randrange(7))]  # fmt: skip
        data = bytearray(lines(b"GET /%d HTTP/1.1" % rng.randrange(9), b"Host: h", *given))
        for _ in range(rng.choice((0, 0, 1, 2))):
            data[rng.randrange(len(data))] = rng.choice(b"\r\n\t :;\0aA/\x7f\xc3")
        try:
            strict = Reading(bytes(data))
        except httptools.HttpParserError:
            strict = None
        try:
            found = read(bytes(data))
        except HeadFault:
            found = None
        if strict is None or not strict.ended or found is None or found[1] != len(data):
            continue
        head = found[0]
        if b"\n " in data or b"\n\t" in data:
            continue
        agreed += 1
        assert (head.headers, head.target) == (strict.headers, strict.target), bytes(data)
        if head.http10 is False and not head.upgrade:
            assert head.keep_alive == strict.keeps_alive
    assert agreed > 500


def test_any_bytes_are_read_or_refused() -> None:
    rng = random.Random(3)
    seeds = [
        lines(LINE, HOST, b"X: y", b" z"), lines(LINE, HOST, b"Content-Length: 3", end=b"\n"),
        lines(b"PUT / HTTP/1.0", b"Transfer-Encoding: chunked", b"Trailer: x", b"Expect: 100-continue"),
    ]  # fmt: skip
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(6)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        try:
            found = read(bytes(data))
        except HeadFault:
            continue
        if found is not None:
            for value in (*found[0].headers.values(), found[0].method, found[0].target.decode("latin-1")):
                assert not set(value) & {"\r", "\n", "\0"}


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        pytest.param(b"a: 1\r\n" * 100_000, "1, " * 99_999 + "1", id="one header over and over"),
        pytest.param(b"a: 1\r\n" + b" 1\r\n" * 99_999, "1 " * 99_999 + "1", id="one that goes on and on"),
        pytest.param(b"a: 1 \r\n \r\n\t\r\n 2\r\n \r\n", "1 2", id="one that goes on with nothing"),
    ],
)
def test_heads_cost_what_they_are_long(lines: bytes, value: str) -> None:
    """With each line joined to those before it, 100,000 of them would take minutes."""
    found = read(b"GET / HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
    assert found is not None
    assert found[0].headers["a"] == value
