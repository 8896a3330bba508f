"""Rows: the API server's resident memory: idle, with 25,000 objects, and after a burst of large lists."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

from bench import load, objects
from bench.server import create, serving

Row = dict[str, object]
_COUNT = 25_000
_BURST = 200
_AT_ONCE = 16
_REST_S = 45
"""Longer than the server keeps joined pages that nobody asks for."""


async def apiserver_memory() -> AsyncIterator[Row]:
    """Resident MB: after start, and after 25,000 ConfigMaps."""
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
    async with serving(own=True) as server:
        idle = server.resident_mb()
        await create(server, path, (objects.body(objects.config_map(i)) for i in range(_COUNT)))
        yield {"row": "apiserver_memory", "idle_mb": idle, "objects": _COUNT, "full_mb": server.resident_mb()}


async def memory_after_burst() -> AsyncIterator[Row]:
    """Resident MB: with 25,000 ConfigMaps, in a burst of lists of them all, and a while after it."""
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
    async with serving(own=True) as server:
        await create(server, path, (objects.body(objects.config_map(i)) for i in range(_COUNT)))
        before = server.resident_mb()
        head = server.target.head("GET", path)
        await load.run(server.target, itertools.repeat(head, _BURST), connections=_AT_ONCE)
        burst = server.resident_mb()
        await asyncio.sleep(_REST_S)
        yield {
            "row": "memory_after_burst", "objects": _COUNT, "lists": _BURST, "connections": _AT_ONCE,
            "before_mb": before, "burst_mb": burst, "after_mb": server.resident_mb(),
        }  # fmt: skip
