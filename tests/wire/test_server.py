import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.errors import NotFound, TooManyRequests
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import Server, ServerLimits, serve

DEADLINE_S = 10


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


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the test's deadline bounds it."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


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
        pytest.param(b"BREW /pot HTTP/1.1\r\n\r\n", "400 Bad Request", b"400 Bad Request", id="bad method"),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request",
            b"400 Bad Request: missing required Host header", id="no host",
        ),
        pytest.param(
            get("/hello", "X: " + "y" * 70_000), "431 Request Header Fields Too Large",
            b"431 Request Header Fields Too Large", id="long header",
        ),
        pytest.param(
            get("/" + "y" * 70_000), "431 Request Header Fields Too Large",
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
    assert request.peer_certificate is None


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


async def test_stream_is_closed_when_the_client_leaves() -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/endless"))
        await reader.readuntil(b"first")
        writer.close()
        await app.closed.wait()


async def test_failing_stream_is_cut_without_its_last_chunk(caplog: pytest.LogCaptureFixture) -> None:
    async with running(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/fails"))
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
    assert "stream failed path=/fails" in caplog.text


async def test_slow_reader_holds_the_stream_back() -> None:
    app = App()
    async with running(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(get("/flood"))
        held = -1
        while not server.connections or app.__dict__.get("flooded", 0) != held:
            held = app.__dict__.get("flooded", 0)
            await asyncio.sleep(0.05)
        assert 0 < held < 4000
        writer.transport.abort()
        await app.closed.wait()


@pytest.mark.parametrize("early", [b"", b"early "], ids=["nothing early", "bytes with the head"])
async def test_upgrade(early: bytes) -> None:
    app = App()
    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            get("/upgrade", "Connection: Upgrade", "Upgrade: echo", "Content-Length: 0", method="POST")
            + early
        )
        status, headers, _ = split(await reader.readuntil(b"\r\n\r\n"))
        assert status == "HTTP/1.1 101 Switching Protocols"
        assert headers == {"upgrade": "echo", "connection": "Upgrade"}
        writer.write(b"later")
        assert await reader.readexactly(len(early) + 5) == (early + b"later").upper()
        writer.close()
        await app.closed.wait()


async def test_upgrade_that_is_declined_is_an_ordinary_request() -> None:
    asked = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
    async with running(App()) as server:
        data = get("/echo", *asked, method="POST", body=b"abc") + get("/hello", CLOSE)
        answer = await talk(server, data)
    assert b"POST:abc" in answer
    assert answer.endswith(b"hello")


async def test_stop_lets_requests_finish_and_ends_streams() -> None:
    app = App()
    server = Server(app)
    await server.listen("127.0.0.1")
    await server.listen("127.0.0.1")
    assert len({sock.getsockname()[1] for sock in server.sockets}) == 2
    async with asyncio.timeout(DEADLINE_S):
        streaming, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/endless"))
        await streaming.readuntil(b"first")
        waiting, other = await asyncio.open_connection("127.0.0.1", server.port)
        other.write(get("/waits"))
        await until(lambda: len(app.requests) == 2)
        stopping = asyncio.create_task(server.stop())
        assert (await streaming.read()).endswith(b"0\r\n\r\n")
        app.release.set()
        assert (await waiting.read()).endswith(b"waited")
        await stopping
        writer.close()
        other.close()
    assert not server.connections
    await server.stop()


async def test_stop_does_not_wait_for_ever() -> None:
    app = App()
    async with asyncio.timeout(DEADLINE_S):
        async with serve(app, grace_s=0.01) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(get("/waits"))
            await until(lambda: bool(app.requests))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_silent_connections_are_swept() -> None:
    async with running(App(), limits=ServerLimits(idle_s=5, read_s=2)) as server:
        pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        pairs[1][1].write(b"GET /hel")
        await until(lambda: any(c._in_message for c in server.connections))
        await until(lambda: len(server.connections) == 2)
        for connection in list(server.connections):
            connection.sweep(server.tick + 3, idle_s=5, read_s=2, stall_s=9)
        assert await pairs[1][0].read() == b""
        for connection in list(server.connections):
            connection.sweep(server.tick + 6, idle_s=5, read_s=2, stall_s=9)
        assert await pairs[0][0].read() == b""
        for _, writer in pairs:
            writer.close()


def make_certificate() -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=36500))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(encoding), private


@pytest.mark.parametrize("shown", [True, False], ids=["certificate", "none"])
async def test_client_certificate(shown: bool, tmp_path) -> None:
    certificate, key = make_certificate()
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    files = (tmp_path / "cert.pem", tmp_path / "key.pem")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*files)
    server_side.load_verify_locations(files[0])
    server_side.verify_mode = ssl.CERT_OPTIONAL
    client_side = ssl.create_default_context(cafile=str(files[0]))
    if shown:
        client_side.load_cert_chain(*files)
    app = App()
    async with running(app, ssl_context=server_side) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_side, server_hostname="localhost"
        )
        writer.write(get("/large"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert len(await reader.readexactly(1_400_001)) == 1_400_001
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    expected = ssl.PEM_cert_to_DER_cert(certificate.decode()) if shown else None
    assert app.requests[0].peer_certificate == expected


async def test_any_bytes_leave_the_server_alive() -> None:
    import random

    rng = random.Random(7)
    seeds = [
        get("/echo", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n",
        get("/upgrade", "Connection: Upgrade", "Upgrade: x") + b"raw bytes",
        get("/hello") * 3, get("/echo", "Expect: 100-continue", method="PUT", body=b"q" * 50),
        get("/parts", "Connection: Upgrade", "Upgrade: x", "Content-Length: 3", method="POST") + b"abc",
    ]  # fmt: skip
    async with running(App(), limits=ServerLimits(max_body_bytes=1000)) as server:
        for _ in range(60):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(8)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            cut = rng.randrange(len(data))
            writer.write(bytes(data[:cut]))
            await asyncio.sleep(0)
            writer.write(bytes(data[cut:]))
            await asyncio.sleep(0)
            writer.transport.abort()
        answer = await talk(server, get("/hello", CLOSE))
    assert answer.endswith(b"hello")


async def test_halves_of_two_requests_keep_apart() -> None:
    """All connections read into one buffer."""
    app = App()
    async with running(app) as server:
        streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        bodies = [b"a" * 300_000, b"b" * 300_000]
        requests = [get("/echo", "Connection: close", method="POST", body=body) for body in bodies]
        for at in range(0, len(requests[0]), 70_000):
            for (_, writer), request in zip(streams, requests, strict=True):
                writer.write(request[at : at + 70_000])
                await writer.drain()
        for (reader, writer), body in zip(streams, bodies, strict=True):
            assert split(await reader.read())[2] == b"POST:" + body
            writer.close()
            await writer.wait_closed()
