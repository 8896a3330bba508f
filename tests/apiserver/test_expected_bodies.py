"""Who waits to be asked for a body is told first what is wrong without it, as by Go's server."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tiphys.wire.server import serve

MAPS = "/api/v1/namespaces/default/configmaps"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY = orjson.dumps({"metadata": {"name": "a"}})


async def ask(
    port: int, line: str, *headers: str
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a head that waits; return how the answer begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"{line} HTTP/1.1",
        "Host: h",
        "Expect: 100-continue",
        "Content-Type: application/json",
        *headers,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return await reader.readline(), reader, writer


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        (f"POST {MAPS}", ("Content-Length: 20", "Authorization: Bearer nobody"), b"401"),
        (f"POST {MAPS}", ("Content-Length: 20", "Authorization: Bearer alice"), b"403"),
        (f"POST {MAPS}", ("Content-Length: 9000000", "Authorization: Bearer alice"), b"403"),
        (f"POST {MAPS}", ("Content-Length: 9000000", "Authorization: Bearer admin"), b"413"),
        ("POST /api/v1/bogus", ("Content-Length: 20", "Authorization: Bearer admin"), b"404"),
        (f"PUT {MAPS}", ("Content-Length: 20", "Authorization: Bearer admin"), b"405"),
        (f"POST {MAPS}", ("Content-Length: 20", "Authorization: Bearer admin", "Accept: a/b"), b"406"),
        ("GET /version", ("Content-Length: 20", "Authorization: Bearer admin"), b"200"),
    ],
)  # fmt: skip
async def test_what_is_said_without_the_body(
    api: Any, line: str, headers: tuple[str, ...], status: bytes
) -> None:
    async with asyncio.timeout(60), serve(api.server.handler) as server:
        first, reader, writer = await ask(server.port, line, *headers)
        assert first.split()[1] == status
        assert b"Connection: close" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.parametrize(("token", "status"), [("nobody", b"401"), ("alice", b"403"), ("admin", b"201")])
async def test_a_long_body_is_kept_for_those_only_who_may_send_it(
    api: Any, token: str, status: bytes
) -> None:
    body = orjson.dumps({"metadata": {"name": "long"}, "data": {"a": "x" * 600_000}})
    async with asyncio.timeout(60), serve(api.server.handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        lines = [f"POST {MAPS} HTTP/1.1", "Host: h", f"Authorization: Bearer {token}"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body[:400_000])
        if token == "admin":
            writer.write(body[400_000:])
        assert (await reader.readline()).split()[1] == status
        writer.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (MAPS, BODY),
        (f"{MAPS}?dryRun=All", BODY),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", b"{}"),
    ],
)
async def test_who_may_write_is_asked(api: Any, path: str, body: bytes) -> None:
    async with asyncio.timeout(60), serve(api.server.handler) as server:
        for _ in range(2):  # the second is like the first, and may pass by shorter ways
            token = "Authorization: Bearer admin"
            first, reader, writer = await ask(
                server.port, f"POST {path}", f"Content-Length: {len(body)}", token
            )
            assert first + await reader.readline() == CONTINUE
            writer.write(body)
            assert (await reader.readline()).split()[1] in (b"201", b"409")
            writer.close()
