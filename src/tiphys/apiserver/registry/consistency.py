"""Holds what the cache has against what the store has, now and then, and says so where they differ.

Owns: ``apiserver_storage_consistency_checks_total``. Keys and revisions are compared as digests, at one
revision, page by page; no value is looked at. A cache that differs answers no more for moments that are
past: those are read from the store. With ``KUBE_WATCHCACHE_CONSISTENCY_CHECKER=true`` the process ends
instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Final, Protocol

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apimachinery.go_text import BOOLS
from tiphys.apimachinery.resource import Resource

log = logging.getLogger(__name__)
PERIOD_S: Final = 300.0
_JITTER: Final = 0.5
_DIGEST_BYTES: Final = 8
_ENDS_PROCESS: Final = "KUBE_WATCHCACHE_CONSISTENCY_CHECKER"


class Cache(Protocol):
    """What is checked."""

    def revision_of(self, resource: Resource) -> int: ...

    def revisions(self, resource: Resource) -> list[tuple[str, int]] | None: ...

    def distrust(self, resource: Resource, revision: int) -> None: ...


class Keys(Protocol):
    """What it is checked against."""

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]: ...


class Inconsistent(RuntimeError):
    """The cache has something else than the store, and the process was told to end then."""


class ConsistencyChecker:
    """The checks of one server. ``run`` looks again and again."""

    def __init__(self, cache: Cache, store: Keys, rows: Callable[[], Iterable[Resource]]) -> None:
        self._cache, self._store, self._rows = cache, store, rows
        self._results: Counter[tuple[str, str, str]] = Counter()

    async def run(self) -> None:
        """Check every kind that was read, every five minutes to seven and a half. Raises Inconsistent."""
        while True:
            await asyncio.sleep(PERIOD_S * (1 + _JITTER * random.random()))
            for row in list(self._rows()):
                await self.check(row)

    async def check(self, row: Resource) -> None:
        """Check one kind, unless nobody has read it yet. Raises Inconsistent."""
        cached, revision = self._cache.revisions(row), self._cache.revision_of(row)
        if cached is None:
            return
        about = (row.group, row.plural)
        ours = await asyncio.to_thread(_digest, cached)
        try:
            stored = await self._store.revisions(row.storage_prefix, revision)
        except TiphysError as error:
            log.error("cache consistency check error group=%s resource=%s error=%s", *about, error)
            self._results[*about, "error"] += 1
            return
        theirs = await asyncio.to_thread(_digest, stored)
        if ours == theirs:
            self._results[*about, "success"] += 1
            return
        log.error(
            "cache consistency check failed group=%s resource=%s resourceVersion=%d etcdDigest=%s "
            "cacheDigest=%s",
            *about, revision, theirs, ours,
        )  # fmt: skip
        self._results[*about, "failure"] += 1
        if BOOLS.get(os.environ.get(_ENDS_PROCESS, "")):
            raise Inconsistent(
                f'Cache consistency check failed, group: "{row.group}", resource: "{row.plural}", '
                f'resourceVersion: "{revision}", etcdDigest: "{theirs}", cacheDigest: "{ours}"'
            )
        self._cache.distrust(row, revision)

    def collect(self) -> Iterator[Metric]:
        """Yield how checks ended."""
        family = CounterMetricFamily(
            "apiserver_storage_consistency_checks",
            "[ALPHA] Comparisons of the cache with the store by how they ended.",
            labels=("group", "resource", "status"),
        )
        family.add_all(self._results)
        yield family


def _digest(revisions: Iterable[tuple[str, int]]) -> str:
    """Return what stands for keys with their revisions."""
    found = blake2b(digest_size=_DIGEST_BYTES)
    for key, revision in revisions:
        found.update(f"{key}/{revision}/".encode())
    return found.hexdigest()
