"""What the cache counts of one kind: what it asked of the store, what it heard, whom it told.

Counting is bare additions; ``apiserver.stored_objects`` makes metrics of them when somebody scrapes. The
counts outlive the bucket, which begins anew when the store was away.
"""

from __future__ import annotations

from typing import Final

from tiphys.apiserver.observe import latencies
from tiphys.apiserver.observe.durations import Durations

CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"
LIST: Final = "list"
_WAITS: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, float("inf"))


class Requests:
    """Requests of one sort to the store."""

    __slots__ = ("durations", "errors")

    def __init__(self) -> None:
        self.durations = Durations()
        self.errors = 0

    @property
    def count(self) -> int:
        return sum(self.durations.buckets)


class Lists:
    """Lists of one sort: how many, what was looked at for them, what came out."""

    __slots__ = ("count", "fetched", "returned")

    def __init__(self) -> None:
        self.count = self.fetched = self.returned = 0

    def add(self, fetched: int, returned: int) -> None:
        """Count one; in objects."""
        self.count += 1
        self.fetched += fetched
        self.returned += returned


class KindCounts:
    """The counts of one kind."""

    __slots__ = (
        "consistent", "cut", "initial", "lists", "loads", "received", "requests", "stored", "told",
        "undecodable", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lists: dict[str, Lists] = {}
        """Answered from memory, by the index that was used."""
        self.stored = Lists()
        """Answered by the store."""
        self.consistent = 0
        """Lists that were to show the newest there is, and did."""
        self.waits = Durations(_WAITS)
        """Until the cache knew what a list was to show, where others write to the store as well."""
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
        self.undecodable = 0
        """Stored values that were read and are no objects of the kind."""

    def listed(self, index: str = "") -> Lists:
        """Return where a list from memory is counted; ``index``: by which it was narrowed, if any."""
        found = self.lists.get(index)
        if found is None:
            found = self.lists[index] = Lists()
        return found

    def requested(self, operation: str, seconds: float) -> None:
        """Count a request that was answered or failed."""
        found = self.requests.get(operation)
        if found is None:
            found = self.requests[operation] = Requests()
        found.durations.observe(seconds)
        latencies.spent(latencies.STORE, seconds)

    def failed(self, operation: str) -> None:
        """Count that a request, counted already or about to be, had no answer."""
        self.requests.setdefault(operation, Requests()).errors += 1
