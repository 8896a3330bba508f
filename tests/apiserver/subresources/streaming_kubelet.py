"""A kubelet on loopback that speaks HTTP and SPDY, and the client's end of what it is asked for."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.wire.pipe import Pipe

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import serve
from tiphys.wire.spdy import SYN_REPLY, SYN_STREAM, FrameReader, HeaderCodec, encode_control, encode_data

POD = "/api/v1/namespaces/default/pods/p"


class Kubelet:
    """Remembers what it was asked; answers as kubelets do."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.speaks = "SPDY/3.1"

    async def __call__(self, request: Request) -> Response:
        if request.path == "/metrics/resource":  # by the server itself, of a node that is new
            return Response(404, {}, b"")
        self.asked.append(request)
        if request.path.startswith("/containerLogs/"):
            return Response(200, {"Content-Type": "text/plain"}, stream=self._lines())
        if request.path.startswith(("/exec/", "/attach/")):
            return Response(101, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, upgrade=self._exec)
        if request.path == "/portForward/default/p":
            chosen = request.headers.get("x-stream-protocol-version", "").partition(",")[0]
            headers = {"Connection": "Upgrade", "Upgrade": self.speaks, "X-Stream-Protocol-Version": chosen}
            return Response(101, headers, upgrade=self._echo)
        if request.path == "/moved":
            return Response(302, {"Location": "/elsewhere"})
        return Response(200, {"X-Seen": request.raw_query}, request.body or b"pong")

    async def _lines(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"

    async def _echo(self, stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data)

    async def _exec(self, stream: ByteStream) -> None:
        """Accept streams; say stdin's bytes in upper case, then success, once stdin has ended."""
        reader, headers, kinds = FrameReader(), HeaderCodec(), {}
        while data := await stream.read():
            for frame in reader.feed(data):
                if frame.type == SYN_STREAM:
                    kinds[headers.decode(frame.payload[10:])["streamtype"]] = frame.stream_id
                    await stream.write(
                        encode_control(SYN_REPLY, 0, struct.pack(">I", frame.stream_id) + headers.encode({}))
                    )
                elif frame.type == 0 and frame.stream_id == kinds.get("stdin"):
                    await stream.write(encode_data(kinds["stdout"], frame.payload.upper()))
                    if frame.payload.endswith(b"\n"):
                        await stream.write(encode_data(kinds["error"], b'{"status":"Success"}', fin=True))
                        await stream.write(encode_data(kinds["stdout"], b"", fin=True))
                        await stream.write(encode_data(kinds["stderr"], b"", fin=True))


@asynccontextmanager
async def kubelet_of(api: Any, make_pod: Any) -> AsyncIterator[Kubelet]:
    """A kubelet, the node that leads to it, and a pod bound there."""
    own = Kubelet()
    now = RealClock().now()
    authority = pki.make_ca("nodes", now)
    pair = pki.issue_server(authority, "n1", ["127.0.0.1"], now)
    context = pki.server_context(pair, authority.certificate)
    async with serve(own, ssl_context=context, grace_s=0.1) as server:
        node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": server.port}},
        }
        await api.put("/api/v1/nodes/n1/status", node)
        await api.create("/api/v1/namespaces/default/pods", make_pod("p", nodeName="n1"))
        yield own


async def read(response: Response) -> bytes:
    if response.stream is None:
        return response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return b"".join([chunk async for chunk in response.stream])


def masked(payload: bytes, opcode: int = 2) -> bytes:
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


WEBSOCKET = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec_websocket_version": "13",
}


async def declare(api: Any, *features: str) -> None:
    node = await api.get("/api/v1/nodes/n1")
    node["status"]["declaredFeatures"] = list(features)
    await api.put("/api/v1/nodes/n1/status", node)


async def left_at_once(response: Response) -> None:
    """Be a client that takes the upgrade, and goes."""
    assert response.upgrade is not None
    pipe = Pipe()
    pipe.inward.put_nowait(masked(struct.pack(">H", 1000), opcode=8))
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(10):
        await response.upgrade(pipe)
