"""How connections live and end: streams, upgrades, silence, certificates, stopping, any bytes at all."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.wire.test_server import CLOSE, DEADLINE_S, App, get, running, split, talk

from tiphys.wire.message import Request, Response
from tiphys.wire.server import Server, ServerLimits, serve


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds. Raises TimeoutError: it never does."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


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


async def test_an_idle_stream_keeps_nothing_of_what_it_sent() -> None:
    gone = asyncio.Event()

    class Chunk(bytes):
        """Says when it goes."""

        def __del__(self) -> None:
            gone.set()

    async def pieces() -> AsyncIterator[bytes]:
        yield Chunk(b"%070000d first" % 1)
        await asyncio.Event().wait()

    async def app(request: Request) -> Response:
        return Response(200, {}, stream=pieces())

    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        writer.write(get("/"))
        await reader.readuntil(b" first")
        await gone.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


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


@pytest.mark.parametrize("leaves", [False, True])
async def test_who_wants_to_know_hears_when_an_answer_is_written(leaves: bool) -> None:
    heard: list[str] = []
    body = b"x" * (32 << 20)

    async def handler(request: Request) -> Response:
        return Response(200, {}, body, written=lambda: heard.append(request.path))

    async with running(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(get("/slow"))
        await until(lambda: any(one._paused for one in server.connections))  # type: ignore[union-attr]
        assert heard == []
        if leaves:
            writer.transport.abort()
        else:
            head = await reader.readuntil(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            assert await reader.readexactly(len(body)) == body
        await until(lambda: bool(heard))
        assert heard == ["/slow"]
        writer.close()


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
    async with running(App()) as server:
        pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        pairs[1][1].write(b"GET /hel")
        await until(lambda: any(c._in_message for c in server.connections))
        await until(lambda: len(server.connections) == 2)
        for connection in list(server.connections):
            connection.sweep(server.tick + 3, idle_s=5, read_s=2, stall_s=9)
        assert len([one for one in server.connections if not one._transport.is_closing()]) == 1
        assert await pairs[1][0].read() == b""
        for connection in list(server.connections):
            connection.sweep(server.tick + 6, idle_s=5, read_s=2, stall_s=9)
            assert connection._transport.is_closing()
        assert await pairs[0][0].read() == b""
        for _, writer in pairs:
            writer.close()


async def test_heads_that_trickle_are_swept() -> None:
    async with running(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/hello"))
        await reader.readuntil(b"hello")
        writer.write(b"GET /hel")
        await until(lambda: any(c._in_message for c in server.connections))
        (connection,) = server.connections
        connection.sweep(server.tick + 4, idle_s=50, read_s=5, stall_s=9)
        assert not connection._transport.is_closing()
        connection._active_tick = server.tick + 4  # a byte has come
        connection.sweep(server.tick + 6, idle_s=50, read_s=5, stall_s=9)
        assert connection._transport.is_closing()
        assert await reader.read() == b""
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
    expected = (ssl.PEM_cert_to_DER_cert(certificate.decode()),) if shown else ()
    assert app.requests[0].shown_certificates == expected


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
