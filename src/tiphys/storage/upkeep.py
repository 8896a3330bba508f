"""What a SQLite store does beside reading and writing: retention, compaction, checkpoints.

Owns the promise that none of it is felt by writers: compaction runs on the writer's thread in short steps
with pauses, and the write-ahead log is copied into the file by a thread and a connection of its own. Called
by ``storage.sqlite``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage.base import Event, StoreUnavailable
from tiphys.storage.retention import Mark, Marks, Retention
from tiphys.storage.sqlite_file import Recovered, SqliteFile

log = logging.getLogger(__name__)

_PAGE: Final = 4096
_SMALLEST, _BIGGEST = 16, 512
"""Rows or pages in a step."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently upkeep works."""

    step_s: float = 0.002
    """What a step of compaction aims at: a write may have to wait that long."""
    pause_s: float = 0.006
    """Between two steps."""
    checkpoint_bytes: int = 2 * 1024 * 1024
    """Written since the last checkpoint (about) that make the next one due. Commits wait for the same disk
    beside it: small ones are not felt."""
    wal_pages: int = 4096
    """A write-ahead log this long is finished off, on the writer's thread, so that it can begin anew. After
    that commits go where the file has been before: to sync those, its length need not be noted."""
    wal_bytes: int = 256 * 1024 * 1024
    """At this length (about) writers wait until it is: checkpoints cannot keep up with them."""


def next_size(size: int, took_s: float, aim_s: float) -> int:
    """Return how much the next step of compaction looks at, given how long the last one took."""
    if took_s > aim_s:
        return max(_SMALLEST, int(size * aim_s / took_s))
    return min(_BIGGEST, size * 2) if took_s < aim_s / 2 else size


class Upkeep:
    """Upkeep of one open file."""

    def __init__(self, file: SqliteFile, clock: Clock, retention: Retention, pace: Pace) -> None:
        self._file = file
        self._clock = clock
        self._retention = retention
        self._pace = pace
        self._marks = Marks(retention)
        self._written = 0
        self._uncopied = 0
        self._grown = 0  # since the write-ahead log last began anew
        self._copying = asyncio.Lock()
        self._full = asyncio.Event()
        self._compacting = asyncio.Lock()
        self.compacted = 0
        """Nothing before this revision can be asked for any more."""

    def open(self, found: Recovered, writer: ThreadPoolExecutor) -> None:
        """Take over what the file said; ``writer`` is the thread that writes."""
        self._writer = writer
        self._copier = ThreadPoolExecutor(1, "store-copier")
        self.compacted = found.compacted
        now, present = self._clock.now().timestamp(), self._clock.monotonic()
        # A clock that was set back meanwhile would show marks of the future: they are as young as can be.
        marks = [Mark(m.revision, present - max(0.0, now - m.at), m.written) for m in found.marks]
        self._marks = Marks(self._retention, marks)
        self._written = self._marks.written

    async def close(self) -> None:
        """Wait for what is running. The tasks that call have ended."""
        async with self._compacting:
            self._copier.shutdown()

    def wrote(self, events: list[Event]) -> None:
        """Hear of a batch that is on disk."""
        size = sum(len(event.record.value) for event in events)
        self._written += size
        self._grew(size + _PAGE * len(events))

    def _grew(self, size: int) -> None:
        self._uncopied += size
        self._grown += size
        if self._uncopied >= self._pace.checkpoint_bytes:
            self._full.set()

    # -- checkpoints

    async def keep_copying(self) -> None:
        """Copy the write-ahead log into the file whenever enough of it has gathered."""
        while True:
            await self._full.wait()
            self._full.clear()
            self._uncopied = 0
            try:
                await self.checkpoint()
            except StoreUnavailable as error:
                log.warning("checkpoint failed: %s", error)

    async def checkpoint(self) -> None:
        """Copy the write-ahead log into the file. Raises StoreUnavailable.

        Under unbroken load there is always a rest that came meanwhile, and the log could never begin anew: a
        long one has its rest copied while writers wait, about as long as for one more commit.
        """
        async with self._copying:
            pages, _ = await self._run(self._copier, self._file.checkpoint)
            if pages >= self._pace.wal_pages:
                await self._finish()

    async def _finish(self) -> None:
        """Copy what is left on the writer's thread, where nothing can come meanwhile."""
        pages, copied = await self._run(self._writer, self._file.finish_checkpoint)
        if copied == pages:  # else somebody still reads of it
            self._grown = 0

    async def make_room(self) -> None:
        """Keep a writer waiting while the write-ahead log is far too long. Called before each batch."""
        if self._grown < self._pace.wal_bytes:
            return
        async with self._copying:
            if self._grown < self._pace.wal_bytes:
                return
            try:
                await self._finish()
            except StoreUnavailable as error:
                log.warning("checkpoint failed: %s", error)  # what is written is safe in the log

    # -- compaction

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Raises StoreUnavailable."""
        async with self._compacting:
            if revision > self.compacted:
                await self._run(self._writer, self._file.begin_compaction, revision)
                self.compacted = revision
            await self._sweep()

    async def _sweep(self) -> None:
        size = _SMALLEST
        while True:
            step = await self._run(self._writer, self._file.compact_step, size)
            self._grew(_PAGE * (step.rows // 4 + step.pages))  # rows lie together: measured, with 2 kB each
            if step.is_last:
                break
            size = next_size(size, step.took_s, self._pace.step_s)
            await asyncio.sleep(self._pace.pause_s)
        await self.checkpoint()  # the file is cut by the one that copies all

    async def retain(self, revision: int) -> None:
        """Mark the present and compact what retention does not keep. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        mark = Mark(revision, now, self._written)
        if self._marks.note(mark):
            on_disk = Mark(revision, self._clock.now().timestamp(), self._written)
            await self._run(self._writer, self._file.add_mark, on_disk)
        due = self._marks.due(now, self._written)
        if due > self.compacted:
            await self.compact(due)

    async def _run(self, thread: ThreadPoolExecutor, call: Callable[..., _T], *args: object) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, call, *args)
        except RuntimeError as error:  # the thread has been shut down
            raise StoreUnavailable("the store is closed") from error
