"""Watches over websockets, as programs in browsers open them: a message an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.apiserver.subresources.streaming_kubelet import WEBSOCKET, masked
from tests.wire.pipe import Pipe

from tiphys.apis.protobuf import codec
from tiphys.wire.websocket import BINARY, CLOSE, TEXT

CMS = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"


class Messages:
    """The messages that a server sends over a pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self._read = 0

    async def next(self) -> tuple[int, bytes]:
        """Return the next message's kind and content."""
        opcode, size = await self._take(2)
        if size >= 126:
            size = int.from_bytes(await self._take(2 if size == 126 else 8), "big")
        return opcode & 15, await self._take(size)

    async def event(self) -> tuple[str, str]:
        """Return the type and name that the next message tells of."""
        opcode, content = await self.next()
        assert opcode == TEXT
        event = orjson.loads(content)
        return event["type"], event["object"]["metadata"].get("name", "")

    async def _take(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            while len(self.pipe.outward) < self._read + size:
                self.pipe.wrote.clear()
                await self.pipe.wrote.wait()
        start, self._read = self._read, self._read + size
        return bytes(self.pipe.outward[start : self._read])


@asynccontextmanager
async def watching(api: Any, path: str, **headers: str) -> AsyncIterator[Messages]:
    response = await api.send("GET", path, **WEBSOCKET, **headers)
    assert response.status == 101, response.body
    pipe = Pipe()
    task = asyncio.create_task(response.upgrade(pipe))
    yield Messages(pipe)
    pipe.inward.put_nowait(b"")
    async with asyncio.timeout(10):
        await task


@pytest.mark.parametrize("path", [f"{CMS}?watch=1", "/api/v1/watch/namespaces/default/configmaps"])
async def test_a_message_an_event(api: Any, path: str) -> None:
    """What was there comes at once, as single messages too; what the client says is ignored."""
    for name in ("a", "b"):
        await api.create(CMS, {"metadata": {"name": name}})
    async with watching(api, path) as messages:
        assert [await messages.event(), await messages.event()] == [("ADDED", "a"), ("ADDED", "b")]
        messages.pipe.inward.put_nowait(masked(b'{"test":"data"}', TEXT))
        await api.patch(f"{CMS}/a", {"data": {"k": "v"}})
        await api("DELETE", f"{CMS}/b")
        assert [await messages.event(), await messages.event()] == [("MODIFIED", "a"), ("DELETED", "b")]
        messages.pipe.inward.put_nowait(masked(b"\x03\xe8", CLOSE))
        assert (await messages.next())[0] == CLOSE


async def test_the_time_is_up(api: Any) -> None:
    async with watching(api, f"{CMS}?watch=1&timeoutSeconds=1") as messages:
        assert (await messages.next())[0] == CLOSE


async def test_messages_in_protobuf(api: Any) -> None:
    """They need no length before them."""
    await api.create(CMS, {"metadata": {"name": "a"}})
    async with watching(api, f"{CMS}?watch=1", accept=PROTOBUF) as messages:
        opcode, content = await messages.next()
    assert (opcode, b"ADDED" in content) == (BINARY, True)
    inner = content[content.index(b"k8s\0") :]
    assert codec.decode(inner)["metadata"]["name"] == "a"


async def test_a_protocol_that_the_client_offers_is_taken(api: Any) -> None:
    response = await api.send(
        "GET", f"{CMS}?watch=1", **WEBSOCKET, sec_websocket_protocol="base64.binary.k8s.io"
    )
    assert response.headers["Sec-WebSocket-Protocol"] == "base64.binary.k8s.io"


async def test_only_who_reads_may_watch(api: Any) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await api(method, "/api/v1/watch/namespaces/default/configmaps", {})
        assert (answer.status, answer.json["reason"]) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("connection", "headers", "status", "body"),
    [
        ("Upgrade", {}, 400, b"mismatch challenge/response"),
        ("keep-alive, Upgrade", {}, 400, b"mismatch challenge/response"),
        ("upgrade", {"sec_websocket_version": "13"}, 400, b"mismatch challenge/response"),
        ("upgrade", {"sec_websocket_key": "a"}, 400, b"missing or bad WebSocket Version"),
        ("upgrade", {"sec_websocket_key": "a", "sec_websocket_version": "8"}, 400,
         b"missing or bad WebSocket Version"),
        ("keep-alive", {}, 200, b""),
        ("keep-alive", {"sec_websocket_key": "a", "sec_websocket_version": "8"}, 200, b""),
    ],
)  # fmt: skip
async def test_a_websocket_that_lacks_what_it_takes_is_no_watch(
    api: Any, connection: str, headers: dict[str, str], status: int, body: bytes
) -> None:
    asked = {"connection": connection, "upgrade": "websocket", **headers}
    response = await api.send("GET", f"{CMS}?watch=1", **asked)
    assert (response.status, response.body) == (status, body)
    assert response.headers.get("Sec-WebSocket-Version") == ("13" if b"Version" in body else None)
    if response.stream is not None:
        await response.stream.aclose()
