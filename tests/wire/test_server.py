import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tiphys.apimachinery.errors import NotFound, TooManyRequests
from tiphys.wire import pki
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import Server, ServerLimits, serve

DEADLINE_S = 60


class App:
    """A handler with one path for each way of answering; remembers what it saw."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return await getattr(self, "do_" + request.path.strip("/").replace("/", "_"))(request)

    async def do_hello(self, request: Request) -> Response:
        return Response(200, {"Content-Type": "text/plain"}, b"hello")

    async def do_echo(self, request: Request) -> Response:
        return Response(200, {}, request.method.encode() + b":" + request.body)

    async def do_waits(self, request: Request) -> Response:
        async with asyncio.timeout(5):
            await self.release.wait()
        return Response(200, {}, b"waited")

    async def do_expires(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return Response(200, {}, b"timed out")
        raise AssertionError

    async def do_twice(self, request: Request) -> Response:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, str(n))) for n in range(3)]
        await asyncio.sleep(0)
        return Response(200, {}, "".join(task.result() for task in tasks).encode())

    async def do_missing(self, request: Request) -> Response:
        raise NotFound.of("", "pods", "x")

    async def do_busy(self, request: Request) -> Response:
        await asyncio.sleep(0)
        raise TooManyRequests("slow down", retry_after_s=7)

    async def do_broken(self, request: Request) -> Response:
        raise ValueError("secret detail")

    async def do_parts(self, request: Request) -> Response:
        return Response(200, {}, [b"a", b"b", b"c"])

    async def do_large(self, request: Request) -> Response:
        return Response(200, {}, [b"x" * 700_000, b"y" * 700_000, b"z"])

    async def do_injected(self, request: Request) -> Response:
        return Response(200, {"Warning": "a\r\nEvil: yes"}, b"")

    async def do_gone(self, request: Request) -> Response:
        return Response(204, {}, b"")

    async def do_count(self, request: Request) -> Response:
        return Response(200, {}, stream=self._count())

    async def _count(self) -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number).encode()

    async def do_endless(self, request: Request) -> Response:
        return Response(200, {}, stream=self._endless())

    async def _endless(self) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def do_fails(self, request: Request) -> Response:
        return Response(200, {}, stream=self._fails())

    async def _fails(self) -> AsyncIterator[bytes]:
        yield b"some"
        raise ValueError("no more")

    async def do_flood(self, request: Request) -> Response:
        return Response(200, {}, stream=self._flood())

    async def _flood(self) -> AsyncIterator[bytes]:
        self.flooded = 0
        try:
            while self.flooded < 4000:
                self.flooded += 1
                yield b"f" * 65536
        finally:
            self.closed.set()

    async def do_upgrade(self, request: Request) -> Response:
        return Response(101, {"Upgrade": "echo", "Connection": "Upgrade"}, upgrade=self._upper)

    async def _upper(self, raw: ByteStream) -> None:
        while data := await raw.read():
            await raw.write(data.upper())
        self.closed.set()


@contextlib.asynccontextmanager
async def running(app: App, **options: object) -> AsyncIterator[Server]:
    async with asyncio.timeout(DEADLINE_S), serve(app, **options) as server:  # type: ignore[arg-type]
        yield server


async def talk(server: Server, data: bytes, *, eof: bool = True) -> bytes:
    """Send bytes and return everything that comes back before the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    if eof:
        writer.write_eof()
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def get(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: here", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def split(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, body


CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
        pytest.param(get("/hello", CLOSE), "200 OK", b"hello", id="plain"),
        pytest.param(get("/hello", CLOSE, method="HEAD"), "200 OK", b"", id="head"),
        pytest.param(get("/echo", CLOSE, method="POST", body=b"abc"), "200 OK", b"POST:abc", id="body"),
        pytest.param(
            get("/echo", CLOSE, CHUNKED, method="PUT") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "200 OK", b"PUT:abc", id="chunked body",
        ),
        pytest.param(
            get("/hello", "Transfer-Encoding: gzip", "Content-Length: 1", method="PUT") + b"a",
            "501 Not Implemented", b"Unsupported transfer encoding", id="packed body",
        ),
        pytest.param(
            get("/hello", "Transfer-Encoding: gzip, chunked", method="PUT") + b"0\r\n\r\n",
            "501 Not Implemented", b"Unsupported transfer encoding", id="packed body in chunks",
        ),
        pytest.param(
            get("/hello", CHUNKED, CHUNKED, method="PUT") + b"0\r\n\r\n",
            "501 Not Implemented", b"Unsupported transfer encoding", id="chunks twice",
        ),
        pytest.param(
            get("/hello", CHUNKED, "Content-Length: 1x", method="PUT") + b"0\r\n\r\n",
            "400 Bad Request", b"400 Bad Request", id="chunks beside what is no length",
        ),
        pytest.param(
            get("/echo", CHUNKED, method="PUT") + b"1\nX\n0\n\n",
            "400 Bad Request", b"400 Bad Request", id="chunks without carriage returns",
        ),
        pytest.param(get("/expires", CLOSE), "200 OK", b"timed out", id="timeout begun in the first step"),
        pytest.param(get("/twice", CLOSE), "200 OK", b"012", id="task group in the first step"),
        pytest.param(get("/parts", CLOSE), "200 OK", b"abc", id="parts"),
        pytest.param(get("/large", CLOSE), "200 OK", b"x" * 700_000 + b"y" * 700_000 + b"z", id="large"),
        pytest.param(get("/gone", CLOSE), "204 No Content", b"", id="no content"),
        pytest.param(get("/count", CLOSE), "200 OK", b"1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n", id="stream"),
        pytest.param(b"GET /count HTTP/1.0\r\n\r\n", "200 OK", b"012", id="stream to HTTP/1.0"),
        pytest.param(
            b"GET http://h/hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200 OK", b"hello",
            id="absolute",
        ),
        pytest.param(get("/count", CLOSE, method="HEAD"), "200 OK", b"", id="head of a stream"),
        pytest.param(get("/echo", CLOSE, method="BREW", body=b"tea"), "200 OK", b"BREW:tea", id="brew"),
        pytest.param(get("/echo", CLOSE, method="get"), "200 OK", b"get:", id="small letters"),
        pytest.param(get("/echo", CLOSE, method="REPORT"), "200 OK", b"REPORT:", id="rare method"),
        pytest.param(b"BR@W /pot HTTP/1.1\r\n\r\n", "400 Bad Request", b"400 Bad Request", id="bad method"),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request",
            b"400 Bad Request: missing required Host header", id="no host",
        ),
        pytest.param(
            get("/hello", "Host: other"), "400 Bad Request",
            b"400 Bad Request: too many Host headers", id="two hosts",
        ),
        pytest.param(get("/a%2"), "400 Bad Request", b"400 Bad Request", id="broken escape"),
        pytest.param(get("/a%41%zz"), "400 Bad Request", b"400 Bad Request", id="broken second escape"),
        pytest.param(get("/hello?a=%zz", CLOSE), "200 OK", b"hello", id="broken escape in a query"),
        pytest.param(
            b"GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported",
            b"505 HTTP Version Not Supported: unsupported protocol version", id="other version",
        ),
        pytest.param(get("/hello", "Expect: patience"), "417 Expectation Failed", b"", id="expects more"),
        pytest.param(
            b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200 OK", b"", id="options",
        ),
        pytest.param(
            get("/hello", "X: " + "y" * 1_100_000), "431 Request Header Fields Too Large",
            b"431 Request Header Fields Too Large", id="long header",
        ),
        pytest.param(
            get("/" + "y" * 1_100_000), "431 Request Header Fields Too Large",
            b"431 Request Header Fields Too Large", id="long target",
        ),
    ],
)  # fmt: skip
async def test_answers(request_bytes: bytes, status: str, body: bytes) -> None:
    async with running(App()) as server:
        line, headers, seen = split(await talk(server, request_bytes, eof=False))
    assert line == f"HTTP/1.1 {status}"
    assert seen == body
    assert "date" in headers


