"""Wires what orders requests: priority and fairness (or plain limits), deadlines, and their metrics.

Owns: which gate a server has by its options, and what of it follows the store. Called by ``ApiServer``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tiphys.apiserver.call import Backend
from tiphys.apiserver.chain import Traffic
from tiphys.apiserver.feed import Feed
from tiphys.apiserver.flights import Flights
from tiphys.apiserver.flowcontrol import dump
from tiphys.apiserver.flowcontrol.controller import FlowControl, Level
from tiphys.apiserver.flowcontrol.inflight import MaxInFlight
from tiphys.apiserver.flowcontrol.repair import Repair
from tiphys.apiserver.flowcontrol.work import list_seats
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
        flow = FlowControl(backend.clock, reading + mutating, options.request_timeout_s, self._estimate)
        self.flow, self._repair = flow, Repair(backend, flow)
        self.traffic = Traffic(flow, flights)

    def _count(self, info: RequestInfo) -> int:
        row = self._backend.table.served_at(info.group, info.version, info.resource)
        return self._backend.store.count(row, info.namespace) if row is not None else 0

    def _estimate(self, info: RequestInfo, raw_query: str) -> int:
        return list_seats(self._count, info, raw_query)

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


def _counts(flow: FlowControl) -> Iterator[Metric]:
    dispatched = CounterMetricFamily(f"{_PREFIX}dispatched_requests", "Requests that went on.", labels=_FLOW)
    rejected = CounterMetricFamily(
        f"{_PREFIX}rejected_requests", "Requests turned away.", labels=[*_FLOW, "reason"]
    )
    waits = HistogramMetricFamily(
        f"{_PREFIX}request_wait_duration_seconds", "Time in a queue.", labels=[*_FLOW, "execute"]
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
        family = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=["priority_level"])
        for level, value in values.items():
            family.add_metric([level], value)
        return family

    levels = flow.levels.values()
    limited: list[Level] = [level for level in levels if level.queues is not None]
    queues = {level.name: level.queues for level in limited if level.queues is not None}
    yield gauge("nominal_limit_seats", "Seats by share.", {one.name: one.bounds.nominal for one in levels})
    yield gauge("lower_limit_seats", "Seats never lent.", {one.name: one.bounds.least for one in levels})
    yield gauge(
        "upper_limit_seats", "Seats with all borrowed.", {one.name: one.bounds.most for one in levels}
    )
    yield gauge("current_limit_seats", "Seats now.", {name: one.limit for name, one in queues.items()})
    yield gauge("current_executing_seats", "Seats taken.", {name: one.in_use for name, one in queues.items()})
    yield gauge("demand_seats_smoothed", "Seats wanted.", {one.name: one.demand for one in limited})
    executing = GaugeMetricFamily(
        f"{_PREFIX}current_executing_requests", "Requests that run.", labels=["priority_level"]
    )
    for level in levels:
        executing.add_metric([level.name], level.executing)
    yield executing
    yield gauge("current_inqueue_requests", "Requests that wait.", {k: q.waiting for k, q in queues.items()})
