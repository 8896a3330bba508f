"""What the API server asks of a store: etcd's meaning, nothing more.

One global revision counts writes. A record's ``mod_revision`` is what clients see as ``resourceVersion``.
``memory``, ``sqlite`` and ``etcd`` implement it; one contract suite (``tests/storage``) holds for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError


class Record(NamedTuple):
    """One live version of one key. (Every write makes some of these: tuples are made fastest.)"""

    key: str
    value: bytes
    mod_revision: int
    create_revision: int
    lease: int = 0


class Event(NamedTuple):
    """One write as watchers see it. ``record.value`` of a delete is the last live value."""

    record: Record
    deleted: bool
    previous: Record | None


class Put(NamedTuple):
    """Write a key. ``expect``: the mod_revision it must have now; 0 = must not exist; None = any."""

    key: str
    value: bytes
    expect: int | None = None
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, with the same ``expect``. Deleting what is not there fails unless ``expect`` is None."""

    key: str
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Records in key order; ``more`` when the limit cut them; ``count`` of all that matched."""

    records: list[Record]
    revision: int
    more: bool
    count: int


class StoreError(TiphysError):
    """Root of what a store raises."""


class CompareFailed(StoreError):
    """A compare-and-swap did not hold; nothing of its transaction was written."""

    def __init__(self, key: str, current: Record | None) -> None:
        super().__init__(f"compare failed for {key}")
        self.key = key
        self.current = current


class Compacted(StoreError):
    """The revision asked for is gone. ``oldest`` is the first that is left."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"revision has been compacted; oldest is {oldest}")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for is not written yet."""


class ValueTooLarge(StoreError):
    """The store takes no write of this size, now or later."""


class StoreUnavailable(StoreError):
    """The store cannot answer (disk full, members gone). What was acknowledged is safe; retry later."""


class Store(Protocol):
    """Every method may be called concurrently from one event loop. Keys are ASCII paths."""

    async def open(self) -> None:
        """Recover and be ready. Raises StoreUnavailable with a text that says what is wrong."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and stop. Idempotent."""
        ...

    @property
    def revision(self) -> int:
        """The newest revision known to be committed."""
        ...

    @property
    def compacted(self) -> int:
        """The revision before which history is gone, as far as this process knows."""
        ...

    async def get(self, key: str, *, revision: int = 0) -> Record | None:
        """Read a key now, or as it was at ``revision``. Raises Compacted, FutureRevision."""
        ...

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Read keys with ``prefix``, from ``start`` (inclusive) on, in order.

        Raises Compacted, FutureRevision.
        """
        ...

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys with ``prefix`` there were at ``revision``, in order, each with its last write's.

        No value is read. Raises Compacted, FutureRevision.
        """
        ...

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Apply all or nothing, durably, and return the new revision (one for the whole transaction).

        Raises CompareFailed, StoreUnavailable. When it returns, the write survives power loss.
        """
        ...

    def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        """Stream every event of ``prefix`` from ``start_revision`` on (0: from now on), in order, gapless.

        Raises Compacted on entering when the history is gone.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget versions that nobody at or after ``revision`` can see. Never delays writers noticeably."""
        ...

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease; when it runs out every key put with it is deleted (as an ordinary event)."""
        ...
