"""Wires what orders requests: priority and fairness (or plain limits), deadlines, and their metrics.

Owns: which gate a server has by its options, and what of it follows the store. Called by ``ApiServer``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tiphys.apiserver.call import Backend
from tiphys.apiserver.chain import Traffic
from tiphys.apiserver.feed import Feed
from tiphys.apiserver.flights import Flights
from tiphys.apiserver.flowcontrol import dump
from tiphys.apiserver.flowcontrol.controller import FlowControl, Level, Waiting
from tiphys.apiserver.flowcontrol.inflight import MaxInFlight
from tiphys.apiserver.flowcontrol.repair import Repair
from tiphys.apiserver.flowcontrol.work import Stored, Widths
from tiphys.apiserver.requestinfo import RequestInfo
from tiphys.wire.message import Request, Response

_FLOW = ("flow_schema", "priority_level")
_PREFIX = "apiserver_flowcontrol_"


class TrafficControl:
    """``traffic`` is for the chain; ``feeds`` and ``run`` are the server's to follow and to run."""

    def __init__(self, backend: Backend) -> None:
        options = backend.options
        self._backend = backend
        self.flow: FlowControl | None = None
        self._repair: Repair | None = None
        flights = Flights(backend.clock, options.request_timeout_s)
        reading, mutating = options.max_requests_inflight, options.max_mutating_requests_inflight
        if not options.priority_and_fairness:
            self.traffic = Traffic(MaxInFlight(reading, mutating), flights)
            return
        by_size = options.feature_gates.enabled("SizeBasedListCostEstimate")
        widths = Widths(self._stored, self._watchers, by_size=by_size)
        flow = FlowControl(backend.clock, reading + mutating, options.request_timeout_s, widths)
        self.flow, self._repair = flow, Repair(backend, flow)
        self.traffic = Traffic(flow, flights)

    def _stored(self, info: RequestInfo) -> Stored:
        row = self._backend.table.served_at(info.group, info.version, info.resource)
        if row is None:
            return Stored(0)
        store = self._backend.store
        return Stored(store.count(row, info.namespace), store.average_bytes(row))

    def _watchers(self, info: RequestInfo) -> int:
        row = self._backend.table.served_at(info.group, info.version, info.resource)
        return self._backend.store.interested(row, info.namespace, info.name) if row is not None else 0

    def feeds(self) -> list[Feed]:
        return self._repair.feeds() if self._repair is not None else []

    async def prime(self) -> None:
        """Write the objects that every cluster has."""
        if self._repair is not None:
            await self._repair.mend()

    async def run(self) -> None:
        """Keep deadlines, seats and objects in order, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.traffic.flights.run())
            if self.flow is not None and self._repair is not None:
                group.create_task(self.flow.run())
                group.create_task(self._repair.run())

    def debug(self, request: Request) -> Response | None:
        """Answer a path below ``/debug/api_priority_and_fairness``."""
        return dump.handle(self.flow, request) if self.flow is not None else None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of requests in flight and of flow control."""
        yield from self.traffic.flights.collect()
        if self.flow is None:
            return
        yield from _counts(self.flow)
        yield from _seats(self.flow)
        yield from _present(self.flow)


def _counts(flow: FlowControl) -> Iterator[Metric]:
    dispatched = CounterMetricFamily(
        f"{_PREFIX}dispatched_requests", "[BETA] Requests that went on.", labels=_FLOW
    )
    rejected = CounterMetricFamily(
        f"{_PREFIX}rejected_requests", "[BETA] Requests turned away.", labels=[*_FLOW, "reason"]
    )
    waits = HistogramMetricFamily(
        f"{_PREFIX}request_wait_duration_seconds", "[BETA] Time in a queue.", labels=[*_FLOW, "execute"]
    )
    for key, counts in flow.counts.items():
        dispatched.add_metric(key, counts.dispatched)
        for why, count in counts.rejected.items():
            rejected.add_metric([*key, why], count)
        counts.waits.add_to(waits, [*key, "true"])
    yield dispatched
    yield rejected
    yield waits


def _seats(flow: FlowControl) -> Iterator[Metric]:
    def gauge(name: str, text: str, values: dict[str, float]) -> Metric:
        family = GaugeMetricFamily(f"{_PREFIX}{name}", f"[ALPHA] {text}", labels=["priority_level"])
        for level, value in values.items():
            family.add_metric([level], value)
        return family

    levels = flow.levels.values()
    limited: list[Level] = [level for level in levels if level.queues is not None]
    queues = {level.name: level.queues for level in limited if level.queues is not None}
    nominal = GaugeMetricFamily(
        f"{_PREFIX}nominal_limit_seats", "[BETA] Seats by share.", labels=["priority_level"]
    )
    for level in levels:
        nominal.add_metric([level.name], level.bounds.nominal)
    yield nominal
    yield gauge("lower_limit_seats", "Seats never lent.", {one.name: one.bounds.least for one in levels})
    yield gauge(
        "upper_limit_seats", "Seats with all borrowed.", {one.name: one.bounds.most for one in levels}
    )
    yield gauge("current_limit_seats", "Seats now.", {name: one.limit for name, one in queues.items()})
    yield gauge("demand_seats_smoothed", "Seats wanted.", {one.name: one.demand for one in limited})
    yield gauge(
        "demand_seats_high_watermark", "Most seats wanted at once since the last look.",
        {one.name: one.high for one in limited},
    )  # fmt: skip


def _present(flow: FlowControl) -> Iterator[Metric]:
    """Yield what runs and what waits now, by schema and level."""
    families = {
        name: GaugeMetricFamily(f"{_PREFIX}{name}", f"[BETA] {text}", labels=_FLOW)
        for name, text in (
            ("current_executing_requests", "Requests that run."),
            ("current_executing_seats", "Seats taken."),
            ("current_inqueue_requests", "Requests that wait."),
        )
    }
    waiting = Counter(
        (turn.note.flow.schema.name, level.name)
        for level in flow.levels.values()
        for queue in (level.queues.queues if level.queues is not None else ())
        for turn in queue.waiting
        if isinstance(turn.note, Waiting)
    )
    for key, counts in flow.counts.items():
        values = (counts.executing, counts.seats, waiting[key])
        for family, value in zip(families.values(), values, strict=True):
            family.add_metric(key, value)
    yield from families.values()
