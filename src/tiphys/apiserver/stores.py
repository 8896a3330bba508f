"""``Stores``: where one server's objects are kept: the first store, and others that only some kinds are in.

Owns: which kind is in which (``--etcd-servers-overrides``), their opening and closing, their health checks,
by upstream's names. Refuses: how a store is reached, which whoever made it knows. Custom objects, their
definitions and APIServices are in the first store always, as upstream has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, runtime_checkable

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric
from tiphys.apis.table import TABLE
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.leases import object_counts
from tiphys.apiserver.cache.split import SplitStore
from tiphys.apiserver.health import Check
from tiphys.apiserver.observe.stored_objects import stored_bytes
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.store_probe import NOT_OPEN, StoreProbe
from tiphys.storage.base import Store, StoreUnavailable

log = logging.getLogger(__name__)
Elsewhere = Mapping[tuple[str, str], Store]
"""By group and plural, ``*`` for all of a group: the store, not yet opened, that objects are in."""
EVERY: Final = "*"
_ALIVE, _READY = "etcd", "etcd-readiness"
_FIXED: Final = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})
Seal = Callable[[Store], Store]
_SERVER_S: Final = 2.0
"""How long each server may take to answer for its ``componentstatuses``."""


@runtime_checkable
class Clustered(Protocol):
    """A store of several servers."""

    async def look_at_members(self, patience_s: float) -> list[str | None]:
        """Return what is wrong with each server, which is asked by itself."""
        ...


class Stores:
    """``seal`` puts encryption at rest above a store beside the first one, which has it already."""

    def __init__(
        self, raw: Store, first: Store, options: ApiServerOptions, elsewhere: Elsewhere, seal: Seal
    ) -> None:
        others = list(dict.fromkeys(elsewhere.values()))
        self._raw = [raw, *others]
        sealed = {other: seal(other) for other in others}
        self._first, self._others = first, list(sealed.values())
        self._by_prefix: dict[str, Store] = {}
        for prefix, (group, plural) in TABLE.kinds_by_prefix().items():
            store = elsewhere.get((group, plural)) or elsewhere.get((group, EVERY))
            if store is not None and group not in _FIXED:
                self._by_prefix[prefix] = sealed[store]
        patience = options.store_check_s, options.store_ready_check_s
        self.probes = [StoreProbe(store, *patience) for store in self._raw]
        self._sizes = stored_bytes(self._raw)

    def cached(self, clock: Clock) -> CachedStore | SplitStore:
        """Return the objects of all stores, in memory."""
        leased = object_counts() if self._others else None
        first = CachedStore(self._first, clock=clock, leased=leased, lenient=bool(self._others))
        if not self._others:
            return first
        caches = {
            store: CachedStore(store, clock=clock, leased=leased, lenient=True) for store in self._others
        }
        return SplitStore(first, {prefix: caches[store] for prefix, store in self._by_prefix.items()})

    async def open(self) -> None:
        """Open all. Raises StoreUnavailable."""
        for store in (self._first, *self._others):
            await store.open()
        await asyncio.gather(*map(self._tell_of_left, self._by_prefix))

    async def _tell_of_left(self, prefix: str) -> None:
        """Say what lies in the first store of a kind that is in another one: nobody moves or serves it."""
        try:
            left = await self._raw[0].range(prefix, limit=1)
        except StoreUnavailable:
            return
        if left.count:
            log.warning(
                "objects left in the first store are not served prefix=%s count=%d", prefix, left.count
            )

    def opened(self) -> None:
        """Note that they are open, for the checks."""
        for probe in self.probes:
            probe.opened()

    async def close(self) -> None:
        """Close all. Idempotent."""
        for store in (self._first, *self._others):
            await store.close()

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        """Read which keys of a kind there were. Raises as ``Store.revisions``."""
        return await self._by_prefix.get(prefix, self._first).revisions(prefix, revision)

    # -- health

    async def run(self) -> None:
        """Look at each every few seconds, for ever."""
        async with asyncio.TaskGroup() as group:
            for probe in self.probes:
                group.create_task(probe.run())

    async def look_at_servers(self) -> list[str | None]:
        """Return what is wrong with each server of each store; those that have none to ask are looked at."""
        found: list[str | None] = []
        for store, probe in zip(self._raw, self.probes, strict=True):
            if isinstance(store, Clustered) and probe.fault != NOT_OPEN:
                found += await store.look_at_members(_SERVER_S)
            else:
                found.append(probe.fault)
        return found

    def checks(self) -> dict[str, Check]:
        """Return the checks that every path has."""
        return dict(self._checks(ready=False))

    def ready_checks(self) -> dict[str, Check]:
        """Return those that tell whether clients should come."""
        return dict(self._checks(ready=True))

    def _checks(self, *, ready: bool) -> Iterator[tuple[str, Check]]:
        for place, probe in enumerate(self.probes):
            ending = f"-override-{place - 1}" if place else ""
            yield f"{_ALIVE}{ending}", _fault_of(probe)
            if ready:
                ending = f"-override-readiness-{place - 1}" if place else "-readiness"
                yield f"{_ALIVE}{ending}", _readiness_of(probe)

    def groups(self) -> dict[str, str]:
        """Return with which check another one is left out, too."""
        found: dict[str, str] = {}
        for place in range(len(self._others)):
            found[f"{_ALIVE}-override-{place}"] = _ALIVE
            found[f"{_ALIVE}-override-readiness-{place}"] = _READY
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield how large their files are."""
        return self._sizes()


def _fault_of(probe: StoreProbe) -> Check:
    return lambda: probe.fault


def _readiness_of(probe: StoreProbe) -> Check:
    return lambda: probe.readiness_fault
