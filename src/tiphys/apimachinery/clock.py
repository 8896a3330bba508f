"""The one place that knows what time it is.

Everything that needs time takes a ``Clock``; pure code takes ``now`` itself. Tests use ``FakeClock``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """A source of time: aware UTC for people, a steady counter for measuring."""

    def now(self) -> datetime:
        """Return the present as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class RealClock:
    """The machine's own clock."""

    monotonic = staticmethod(time.monotonic)  # asked nine times a request: no step between

    def now(self) -> datetime:
        return datetime.now(UTC)


class FakeClock:
    """A clock that stands still until told to ``advance``."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        self._elapsed_s += seconds


@lru_cache(maxsize=256)
def rfc3339(moment: datetime) -> str:
    """Format as ``metav1.Time``: whole seconds, ``Z``."""
    # One write says its moment several times, and hashing it again is free.
    return f"{moment.astimezone(UTC).isoformat()[:19]}Z"


def rfc3339_micro(moment: datetime) -> str:
    """Format as ``metav1.MicroTime``: microseconds, ``Z``."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:26]}Z"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time, with any fraction and offset.

    Raises:
        ValueError: the text is no RFC 3339 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without offset: {text!r}")
    return moment.astimezone(UTC)
