"""Waiting longer after every failure: the arithmetic only, whoever waits sleeps itself."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays of ``base_s``, then ``factor`` times as long each time, at most ``cap_s``; one count a key."""

    base_s: float
    factor: float = 2.0
    cap_s: float = 300.0
    _failures: dict[Hashable, int] = field(default_factory=dict)

    def next(self, key: Hashable = "") -> float:
        """Count a failure and return the seconds to wait before the next try."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return self.delay(failures)

    def delay(self, failures: int) -> float:
        """Return the wait after that many earlier failures."""
        try:
            wait: float = self.base_s * self.factor**failures
        except OverflowError:
            return self.cap_s
        return min(wait, self.cap_s)

    def failures(self, key: Hashable = "") -> int:
        return self._failures.get(key, 0)

    def reset(self, key: Hashable = "") -> None:
        """Forget the failures of a key: it has succeeded."""
        self._failures.pop(key, None)
