"""What the row of a pod says in every state that people meet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apis.printers.pods import pod_row

NOW = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"
RUNNING = {"running": {"startedAt": CREATED}}


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}}


def ended(code: int = 0, reason: str = "", signal: int = 0) -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, "reason": reason, "signal": signal}}}


def ready(restarts: int = 0, last: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"state": RUNNING, "ready": True, "restartCount": restarts}
    if last:
        status["lastState"] = {"terminated": {"finishedAt": last}}
    return status


def named(statuses: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    return [
        {"name": f"{prefix}{index}", "restartCount": 0, **status} for index, status in enumerate(statuses)
    ]


def pod(
    *statuses: dict[str, Any],
    phase: str = "Running",
    init: list[dict[str, Any]] | None = None,
    sidecars: tuple[int, ...] = (),
    total: int = 0,
    deleting: bool = False,
    status: dict[str, Any] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    init_total: int = 0,
) -> dict[str, Any]:
    init = init or []
    meta = {"name": "p", "creationTimestamp": CREATED}
    if deleting:
        meta["deletionTimestamp"] = CREATED
    return {
        "metadata": meta,
        "spec": {
            "containers": [{"name": f"c{i}"} for i in range(total or len(statuses) or 1)],
            "initContainers": [
                {"name": f"i{i}", **({"restartPolicy": "Always"} if i in sidecars else {})}
                for i in range(init_total or len(init))
            ],
        },
        "status": {
            "phase": phase,
            "containerStatuses": named(list(statuses), "c"),
            "initContainerStatuses": named(init, "i"),
            "conditions": conditions or [],
            **(status or {}),
        },
    }


def restarted(state: dict[str, Any], count: int, last: str = "", **more: Any) -> dict[str, Any]:
    """Return the status of a container that was restarted, at a time of the last hour."""
    status = {"state": state, "restartCount": count, **more}
    if last:
        status["lastState"] = {"terminated": {"finishedAt": f"2026-01-01T00:{last}Z"}}
    return status


WAITS = waiting("")["state"]
DONE = ended()["state"]
KILLED = ended(137, "Error")["state"]
INITIALIZED = [{"type": "Initialized", "status": "True"}]
READY_CONDITION = [{"type": "Ready", "status": "True"}]
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a phase of its own": (pod(ready(3), {"restartCount": 3}, phase="Odd"), ["1/2", "Odd", "6"]),
    "a reason of its own": (
        pod(ready(3), {"ready": True, "restartCount": 3}, phase="Odd", status={"reason": "Why"}),
        ["1/2", "Why", "6"],
    ),
    "ready and not running": (pod(ready(3), {"ready": True, "restartCount": 3}), ["1/2", "Running", "6"]),
    "the first that says something decides": (
        pod(restarted(waiting("Waits")["state"], 3), restarted(ended(0, "Ended")["state"], 3)),
        ["0/2", "Waits", "6"],
    ),
    "one failed, one runs, all told failed": (
        pod(ended(1, "Crash"), ready(), phase="Failed"),
        ["1/2", "Crash", "0"],
    ),
    "one runs, one failed, all told failed": (
        pod(ready(), ended(1, "Crash"), phase="Failed"),
        ["1/2", "Crash", "0"],
    ),
    "one runs, one failed, one is done, all told failed": (
        pod(ready(), ended(1, "Crash"), ended(), phase="Failed"),
        ["1/3", "Crash", "0"],
    ),
    "an init container that was restarted": (
        pod(restarted(WAITS, 0), init=[restarted(RUNNING, 3, "59:50")]),
        ["0/1", "Init:0/1", "3 (10s ago)"],
    ),
    "the first of two was restarted": (
        pod(restarted(WAITS, 0), init=[restarted(RUNNING, 3, "59:50"), restarted(WAITS, 0)]),
        ["0/1", "Init:0/2", "3 (10s ago)"],
    ),
    "the second of two was restarted": (
        pod(restarted(WAITS, 0), init=[restarted(DONE, 0), restarted(RUNNING, 3, "59:50")]),
        ["0/1", "Init:1/2", "3 (10s ago)"],
    ),
    "both of two were restarted": (
        pod(restarted(WAITS, 0), init=[restarted(DONE, 2, "58:00"), restarted(RUNNING, 3, "59:50")]),
        ["0/1", "Init:1/2", "5 (10s ago)"],
    ),
    "restarts of init containers that are done do not count": (
        pod(restarted(RUNNING, 4, "59:40"), init=[restarted(DONE, 2, "58:00")]),
        ["0/1", "Running", "4 (20s ago)"],
    ),
    "the first of two sidecars runs": (
        pod(
            restarted(WAITS, 0),
            phase="Pending",
            sidecars=(0, 1),
            init=[restarted(RUNNING, 3, "59:50", started=False), restarted(WAITS, 0, started=False)],
        ),
        ["0/3", "Init:0/2", "3 (10s ago)"],
    ),
    "the first of two sidecars has started": (
        pod(
            restarted(WAITS, 0),
            phase="Pending",
            sidecars=(0, 1),
            init=[restarted(RUNNING, 3, "59:50", started=True), restarted(RUNNING, 0, started=False)],
        ),
        ["0/3", "Init:1/2", "3 (10s ago)"],
    ),
    "both sidecars have started": (
        pod(
            restarted(RUNNING, 4, "59:40", ready=True),
            sidecars=(0, 1),
            conditions=INITIALIZED,
            init=[restarted(RUNNING, 3, "59:50", started=True), restarted(RUNNING, 0, started=True)],
        ),
        ["1/3", "Running", "7 (10s ago)"],
    ),
    "sidecars killed when all was done": (
        pod(
            restarted(ended(0, "Completed")["state"], 4, "59:40"),
            phase="Succeeded",
            sidecars=(0, 1),
            conditions=INITIALIZED,
            init=[restarted(KILLED, 3, "59:50", started=False), restarted(KILLED, 0, started=False)],
        ),
        ["0/3", "Completed", "7 (10s ago)"],
    ),
    "statuses of containers that are not there": (
        pod({}, {}, total=1, sidecars=(1,), init=[{}, {}, {}], init_total=2),
        ["0/2", "Init:0/2", "0"],
    ),
    "done, another failed": (
        pod(ended(0, "Completed"), ended(1, "Error"), phase="Failed"),
        ["0/2", "Error", "0"],
    ),
    "done, others failed": (
        pod(ended(0, "Completed"), ended(7), ended(1, "Error"), phase="Failed"),
        ["0/3", "ExitCode:7", "0"],
    ),
    "done, another failed, a third runs": (
        pod(ended(0, "Completed"), ended(1, "Error"), ready()),
        ["1/3", "Error", "0"],
    ),
    "done, another failed, a third is all there is to be ready": (
        pod(ended(0, "Completed"), ended(1, "Error"), ready(), conditions=READY_CONDITION),
        ["1/3", "Running", "0"],
    ),
    "pending": (pod(phase="Pending"), ["0/1", "Pending", "0"]),
    "creating": (pod(waiting("ContainerCreating"), phase="Pending"), ["0/1", "ContainerCreating", "0"]),
    "running": (pod(ready()), ["1/1", "Running", "0"]),
    "half ready": (pod(ready(), {"state": RUNNING, "ready": False}), ["1/2", "Running", "0"]),
    "image": (pod(waiting("ImagePullBackOff"), phase="Pending"), ["0/1", "ImagePullBackOff", "0"]),
    "crash loop": (
        pod(
            {
                **waiting("CrashLoopBackOff"),
                "restartCount": 3,
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}},
            }
        ),
        ["0/1", "CrashLoopBackOff", "3 (5m ago)"],
    ),
    "restarted": (pod(ready(2, "2026-01-01T00:59:00Z")), ["1/1", "Running", "2 (60s ago)"]),
    "restarts without a time": (pod(ready(2)), ["1/1", "Running", "2"]),
    "latest restart counts": (
        pod(ready(1, "2026-01-01T00:10:00Z"), ready(1, "2026-01-01T00:50:00Z")),
        ["2/2", "Running", "2 (10m ago)"],
    ),
    "completed": (pod(ended(0, "Completed"), phase="Succeeded"), ["0/1", "Completed", "0"]),
    "succeeded without a reason": (pod(ended(), phase="Succeeded"), ["0/1", "ExitCode:0", "0"]),
    "error": (pod(ended(1, "Error"), phase="Failed"), ["0/1", "Error", "0"]),
    "exit code": (pod(ended(7)), ["0/1", "ExitCode:7", "0"]),
    "signal": (pod(ended(0, "", 9)), ["0/1", "Signal:9", "0"]),
    "one completed, one running": (
        pod(ended(0, "Completed"), ready(), conditions=READY_CONDITION),
        ["1/2", "Running", "0"],
    ),
    "one completed, one running, not ready": (pod(ended(0, "Completed"), ready()), ["1/2", "NotReady", "0"]),
    "evicted": (pod(phase="Failed", status={"reason": "Evicted"}), ["0/1", "Evicted", "0"]),
    "terminating": (pod(ready(), deleting=True), ["1/1", "Terminating", "0"]),
    "terminating but done": (
        pod(ended(0, "Completed"), phase="Succeeded", deleting=True),
        ["0/1", "Completed", "0"],
    ),
    "node lost": (pod(ready(), deleting=True, status={"reason": "NodeLost"}), ["1/1", "Unknown", "0"]),
    "gated": (
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        ["0/1", "SchedulingGated", "0"],
    ),
    "init first": (
        pod(
            waiting("PodInitializing"),
            phase="Pending",
            init=[waiting("PodInitializing"), waiting("PodInitializing")],
        ),
        ["0/1", "Init:0/2", "0"],
    ),
    "init second": (
        pod(waiting("PodInitializing"), phase="Pending", init=[ended(0, "Completed"), {"state": RUNNING}]),
        ["0/1", "Init:1/2", "0"],
    ),
    "init error": (pod(phase="Pending", init=[ended(1, "Error")]), ["0/1", "Init:Error", "0"]),
    "init exit code": (pod(phase="Pending", init=[ended(3)]), ["0/1", "Init:ExitCode:3", "0"]),
    "init signal": (pod(phase="Pending", init=[ended(3, "", 9)]), ["0/1", "Init:Signal:9", "0"]),
    "init crash loop": (
        pod(phase="Pending", init=[{**waiting("CrashLoopBackOff"), "restartCount": 2}]),
        ["0/1", "Init:CrashLoopBackOff", "2"],
    ),
    "init done": (pod(ready(), init=[{**ended(0, "Completed"), "restartCount": 4}]), ["1/1", "Running", "0"]),
    "sidecar ready": (
        pod(ready(), init=[{**ready(1), "started": True}], sidecars=(0,)),
        ["2/2", "Running", "1"],
    ),
    "sidecar not started": (
        pod(phase="Pending", init=[{"state": RUNNING, "started": False}], sidecars=(0,)),
        ["0/2", "Init:0/1", "0"],
    ),
    "sidecar started, init waits": (
        pod(phase="Pending", init=[{**ready(), "started": True}, {"state": RUNNING}], sidecars=(0,)),
        ["1/2", "Init:1/2", "0"],
    ),
}


@pytest.mark.parametrize(("obj", "cells"), CASES.values(), ids=CASES)
def test_state(obj: dict[str, Any], cells: list[str]) -> None:
    assert pod_row(obj, NOW)[:5] == ["p", *cells, "60m"]


def test_wide_cells() -> None:
    obj = pod(ready(), status={"podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}], "nominatedNodeName": "m"})
    obj["spec"]["nodeName"] = "n"
    obj["spec"]["readinessGates"] = [{"conditionType": "a"}, {"conditionType": "b"}]
    obj["status"]["conditions"] = [{"type": "a", "status": "True"}]
    assert pod_row(obj, NOW)[5:] == ["10.0.0.1", "n", "m", "1/2"]
    assert pod_row(pod(), NOW)[5:] == ["<none>"] * 4
