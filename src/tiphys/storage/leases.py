"""Which keys go when: leases of a single-writer store.

Keeps deadlines and the keys put under each lease. Time comes from the ``Clock`` of the store, which also
deletes what ran out.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.storage.base import Event


class Leases:
    """Leases by id, in steady seconds."""

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._keys: dict[int, set[str]] = {}

    def add(self, lease: int, deadline: float) -> None:
        self._deadlines[lease] = deadline

    def __contains__(self, lease: int) -> bool:
        return lease in self._deadlines

    def attach(self, lease: int, key: str) -> None:
        self._keys.setdefault(lease, set()).add(key)

    def apply(self, events: Iterable[Event]) -> None:
        """Follow keys as they are put under a lease, taken from it, or deleted."""
        for event in events:
            record, before = event.record, event.previous
            if before is not None and before.lease and (event.deleted or before.lease != record.lease):
                self._keys.get(before.lease, set()).discard(record.key)
            if record.lease and not event.deleted:
                self.attach(record.lease, record.key)

    def expired(self, now: float) -> list[int]:
        """Return the leases whose time is over."""
        return [lease for lease, deadline in self._deadlines.items() if deadline <= now]

    def keys(self, lease: int) -> list[str]:
        return sorted(self._keys.get(lease, ()))

    def forget(self, lease: int) -> None:
        self._deadlines.pop(lease, None)
        self._keys.pop(lease, None)
