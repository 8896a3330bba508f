"""How many of the writes that wait go to disk together. Pure.

One commit for all of them is the cheapest. But whoever has been answered comes again, all at the same time:
then first the disk waits for the event loop, which takes in one request after the other, and after that the
loop for the disk. Two groups that take turns keep both busy: one is written while the other is taken in.
"""

from __future__ import annotations

from math import inf


class Rhythm:
    """What the last group says of the next. Times are in steady seconds."""

    def __init__(self) -> None:
        self._size = 0
        """Of the group that has just been answered, and so may come again at once."""
        self._began = 0.0
        self._took_s = inf

    def size(self, waiting: int, now: float) -> int:
        """Return how many of those that wait to write now: all, or as many as make two equal groups.

        Only where a group takes the loop longer than the disk: few writes are through sooner as one.
        """
        size = waiting
        if now - self._began > 2 * self._took_s:
            size = min(waiting, -(-(waiting + self._size) // 2))
        self._size, self._began = size, now
        return size

    def took(self, seconds: float) -> None:
        """Hear how long the disk took for the group."""
        self._took_s = seconds

    def rest(self) -> None:
        """Nothing waits: those who were answered have come again by the time that anything does."""
        self._size = 0
