"""Flow control as metrics, with upstream's names and labels. Made when somebody scrapes.

Those who were answered without waiting are counted in passing; what upstream would have observed of them, a
wait of nothing and a queue with one request in it, is added here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from tiphys.apimachinery.families import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    number_text,
)
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.flowcontrol.demand import Held, State
from tiphys.apiserver.flowcontrol.levels import Counts, Level, Waiting
from tiphys.apiserver.observe.durations import Durations

_PREFIX: Final = "apiserver_flowcontrol_"
_FLOW: Final = ("flow_schema", "priority_level")
_LEVEL: Final = ("priority_level",)
_SHORT: Final = 1
"""The bucket of times up to 5 ms."""
_SHARES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_REQUEST_SHARES: Final = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0)
_CURRENT: Final = (0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_DEMANDS: Final = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0)
Rows = Iterable[tuple[Sequence[str], float]]


def families(flow: FlowControl) -> Iterator[Metric]:
    """Yield every family."""
    yield from _totals(flow.counts)
    yield from _present(flow)
    yield from _times(flow.counts)
    yield from _sizes(flow.counts)
    yield from _seats(flow)
    yield from _virtual(flow.levels.values())
    yield from _utilization(flow.levels.values())
    yield _reads_and_writes(flow)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Durations]]
) -> Metric:
    family = HistogramMetricFamily(_PREFIX + name, text, labels=labels)
    for values, found in rows:
        found.add_to(family, values)
    return family


_Counted = Mapping[tuple[str, str], Counts]


def _totals(counts: _Counted) -> Iterator[Metric]:
    yield _counter(
        "dispatched_requests", "[BETA] Requests that went on.", _FLOW,
        ((key, one.dispatched + one.passed) for key, one in counts.items()),
    )  # fmt: skip
    yield _counter(
        "rejected_requests", "[BETA] Requests turned away.", (*_FLOW, "reason"),
        (((*key, why), count) for key, one in counts.items() for why, count in one.rejected.items()),
    )  # fmt: skip
    yield _counter(
        "request_dispatch_no_accommodation", "Looks that found too few seats for who was next.", _FLOW,
        ((key, one.stuck) for key, one in counts.items()),
    )  # fmt: skip


def _present(flow: FlowControl) -> Iterator[Metric]:
    """Yield what runs and what waits now, by schema and level."""
    waiting: Counter[tuple[str, str]] = Counter()
    seats: Counter[tuple[str, str]] = Counter()
    for level in flow.levels.values():
        for queue in level.queues.queues if level.queues is not None else ():
            for turn in queue.waiting:
                if isinstance(turn.note, Waiting):
                    key = (turn.note.flow.schema.name, level.name)
                    waiting[key] += 1
                    seats[key] += turn.seats
    kinds: tuple[tuple[str, str, Callable[[tuple[str, str]], float]], ...] = (
        ("current_executing_requests", "[BETA] Requests that run.", lambda key: flow.counts[key].executing),
        ("current_executing_seats", "[BETA] Seats taken.", lambda key: flow.counts[key].seats),
        ("current_inqueue_requests", "[BETA] Requests that wait.", lambda key: waiting[key]),
        ("current_inqueue_seats", "Seats that are waited for.", lambda key: seats[key]),
    )
    for name, text, value in kinds:
        yield _gauge(name, text, _FLOW, ((key, value(key)) for key in flow.counts))


def _times(counts: _Counted) -> Iterator[Metric]:
    waits = (
        row
        for key, one in counts.items()
        for row in (
            ((*key, "true"), one.waits.plus(_SHORT, one.at_once)),
            ((*key, "false"), one.refused_waits),
        )
    )
    yield _histogram("request_wait_duration_seconds", "[BETA] Time in a queue.", (*_FLOW, "execute"), waits)
    runs = (
        row
        for key, one in counts.items()
        for row in (
            ((*key, "regular"), one.runs.plus(_SHORT, one.passed)), ((*key, "watch"), one.watches)
        )
    )  # fmt: skip
    yield _histogram("request_execution_seconds", "Time of requests' execution.", (*_FLOW, "type"), runs)


def _sizes(counts: _Counted) -> Iterator[Metric]:
    yield _histogram(
        "request_queue_length_after_enqueue", "Lengths of queues, as who joined saw them.", _FLOW,
        ((key, one.lengths.plus(1, one.at_once, 1.0)) for key, one in counts.items()),
    )  # fmt: skip
    yield _histogram(
        "work_estimated_seats", "Seats of requests, as estimated.", _FLOW,
        ((key, one.widths.plus(0, _narrow(one), 1.0)) for key, one in counts.items()),
    )  # fmt: skip
    yield _histogram(
        "watch_count_samples", "Watchers of what requests write.", _FLOW,
        ((key, one.watchers) for key, one in counts.items()),
    )  # fmt: skip


def _narrow(counts: Counts) -> int:
    """Return how many requests of one seat were not counted one by one."""
    refused = sum(counts.rejected.values())
    return max(counts.dispatched + counts.passed + refused - sum(counts.widths.buckets), 0)


def _seats(flow: FlowControl) -> Iterator[Metric]:
    levels = flow.levels
    limits = {
        name: one.queues.limit if one.queues is not None else max(one.bounds.least, one.held.demand.high)
        for name, one in levels.items()
    }
    kinds: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
        ("nominal_limit_seats", "[BETA] Seats by share.", lambda one: one.bounds.nominal),
        ("lower_limit_seats", "Seats never lent.", lambda one: one.bounds.least),
        ("upper_limit_seats", "Seats with all borrowed.", lambda one: one.bounds.most),
        ("current_limit_seats", "Seats now.", lambda one: limits[one.name]),
        ("demand_seats_average", "Seats wanted in the last period.", lambda one: one.held.demand.average),
        ("demand_seats_stdev", "Their deviation.", lambda one: one.held.demand.deviation),
        ("demand_seats_high_watermark", "Most seats wanted at once.", lambda one: one.held.demand.high),
        ("demand_seats_smoothed", "Seats to plan for.", lambda one: one.held.demand.smoothed),
        ("target_seats", "Seats that were planned for.", lambda one: one.target),
    )
    for name, text, value in kinds:
        yield _gauge(name, text, _LEVEL, (((one.name,), value(one)) for one in levels.values()))
    yield _gauge("seat_fair_frac", "Part of its target that a level gets.", (), [((), flow.fair)])


def _virtual(levels: Iterable[Level]) -> Iterator[Metric]:
    """Yield the progress of fair queuing, for who tunes it."""
    queued = [(one.name, one.queues) for one in levels if one.queues is not None]
    last = {name: queues.dispatched() for name, queues in queued}
    yield _gauge("current_r", "R, as it last changed.", _LEVEL, (((name,), one.r) for name, one in queued))
    yield _gauge(
        "dispatch_r", "R of the last start.", _LEVEL, (((name,), one.r) for name, one in last.items())
    )
    yield _gauge("latest_s", "S of the last start.", _LEVEL, (((name,), one.s) for name, one in last.items()))
    bounded = (*_LEVEL, "bound")
    yield _gauge(
        "next_s_bounds", "Least and most S of those who are next.", bounded,
        (row for name, one in last.items()
         for row in (((name, "min"), one.s_min), ((name, "max"), one.s_max))),
    )  # fmt: skip
    yield _gauge(
        "next_discounted_s_bounds", "The same, less the work under way.", bounded,
        (row for name, one in last.items()
         for row in (((name, "min"), one.discounted_min), ((name, "max"), one.discounted_max))),
    )  # fmt: skip


def _utilization(levels: Iterable[Level]) -> Iterator[Metric]:
    """Yield histograms that weigh by time: an observation for each nanosecond."""
    every = list(levels)
    seats = HistogramMetricFamily(
        f"{_PREFIX}priority_level_seat_utilization", "Seats in use.", labels=("phase", *_LEVEL)
    )
    requests = HistogramMetricFamily(
        f"{_PREFIX}priority_level_request_utilization", "Requests of what there is room for.",
        labels=("phase", *_LEVEL),
    )  # fmt: skip
    demand = HistogramMetricFamily(f"{_PREFIX}demand_seats", "Seats wanted of those by share.", labels=_LEVEL)
    for level in every:
        room = level.queues.limit if level.queues is not None else level.bounds.nominal
        places = level.queues.sizes.queues * level.queues.sizes.length if level.queues is not None else 1
        held, name = level.held, level.name
        _add(seats, ("executing", name), held, _SHARES, _part(lambda state: state.seats, room))
        _add(requests, ("executing", name), held, _REQUEST_SHARES, _part(lambda state: state.executing, room))
        _add(requests, ("waiting", name), held, _REQUEST_SHARES, _part(lambda state: state.waiting, places))
        _add(demand, (name,), held, _DEMANDS, _part(lambda state: state.demand, level.bounds.nominal))
    yield from (seats, requests, demand)


def _reads_and_writes(flow: FlowControl) -> Metric:
    """Return how many there were at a time: here there is no limit of which to tell a part."""
    name, text = f"{_PREFIX}read_vs_write_current_requests", "Requests that read, and that write."
    family = HistogramMetricFamily(name, text, labels=("phase", "request_kind"))
    for kind, tallies in (("mutating", flow.mutating), ("readOnly", flow.reading)):
        for phase, tally in (("executing", tallies.executing), ("waiting", tallies.waiting)):
            _put(family, (phase, kind), _CURRENT, *tally.histogram(_CURRENT))
    return family


def _part(value: Callable[[State], int], whole: int) -> Callable[[State], float]:
    return lambda state: value(state) / max(whole, 1)


def _add(
    family: HistogramMetricFamily, labels: Sequence[str], held: Held, bounds: Sequence[float],
    value: Callable[[State], float],
) -> None:  # fmt: skip
    _put(family, labels, bounds, *held.histogram(bounds, value))


def _put(
    family: HistogramMetricFamily, labels: Sequence[str], bounds: Sequence[float], counts: Sequence[int],
    total: float,
) -> None:  # fmt: skip
    running, buckets = 0, []
    for bound, count in zip((*map(number_text, bounds), "+Inf"), counts, strict=True):
        running += count
        buckets.append((bound, running))
    family.add_metric(labels, buckets, total)
