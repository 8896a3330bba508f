"""The requests under way: how many, and none for longer than it may take.

Owns: ``--request-timeout`` and a client's own ``timeout``, the counts of requests in flight, the wait for
them at the end. A request is noted and forgotten by two dictionary operations; deadlines are looked at twice
a second. Writes of objects give up earlier than reads, and in words of their own: the client shall have the
answer before its own patience ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from urllib.parse import unquote_plus

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import parse_go_duration
from tiphys.apimachinery.errors import BadRequest, Timeout
from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.wire.message import Response

FLIGHT: Final = "flight"
"""In a request's ``scope``: itself, unless it may last."""
_SWEEPS_A_SECOND = 2
_LASTING = frozenset({"watch", "proxy"})
_LONG = frozenset({"attach", "exec", "proxy", "log", "portforward"})
_READING = frozenset({"get", "list", "watch"})
_WRITING = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_LONGEST_TIMEOUT = 1_000
"""Characters of a ``timeout`` that is read: adding up more parts than these have takes others' time."""
_WRITE_TIMEOUT_S = 34.0


def is_long_running(info: RequestInfo) -> bool:
    """Tell whether a request may last: watches, and whatever streams to or from pods."""
    return info.verb in _LASTING or info.subresource in _LONG


def wanted_timeout_s(raw_query: str) -> float | None:
    """Return what ``timeout=`` asks for, None where it is not given. Raises BadRequest."""
    if "timeout=" not in raw_query:
        return None
    said = next((part for part in raw_query.split("&") if part.startswith("timeout=")), "timeout=")
    text = unquote_plus(said.removeprefix("timeout=")[: 4 * _LONGEST_TIMEOUT])
    if not text:
        return None
    if len(text) > _LONGEST_TIMEOUT:
        text = f"{text[:_LONGEST_TIMEOUT]}..."  # which is no duration
    try:
        return parse_go_duration(text)
    except ValueError as error:
        raise BadTimeout(f"invalid timeout specified in the request URL - {error}") from None


class BadTimeout(BadRequest):
    """A ``timeout`` that is none: the request ends before anybody asks whose it is."""


class Cut(Timeout):
    """A request that was cut off from without: told by a filter, which knows no forms of answers."""

    def response(self) -> Response:
        """Return the answer: a Status that does not say so, as plain text."""
        status = {key: value for key, value in self.to_status().items() if key not in ("kind", "apiVersion")}
        return Response(
            self.status_code, {"content-type": "text/plain; charset=utf-8"}, orjson.dumps(status) + b"\n"
        )


@dataclass(slots=True, eq=False)
class Flight:
    """One request. ``late``: its deadline has passed, and its task was told.

    A write gives up at its ``deadline``, but not while its body is ``arriving``: that has until ``last``, as
    writes have that others serve.
    """

    deadline: float
    last: float
    task: asyncio.Task[object] | None
    reading: bool
    writing: bool = False
    late: bool = False
    arriving: bool = False

    @property
    def due(self) -> float:
        """When it has taken too long."""
        return self.last if self.arriving else self.deadline

    def has_been_here(self, held_s: float) -> None:
        """Count the time before it was begun."""
        self.deadline -= held_s
        self.last -= held_s

    def pass_on(self) -> None:
        """Leave it to another server when a write gives up."""
        self.deadline, self.writing = self.last, False

    def timed_out(self) -> Timeout | None:
        """Return the answer if a cancellation was this request's deadline, and take it back."""
        if not self.late or self.task is None or self.task.uncancel() > 0:
            return None
        if self.writing and not self.arriving:
            return Timeout(
                "Timeout: request did not complete within requested timeout - context deadline exceeded",
                details={},
            )
        return Cut("Timeout: request did not complete within the allotted timeout", details={})


class Flights:
    """Every request that is not long-running."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._flights: dict[Flight, None] = {}
        self._under_way = [0, 0]
        """Requests that change things, and those that read."""
        self._most = [0, 0]
        """Of these at once since the last second began."""
        self._most_before = [0, 0]
        """In the second before it."""
        self._empty: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, info: RequestInfo, raw_query: str, now: float) -> Flight | None:
        """Note a request; None for one that may last. Raises BadRequest for a bad ``timeout``."""
        verb = info.verb
        if verb in _LASTING or info.subresource in _LONG:
            return None
        seconds = self._timeout_s
        if raw_query and (wanted := wanted_timeout_s(raw_query)) and wanted > 0:
            seconds = min(seconds, wanted)
        last = now + seconds
        writing = verb in _WRITING and info.is_resource
        if writing and seconds > _WRITE_TIMEOUT_S:
            seconds = _WRITE_TIMEOUT_S
        reading = verb in _READING
        flight = Flight(now + seconds, last, asyncio.current_task(), reading, writing)
        self._flights[flight] = None
        self._under_way[reading] = count = self._under_way[reading] + 1
        if count > self._most[reading]:
            self._most[reading] = count
        return flight

    def end(self, flight: Flight) -> None:
        del self._flights[flight]
        self._under_way[flight.reading] -= 1
        if self._empty is not None and not self._flights:
            self._empty.set()

    async def receive(self, flight: Flight, take: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the body that ``take`` waits for. Raises StatusError."""
        flight.arriving = True
        body = await take()
        flight.arriving = False
        self._look_at(flight, self._clock.monotonic())
        if flight.late:
            await asyncio.sleep(0)  # where its end finds it
        return body

    def sweep(self) -> None:
        """Cancel what is past its deadline."""
        now = self._clock.monotonic()
        for flight in self._flights:
            self._look_at(flight, now)

    def _look_at(self, flight: Flight, now: float) -> None:
        if flight.due <= now and not flight.late and flight.task is not None:
            flight.late = True
            flight.task.cancel()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            for _ in range(_SWEEPS_A_SECOND):
                await asyncio.sleep(1 / _SWEEPS_A_SECOND)
                if self._flights:
                    self.sweep()
            self.second()

    def second(self) -> None:
        """Begin another second of which the most requests at once are told."""
        self._most_before, self._most = self._most, self._under_way[:]

    async def landed(self, grace_s: float) -> None:
        """Wait until no request is under way, ``grace_s`` at most."""
        if not self._flights:
            return
        self._empty = asyncio.Event()
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            return

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of requests in flight: the most at once, of late."""
        writing, reading = map(max, self._most, self._most_before)
        family = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "[STABLE] Most requests at once in the last second.",
            labels=["request_kind"],
        )
        family.add_metric(["mutating"], writing)
        family.add_metric(["readOnly"], reading)
        yield family
