"""Families and their text, held against that of Prometheus' own library."""

import math

import prometheus_client as prometheus
import pytest
from prometheus_client import core

from tiphys.apimachinery import families
from tiphys.apimachinery.families import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    number_text,
    text_of,
)

BUCKETS = [("0.5", 1.0), ("+Inf", 3.0)]
CASES = {
    "counter": ("CounterMetricFamily", ("a", "text"), {"labels": ["x"]}, (["1"], 2)),
    "counter of a whole name": ("CounterMetricFamily", ("a_total", "text"), {"labels": ["x"]}, (["1"], 2)),
    "gauge": ("GaugeMetricFamily", ("a", "text"), {"labels": ["z", "x"]}, (["1", "2"], -2.5)),
    "histogram": ("HistogramMetricFamily", ("a", "text"), {"labels": ["x"]}, (["1"], BUCKETS, 7)),
    "counter alone": ("CounterMetricFamily", ("a", "text"), {"value": 3}, None),
    "gauge alone": ("GaugeMetricFamily", ("a", "text"), {"value": 0}, None),
    "text to escape": ("GaugeMetricFamily", ("a", "a\nb\\c\"d"), {"labels": ["x"]}, (["a\nb\\c\"d,é"], 1)),
    "nothing counted": ("HistogramMetricFamily", ("a", "text"), {"labels": ["x"]}, None),
}  # fmt: skip
NUMBERS = (0, -1, 0.1, 1, 12345.678, 999999, 1000000, 1e6 + 0.5, 123456789, 1.5e15, 1e16, 1e21, 3e-7, -1e9,
           math.inf, -math.inf, math.nan)  # fmt: skip


class Given:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def collect(self) -> list[Metric]:
        return [self.metric]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_text_is_that_of_prometheus(case) -> None:
    kind, told, named, sample = case
    made = []
    for module in (families, core):
        family = getattr(module, kind)(*told, **named)
        if sample is not None:
            family.add_metric(*sample)
        made.append(family)
    registry = prometheus.CollectorRegistry()
    registry.register(Given(made[1]))
    assert text_of([made[0]]) == prometheus.generate_latest(registry)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_written_as_prometheus_does(number) -> None:
    assert number_text(number) == prometheus.utils.floatToGoString(number)


def test_the_kind_of_text_is_told_as_prometheus_does() -> None:
    assert families.CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


def test_a_value_for_each_label() -> None:
    for kind in (CounterMetricFamily, GaugeMetricFamily):
        with pytest.raises(ValueError):
            kind("a", "text", labels=["x", "y"]).add_metric(["1"], 1)
    with pytest.raises(ValueError):
        HistogramMetricFamily("a", "text", labels=["x"]).add_metric([], BUCKETS, 1)
