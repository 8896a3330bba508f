"""Keys in order, put in order when somebody asks for it.

Writes come by the thousand between two lists: a new key is noted by one look at a dictionary, and takes its
place when a range is read. Used by the stores' keyspace and by the API server's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from sortedcontainers import SortedList

_FEW: Final = 16
"""Where new keys are fewer than one in so many, each is put in its place; else all are sorted."""


class KeyOrder:
    """A set of keys. ``add`` only what is not in it, ``remove`` only what is."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._sorted: Any = SortedList(keys)
        self._fresh: dict[str, None] = {}
        """Added since the order was last asked for."""

    def __len__(self) -> int:
        return len(self._sorted) + len(self._fresh)

    def add(self, key: str) -> None:
        self._fresh[key] = None

    def remove(self, key: str) -> None:
        if key in self._fresh:
            del self._fresh[key]
        else:
            self._sorted.remove(key)

    def __getitem__(self, at: int) -> str:
        """Return the key that has so many before it."""
        return str(self._in_order()[at])

    def bisect_left(self, key: str) -> int:
        """Return how many keys come before this one."""
        return int(self._in_order().bisect_left(key))

    def islice(self, start: int, stop: int) -> Iterator[str]:
        """Yield the keys of these places, in order."""
        found: Iterator[str] = self._in_order().islice(start, stop)
        return found

    def _in_order(self) -> Any:
        fresh = self._fresh
        if fresh:
            if len(fresh) * _FEW > len(self._sorted):
                self._sorted = SortedList(chain(self._sorted, sorted(fresh)))
            else:
                for key in fresh:
                    self._sorted.add(key)
            self._fresh = {}
        return self._sorted
