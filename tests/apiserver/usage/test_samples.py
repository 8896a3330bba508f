"""Reading what kubelets say, and what was used between two readings."""

from __future__ import annotations

import pytest

from tiphys.apiserver.usage.samples import Point, between, parse, usages

TEXT = """# HELP container_cpu_usage_seconds_total x
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 1.5 100000
container_memory_working_set_bytes{container="c",namespace="ns",pod="p"} 2048 100000
container_start_time_seconds{container="c",namespace="ns",pod="p"} 5
pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 1.6 100000
node_cpu_usage_seconds_total 10.25 100000
node_memory_working_set_bytes 1.048576e+06 100000
resource_scrape_error 0
broken{ line
node_cpu_usage_seconds_total nonsense 1
"""


def test_reading() -> None:
    sample = parse(TEXT, 5.0)
    assert sample.node == Point(100.0, 10.25, 1048576)
    assert sample.containers == {("ns", "p", "c"): Point(100.0, 1.5, 2048)}


def test_without_a_stamp_the_time_of_reading_counts() -> None:
    assert parse("node_cpu_usage_seconds_total 1\n", 7.5).node.at_s == 7.5


@pytest.mark.parametrize(
    ("before", "after", "nano"),
    [
        (Point(0.0, 1.0, 5), Point(10.0, 2.0, 7), 100_000_000),
        (Point(0.0, 1.0, 5), Point(10.0, 1.0, 7), 0),
        (None, Point(10.0, 2.0, 7), None),
        (Point(0.0, 3.0, 5), Point(10.0, 2.0, 7), None),
        (Point(10.0, 1.0, 5), Point(10.0, 2.0, 7), None),
        (Point(0.0, None, 5), Point(10.0, 2.0, 7), None),
        (Point(0.0, 1.0, 5), Point(10.0, 2.0, None), None),
    ],
    ids=["a tenth", "idle", "new", "restarted", "the same moment", "no cpu", "no memory"],
)
def test_between(before: Point | None, after: Point, nano: int | None) -> None:
    found = between(before, after)
    assert (found.cpu_nano if found else None) == nano
    if found is not None:
        assert (found.at_s, found.window_s, found.memory_bytes) == (10.0, 10.0, 7)


def test_usages_are_of_what_both_samples_show() -> None:
    before = parse(TEXT, 0.0)
    after = parse(TEXT.replace("100000", "110000").replace("} 1.5", "} 2.5").replace("10.25", "15.25"), 0.0)
    after.containers["ns", "p", "new"] = Point(110.0, 1.0, 1)
    node, containers = usages(before, after)
    assert node is not None
    assert node.cpu_nano == 500_000_000
    assert {key[2]: one.cpu_nano for key, one in containers.items()} == {"c": 100_000_000}
