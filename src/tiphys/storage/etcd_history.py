"""Reading an etcd cluster's past: one walk through it for all who ask at about the same time.

etcd tells the events of a range of keys, but not that there are no more of them; so the whole key space is
read, where each revision has an event. That is much for each of many watches that come back at once, and
no more for all of them: who asks for a part that the walk has yet to reach goes along, who comes too late
takes the next.

Owns: the walk, who goes along, what each takes of it. Refuses: connections, which are ``etcd_watch``'s.
Called by ``storage.etcd``.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from tiphys.storage.base import Compacted, Event, StoreUnavailable
from tiphys.storage.etcd_client import EtcdClient
from tiphys.storage.etcd_watch import batches
from tiphys.storage.etcd_wire import Keys


class _Part:
    """Some whole revisions, ``first``..``last``, of every key."""

    __slots__ = ("_found", "_keys", "_of", "first", "last")

    def __init__(self, keys: Keys, first: int, last: int, found: list[Any]) -> None:
        self._keys = keys
        self._found = found
        self._of: dict[str, list[Event]] = {}
        self.first = first
        self.last = last

    def of(self, prefix: str) -> list[Event]:
        """Return the events of keys with a prefix; made once for all who ask."""
        events = self._of.get(prefix)
        if events is None:
            start = self._keys.encode(prefix)
            mine = [event for event in self._found if event.kv.key.startswith(start)]
            events = self._of[prefix] = self._keys.events(mine)
        return events


class _Reader:
    """Who goes along: it has seen all before ``following``."""

    __slots__ = ("answer", "events", "following", "last", "limit", "prefix")

    def __init__(self, prefix: str, first: int, last: int, limit: int) -> None:
        self.prefix = prefix
        self.following = first
        self.last = last
        self.limit = limit
        self.events: list[Event] = []
        self.answer: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()

    def take(self, part: _Part) -> bool:
        """Take what is its own of a part that holds ``following``; True: it has all it asked for."""
        events = part.of(self.prefix)
        if part.first < self.following or part.last > self.last:
            events = [one for one in events if self.following <= one.record.mod_revision <= self.last]
        self.events += events
        self.following = part.last + 1
        return part.last >= self.last or len(self.events) >= self.limit


class SharedHistory:
    """Reads of the past. ``close`` at the end."""

    def __init__(self, client: EtcdClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._readers: list[_Reader] = []
        self._walk: asyncio.Task[None] | None = None
        self.walks = 0
        """How often the past was begun to be read."""

    async def close(self) -> None:
        """Read no more. Idempotent."""
        self._fail(StoreUnavailable("the store is closed"))
        walk = self._walk
        self._stop()
        if walk is not None:
            await asyncio.wait([walk])

    async def read(self, prefix: str, first: int, last: int, limit: int) -> list[Event]:
        """Return events of revisions ``first``..``last``, which have been written: whole revisions, about
        ``limit`` events.

        Raises Compacted, StoreUnavailable.
        """
        reader = _Reader(prefix, first, last, limit)
        self._readers.append(reader)
        if self._walk is None:
            self._walk = asyncio.get_running_loop().create_task(self._go())  # parent: close
        try:
            return await reader.answer
        finally:
            if reader in self._readers:  # given up
                self._readers.remove(reader)
                if not self._readers:
                    self._stop()

    def _stop(self) -> None:
        if self._walk is not None:
            self._walk.cancel()
            self._walk = None

    async def _go(self) -> None:
        """Walk until everybody has what they asked for."""
        try:
            while self._readers:
                await self._walk_once(min(reader.following for reader in self._readers))
        except Exception as error:
            self._fail(error)
        finally:
            if self._walk is asyncio.current_task():
                self._walk = None

    async def _walk_once(self, position: int) -> None:
        """Walk from ``position`` on with all who are there, as long as one of them has not seen what follows.

        Who comes later goes along too, unless somebody who comes too late waits for this walk to end.
        """
        self.walks += 1
        along = set(self._readers)
        try:
            async with aclosing(batches(self._client, position)) as stream:
                async for last, found in stream:
                    part = _Part(self._keys, position, last, found)
                    if all(reader.following >= position for reader in self._readers):
                        along.update(self._readers)
                    for reader in along.intersection(self._readers):
                        if part.first <= reader.following <= last and reader.take(part):
                            self._answer(reader)
                    position = last + 1
                    if not any(reader.following >= position for reader in along.intersection(self._readers)):
                        return
        except Compacted as error:
            for reader in list(self._readers):
                if reader.following <= max(error.oldest, position):
                    self._readers.remove(reader)
                    if not reader.answer.done():
                        reader.answer.set_exception(Compacted(error.oldest))

    def _answer(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        if not reader.answer.done():
            reader.answer.set_result(reader.events)

    def _fail(self, error: Exception) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.answer.done():
                reader.answer.set_exception(error)
