"""Leases of a store, shared by objects that live equally long: each lease costs a write of its own.

Owns: ``etcd_lease_object_counts``, which is called so whatever the store is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apimachinery.families import HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import Durations
from tiphys.storage.base import Store, StoreUnavailable

_REUSE_S: Final = 60.0
_MOST_KEYS: Final = 1000
_COUNTS: Final = (10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, float("inf"))


def object_counts() -> Durations:
    """Return what leases of several stores can count their objects in."""
    return Durations(_COUNTS)


class SharedLeases:
    """``of`` gives a lease that ends no sooner than ``ttl_s`` from now, and little later."""

    def __init__(self, store: Store, clock: Clock, objects: Durations | None = None) -> None:
        """``objects`` counts how many leases had that are given to no more, where others count there too."""
        self._store, self._clock = store, clock
        self._known: dict[int, tuple[int, float, int]] = {}
        self._objects = objects or object_counts()

    async def of(self, ttl_s: int) -> int:
        """Raises ServiceUnavailable."""
        now = self._clock.monotonic()
        lease, granted, keys = self._known.get(ttl_s, (0, 0.0, 0))
        shared_s = min(_REUSE_S, ttl_s / 10)
        if not lease or keys >= _MOST_KEYS or now - granted > shared_s:
            try:
                # Longer by the time in which it is shared: no object goes before its time.
                lease = await self._store.grant_lease(ttl_s + int(shared_s))
            except StoreUnavailable as error:
                raise ServiceUnavailable(str(error)) from error
            if keys:
                self._objects.observe(keys)
            granted, keys = now, 0
        self._known[ttl_s] = (lease, granted, keys + 1)
        return lease

    def forget(self) -> None:
        """Give none of the present leases any more: the store may not know them."""
        self._known.clear()

    def collect(self) -> Iterator[Metric]:
        """Yield how many objects leases had."""
        family = HistogramMetricFamily("etcd_lease_object_counts", "[ALPHA] Objects of one lease.")
        self._objects.add_to(family, ())
        yield family
