"""Where one message ends and the next begins, whoever would have it seen otherwise."""

import pytest
from tests.wire.test_server import CHUNKED, CLOSE, App, get, running, split, talk


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_body_over_the_limit(framing: str) -> None:
    body = b"x" * 200
    chunked = get("/echo", "Transfer-Encoding: chunked", method="POST") + b"c8\r\n" + body + b"\r\n0\r\n\r\n"
    data = chunked if framing == "chunked" else get("/echo", method="POST", body=body)
    app = App()
    async with running(app, max_body_bytes=100) as server:
        line, headers, answer = split(await talk(server, data))
    assert line == "HTTP/1.1 413 Request Entity Too Large"
    assert b'"message":"Request entity too large: limit is 100"' in answer
    assert b'"reason":"RequestEntityTooLarge"' in answer
    assert headers["connection"] == "close"
    assert app.requests == []


@pytest.mark.parametrize(
    "head",
    [
        get("/echo", CHUNKED, "Content-Length: 4", method="POST"),
        get("/echo", "Content-Length: 4000000000", "transfer-encoding: Chunked", method="POST"),
    ],
    ids=["length last", "length first"],
)
async def test_where_a_message_ends_is_not_for_two_to_see_differently(head: bytes) -> None:
    app = App()
    async with running(app) as server:
        smuggled = get("/hello", CLOSE)
        line, headers, answer = split(
            await talk(server, head + b"3\r\nabc\r\n0\r\n\r\n" + smuggled, eof=False)
        )
    assert (line, headers["connection"], answer) == ("HTTP/1.1 200 OK", "close", b"POST:abc")
    (request,) = app.requests
    assert "content-length" not in request.headers


async def test_chunks_are_none_in_http_1_0() -> None:
    head = b"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    app = App()
    async with running(app) as server:
        data = head + b"3\r\nabc\r\n0\r\n\r\n" + get("/hello", CLOSE)
        line, headers, answer = split(await talk(server, data, eof=False))
    assert (line, headers["connection"], answer) == ("HTTP/1.1 200 OK", "close", b"POST:")
    assert len(app.requests) == 1


async def test_trailers_are_no_headers() -> None:
    app = App()
    head = get("/echo", CHUNKED, CLOSE, "X-Remote-User: a", method="POST")
    trailers = b"Host: other\r\nX-Remote-User: b\r\nX-Remote-Group: system:masters\r\n\r\n"
    async with running(app) as server:
        _, _, answer = split(await talk(server, head + b"3\r\nabc\r\n0\r\n" + trailers, eof=False))
    assert answer == b"POST:abc"
    (request,) = app.requests
    assert (request.headers["host"], request.headers["x-remote-user"]) == ("here", "a")
    assert "x-remote-group" not in request.headers


async def test_trailers_are_short() -> None:
    async with running(App()) as server:
        data = get("/echo", CHUNKED, method="POST") + b"0\r\n" + b"X: y\r\n" * 15_000 + b"\r\n"
        line, _, _ = split(await talk(server, data, eof=False))
    assert line == "HTTP/1.1 400 Bad Request"


async def test_white_space_around_values_is_not_theirs() -> None:
    app = App()
    async with running(app) as server:
        data = get("/echo", "Transfer-Encoding:\tchunked ", "X-One: \ta b\t ", CLOSE, method="POST")
        _, _, answer = split(await talk(server, data + b"3\r\nabc\r\n0\r\n\r\n", eof=False))
    assert answer == b"POST:abc"
    assert app.requests[0].headers["x-one"] == "a b"
