"""Counting is bare additions; what is scraped reads as if Prometheus' own classes had counted."""

import random

import prometheus_client as prometheus
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tiphys.apimachinery.families import Registry, text_of
from tiphys.client.counting import Counts, HeldSpreads, Levels, Spreads

BOUNDS = (0.001, 0.25, 1.0, 8.0, 4194304, 1.5e9)
VALUES = (0.0, 0.001, 0.5, 1.0, 7.5, 8.0, 9.0, 1e6, 123456789.25, 1e21, 3e-7)


def said(text: bytes) -> dict[object, float]:
    """What a scraper makes of a text, its bounds as numbers."""
    found: dict[object, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = {name: float(text) if name == "le" else text for name, text in sample.labels.items()}
            found[family.documentation, family.type, sample.name, frozenset(labels.items())] = sample.value
    return found


@pytest.fixture(autouse=True)
def _no_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what Prometheus' own classes say of the time that they were made at."""
    monkeypatch.setattr("prometheus_client.metrics._use_created", False)


@pytest.mark.parametrize("labels", [["kind"], []], ids=["labels", "none"])
@pytest.mark.parametrize("times", [0, 500])
def test_it_reads_as_what_prometheus_would_have_counted(labels: list[str], times: int) -> None:
    ours, theirs = Registry(), prometheus.CollectorRegistry()
    made = (
        (Counts("things", "Things.", labels, ours),
         prometheus.Counter("things", "Things.", labels, registry=theirs)),
        (Levels("now", "Now.\nOr \\ then.", labels, ours),
         prometheus.Gauge("now", "Now.\nOr \\ then.", labels, registry=theirs)),
        (Spreads("sizes", "Sizes.", labels, BOUNDS, ours),
         prometheus.Histogram("sizes", "Sizes.", labels, buckets=BOUNDS, registry=theirs)),
    )  # fmt: skip
    chance = random.Random(1)
    for _ in range(times):
        kind, value = chance.choice(("a", 'b"\\', "c\n")), chance.choice(VALUES)
        for family, what in zip(made, ("inc", "set", "observe"), strict=True):
            for one in family:
                child = one.labels(kind) if labels else one
                child = child.labels() if isinstance(child, Counts | Levels | Spreads) else child
                getattr(child, what)(*(() if what == "inc" else (value,)))
    assert said(text_of(ours.collect())) == said(prometheus.generate_latest(theirs))


def test_whoever_counts_keeps_its_own() -> None:
    registry = Registry()
    spreads = Spreads("tries", "Tries.", [], (1.0, 2.0), registry)
    spreads.labels().observe(2)
    assert spreads.labels() is spreads.labels()
    assert registry.sample_value("tries_bucket", {"le": "2"}) == 1
    assert registry.sample_value("tries_sum") == 2
    assert registry.sample_value("tries_sum", {"kind": "a"}) is None


def test_what_is_gone_is_shown_no_more() -> None:
    registry = Registry()
    counts = Counts("things", "Things.", ["kind"], registry)
    for kind in "ab":
        counts.labels(kind).inc(3)
    counts.remove("a")
    counts.remove("never there")
    assert registry.sample_value("things_total", {"kind": "a"}) is None
    assert registry.sample_value("things_total", {"kind": "b"}) == 3


def test_labels_are_those_of_the_family() -> None:
    with pytest.raises(ValueError, match="things has the labels kind, size"):
        Counts("things", "Things.", ["kind", "size"], Registry()).labels("a")


def test_values_that_are_held_are_there_for_who_looks() -> None:
    registry = Registry()
    spreads = HeldSpreads("s", "What is held.", ["a"], (1.0, 2.0), registry)
    one = spreads.labels("x")
    for value in (0.5, 1.0, 1.5, 7.0):
        one.hold(value)
    one.observe(2.0)  # at once
    assert one.buckets == [0, 1, 0]
    for _ in range(2):
        assert registry.sample_value("s_bucket", {"a": "x", "le": "1"}) == 2
        assert registry.sample_value("s_bucket", {"a": "x", "le": "2"}) == 4
        assert registry.sample_value("s_count", {"a": "x"}) == 5
        assert registry.sample_value("s_sum", {"a": "x"}) == 12
    one.hold(3.0)
    spreads.fold()
    assert one.buckets == [2, 2, 2]
