"""HTTP/2 over real sockets: who chooses it, who does not, and what strangers' programs make of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import ssl
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from tests.wire.http2.peer import LARGE, Answer, data, head

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.http2 import frames, hpack
from tiphys.wire.message import Request, Response
from tiphys.wire.server import Server, ServerLimits, serve
from tiphys.wire.tls_options import HTTP1, HTTP2, TlsOptions

DEADLINE_S: Final = 60
NOW: Final = RealClock().now()
CA: Final = pki.make_ca("ca", NOW)
PAIR: Final = pki.issue_server(CA, "server", ["127.0.0.1", "localhost"], NOW)
LARGE_BODY: Final = bytes(range(256)) * 40_000
CURL, H2LOAD, NODE = (shutil.which(name) or "" for name in ("curl", "h2load", "node"))


class App:
    """Answers by path."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        if request.path == "/large":
            return Response(200, {}, LARGE_BODY)
        if request.path == "/parts":
            return Response(200, {}, [b"<", LARGE_BODY, b">"])
        if request.path == "/watch":
            return Response(200, {}, stream=self._events())
        if request.path == "/slow":
            await asyncio.sleep(0)
        return Response(200, {"x-length": str(len(request.body))}, request.protocol.encode())

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed.set()


@contextlib.asynccontextmanager
async def serving(
    app: App | None = None, protocols: tuple[str, ...] = HTTP2, limits: ServerLimits | None = None
) -> AsyncIterator[Server]:
    context = pki.server_context(PAIR, None)
    TlsOptions(protocols=protocols).apply(context)
    async with (
        asyncio.timeout(DEADLINE_S),
        serve(app or App(), ssl_context=context, limits=limits, grace_s=0.5) as server,
    ):
        yield server