async def test_status_errors_become_their_status() -> None:
    async with running(App()) as server:
        line, headers, body = split(await talk(server, get("/missing", CLOSE)))
        assert line == "HTTP/1.1 404 Not Found"
        assert b'"message":"pods \\"x\\" not found"' in body
        line, headers, body = split(await talk(server, get("/busy", CLOSE)))
        assert (line, headers["retry-after"]) == ("HTTP/1.1 429 Too Many Requests", "7")


async def test_a_failing_handler_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async with running(App()) as server:
        line, _, body = split(await talk(server, get("/broken", CLOSE)))
    assert line == "HTTP/1.1 500 Internal Server Error"
    assert b"secret detail" not in body
    assert "handler failed method=GET path=/broken" in caplog.text


async def test_request_is_read_whole_and_decoded() -> None:
    app = App()
    async with running(app) as server:
        await talk(server, get("/%68ello?a=1&b=%20", "X-Two: 1", "x-two: 2", CLOSE))
    (request,) = app.requests
    assert (request.path, request.raw_path, request.raw_query) == ("/hello", "/%68ello", "a=1&b=%20")
    assert request.query == {"a": ["1"], "b": [" "]}
    assert request.headers["x-two"] == "1, 2"
    assert request.peer_address == "127.0.0.1"
    assert request.peer_port > 0
    assert request.shown_certificates == ()


async def test_pipelined_requests_are_answered_in_order() -> None:
    app = App()
    app.release.set()
    data = (
        get("/waits")
        + get("/hello")
        + get("/missing")
        + get("/echo", method="PUT", body=b"z")
        + get("/count")
    )
    async with running(app) as server:
        answer = await talk(server, data + get("/hello", CLOSE), eof=False)
    order = [b"waited", b"hello", b"not found", b"PUT:z", b"0\r\n\r\n", b"hello"]
    places = []
    at = 0
    for text in order:
        at = answer.index(text, at) + 1
        places.append(at)
    assert places == sorted(places)


