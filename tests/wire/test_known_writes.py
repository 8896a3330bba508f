"""Writes whose header block is that of the one before: read without the parser, and as it would read them."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tiphys.wire.message import Request, Response, values_of
from tiphys.wire.reader import Job, RequestReader
from tiphys.wire.server import Server, ServerLimits


async def handler(request: Request) -> Response:
    return Response(200, {}, request.body)


BLOCK = "\r\nhost: x\r\ncontent-length: {}\r\nx-a: {}\r\n\r\n"


def write(method: str, target: str, body: str, value: str = "1") -> bytes:
    return f"{method} {target} HTTP/1.1{BLOCK.format(len(body), value)}{body}".encode()


@pytest.mark.parametrize(
    ("second", "known"),
    [
        pytest.param(write("POST", "/echo", "two"), True, id="the same block"),
        pytest.param(write("PUT", "/echo?a=b", "two"), True, id="another line"),
        pytest.param(write("PATCH", "/echo/%41", "two"), True, id="an encoded path"),
        pytest.param(write("POST", "/echo", "\r\n\r"), True, id="line ends in the body"),
        pytest.param(write("POST", "/echo", "longer"), True, id="another length"),
        pytest.param(write("POST", "/echo", "x" * 12345), True, id="a far longer one"),
        pytest.param(write("POST", "/echo", ""), True, id="nothing in it"),
        pytest.param(write("POST", "/echo", "two")[:-1], False, id="not all of it has come"),
        pytest.param(b"POST /echo HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n\r\n", False, id="no length"),
        pytest.param(write("POST", "/echo", "two").replace(b": 3", b": 0x3"), False, id="no number"),
        pytest.param(write("POST", "/echo", "two").replace(b": 3", b": "), False, id="no digits"),
        pytest.param(write("POST", "/echo", "two", "2"), False, id="another header"),
        pytest.param(write("POST", "/echo/" + "x" * 600, "two"), False, id="a long line"),
        pytest.param(write("LOCK", "/echo", "two"), False, id="another method"),
        pytest.param(write("POST", "/echo", "two") * 2, False, id="two in one read"),
    ],
)
async def test_repeated_writes_are_read_as_the_parser_reads_them(second: bytes, known: bool) -> None:
    def requests(*reads: bytes) -> tuple[list[Request], bool]:
        owner: Any = Server(handler)
        reader = RequestReader(owner)
        reader._peer, reader._certificate = "", None
        reader._transport = cast("asyncio.Transport", None)
        quick = False
        for data in reads:
            found = reader._known_write(data)
            quick = found is not None
            if found is not None:
                reader._pending.append(Job(found, True))
            else:
                reader._feed(data)
        return [job.request for job in reader._pending], quick

    first = write("POST", "/echo", "one")
    (_, *found), quick = requests(first, second)
    parsed, _ = requests(second)
    assert quick is known

    def shown(one: Request) -> tuple[object, ...]:
        return (one.method, one.path, one.raw_path, one.raw_query, dict(one.headers), one.body)

    assert [*map(shown, found)] == [*map(shown, parsed)]


@pytest.mark.parametrize(
    "head",
    ["transfer-encoding: chunked", "expect: 100-continue", "connection: close", "upgrade: x"],
)
def test_writes_that_are_not_plain_are_not_remembered(head: str) -> None:
    owner: Any = Server(handler)
    reader = RequestReader(owner)
    reader._peer, reader._certificate = "", None
    reader._transport = cast("asyncio.Transport", SimpleNamespace(write=lambda _data: None))
    body = "3\r\none\r\n0\r\n\r\n" if "chunked" in head else "one"
    length = "" if "chunked" in head else "content-length: 3\r\n"
    reader._feed(f"POST /echo HTTP/1.1\r\nhost: x\r\n{length}{head}\r\n\r\n{body}".encode())
    assert reader._body_block is None


@pytest.mark.parametrize("body", ["3\r\none\r\n0\r\n\r\n", "0\r\n\r\n"])
async def test_a_body_in_chunks_is_read_each_time(body: str) -> None:
    """A DELETE whose body says that it is only tried out must not be taken for one that says nothing."""
    owner: Any = Server(handler)
    reader = RequestReader(owner)
    reader._peer, reader._certificate = "", None
    data = f"DELETE /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{body}".encode()
    for _ in range(2):
        assert reader._known_line(data) is None
        reader._feed(data)
    assert [job.request.body for job in reader._pending] == [b"one" if "one" in body else b""] * 2


def known(reader: RequestReader, data: bytes) -> Request:
    found = reader._known_write(data)
    assert found is not None
    return found


async def test_what_is_known_of_a_block_stays_known_at_any_length() -> None:
    owner: Any = Server(handler)
    reader = RequestReader(owner)
    reader._peer, reader._certificate = "", None
    reader._feed(write("POST", "/echo", "one"))
    first = known(reader, write("POST", "/echo", "two"))
    second = known(reader, write("POST", "/echo", "longer"))
    third = known(reader, write("POST", "/echo", "equals"))
    assert first.memo is second.memo is third.memo
    assert [one.headers["content-length"] for one in (first, second, third)] == ["3", "6", "6"]
    assert second.headers is third.headers


async def test_a_body_over_the_limit_is_the_parser_s_to_refuse() -> None:
    owner: Any = Server(handler, limits=ServerLimits(max_body_bytes=5))
    reader = RequestReader(owner)
    reader._peer, reader._certificate = "", None
    reader._feed(write("POST", "/echo", "one"))
    assert reader._known_write(write("POST", "/echo", "fives"))
    assert reader._known_write(write("POST", "/echo", "sixsix")) is None


@pytest.mark.parametrize("head", ["content-length: 3\r\nContent-Length: 3", "x-content-length: 3"])
def test_a_length_that_is_not_said_once_is_not_remembered(head: str) -> None:
    owner: Any = Server(handler)
    reader = RequestReader(owner)
    reader._headers = {"content-length": "3"}
    reader._remember(f"POST /echo HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\none".encode())
    assert reader._body_block is None


async def test_repeated_headers_stay_apart() -> None:
    """Who somebody is may be said several times: a group may be called ``a, b``."""
    owner: Any = Server(handler)
    reader = RequestReader(owner)
    reader._transport, reader._peer = cast("asyncio.Transport", None), ""
    more = "\r\nimpersonate-group: a, b\r\nimpersonate-group: c\r\nx-a:"
    reader._feed(write("POST", "/echo", "one").replace(b"\r\nx-a:", more.encode()))
    found = reader._known_write(write("POST", "/echo", "longer").replace(b"\r\nx-a:", more.encode()))
    assert found is not None
    assert found.headers["content-length"] == "6"
    assert values_of(found.headers, "impersonate-group") == ["a, b", "c"]
