"""A queue of keys that coalesces: a key waits at most once and is worked on by at most one worker.

A key added while a worker holds it comes back when that worker calls ``done``. Delays use the injected
clock for deciding and the event loop only for waking.
Source: the guarantees of client-go's workqueue (dirty and processing sets).
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import TiphysError
from tiphys.client.metrics import QueueCounts

BASE_DELAY_S = 0.005
MAX_DELAY_S = 1000.0
BUCKET_PER_S = 10.0
BUCKET_BURST = 100


class QueueClosed(TiphysError):
    """``get`` on a queue that was closed."""


class RateLimiter:
    """How long a failed key waits: exponential for itself, and never past the whole queue's rate."""

    def __init__(
        self,
        clock: Clock,
        *,
        base_s: float = BASE_DELAY_S,
        cap_s: float = MAX_DELAY_S,
        per_s: float = BUCKET_PER_S,
        burst: int = BUCKET_BURST,
    ) -> None:
        self._clock = clock
        self._base_s = base_s
        self._cap_s = cap_s
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._refilled_at = clock.monotonic()
        self._failures: dict[str, int] = {}

    def delay(self, key: str, *, alone: bool = False) -> float:
        """Count one failure of ``key`` and return its wait in seconds; ``alone``: by itself, not by all."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded so that a key failing for days cannot overflow a float.
        own = min(self._base_s * 2.0 ** min(failures, 64), self._cap_s)
        return own if alone else float(max(own, self._take()))

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def _take(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._per_s)
        self._refilled_at = now
        self._tokens -= 1
        return 0.0 if self._tokens >= 0 else -self._tokens / self._per_s


class WorkQueue:
    """Methods other than ``get`` never wait. Bounded by the number of distinct keys."""

    def __init__(
        self, name: str = "", *, clock: Clock | None = None, limiter: RateLimiter | None = None
    ) -> None:
        self.name = name
        self._clock = clock or RealClock()
        self._limiter = limiter or RateLimiter(self._clock)
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._delayed: list[tuple[float, int, str]] = []
        self._due: dict[str, float] = {}
        self._sequence = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._closed = False
        self._counts = QueueCounts(name)
        self._counts.running = self._running
        self._since: dict[str, float] = {}
        """When keys became ready, or (of those being worked on) when work began."""

    def _running(self) -> list[float]:
        """Return for how long each key has been worked on."""
        now = self._clock.monotonic()
        return [max(now - self._since.get(key, now), 0.0) for key in self._processing]

    def __len__(self) -> int:
        """Keys ready to be worked on."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """True when nothing is ready or being worked on (delayed keys do not count)."""
        return not self._ready and not self._processing

    @property
    def next_due(self) -> float | None:
        """When the first delayed key is due, on the clock's monotonic scale."""
        return min(self._due.values(), default=None)

    def add(self, key: str) -> None:
        """Make a key ready, unless it already is."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        self._counts.adds += 1
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Make a key ready in ``delay_s`` seconds; of several delays the earliest counts."""
        if self._closed:
            return
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, key))
        self._arm()

    def add_rate_limited(self, key: str) -> None:
        """Make a failed key ready after its backoff."""
        self._counts.retries += 1
        self.add_after(key, self._limiter.delay(key))

    def add_overtaken(self, key: str) -> None:
        """Make a key ready that met a conflict, after its own backoff.

        That a thousand objects are written by others too is no reason for the last to wait for minutes.
        """
        self._counts.retries += 1
        self.add_after(key, self._limiter.delay(key, alone=True))

    def failures(self, key: str) -> int:
        return self._limiter.failures(key)

    def forget(self, key: str) -> None:
        """Reset a key's backoff, once it succeeded."""
        self._limiter.forget(key)

    async def get(self) -> str:
        """Wait for a key and mark it as being worked on. Raises QueueClosed."""
        while True:
            self.poke()
            if self._ready:
                key = self._ready.popleft()
                self._dirty.discard(key)
                self._processing.add(key)
                now = self._clock.monotonic()
                self._counts.depth = len(self._ready)
                self._counts.waited.observe(max(now - self._since.pop(key, now), 0.0))
                self._since[key] = now
                return key
            if self._closed:
                raise QueueClosed(self.name)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # hand the wake-up on to the next worker
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def done(self, key: str) -> None:
        """End work on a key; if it was added meanwhile it is ready again."""
        self._processing.discard(key)
        now = self._clock.monotonic()
        self._counts.worked.observe(max(now - self._since.pop(key, now), 0.0))
        if key in self._dirty:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._ready.append(key)
        self._since[key] = self._clock.monotonic()
        self._counts.depth = len(self._ready)
        self._wake()

    def poke(self) -> None:
        """Make ready what is due by the clock (needed after advancing a fake one)."""
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._arm()

    def close(self) -> None:
        """Refuse further keys and let waiting workers go. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """Wake up when the first delayed key is due."""
        due = self._delayed[0][0] if self._delayed else None
        if self._timer is not None:
            if self._timer_due == due:
                return
            self._timer.cancel()
            self._timer = None
        if self._closed or due is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # filled before the loop runs; the first ``get`` arms it
        self._timer_due = due
        self._timer = loop.call_later(max(due - self._clock.monotonic(), 0.0), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.poke()
