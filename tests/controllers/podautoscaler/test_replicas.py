"""What one metric proposes."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.podautoscaler.replicas import (
    Case,
    NoMetrics,
    Reading,
    Tolerance,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group,
    requests_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)


def pod(name, *, ready=True, cpu="100m", phase="Running", started=LONG_AGO, changed=LONG_AGO, **meta):
    condition = {"type": "Ready", "status": "True" if ready else "False",
                 "lastTransitionTime": rfc3339(changed)}  # fmt: skip
    asked = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "metadata": {"name": name, **meta},
        "spec": {"containers": [{"name": "c", "resources": asked}]},
        "status": {"phase": phase, "conditions": [condition], "startTime": rfc3339(started)},
    }


def pods(count, **rest):
    return [pod(f"p{number}", **rest) for number in range(count)]


def case(running, used, replicas, resource="cpu", tolerance=None):
    readings = {f"p{number}": Reading(amount, NOW) for number, amount in enumerate(used)}
    return Case(running, readings, replicas, tolerance or Tolerance(), NOW, resource)


@pytest.mark.parametrize(
    ("name", "running", "used", "replicas", "expected"),
    [
        ("twice too much", pods(2), [100, 100], 2, 4),
        ("half", pods(2), [25, 25], 2, 1),
        ("near enough above", pods(2), [55, 55], 2, 2),
        ("near enough below", pods(2), [45, 45], 2, 2),
        ("one missing, growing", pods(2), [200], 2, 4),
        ("one missing, shrinking: counts as if busy", pods(2), [10], 2, 2),
        ("missing ones turn it round", pods(4), [60], 4, 4),
        ("an unready one does not slow shrinking", [*pods(2), pod("p2", ready=False, started=NOW)],
         [25, 25, 0], 3, 1),
        ("an unready one counts as idle while growing", [*pods(2), pod("p2", ready=False, started=NOW)],
         [100, 100, 500], 3, 4),
    ],
)  # fmt: skip
def test_by_utilization(name, running, used, replicas, expected):
    found = by_utilization(case(running, used, replicas), requests_of(running, "cpu"), 50)
    assert found.replicas == expected, name


def test_what_is_told():
    found = by_utilization(case(pods(2), [80, 40], 2), requests_of(pods(2), "cpu"), 50)
    assert (found.average, found.utilization) == (60, 60)


@pytest.mark.parametrize(
    ("used", "replicas", "expected"), [([60, 60], 2, 6), ([20, 20], 2, 2), ([21, 21], 2, 2), ([10, 10], 2, 1)]
)
def test_by_average(used, replicas, expected):
    assert by_average(case(pods(2), used, replicas), 20).replicas == expected


def test_a_tolerance_of_ones_own():
    assert by_average(case(pods(2), [21, 21], 2, tolerance=Tolerance(0.01, 0.01)), 20).replicas == 3


@pytest.mark.parametrize(
    ("running", "used", "text"),
    [
        ([], [], "no pods returned by selector while calculating replica count"),
        (pods(1), [], "did not receive metrics for targeted pods"),
        ([pod("p0", phase="Pending")], [5], "did not receive metrics for targeted pods"),
    ],
)
def test_no_metrics(running, used, text):
    with pytest.raises(NoMetrics, match=text):
        by_average(case(running, used, 1), 20)


def test_a_container_without_a_request():
    with pytest.raises(NoMetrics, match="missing request for cpu in container c of Pod p0"):
        requests_of(pods(1, cpu=None), "cpu")


def test_requests_of_one_container_and_of_sidecars():
    one = pod("p")
    one["spec"]["containers"].append({"name": "d", "resources": {"requests": {"cpu": "1"}}})
    one["spec"]["initContainers"] = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "10m"}}},
        {"name": "first", "resources": {"requests": {"cpu": "5"}}},
    ]
    assert requests_of([one], "cpu") == {"p": 1110}
    assert requests_of([one], "cpu", "d") == {"p": 1000}


YOUNG = NOW - timedelta(minutes=2)


@pytest.mark.parametrize(
    ("name", "one", "kind"),
    [
        ("plain", pod("p"), "ready"),
        ("deleted", pod("p", deletionTimestamp="x"), "ignored"),
        ("failed", pod("p", phase="Failed"), "ignored"),
        ("pending", pod("p", phase="Pending"), "unready"),
        ("young and not ready", pod("p", ready=False, started=YOUNG), "unready"),
        ("young, ready for longer than the window", pod("p", started=YOUNG, changed=YOUNG), "ready"),
        ("young, ready only just", pod("p", started=YOUNG, changed=NOW), "unready"),
        ("old, fell out", pod("p", ready=False, changed=NOW), "ready"),
        ("old, never was ready", pod("p", ready=False), "unready"),
    ],
)
def test_groups_by_cpu(name, one, kind):
    found = group([one], {"p": Reading(5, NOW, 60.0)}, "cpu", NOW)
    got = "ready" if found.ready else "unready" if found.unready else "ignored"
    assert got == kind, name


def test_memory_does_not_ask_for_age():
    young = pod("p", ready=False, started=NOW)
    assert group([young], {"p": Reading(5, NOW)}, "memory", NOW).ready == 1
    assert group([young], {}, "memory", NOW).missing == {"p"}


@pytest.mark.parametrize(
    ("usage", "target", "replicas", "ready", "expected"),
    [(200, 100, 3, 3, 6), (105, 100, 3, 3, 3), (200, 100, 3, 2, 4), (250, 100, 0, 0, 3)],
)
def test_by_value(usage, target, replicas, ready, expected):
    assert by_value(usage, target, replicas, pods(ready), Tolerance()).replicas == expected


@pytest.mark.parametrize(
    ("usage", "target", "replicas", "expected", "average"),
    [(1000, 100, 5, 10, 200), (520, 100, 5, 5, 104), (90, 100, 5, 1, 18), (300, 100, 0, 3, 0)],
)
def test_by_value_per_pod(usage, target, replicas, expected, average):
    found = by_value_per_pod(usage, target, replicas, Tolerance())
    assert (found.replicas, found.average) == (expected, average)
