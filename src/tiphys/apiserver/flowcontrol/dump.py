"""``/debug/api_priority_and_fairness/dump_*``: what flow control does at this moment, as text columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from tiphys.apimachinery.clock import rfc3339_micro
from tiphys.apiserver.flowcontrol.controller import FlowControl, Waiting
from tiphys.wire.message import Request, Response

ROOT = "/debug/api_priority_and_fairness/"
_NONE = "<none>"
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


def _levels(flow: FlowControl) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        ("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
         "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
         "CancelledRequests")
    ]  # fmt: skip
    for level in flow.levels.values():
        counts = [one for (_, name), one in flow.counts.items() if name == level.name]
        sent = sum(one.dispatched for one in counts)
        refused = sum(count for one in counts for why, count in one.rejected.items() if why != "time-out")
        late = sum(one.rejected.get("time-out", 0) for one in counts)
        if level.queues is None:
            rows.append((level.name, *[_NONE] * 4, level.executing, sent, refused, late, 0))
            continue
        active = sum(1 for queue in level.queues.queues if queue.waiting)
        idle = not level.executing and not level.queues.waiting
        rows.append((level.name, active, idle, False, level.queues.waiting, level.executing, sent, refused,
                     late, 0))  # fmt: skip
    return rows


def _queues(flow: FlowControl) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse",
         "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum")
    ]  # fmt: skip
    for level in flow.levels.values():
        if level.queues is None:
            rows.append((level.name, *[_NONE] * 8))
            continue
        rows += [
            (level.name, queue.index, len(queue.waiting), queue.running, queue.running_seats,
             f"{queue.served_until:.8f}ss", queue.waiting_seats, queue.waiting_seats,
             f"{queue.waiting_seats:.8f}ss")
            for queue in level.queues.queues
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
    now, present = flow.clock.now(), flow.clock.monotonic()
    for level in flow.levels.values():
        for queue in level.queues.queues if level.queues else ():
            for place, turn in enumerate(queue.waiting):
                note = turn.note
                assert isinstance(note, Waiting)
                came = rfc3339_micro(now - timedelta(seconds=present - turn.arrived))
                row = [level.name, note.flow.schema.name, queue.index, place, note.flow.name, came,
                       note.width.seats, note.width.final, _go_time(note.width.extra_s),
                       "0001-01-01T00:00:00Z"]  # fmt: skip
                if details:
                    info = note.info
                    version = f"{info.group}/{info.version}" if info.group else info.version
                    row += [note.user, info.verb, info.path, info.namespace, info.name, version,
                            info.resource, info.subresource]  # fmt: skip
                rows.append(row)
    return rows


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
