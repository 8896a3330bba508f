"""``authentication_attempts``: how many requests showed who they are, and how many failed to."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric


class Attempts:
    """Bare counts: they are on every request's path."""

    __slots__ = ("failed", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0

    def collect(self) -> Iterator[Metric]:
        """Yield the counter as it stands."""
        family = CounterMetricFamily("authentication_attempts", "Authenticated requests.", labels=["result"])
        family.add_metric(["success"], self.succeeded)
        family.add_metric(["failure"], self.failed)
        yield family
