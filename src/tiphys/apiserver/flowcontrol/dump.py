"""``/debug/api_priority_and_fairness/dump_*``: what flow control does at this moment, as text columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from tiphys.apimachinery.clock import rfc3339_micro
from tiphys.apiserver.flowcontrol.controller import FlowControl
from tiphys.apiserver.flowcontrol.fairqueue import PARTS
from tiphys.apiserver.flowcontrol.levels import Free, Level, Seats, Waiting
from tiphys.apiserver.flowcontrol.work import Width
from tiphys.wire.message import Request, Response

ROOT = "/debug/api_priority_and_fairness/"
_NEVER = "0001-01-01T00:00:00Z"
_NOWHERE = -1
_MIN_WIDTH = 8


def handle(flow: FlowControl, request: Request) -> Response | None:
    """Answer one dump; None for a path that is none."""
    what = request.path.removeprefix(ROOT)
    if what == "dump_priority_levels":
        rows = _levels(flow)
    elif what == "dump_queues":
        rows = _queues(flow)
    elif what == "dump_requests":
        rows = _requests(flow, details=bool(request.query.get("includeRequestDetails")))
    else:
        return None
    return Response(200, {"content-type": "text/plain; charset=utf-8"}, _table(rows).encode())


def _by_name(flow: FlowControl) -> list[Level]:
    return [flow.levels[name] for name in sorted(flow.levels)]


def _levels(flow: FlowControl) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        ("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
         "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
         "CancelledRequests")
    ]  # fmt: skip
    for level in _by_name(flow):
        counts = [one for (_, name), one in flow.counts.items() if name == level.name]
        sent = sum(one.dispatched + one.passed for one in counts)
        refused = sum(count for one in counts for count in one.rejected.values())
        late, gone = (sum(one.rejected.get(why, 0) for one in counts) for why in ("time-out", "cancelled"))
        queues = level.queues
        active = sum(1 for queue in queues.queues if queue.waiting) if queues is not None else 0
        waiting = queues.waiting if queues is not None else 0
        idle = not level.executing and not waiting
        rows.append((level.name, active, idle, level.quiescing, waiting, level.executing, sent, refused,
                     late, gone))  # fmt: skip
    return rows


def _queues(flow: FlowControl) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse",
         "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum")
    ]  # fmt: skip
    for level in _by_name(flow):
        rows += [
            (level.name, queue.index, len(queue.waiting), queue.running, queue.seats,
             f"{queue.next_r:.8f}ss", queue.waiting_first, queue.waiting_seats,
             f"{queue.waiting_work / PARTS:.8f}ss")
            for queue in (level.queues.queues if level.queues is not None else ())
        ]  # fmt: skip
    return rows


def _requests(flow: FlowControl, *, details: bool) -> list[Sequence[object]]:
    header = ["PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue",
              "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency",
              "StartTime"]  # fmt: skip
    if details:
        header += ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource",
                   "SubResource"]  # fmt: skip
    rows: list[Sequence[object]] = [header]
    for level in _by_name(flow):
        for queue in level.queues.queues if level.queues is not None else ():
            for place, turn in enumerate(queue.waiting):
                if isinstance(note := turn.note, Waiting):
                    where = (queue.index, place)
                    rows.append(
                        _request(flow, note, turn.width, where, (turn.arrived, None), details=details)
                    )
        for ticket in level.tickets:
            if isinstance(ticket, Free):
                both = (ticket.started, ticket.started)
                rows.append(_request(flow, ticket, ticket.width, (_NOWHERE, _NOWHERE), both, details=details))
            else:
                turn = ticket.turn
                where = (turn.queue.index if turn.queue is not None else _NOWHERE, _NOWHERE)
                span = (turn.arrived, turn.started)
                rows.append(_request(flow, ticket, turn.width, where, span, details=details))
    return rows


def _request(
    flow: FlowControl, one: Waiting | Seats | Free, width: Width, place: tuple[int, int],
    times: tuple[float, float | None], *, details: bool,
) -> Sequence[object]:  # fmt: skip
    """Return the row of a request that waits or runs (then its place in the queue is -1)."""
    now, present = flow.clock.now(), flow.clock.monotonic()
    came, began = (
        _NEVER if at is None else _shortest(rfc3339_micro(now - timedelta(seconds=present - at)))
        for at in times
    )
    row = [one.flow.level.name, one.flow.schema.name, *place, one.flow.name, came, width.seats, width.final,
           _go_time(width.extra_s), began]  # fmt: skip
    if details:
        info = one.info
        version = f"{info.group}/{info.version}" if info.group else info.version
        row += [one.user, info.verb, info.path, info.namespace, info.name, version, info.resource,
                info.subresource]  # fmt: skip
    return row


def _shortest(text: str) -> str:
    """Return a time without zeros behind its fraction, as Go's RFC3339Nano has it."""
    return text.removesuffix("Z").rstrip("0").rstrip(".") + "Z"


def _go_time(seconds: float) -> str:
    """Write a time below a second as Go does."""
    return f"{seconds * 1000:.6g}ms" if seconds else "0s"


def _table(rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out as upstream does: a comma after each cell but the last, columns aligned."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(_MIN_WIDTH, *(len(row[at]) + 2 for row in cells if at < len(row))) for at in range(len(cells[0]))
    ]
    lines = []
    for row in cells:
        padded = [f"{cell},".ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join(padded) + row[-1])
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
