"""Row: one event to 1,000 watchers. The watchers' sockets live in this process."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from collections.abc import AsyncIterator
from typing import cast

from bench import load, objects
from bench.server import create, serving

Row = dict[str, object]
_WATCHERS = 1000
_EVENTS = 20
_MAPS = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"


class _Watcher(asyncio.Protocol):
    """Counts the events that arrive; tells ``crowd`` of each."""

    def __init__(self, crowd: _Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._headed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._headed:
            self._headed = True
            self._crowd.arrived()
        count = data.count(b'{"type":"ADDED"')
        for _ in range(count):
            self._crowd.arrived()


class _Crowd:
    """Waits until everyone has arrived."""

    def __init__(self) -> None:
        self.expect(0)

    def expect(self, count: int) -> None:
        self._left = count
        self.all = asyncio.Event()

    def arrived(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.all.set()


async def watch_fan_out() -> AsyncIterator[Row]:
    """One ConfigMap is created: the time until all of 1,000 watchers have it."""
    async with serving() as server:
        target, crowd, loop = server.target, _Crowd(), asyncio.get_running_loop()
        parts = urllib.parse.urlsplit(target.url)
        request = target.head("GET", f"{_MAPS}?watch=1&allowWatchBookmarks=false&resourceVersion=0")
        context = target.context()
        watchers = []
        crowd.expect(_WATCHERS)
        for _ in range(_WATCHERS):
            _, watcher = await loop.create_connection(
                lambda: _Watcher(crowd, request), parts.hostname or "", parts.port or 443, ssl=context
            )
            watchers.append(watcher)
        async with asyncio.timeout(30):
            await crowd.all.wait()
        result = load.Result()
        for index in range(_EVENTS):
            crowd.expect(_WATCHERS)
            before = time.perf_counter()
            await create(server, _MAPS, [objects.body(objects.config_map(index, "event"))], connections=1)
            async with asyncio.timeout(30):
                await crowd.all.wait()
            result.latencies_s.append(time.perf_counter() - before)
        for watcher in watchers:
            watcher.transport.abort()
        result.latencies_s.sort()
        yield {
            "row": "watch_fan_out",
            "watchers": _WATCHERS,
            "median_s": round(result.percentile(0.5), 4),
            "worst_s": round(result.latencies_s[-1], 4),
        }
