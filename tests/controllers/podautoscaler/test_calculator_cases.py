"""How many replicas each kind of metric proposes, case by case: pods of two containers, levels for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery import quantity
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
    requests_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COOL, HOT = NOW - timedelta(minutes=10), NOW - timedelta(seconds=5)
PER_POD = 2


@dataclass(frozen=True)
class Given:
    """Pods by a letter each: ready, Unready, Hot (ready, only just), Pending, Failed, Deleted, Succeeded."""

    replicas: int
    pods: str
    levels: list[int]
    target: int
    requests: list[str] = field(default_factory=list)

    @property
    def running(self):
        return [self._pod(number, letter) for number, letter in enumerate(self.pods)]

    def _pod(self, number, letter):
        begun = rfc3339(HOT if letter == "H" else COOL)
        requests = {"cpu": self.requests[number]} if self.requests else {"cpu": "1"}
        meta = {"name": f"p{number}"} | ({"deletionTimestamp": begun} if letter == "D" else {})
        phase = {"P": "Pending", "F": "Failed", "S": "Succeeded"}.get(letter, "Running")
        ready = "True" if letter in "rH" else "False"
        return {
            "metadata": meta,
            "spec": {"containers": [{"name": name, "resources": {"requests": requests}} for name in "ab"]},
            "status": {"phase": phase, "startTime": begun, "conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": begun}]},
        }  # fmt: skip

    def case(self, resource="", per_pod=1):
        readings = {f"p{number}": Reading(level * per_pod, NOW) for number, level in enumerate(self.levels)}
        return Case(self.running, readings, self.replicas, Tolerance(), NOW, resource)


TENTHS = [f"{300 + by}m" for by in (100, -100, 10, -10, 2, -2, 1, -1, 0, 0)]
UTILIZATION = [
    ("up", Given(3, "rrr", [300, 500, 700], 30), 5, 50, 500),
    ("up less for an unready one", Given(3, "Urr", [300, 500, 700], 30), 4, 60, 600),
    ("up less for a hot one", Given(3, "Hrr", [300, 500, 700], 30), 4, 60, 600),
    ("not up for unready ones", Given(3, "rUU", [400, 500, 700], 30), 3, 40, 400),
    ("not up for hot ones", Given(3, "rHH", [400, 500, 700], 30), 3, 40, 400),
    ("up past failed ones", Given(2, "rrFF", [500, 700], 30), 4, 60, 600),
    ("up past deleted ones", Given(2, "rrDD", [500, 700], 30), 4, 60, 600),
    ("up past finished ones", Given(2, "rrSS", [500, 700], 30), 4, 60, 600),
    ("down", Given(5, "rrrrr", [100, 300, 500, 250, 250], 50), 3, 28, 280),
    ("down with unready ones", Given(5, "rrrUU", [100, 300, 500, 250, 250], 50), 2, 30, 300),
    ("down past pending ones", Given(5, "rPPPP", [100], 50), 1, 10, 100),
    ("down past hot ones", Given(5, "rrrHH", [100, 300, 500, 250, 250], 50), 2, 30, 300),
    ("down past failed ones", Given(5, "rrrrrFF", [100, 300, 500, 250, 250], 50), 3, 28, 280),
    ("down past deleted ones", Given(5, "rrrrrDD", [100, 300, 500, 250, 250], 50), 3, 28, 280),
    ("near enough", Given(3, "rrr", [1010, 1030, 1020], 100, ["900m", "1", "1100m"]), 3, 102, 1020),
    ("figures of nobody", Given(4, "rrrr", [4000, 9500, 3000, 7000, 3200, 2000], 100), 24, 587, 5875),
    ("some missing", Given(4, "rrrr", [400, 95], 100), 3, 24, 247.5),
    ("one missing, all even", Given(2, "rr", [1000], 100), 2, 100, 1000),
    ("one missing, more", Given(2, "rr", [1900], 100), 2, 190, 1900),
    ("one missing, less", Given(2, "rr", [600], 100), 2, 60, 600),
    ("one missing, target above all that is asked", Given(2, "rr", [1500], 200), 2, 150, 1500),
    ("missing, unready, no change", Given(3, "Urr", [100, 450], 50), 3, 45, 450),
    ("missing, hot, no change", Given(3, "Hrr", [100, 450], 50), 3, 45, 450),
    ("missing, unready, up", Given(3, "Urr", [100, 2000], 50), 4, 200, 2000),
    ("missing, hot, up", Given(3, "Hrr", [100, 2000], 50), 4, 200, 2000),
    ("missing, unready, down", Given(4, "Urrr", [100, 100, 100], 50), 3, 10, 100),
    ("in the middle of a surge", Given(2, "rrr", [100, 100], 50), 2, 10, 100),
    ("just past the tolerance", Given(10, "r" * 10, [150] * 10, 56, TENTHS), 9, 50, 150),
    ("just within the tolerance", Given(10, "r" * 10, [150] * 10, 55, TENTHS), 10, 50, 150),
]


@pytest.mark.parametrize(
    ("given", "replicas", "percent", "level"),
    [pytest.param(*rest, id=name) for name, *rest in UTILIZATION],
)
def test_utilization(given, replicas, percent, level):
    requests = requests_of(given.running, "cpu")
    found = by_utilization(given.case("cpu", PER_POD), requests, given.target)
    assert (found.replicas, found.utilization, found.average) == (replicas, percent, level * PER_POD)


PER_METRIC = [
    ("up", Given(3, "rrr", [20000, 10000, 30000], 15000), 4, 20000),
    ("unready and hot ones count", Given(3, "rrU", [50000, 10000, 30000], 15000), 6, 30000),
    ("and let it grow", Given(3, "UrU", [50000, 15000, 30000], 15000), 7, 31666),
    ("one", Given(1, "r", [8600], 4400), 2, 8600),
    ("down", Given(5, "rrrrr", [12000] * 5, 20000), 3, 12000),
    ("near enough", Given(3, "rrr", [20000, 21000, 21000], 20000), 3, 20666),
    ("one missing, all even", Given(3, "rrr", [20000, 20000], 20000), 3, 20000),
]


@pytest.mark.parametrize(
    ("given", "replicas", "average"), [pytest.param(*rest, id=name) for name, *rest in PER_METRIC]
)
def test_metrics_of_pods(given, replicas, average):
    found = by_average(given.case(), given.target)
    assert (found.replicas, found.average) == (replicas, average)


NUMBERS = [
    ("up", 3, "rrr", 20000, 15000, 4),
    ("up past unready ones", 3, "UrU", 50000, 10000, 5),
    ("few are ready", 3, "UrU", 8600, 4400, 2),
    ("down", 5, "rrrrr", 12000, 20000, 3),
    ("down, more exactly", 5, "rrrrr", 8600, 14334, 3),
    ("near enough", 3, "rrr", 20666, 20000, 3),
    ("near enough below", 3, "rrr", 8600, 8888, 3),
]


@pytest.mark.parametrize(
    ("replicas", "pods", "usage", "target", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in NUMBERS],
)
def test_one_number(replicas, pods, usage, target, expected):
    running = Given(replicas, pods, [], target).running
    assert by_value(usage, target, replicas, running, Tolerance()).replicas == expected


def test_one_number_and_no_pods():
    with pytest.raises(NoMetrics, match="unable to calculate ready pods: no pods returned by selector"):
        by_value(300, 100, 2, [], Tolerance())
    assert by_value(100, 100, 2, [], Tolerance()).replicas == 2


@pytest.mark.parametrize(
    ("usage", "target", "replicas", "expected", "average"),
    [
        (20000, 5000, 3, 4, 6667), (8600, 2150, 3, 4, 2867), (6000, 2000, 5, 3, 1200),
        (8600, 2867, 5, 3, 1720), (20166, 5000, 4, 4, 5042), (8600, 2900, 3, 3, 2867),
        (300, 100, 0, 3, 0), (0, 100, 0, 0, 0),
    ],
)  # fmt: skip
def test_one_number_among_pods(usage, target, replicas, expected, average):
    found = by_value_per_pod(usage, target, replicas, Tolerance())
    assert (found.replicas, found.average) == (expected, average)


def pod_of(**spec):
    return [{"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}], **spec}, "status": {}}]


@pytest.mark.parametrize(
    ("pods", "container", "expected"),
    [
        pytest.param(pod_of(resources={"requests": {"cpu": "2"}}, overhead={"cpu": "500m"}), "",
                     2500, id="whole pod"),
        pytest.param(pod_of(resources={"requests": {"memory": "2"}}), "",
                     "missing pod-level request for cpu in Pod p", id="whole pod, of another resource"),
        pytest.param(pod_of(resources={"requests": {"cpu": "2"}}), "a",
                     "missing request for cpu in container a of Pod p", id="one container has none"),
        pytest.param(pod_of(), "b", "container b not found in Pod p", id="no such container"),
    ],
)  # fmt: skip
def test_requests(pods, container, expected):
    if isinstance(expected, int):
        assert requests_of(pods, "cpu", container) == {"p": expected}
        return
    with pytest.raises(NoMetrics) as caught:
        requests_of(pods, "cpu", container)
    assert str(caught.value) == expected


def test_the_cases_ask_for_what_they_say():
    assert sum(quantity.parse(one).milli() for one in TENTHS) == 3000
