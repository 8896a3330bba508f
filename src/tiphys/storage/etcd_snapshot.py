"""Snapshots of a store in etcd: the same files as a SQLite store's, so that either can be put into the other.

``save`` reads all keys as they were at one revision, page by page, while the cluster serves. ``put_back``
makes the keys what a file holds, by ordinary writes: revisions go on, so a resourceVersion that a client
remembers never means two things, and watches see what changed. Nobody may serve from the keys meanwhile: an
API server does it before it serves (``EtcdStore``'s ``staged``). If interrupted, doing it again completes it.

Called by ``storage.etcd`` and ``tiphys snapshot``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

from tiphys.storage.base import Delete, Put, RangeResult, Record, Store, StoreUnavailable
from tiphys.storage.snapshot import SnapshotError, Summary, drafted, look, read

log = logging.getLogger(__name__)

_PAGE: Final = 1000
_WRITES: Final = 100
"""In one transaction: etcd takes 128 by default."""
_BYTES: Final = 512 * 1024
"""The same; etcd takes a request of 1.5 MiB by default."""


class LeasingStore(Store, Protocol):
    """A store that knows how long its leases last."""

    async def lease_left_s(self, lease: int) -> int:
        """Return for how long a lease still holds; 0 or less: it is over. Raises StoreUnavailable."""
        ...


async def save(store: LeasingStore, target: Path, now: float) -> Summary:
    """Copy all keys as they are at this moment to ``target``, which appears whole or not at all.

    ``now``: seconds since 1970. Raises SnapshotError, StoreUnavailable, Compacted.
    """
    leases: set[int] = set()
    first = await store.range("", limit=_PAGE)
    with drafted(target, first.revision) as draft:
        async for page in _pages(store, first):
            draft.add(page.records)
            leases.update(record.lease for record in page.records if record.lease)
        for lease in sorted(leases):
            draft.add_lease(lease, now + max(0, await store.lease_left_s(lease)))
    return look(target)


async def put_back(store: Store, file: Path, now: float) -> Summary:
    """Make the keys of ``store`` what ``file`` holds. Raises SnapshotError, StoreUnavailable."""
    summary, found = look(file), read(file)
    leases: dict[int, int] = {}
    for lease, expires_at in found.leases.items():
        if expires_at - now >= 1:
            leases[lease] = await store.grant_lease(int(expires_at - now))
    wanted = {record.key: record for record in found.records if not record.lease or record.lease in leases}
    batch = _Batch(store)
    present = await store.range("", limit=_PAGE)
    async for page in _pages(store, present):
        for record in page.records:
            kept = wanted.pop(record.key, None)
            if kept is None:
                await batch.add(Delete(record.key))
            elif kept.value != record.value or kept.lease or record.lease:
                await batch.add(_put(kept, leases))
    for record in wanted.values():
        await batch.add(_put(record, leases))
    await batch.flush()
    return summary


async def take_staged(store: Store, staged: Path, now: float) -> None:
    """Put back what was staged, if anything was; it is gone from its place once that is done.

    Raises StoreUnavailable: not done, or not all of it.
    """
    try:
        if staged.name not in os.listdir(staged.parent):
            return
        found = await put_back(store, staged, now)
        os.unlink(staged)
    except (SnapshotError, OSError) as error:
        raise StoreUnavailable(f"cannot restore {staged}: {error}") from error
    log.info("restored from=%s keys=%d revision=%d", staged, found.keys, store.revision)


def _put(record: Record, leases: dict[int, int]) -> Put:
    return Put(record.key, record.value, lease=leases.get(record.lease, 0))


async def _pages(store: Store, page: RangeResult) -> AsyncIterator[RangeResult]:
    """Yield a page and those that follow it, all of one revision."""
    revision = page.revision
    yield page
    while page.more:
        page = await store.range("", start=f"{page.records[-1].key}\0", limit=_PAGE, revision=revision)
        yield page


class _Batch:
    """Gathers writes into transactions that etcd takes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writes: list[Put | Delete] = []
        self._bytes = 0

    async def add(self, write: Put | Delete) -> None:
        size = len(write.value) if isinstance(write, Put) else 0
        if self._writes and (len(self._writes) == _WRITES or self._bytes + size > _BYTES):
            await self.flush()
        self._writes.append(write)
        self._bytes += size

    async def flush(self) -> None:
        writes, self._writes, self._bytes = self._writes, [], 0
        if writes:
            await self._store.commit(writes)
