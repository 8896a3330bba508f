"""Rows: durable creation of ConfigMaps and Pods."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from bench import objects, wrk
from bench.server import create, serving

Row = dict[str, object]
_CONNECTIONS = 64
_SECONDS = 5


async def _creates(
    name: str, plural: str, make: Callable[[int, str], dict[str, Any]], count: int
) -> AsyncIterator[Row]:
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/{plural}"
    async with serving() as server:
        await create(server, path, (objects.body(make(index, "warm")) for index in range(200)))
        bodies = [objects.body(make(index, "made")) for index in range(count)]
        before = server.processor_us()
        result = await create(server, path, bodies, connections=_CONNECTIONS, seconds=30)
        spent = (server.processor_us() - before) // max(result.requests, 1)
        yield result.row(name, generator="python", connections=_CONNECTIONS, server_us=spent)
        if wrk.present():
            template = objects.body(make(0, "wrk")).decode().replace('"wrk-0"', '"wrk-@INDEX@"')
            with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
                before = server.processor_us()
                row = await wrk.run(
                    server.target, path, connections=_CONNECTIONS, seconds=_SECONDS,
                    template=template, folder=Path(folder),
                )  # fmt: skip
            spent = (server.processor_us() - before) // max(int(row["requests"]), 1)
            yield {"row": name, "connections": _CONNECTIONS, "server_us": spent, **row}


async def create_configmap() -> AsyncIterator[Row]:
    """Create ConfigMaps; each answer comes after the commit is on disk."""
    async for row in _creates("create_configmap", "configmaps", objects.config_map, 10_000):
        yield row


async def create_pod() -> AsyncIterator[Row]:
    """Create Pods of one container; each answer comes after the commit is on disk."""

    def make(index: int, prefix: str) -> dict[str, Any]:
        return objects.pod(index, padded=False, prefix=prefix)

    async for row in _creates("create_pod", "pods", make, 8_000):
        yield row