class Client:
    """Speaks HTTP/2 on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.answers: dict[int, Answer] = {}
        self.kinds: list[int] = []
        self._frames = frames.FrameReader(1 << 24)
        self._decoder = hpack.Decoder(1 << 20)
        writer.write(frames.PREFACE + frames.settings([(frames.INITIAL_WINDOW_SIZE, LARGE)]))
        writer.write(frames.window_update(0, LARGE - frames.FIRST_WINDOW))

    async def take(self) -> bool:
        """Take what comes next; False: that was the end."""
        received = await self.reader.read(1 << 16)
        for kind, flags, stream_id, payload in self._frames.feed(received):
            self.kinds.append(kind)
            answer = self.answers.setdefault(stream_id, Answer())
            if kind == frames.HEADERS:
                answer.headers = dict(self._decoder.decode(payload)[0])
            elif kind == frames.DATA:
                answer.body += payload
            if kind in (frames.HEADERS, frames.DATA):
                answer.ended = bool(flags & frames.END_STREAM)
        return bool(received)

    async def answer(self, stream_id: int) -> Answer:
        while not self.answers.get(stream_id, Answer()).ended:
            assert await self.take(), "the connection ended"
        return self.answers[stream_id]


def offering(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=CA.certificate.decode())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=offering("h2"))
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("offered", "asked", "chosen"),
    [
        (HTTP2, ("h2", "http/1.1"), "h2"),
        (HTTP2, ("http/1.1", "h2"), "h2"),
        (HTTP2, ("h2",), "h2"),
        (HTTP2, ("http/1.1",), "http/1.1"),
        (HTTP2, (), None),
        (HTTP1, ("h2", "http/1.1"), "http/1.1"),
    ],
)
async def test_the_client_chooses(
    offered: tuple[str, ...], asked: tuple[str, ...], chosen: str | None
) -> None:
    async with serving(protocols=offered) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=offering(*asked))
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        if chosen == "h2":
            assert (await reader.readexactly(frames.HEAD_BYTES))[3] == frames.SETTINGS
        else:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"HTTP/1.1")
        assert server.http2_connections == (chosen == "h2")
        writer.transport.abort()


async def test_requests_small_and_large() -> None:
    async with serving() as server, connected(server) as client:
        client.writer.write(head(1, "/large") + head(3, "/slow") + head(5, "/parts"))
        client.writer.write(head(7, "/", "POST", end=False) + data(7, LARGE_BODY[:1_000_000], end=True))
        assert (await client.answer(3)).body == b"HTTP/2.0"
        assert (await client.answer(1)).body == LARGE_BODY
        assert (await client.answer(5)).body == b"<" + LARGE_BODY + b">"
        posted = await client.answer(7)
        assert posted.headers["x-length"] == "1000000"
        assert server.http2_connections == 1


async def test_a_client_that_goes_ends_what_it_was_told() -> None:
    app = App()
    async with serving(app) as server:
        async with connected(server) as client:
            client.writer.write(head(1, "/watch"))
            while client.answers.get(1, Answer()).body != b"first":
                await client.take()
        await app.closed.wait()


async def test_a_server_that_stops_says_so() -> None:
    async with serving() as server, connected(server) as client:
        client.writer.write(head(1, "/watch") + head(3))
        await client.answer(3)
        stopping = asyncio.ensure_future(server.stop(5))
        while await client.take():
            pass
        await stopping
        assert client.answers[1].ended, "its watch ended in order"
        assert client.kinds[-1] in (frames.GOAWAY, frames.DATA)
        assert frames.GOAWAY in client.kinds


async def test_a_cipher_that_is_prohibited() -> None:
    async with serving() as server:
        context = offering("h2")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256")
        reader, _writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        found = list(frames.FrameReader(1 << 24).feed(await reader.read()))
        assert [(kind, payload[4:8]) for kind, _, _, payload in found][-1] == (frames.GOAWAY, b"\0\0\0\x0c")


async def run(*command: str) -> str:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    text, _ = await child.communicate()
    assert child.returncode == 0, text.decode()
    return text.decode()


@pytest.mark.slow
@pytest.mark.skipif(not CURL, reason="no curl")
async def test_curl(tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(CA.certificate)
    (tmp_path / "body").write_bytes(LARGE_BODY[:2_000_000])
    async with serving() as server:
        url = f"https://127.0.0.1:{server.port}"
        curl = (CURL, "-sS", "--cacert", str(tmp_path / "ca"), "--http2")
        assert await run(*curl, url, "-w", " %{http_version} %{http_code}") == "HTTP/2.0 2 200"
        await run(*curl, f"{url}/large", "-o", str(tmp_path / "large"))
        assert (tmp_path / "large").read_bytes() == LARGE_BODY
        shown = await run(
            *curl, url, "--data-binary", f"@{tmp_path}/body", "-H", "Expect: 100-continue", "-D", "-"
        )
        assert "x-length: 2000000" in shown


@pytest.mark.slow
@pytest.mark.skipif(not H2LOAD, reason="no h2load")
@pytest.mark.parametrize("streams", ["1", "20"])
async def test_h2load(streams: str) -> None:
    async with serving() as server:
        url = f"https://127.0.0.1:{server.port}"
        shown = await run(H2LOAD, "-n", "2000", "-c", "4", "-m", streams, f"{url}/", f"{url}/slow")
        assert "2000 succeeded, 0 failed, 0 errored" in shown
        assert server.http2_connections == 4


_SCRIPT = """
const http2 = require('http2'), fs = require('fs');
const client = http2.connect(process.argv[1], {ca: fs.readFileSync(process.argv[2])});
const ask = (path, body) => new Promise((done, failed) => {
  const stream = client.request(body ? {':path': path, ':method': 'POST'} : {':path': path});
  let size = 0, status;
  stream.on('response', headers => { status = headers[':status']; });
  stream.on('data', chunk => { size += chunk.length; });
  stream.on('end', () => done(`${path} ${status} ${size}`));
  stream.on('error', failed);
  stream.end(body);
});
Promise.all([ask('/large'), ask('/'), ask('/parts'), ask('/', Buffer.alloc(2000000))]).then(found => {
  console.log(found.join('\\n'));
  client.close();
});
"""


@pytest.mark.slow
@pytest.mark.skipif(not NODE, reason="no node")
async def test_node(tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(CA.certificate)
    async with serving() as server:
        url = f"https://localhost:{server.port}"
        shown = await run(NODE, "-e", _SCRIPT, url, str(tmp_path / "ca"))
    size = len(LARGE_BODY)
    assert shown.split("\n")[:4] == [f"/large 200 {size}", "/ 200 8", f"/parts 200 {size + 2}", "/ 200 8"]


@pytest.mark.parametrize("path", ["", "/slow", "/watch", "/large"])
async def test_nothing_of_a_connection_waits_for_the_collector(path: str) -> None:
    gc.disable()
    try:
        async with serving() as server:
            async with connected(server) as client:
                if path:
                    client.writer.write(head(1, path))
                await client.take()
                (connection,) = server.connections
                left = weakref.ref(connection)
                del connection
            while left() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        gc.enable()
