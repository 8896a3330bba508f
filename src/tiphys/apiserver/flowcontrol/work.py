"""How wide requests are: lists by the bytes that they hold, writes by the watchers that they wake. Pure.

Owns: upstream's figures. What there is (objects, their size, watchers) is asked of the caller.
Source: KEP-1040, "Width of requests"; the gate SizeBasedListCostEstimate of v1.36.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.filters.requestinfo import RequestInfo

OBJECTS_PER_SEAT: Final = 100
BYTES_PER_SEAT: Final = 100_000
STREAMED_BYTES: Final = 1_000_000
"""As much of a long answer is in memory at once, at most: the rest has gone or is still to come."""
MOST_LIST_SEATS: Final = 100
MOST_WRITE_SEATS: Final = 10
WATCHERS_PER_SEAT: Final = 10
EVENT_S: Final = 0.005
"""For so long a seat is busy with telling its share of watchers."""
LARGEST_OBJECT: Final = 1_500_000
"""Bytes that an object is thought to have while nobody knows."""
_SHARE: Final = 0.15
"""No request takes more of its level's nominal seats."""
_TELLING: Final = frozenset({"create", "update", "patch", "delete"})
_SILENT: Final = ("serviceaccounts", "token")
"""Resource and subresource whose writes nobody watches."""


@dataclass(frozen=True, slots=True)
class Width:
    """``seats`` while a request runs; of these ``final`` are held for ``extra_s`` after it."""

    seats: int = 1
    final: int = 0
    extra_s: float = 0.0
    watchers: int = -1
    """Who would be told of a write; -1 for what is none."""

    @property
    def most(self) -> int:
        """The seats to take: all that are needed at any time."""
        return max(self.seats, self.final)


ONE: Final = Width()


@dataclass(frozen=True, slots=True)
class Stored:
    """The objects of a resource, and how many bytes one has."""

    objects: int
    bytes_each: int = 0


def widest(nominal: int, hand: int) -> int:
    """Return how many seats one request may take in a level that deals each flow ``hand`` queues.

    No more than a flow can have at once: with less than a seat for each of its queues it would block them
    all. Levels without queues (``hand`` 0) have no such bound.
    """
    if not hand:
        return MOST_LIST_SEATS
    return max(1, min(math.ceil(nominal * _SHARE), nominal // hand))


class Widths:
    """Tells each request's width. ``by_size``: lists are measured by bytes, not by objects alone."""

    def __init__(
        self,
        stored: Callable[[RequestInfo], Stored],
        watchers: Callable[[RequestInfo], int],
        *,
        by_size: bool = True,
    ) -> None:
        self._stored = stored
        self._watchers = watchers
        self._by_size = by_size

    def __call__(self, info: RequestInfo, raw_query: str, level_most: int) -> Width:
        """Return the width; ``level_most`` seats at most."""
        if info.verb in _TELLING:
            return self._write(info, min(level_most, MOST_WRITE_SEATS))
        if info.verb in ("list", "watch"):
            most = min(level_most, MOST_LIST_SEATS)
            return Width(max(1, min(self._list_seats(info, raw_query, most), most)))
        return ONE

    def _write(self, info: RequestInfo, most: int) -> Width:
        if (info.resource, info.subresource) == _SILENT:
            return ONE
        return _telling(self._watchers(info), most)

    def _list_seats(self, info: RequestInfo, raw_query: str, most: int) -> int:
        query = parse_qs(raw_query, keep_blank_values=True) if raw_query else {}
        limit = atoi(query.get("limit", ["0"])[0])
        if limit is None or atoi(query.get("timeoutSeconds", ["0"])[0]) is None:
            return most  # refused soon, and not made cheap by that
        initial = query.get("sendInitialEvents", ["false"])[0].lower() not in ("false", "0")
        if info.verb == "watch" and not initial:
            return 1
        stored = self._stored(info)
        limited = min(stored.objects, limit) if limit > 0 else stored.objects
        if self._by_size:
            each = stored.bytes_each or (LARGEST_OBJECT if stored.objects else 0)
            held = min((1 if info.name else limited) * each, STREAMED_BYTES)
            return math.ceil(held / BYTES_PER_SEAT)
        # All are looked at, however few are sent.
        return 1 if info.name else math.ceil(stored.objects / OBJECTS_PER_SEAT)


@lru_cache(maxsize=4096)
def _telling(watchers: int, most: int) -> Width:
    """Return the width of a write that so many watchers are told of."""
    if watchers < WATCHERS_PER_SEAT:
        return Width(watchers=watchers)
    busy = math.ceil(watchers / WATCHERS_PER_SEAT)
    final = min(busy, most)
    return Width(1, final, busy * EVENT_S / final, watchers)
