"""Counting is bare additions; what is scraped reads as if Prometheus' own classes had counted."""

import random

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from tiphys.client.counting import Counts, Spreads

BOUNDS = (0.001, 0.25, 1.0, 8.0)


def lines(registry: CollectorRegistry) -> list[str]:
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


def test_it_reads_as_what_prometheus_would_have_counted() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts, spreads = (
        Counts("things", "Things.", ["kind"], ours),
        Spreads("sizes", "Sizes.", ["kind"], BOUNDS, ours),
    )
    counter = Counter("things", "Things.", ["kind"], registry=theirs)
    histogram = Histogram("sizes", "Sizes.", ["kind"], buckets=BOUNDS, registry=theirs)
    chance = random.Random(1)
    for _ in range(500):
        kind, value = chance.choice("abc"), chance.choice([0.0, 0.001, 0.5, 1.0, 7.5, 8.0, 9.0, 1e6])
        for made in (counts.labels(kind), counter.labels(kind)):
            made.inc()
        for seen in (spreads.labels(kind), histogram.labels(kind)):
            seen.observe(value)
    assert lines(ours) == lines(theirs)


def test_without_labels_and_before_anything_was_counted() -> None:
    registry = CollectorRegistry()
    spreads = Spreads("tries", "Tries.", [], (1.0, 2.0), registry)
    assert [line for line in lines(registry) if not line.startswith("#")] == []
    spreads.labels().observe(2)
    assert spreads.labels() is spreads.labels()
    assert 'tries_bucket{le="2.0"} 1.0' in lines(registry)
    assert "tries_sum 2.0" in lines(registry)
