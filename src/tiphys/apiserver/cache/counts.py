"""What the cache counts of one kind: what it asked of the store, what it heard, whom it told.

Counting is bare additions; ``apiserver.stored_objects`` makes metrics of them when somebody scrapes. The
counts outlive the bucket, which begins anew when the store was away.
"""

from __future__ import annotations

from typing import Final

from tiphys.apiserver.metrics import Durations

CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"
LIST: Final = "list"


class Requests:
    """Requests of one sort to the store."""

    __slots__ = ("durations", "errors")

    def __init__(self) -> None:
        self.durations = Durations()
        self.errors = 0

    @property
    def count(self) -> int:
        return sum(self.durations.buckets)


class KindCounts:
    """The counts of one kind."""

    __slots__ = ("cut", "initial", "loads", "received", "requests", "told")

    def __init__(self) -> None:
        self.requests: dict[str, Requests] = {}
        self.received = 0
        """Events from the store."""
        self.told = 0
        """Events that watchers were told of, had there been any."""
        self.loads = 0
        """How often the kind was read as a whole."""
        self.initial = 0
        """Objects that watches began with."""
        self.cut = 0
        """Watches that ended because their readers were too slow."""

    def requested(self, operation: str, seconds: float) -> None:
        """Count a request that was answered or failed."""
        found = self.requests.get(operation)
        if found is None:
            found = self.requests[operation] = Requests()
        found.durations.observe(seconds)

    def failed(self, operation: str) -> None:
        """Count that a request, counted already or about to be, had no answer."""
        self.requests.setdefault(operation, Requests()).errors += 1
