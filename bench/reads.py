"""Rows: GET of one pod, pages of 500 pods, all 6,200 pods."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from bench import load, objects, wrk
from bench.server import Server, create, serving

Row = dict[str, object]
_PODS = f"/api/v1/namespaces/{objects.NAMESPACE}/pods"
_SECONDS = 5


async def _fill(server: Server, count: int) -> None:
    await create(server, _PODS, (objects.body(objects.pod(index)) for index in range(count)))


async def _both(name: str, path: str, connections: int, count: int) -> AsyncIterator[Row]:
    async with serving() as server:
        await _fill(server, count)
        target = server.target
        request = target.head("GET", path)
        await load.run(target, itertools.repeat(request, 200), connections=connections)
        before = server.processor_us()
        result = await load.run(target, itertools.repeat(request), connections=connections, seconds=_SECONDS)
        spent = (server.processor_us() - before) // max(result.requests, 1)
        yield result.row(name, generator="python", connections=connections, server_us=spent)
        if wrk.present():
            before = server.processor_us()
            row = await wrk.run(target, path, connections=connections, seconds=_SECONDS)
            spent = (server.processor_us() - before) // max(int(row["requests"]), 1)
            yield {"row": name, "connections": connections, "server_us": spent, **row}


async def get_pod() -> AsyncIterator[Row]:
    """GET of one pod over 32 connections, TLS and a token."""
    async for row in _both("get_pod", f"{_PODS}/pod-7", 32, 10):
        yield row


async def list_pods_500() -> AsyncIterator[Row]:
    """LIST with ``limit=500`` (2 MB) over 8 connections."""
    async for row in _both("list_pods_500", f"{_PODS}?limit=500", 8, 1000):
        yield row


async def list_all_pods() -> AsyncIterator[Row]:
    """LIST of 6,200 pods (25 MB), one client, ten times."""
    async with serving() as server:
        await _fill(server, 6200)
        target = server.target
        request = target.head("GET", "/api/v1/pods")
        before = server.processor_us()
        result = await load.run(target, itertools.repeat(request, 10), connections=1)
        spent = (server.processor_us() - before) // max(result.requests, 1)
        best = round(result.latencies_s[0], 4)
        median = round(result.percentile(0.5), 4)
        yield result.row("list_all_pods", generator="python", median_s=median, best_s=best, server_us=spent)
