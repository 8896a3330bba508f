"""Wires what orders requests: priority and fairness (or plain limits), deadlines, and their metrics.

Owns: which gate a server has by its options, and what of it follows the store. Called by ``ApiServer``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.filters.chain import Traffic
from tiphys.apiserver.filters.flights import Flights
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol import dump
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.flowcontrol.families import families
from tiphys.apiserver.flowcontrol.inflight import MaxInFlight
from tiphys.apiserver.flowcontrol.repair import Repair
from tiphys.apiserver.flowcontrol.work import Stored, Widths
from tiphys.apiserver.registry.feed import Feed
from tiphys.wire.message import Request, Response


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
        widths = Widths(self._stored, backend.watches.interested, by_size=by_size)
        flow = FlowControl(backend.clock, reading + mutating, options.request_timeout_s, widths)
        self.flow, self._repair = flow, Repair(backend, flow)
        self.traffic = Traffic(flow, flights)

    def _stored(self, info: RequestInfo) -> Stored:
        row = self._backend.table.served_at(info.group, info.version, info.resource)
        if row is None:
            return Stored(0)
        store = self._backend.store
        return Stored(store.count(row, info.namespace), store.average_bytes(row))

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

    def _waiting(self) -> Iterator[tuple[str, int]]:
        flow = self.flow
        yield "mutating", flow.mutating.waiting.count if flow is not None else 0
        yield "readOnly", flow.reading.waiting.count if flow is not None else 0

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of requests in flight and of flow control."""
        yield from self.traffic.flights.collect()
        waiting = GaugeMetricFamily(
            "apiserver_current_inqueue_requests", "Requests that wait for a seat.", labels=["request_kind"]
        )
        for kind, count in self._waiting():
            waiting.add_metric([kind], count)
        yield waiting
        if self.flow is None:
            return
        yield from families(self.flow)
