"""Leases of a store, shared by objects that live equally long: each lease costs a write of its own."""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.storage.base import Store, StoreUnavailable

_REUSE_S: Final = 60.0
_MOST_KEYS: Final = 1000


class SharedLeases:
    """``of`` gives a lease that ends no sooner than ``ttl_s`` from now, and little later."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[int, tuple[int, float, int]] = {}

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
            granted, keys = now, 0
        self._known[ttl_s] = (lease, granted, keys + 1)
        return lease
