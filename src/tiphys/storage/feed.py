"""Handing committed events on: to callbacks at once, to watchers through bounded buffers.

A watcher that falls behind its buffer reads what it missed from the store's history and goes on, gapless.
Owned by a store; ``publish`` is called in revision order from the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

from tiphys.storage.base import Event

BUFFER_EVENTS: Final = 10_000
HISTORY_CHUNK: Final = 1_000

Subscriber = Callable[[list[Event]], None]


class History(Protocol):
    """Reads events of a prefix, revisions ``first``..``last``: whole revisions, about ``limit`` events."""

    def __call__(self, prefix: str, first: int, last: int, limit: int) -> Awaitable[list[Event]]: ...


class _Watcher:
    __slots__ = ("behind", "buffer", "prefix", "seen", "waiter")

    def __init__(self, prefix: str, seen: int) -> None:
        self.prefix = prefix
        self.buffer: list[Event] = []
        self.behind = False
        self.seen = seen  # the newest revision offered to this watcher
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Feed:
    """Everyone who wants to hear of commits."""

    def __init__(self, history: History, *, buffer_events: int = BUFFER_EVENTS) -> None:
        self._history = history
        self._buffer_events = buffer_events
        self._watchers: set[_Watcher] = set()
        self._subscribers: list[Subscriber] = []
        self._closed = False

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every batch, before the commit that made it returns. Returns the undo."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def publish(self, events: list[Event]) -> None:
        """Tell of one batch of committed events."""
        for subscriber in self._subscribers:
            subscriber(events)
        newest = events[-1].record.mod_revision
        for watcher in self._watchers:
            prefix = watcher.prefix
            mine = [event for event in events if event.record.key.startswith(prefix)] if prefix else events
            watcher.seen = newest
            if not mine:
                continue
            if len(watcher.buffer) + len(mine) > self._buffer_events:
                watcher.behind = True
                watcher.buffer.clear()
            elif not watcher.behind:
                watcher.buffer.extend(mine)
            watcher.wake()

    def close(self) -> None:
        """End every watch once it has delivered what it has."""
        self._closed = True
        for watcher in self._watchers:
            watcher.wake()

    @asynccontextmanager
    async def watch(
        self, prefix: str, start: int, revision: int
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """Stream from ``start`` (already checked against compaction); ``revision`` is the present one."""
        watcher = _Watcher(prefix, revision)
        watcher.behind = start <= revision
        self._watchers.add(watcher)
        stream = self._stream(watcher, start)
        try:
            yield stream
        finally:
            self._watchers.discard(watcher)

    async def _stream(self, watcher: _Watcher, following: int) -> AsyncIterator[list[Event]]:
        """Yield batches from revision ``following`` on."""
        while True:
            if watcher.behind:
                last = watcher.seen
                watcher.behind = False
                while following <= last:
                    events = await self._history(watcher.prefix, following, last, HISTORY_CHUNK)
                    following = events[-1].record.mod_revision + 1 if events else last + 1
                    if events:
                        yield events
            elif watcher.buffer:
                events, watcher.buffer = watcher.buffer, []
                events = [event for event in events if event.record.mod_revision >= following]
                if events:
                    following = events[-1].record.mod_revision + 1
                    yield events
            elif self._closed:
                return
            else:
                watcher.waiter = asyncio.get_running_loop().create_future()
                await watcher.waiter
                watcher.waiter = None
