"""Passing an upgraded connection (exec, attach, port-forward) on to the runtime's streaming server.

Owns the second half of the way: it repeats the client's upgrade towards the URL that CRI gave, then copies
bytes both ways without looking at them, so SPDY and websocket alike go through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from tiphys.apimachinery.errors import InternalError
from tiphys.wire.message import ByteStream, Request, Response

_CONNECT_S = 10.0
_HEAD_S = 30.0
_MAX_HEAD = 64 * 1024
_CHUNK = 64 * 1024
_DROPPED = frozenset({"host", "content-length", "transfer-encoding", "authorization"})


def request_head(method: str, target: str, host: str, headers: Mapping[str, str]) -> bytes:
    """Return the head to send on; a list of protocols becomes one header each, as older servers want."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if name in _DROPPED:
            continue
        values = value.split(",") if name == "x-stream-protocol-version" else [value]
        lines += [f"{name}: {item.strip()}" for item in values]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Read a response's status and headers. Raises ValueError."""
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
        raise ValueError(f"not an HTTP response: {first!r}")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return int(parts[1]), headers


async def proxy_upgrade(request: Request, url: str) -> Response:
    """Repeat the upgrade at ``url`` and return what the runtime answered. Raises InternalError."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_MAX_HEAD)
    except (OSError, TimeoutError) as error:
        raise InternalError.of(f"error dialing the container runtime: {error}") from error
    try:
        writer.write(request_head(request.method, target, parts.netloc, request.headers))
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        status, headers = parse_head(head[:-4])
    except (
        OSError,
        TimeoutError,
        ValueError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
    ) as error:
        writer.close()
        raise InternalError.of(f"the container runtime did not answer: {error}") from error
    if status != 101:
        return await _refused(status, headers, reader, writer)

    async def copy(stream: ByteStream) -> None:
        await _join(stream, reader, writer)

    return Response(status=101, headers=headers, upgrade=copy)


async def _refused(
    status: int, headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Response:
    lower = {name.lower(): value for name, value in headers.items()}
    length = lower.get("content-length", "0")
    try:
        async with asyncio.timeout(_HEAD_S):
            body = await reader.readexactly(min(int(length), _MAX_HEAD)) if length.isdigit() else b""
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        body = b""
    finally:
        writer.close()
    return Response(
        status=status, headers={"Content-Type": lower.get("content-type", "text/plain")}, body=body
    )


async def _join(stream: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy both ways; the end of what the runtime says is the end of all."""

    async def forward() -> None:
        try:
            while data := await stream.read():
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (ConnectionError, OSError):
            writer.close()

    async def back() -> None:
        try:
            while data := await reader.read(_CHUNK):
                await stream.write(data)
        except (ConnectionError, OSError):
            pass  # the client has gone; closing below tells the runtime

    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(forward())
            await back()
            sending.cancel()
    finally:
        writer.close()
        await stream.close()
