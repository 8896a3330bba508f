"""Flow control as metrics: every family of upstream's, and what a request leaves in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.families import Registry, text_of
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.apiserver.flowcontrol.controller import FlowControl, Rejected
from tiphys.apiserver.flowcontrol.families import families
from tiphys.apiserver.flowcontrol.work import ONE, Width

ALICE = User("alice", groups=("system:authenticated",))
GET = parse("GET", "/api/v1/namespaces/default/pods/p")
WATCH = parse("GET", "/api/v1/pods", "watch=1")
POST = parse("POST", "/api/v1/namespaces/default/pods")
FAMILIES = (
    "dispatched_requests_total", "rejected_requests_total", "request_dispatch_no_accommodation_total",
    "current_executing_requests", "current_executing_seats", "current_inqueue_requests",
    "current_inqueue_seats", "request_wait_duration_seconds_bucket", "request_execution_seconds_bucket",
    "request_queue_length_after_enqueue_bucket", "work_estimated_seats_bucket",
    "watch_count_samples_bucket", "nominal_limit_seats", "lower_limit_seats", "upper_limit_seats",
    "current_limit_seats", "demand_seats_average", "demand_seats_stdev", "demand_seats_high_watermark",
    "demand_seats_smoothed", "demand_seats_bucket", "target_seats", "seat_fair_frac", "current_r",
    "dispatch_r", "latest_s", "next_s_bounds", "next_discounted_s_bounds",
    "priority_level_seat_utilization_bucket", "priority_level_request_utilization_bucket",
)  # fmt: skip


def estimate(info: RequestInfo, _query: str, _most: int) -> Width:
    return Width(watchers=7) if info.verb == "create" else ONE


class Scrape:
    """The samples of one scrape."""

    def __init__(self, flow: FlowControl) -> None:
        class Source:
            def collect(self) -> Any:
                return families(flow)

        registry = Registry()
        registry.register(Source())  # type: ignore[arg-type]
        self.lines = dict(line.rsplit(" ", 1) for line in text_of(registry.collect()).decode().splitlines())

    def __call__(self, name: str, **labels: str) -> float:
        names = sorted(labels, key=lambda name: (name == "le", name))
        shown = ",".join(f'{name}="{labels[name]}"' for name in names)
        return float(self.lines[f"apiserver_flowcontrol_{name}" + (f"{{{shown}}}" if shown else "")])


OURS = {"flow_schema": "global-default", "priority_level": "global-default"}


@pytest.fixture
def flow() -> FlowControl:
    return FlowControl(FakeClock(), 600, 60.0, estimate)


async def test_every_family_is_there(flow: FlowControl) -> None:
    for info in (GET, WATCH, POST):
        (await flow.enter(info, ALICE, "")).leave()
    flow._reject(flow.flow_of(ALICE, GET), "queue-full", 0.0)
    scrape = Scrape(flow)
    for name in FAMILIES:
        assert any(line.startswith(f"apiserver_flowcontrol_{name}") for line in scrape.lines), name


async def test_what_a_request_leaves(flow: FlowControl) -> None:
    ticket = await flow.enter(GET, ALICE, "")
    assert flow.flow_of(ALICE, GET).pass_by()
    now = Scrape(flow)
    assert now("current_executing_requests", **OURS) == now("current_executing_seats", **OURS) == 1
    flow.clock.advance(0.3)  # type: ignore[attr-defined]
    ticket.leave()
    (await flow.enter(WATCH, ALICE, "")).leave()
    (await flow.enter(POST, ALICE, "")).leave()
    now = Scrape(flow)
    assert now("dispatched_requests_total", **OURS) == 4
    assert now("request_wait_duration_seconds_count", **OURS, execute="true") == 3
    assert now("request_wait_duration_seconds_bucket", **OURS, execute="true", le="0") == 0
    assert now("request_execution_seconds_count", **OURS, type="regular") == 3
    assert now("request_execution_seconds_bucket", **OURS, type="regular", le="0.2") == 2
    assert now("request_execution_seconds_count", **OURS, type="watch") == 1
    assert now("request_queue_length_after_enqueue_bucket", **OURS, le="10") == 3
    assert now("work_estimated_seats_bucket", **OURS, le="1") == 4
    assert now("watch_count_samples_sum", **OURS) == 7


async def test_time_weighs(flow: FlowControl) -> None:
    ticket = await flow.enter(GET, ALICE, "")
    flow.clock.advance(1)  # type: ignore[attr-defined]
    ticket.leave()
    flow.clock.advance(3)  # type: ignore[attr-defined]
    flow.borrow()
    now = Scrape(flow)
    level = {"priority_level": "global-default"}
    assert now("demand_seats_average", **level) == 0.25
    assert now("demand_seats_high_watermark", **level) == 1
    assert now("priority_level_seat_utilization_count", phase="executing", **level) == 4e9
    assert now("priority_level_seat_utilization_bucket", phase="executing", **level, le="0") == 3e9
    assert now("current_r", **level) == 1.0
    name = "read_vs_write_current_requests"
    reads = {"phase": "executing", "request_kind": "readOnly"}
    (await flow.enter(GET, ALICE, "")).leave()
    now = Scrape(flow)
    assert (now(f"{name}_count", **reads), now(f"{name}_sum", **reads)) == (4e9, 1e9)
    assert now(f"{name}_bucket", **reads, le="0.99") == 3e9
    assert now(f"{name}_count", phase="executing", request_kind="mutating") == 0


async def test_who_waits_and_who_is_refused(flow: FlowControl) -> None:
    queues = flow.flow_of(ALICE, GET).level.queues
    assert queues is not None
    queues.limit = 1
    first = await flow.enter(GET, ALICE, "")
    waiting = asyncio.ensure_future(flow.enter(GET, ALICE, ""))
    await asyncio.sleep(0)
    now = Scrape(flow)
    assert now("current_inqueue_requests", **OURS) == now("current_inqueue_seats", **OURS) == 1
    flow.clock.advance(0.4)  # type: ignore[attr-defined]
    first.leave()
    (await waiting).leave()
    error = flow._reject(flow.flow_of(ALICE, GET), "time-out", flow.clock.monotonic() - 1)
    assert isinstance(error, Rejected)
    now = Scrape(flow)
    assert now("request_wait_duration_seconds_bucket", **OURS, execute="true", le="0.2") == 1
    assert now("request_wait_duration_seconds_count", **OURS, execute="true") == 2
    assert now("request_wait_duration_seconds_sum", **OURS, execute="false") == 1.0
    assert now("rejected_requests_total", **OURS, reason="time-out") == 1
