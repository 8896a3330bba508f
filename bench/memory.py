"""Row: the API server's resident memory, idle and with 25,000 objects."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bench import objects
from bench.server import create, serving

Row = dict[str, object]
_COUNT = 25_000


async def apiserver_memory() -> AsyncIterator[Row]:
    """Resident MB: after start, and after 25,000 ConfigMaps."""
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
    async with serving(own=True) as server:
        idle = server.resident_mb()
        await create(server, path, (objects.body(objects.config_map(i)) for i in range(_COUNT)))
        yield {"row": "apiserver_memory", "idle_mb": idle, "objects": _COUNT, "full_mb": server.resident_mb()}
