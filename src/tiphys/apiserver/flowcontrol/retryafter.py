"""How long a client that was turned away should stay away. Pure: callers give the time.

Each priority level counts whom it refused, second by second. Where refusals go on, the time doubles up to
half a minute; where they become rare it falls by a second at a time.
Source: ``droppedRequestsTracker`` of upstream's flow control.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST_S: Final = 32
_MANY: Final = 3
"""Refusals for each second of the present advice that make it double."""


class RetryAfter:
    """One priority level's advice, in whole seconds."""

    __slots__ = ("_count", "_past", "_raised", "_second", "seconds")

    def __init__(self) -> None:
        self.seconds = 1
        self._second = 0
        self._count = 0
        self._raised = 0
        self._past: deque[tuple[int, int]] = deque()

    def refused(self, second: int) -> None:
        """Note a refusal. A second's refusals are judged when the first one after it comes."""
        if second == self._second:
            self._count += 1
            return
        self._past.append((self._second, self._count))
        while self._second - self._past[0][0] > MOST_S:
            self._past.popleft()
        self._second, self._count = second, 1
        self._judge(second)

    def _judge(self, second: int) -> None:
        refusals = sum(count for at, count in self._past if 0 < second - at <= self.seconds)
        if second - self._raised >= self.seconds and refusals >= _MANY * self.seconds:
            self.seconds = min(2 * self.seconds, MOST_S)
            self._raised = second
        elif refusals < self.seconds > 1:
            self.seconds -= 1
