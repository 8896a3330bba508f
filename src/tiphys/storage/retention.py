"""How much history a store keeps: marks on the log by time and by size, and what they say is too much.

Pure. A mark says which revision was the newest at a moment and how many bytes of values had been written by
then. Called by ``storage.upkeep``, which keeps the marks on disk so that history keeps its age.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from tiphys.apimachinery.dataclass import dataclass

_MARKS: Final = 360
_SHORTEST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history to keep: whichever limit is reached first."""

    age_s: float = 3600.0
    size_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in the log. ``at`` in steady seconds; ``written`` counts bytes of values until then."""

    revision: int
    at: float
    written: int


class Marks:
    """The marks of one log, oldest first."""

    def __init__(self, retention: Retention, marks: Iterable[Mark] = ()) -> None:
        self._retention = retention
        self._marks = deque(marks)
        self._every_s = max(_SHORTEST_S, retention.age_s / _MARKS)
        self._every_bytes = max(1, retention.size_bytes // _MARKS)

    @property
    def written(self) -> int:
        """How much had been written at the newest mark."""
        return self._marks[-1].written if self._marks else 0

    def note(self, mark: Mark) -> bool:
        """Keep a mark if it is far enough from the one before. Returns whether it was kept."""
        if self._marks:
            newest = self._marks[-1]
            near = mark.at - newest.at < self._every_s and mark.written - newest.written < self._every_bytes
            if near or mark.revision == newest.revision:
                return False
        self._marks.append(mark)
        return True

    def due(self, now: float, written: int) -> int:
        """Return up to which revision history is too old or too much, 0 if none is; forgets those marks."""
        revision = 0
        while self._marks:
            mark = self._marks[0]
            young = now - mark.at < self._retention.age_s
            if young and written - mark.written <= self._retention.size_bytes:
                break
            revision = mark.revision
            self._marks.popleft()
        return revision