async def test_many_pipelined_requests_are_all_answered() -> None:
    app = App()
    app.release.set()
    async with running(app) as server:
        answer = await talk(server, get("/waits") + get("/hello") * 500 + get("/hello", CLOSE))
    assert answer.count(b"hello") == 501


async def test_repeated_header_blocks_keep_apart_what_differs() -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        first = get("/hello?n=1", "Authorization: Bearer a")
        for data in (
            first,
            get("/hello?n=2", "Authorization: Bearer a"),
            get("/hello", "Authorization: Bearer b"),
        ):
            writer.write(data)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        writer.write(b"GET /hello?n=\x01 HTTP/1.1" + first.partition(b"HTTP/1.1")[2])
        assert b"400 Bad Request" in await reader.read()
        writer.close()
    assert [(r.raw_query, r.headers["authorization"]) for r in app.requests] == [
        ("n=1", "Bearer a"), ("n=2", "Bearer a"), ("", "Bearer b"),
    ]  # fmt: skip


async def test_what_was_made_of_the_headers_is_kept_for_the_same_ones_only() -> None:
    app, tokens = App(), ("a", "a", "a", "b", "a")
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for token in tokens:
            writer.write(get("/hello", f"Authorization: Bearer {token}"))
            await reader.readuntil(b"hello")
            app.requests[-1].memo.setdefault("seen", token)
        writer.close()
    assert [request.memo["seen"] for request in app.requests] == list(tokens)
    memos = [id(request.memo) for request in app.requests]
    assert memos[1] == memos[2]
    assert len(set(memos)) == 4
    assert server.lines == {b"GET /hello HTTP/1.1": ("GET", "/hello", "/hello", "")}


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
async def test_requests_arrive_in_pieces(size: int) -> None:
    app = App()
    requests = [
        get("/echo", method="POST", body=b"one"), b"\r\n", get("/echo", CHUNKED, method="PUT"),
        b"3\r\ntwo\r\n0\r\nX: y\r\n\r\n", get("/hello").replace(b"\r\n", b"\n"),
        get("/echo", "X: a\r\n b", CLOSE, method="PATCH", body=b"three"),
    ]  # fmt: skip
    data = b"".join(requests)
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"POST:one", b"PUT:two", b"hello", b"PATCH:three"]
    assert [one.body for one in app.requests] == [b"one", b"two", b"", b"three"]
    assert app.requests[-1].headers["x"] == "a b"


@pytest.mark.parametrize(
    "head",
    [
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\ncontent-length: 9\r\n\r\n",
    ],
    ids=["a bare line feed", "a length twice"],
)
async def test_unusual_heads_are_not_known_again_by_their_bytes(head: bytes) -> None:
    """What was learned of one must not put the end of the next message elsewhere."""
    app = App()
    body = b"ab\r\n\r\ncde"
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(3):
            writer.write(head + body + b"\r\n")
            await reader.readuntil(b"POST:" + body)
        writer.close()
    assert [one.body for one in app.requests] == [body] * 3


async def test_line_breaks_stand_behind_a_post_alone() -> None:
    async with running(App()) as server:
        answer = await talk(server, get("/hello") + b"\r\n" + get("/hello"), eof=False)
    assert answer.count(b"200 OK") == 1
    assert answer.endswith(b"400 Bad Request")


async def test_expect_continue() -> None:
    async with running(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/echo", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert b"200 OK" in await reader.readuntil(b"POST:ok")
        writer.close()


async def test_header_values_cannot_break_out() -> None:
    async with running(App()) as server:
        _, headers, _ = split(await talk(server, get("/injected", CLOSE)))
    assert headers["warning"] == "a  Evil: yes"
    assert "evil" not in headers


@pytest.mark.parametrize("secure", [False, True])
async def test_ports_are_shared_where_both_say_so(secure: bool) -> None:
    context = None
    if secure:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        context = pki.server_context(pki.issue_server(pki.make_ca("ca", now), "s", ["localhost"], now), None)
    sharing = ServerLimits(shares_port=True)
    async with serve(App(), limits=sharing, ssl_context=context) as first:
        async with serve(App(), limits=sharing, ssl_context=context, port=first.port) as second:
            assert second.port == first.port
        with pytest.raises(OSError, match="already in use"):
            async with serve(App(), ssl_context=context, port=first.port):
                pass


async def test_a_method_is_that_of_its_request_alone() -> None:
    async with running(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        said = []
        for method in ("BREW", "REPORT", "PUT", "BREW"):
            writer.write(get("/echo", method=method, body=b"x"))
            head = await reader.readuntil(b"\r\n\r\n")
            said.append(
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
            )
        writer.close()
    assert said == [b"BREW:x", b"REPORT:x", b"PUT:x", b"BREW:x"]
