"""Remembers whom tokens name that are dear to ask about, and counts that with upstream's names.

Owns: how long an answer holds, who waits for whose question, ``authentication_token_cache_*``. Refuses: the
questions. No token is kept in memory, its digest is. What the server finds out by looking at its own objects
is not remembered: a token that was taken back is refused at once.
Source: ``docs/decisions/no-cache-of-all-tokens.md``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeAlias

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.authn.tokens import Authenticated
from tiphys.apiserver.observe.durations import Durations

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
_PREFIX: Final = "authentication_token_cache"
_STATUS: Final = ("status",)
_MOST: Final = 4096
Ask: TypeAlias = "Callable[[str, tuple[str, ...]], Awaitable[Authenticated | None]]"
_Asked: TypeAlias = tuple[bytes, tuple[str, ...]]
"""A token's digest, and for which audiences it was asked."""


class TokenCacheCounts:
    """The counts of one cache."""

    def __init__(self) -> None:
        self.hits, self.misses = Durations(_BUCKETS), Durations(_BUCKETS)
        self.fetching = 0
        """Questions under way."""
        self.blocked = 0
        """Requests that wait for these."""
        self._fetched = {"ok": 0, "error": 0}

    def fetched(self, *, good: bool) -> None:
        """Count a question that was under way as answered or failed."""
        self.fetching -= 1
        self._fetched["ok" if good else "error"] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        total = CounterMetricFamily(f"{_PREFIX}_request", "[ALPHA] Requests by who knew.", labels=_STATUS)
        took = HistogramMetricFamily(
            f"{_PREFIX}_request_duration_seconds", "[ALPHA] Time of these.", labels=_STATUS
        )
        for status, times in (("hit", self.hits), ("miss", self.misses)):
            if count := sum(times.buckets):
                total.add_metric([status], count)
                times.add_to(took, [status])
        fetched = CounterMetricFamily(f"{_PREFIX}_fetch", "[ALPHA] Questions by their end.", labels=_STATUS)
        for status, count in self._fetched.items():
            if count:
                fetched.add_metric([status], count)
        active = GaugeMetricFamily(
            f"{_PREFIX}_active_fetch_count", "[ALPHA] Questions under way, and who waits.", labels=_STATUS
        )
        if fetched.samples or self.fetching:
            active.add_metric(["in_flight"], self.fetching)
            active.add_metric(["blocked"], self.blocked)
        yield from (total, took, fetched, active)


class TokenCache:
    """The answers of one who knows tokens: ``ask`` is asked where none is remembered.

    Whom a token names is remembered for ``ttl_s``, that nobody knows it for ``failure_ttl_s``; errors are
    asked again. Who asks the same meanwhile waits for the same answer.
    """

    def __init__(
        self, ask: Ask, clock: Clock, counts: TokenCacheCounts, *, ttl_s: float, failure_ttl_s: float = 0.0
    ) -> None:
        self._ask, self._clock, self._counts = ask, clock, counts
        self._ttl_s, self._failure_ttl_s = ttl_s, failure_ttl_s
        self._asking: dict[_Asked, asyncio.Future[Authenticated | None]] = {}
        self._kept: OrderedDict[_Asked, tuple[float, Authenticated | None]] = OrderedDict()

    async def get(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        """Return the answer. Raises what ``ask`` does."""
        key = (hashlib.sha256(token.encode()).digest(), audiences)
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        counts = self._counts
        if kept is not None and kept[0] > now:
            counts.hits.observe(self._clock.monotonic() - now)
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(token, audiences))  # parent: ends with ``close``
            self._asking[key] = asking
            counts.fetching += 1
            asking.add_done_callback(lambda done: self._asked(key, done))
        counts.blocked += 1
        try:
            return await asyncio.shield(asking)
        finally:
            counts.blocked -= 1
            counts.misses.observe(self._clock.monotonic() - now)

    def _asked(self, key: _Asked, done: asyncio.Future[Authenticated | None]) -> None:
        """Remember an answer; an error is for those alone who wait for it."""
        del self._asking[key]
        good = not done.cancelled() and done.exception() is None
        self._counts.fetched(good=good)
        if not good:
            return
        found = done.result()
        ttl_s = self._failure_ttl_s
        if found is not None:
            ttl_s = min(self._ttl_s, found.until_s - self._clock.now().timestamp())
        if ttl_s <= 0:
            return
        self._kept[key] = (self._clock.monotonic() + ttl_s, found)
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def close(self) -> None:
        """Ask no more; who waits is cancelled. Idempotent."""
        for asking in self._asking.values():
            asking.cancel()
