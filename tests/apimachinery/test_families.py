"""Families and their text: as Prometheus' own library reads it, as that for Go writes it."""

import math

import prometheus_client as prometheus
import pytest
from prometheus_client import core
from prometheus_client.parser import text_string_to_metric_families

from tiphys.apimachinery import families
from tiphys.apimachinery.families import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
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
}  # fmt: skip
NUMBERS = (
    (0, "0"), (-0.0, "0"), (1.0, "1"), (-1, "-1"), (True, "1"), (10.0, "10"), (0.1, "0.1"),
    (0.0001, "0.0001"), (0.00001, "1e-05"), (3e-7, "3e-07"), (-1.25e-9, "-1.25e-09"),
    (12345.678, "12345.678"), (100000, "100000"), (999999, "999999"), (999999.5, "999999.5"),
    (1000000, "1e+06"), (1000000.5, "1.0000005e+06"), (1234000, "1.234e+06"), (123456789, "1.23456789e+08"),
    (-1e9, "-1e+09"), (-1234567.25, "-1.23456725e+06"), (1.5e15, "1.5e+15"),
    (1e16, "1e+16"), (1.25e21, "1.25e+21"),
    (1e100, "1e+100"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"),
)  # fmt: skip


class Given:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def collect(self) -> list[Metric]:
        return [self.metric]


def said(text: bytes) -> list[object]:
    """What a scraper makes of a text."""
    found: list[object] = []
    for family in text_string_to_metric_families(text.decode()):
        samples = sorted((one.name, sorted(one.labels.items()), one.value) for one in family.samples)
        found.append((family.name, family.documentation, family.type, samples))
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_text_reads_as_that_of_prometheus(case) -> None:
    kind, told, named, sample = case
    made = []
    for module in (families, core):
        family = getattr(module, kind)(*told, **named)
        if sample is not None:
            family.add_metric(*sample)
        made.append(family)
    registry = prometheus.CollectorRegistry()
    registry.register(Given(made[1]))
    assert said(text_of([made[0]])) == said(prometheus.generate_latest(registry))


@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_numbers_are_written_as_go_does(number, text) -> None:
    assert number_text(number) == text
    assert math.isnan(number) or float(number_text(number)) == number


def test_a_family_without_samples_is_not_told_of() -> None:
    assert text_of([HistogramMetricFamily("a", "text", labels=["x"])]) == b""


def test_samples_are_written_as_the_family_is() -> None:
    made = []
    for labels, values in (((), ()), (("z", "b"), ("1", "2"))):
        family = HistogramMetricFamily("a", "text", labels=labels)
        family.add_metric(values, BUCKETS, 7)
        unread = text_of([family])
        assert [one.name for one in family.samples] == ["a_bucket", "a_bucket", "a_sum", "a_count"]
        assert text_of([family]) == unread, "once somebody has looked at its samples"
        family.add_metric(values, BUCKETS, 8)
        assert text_of([family]).count(b"a_sum") == 2
        made.append(family)
    made[0].samples = [made[1].samples[2]]
    assert text_of(made[:1]).splitlines()[2:] == [b'a_sum{b="2",z="1"} 7']


def test_numbers_are_added_by_their_labels_all_at_once() -> None:
    one = CounterMetricFamily("looks", "", labels=["result"])
    one.add_all({"good": 2, "bad": 1})
    two = GaugeMetricFamily("things", "", labels=["kind", "state"])
    two.add_all({("pod", "ready"): 3})
    assert [(sample.labels, sample.value) for sample in (*one.samples, *two.samples)] == [
        ({"result": "good"}, 2), ({"result": "bad"}, 1), ({"kind": "pod", "state": "ready"}, 3),
    ]  # fmt: skip


def test_lines_are_those_of_go() -> None:
    family = HistogramMetricFamily("a", "text", labels=["z", "b"])
    bounds = (0.5, 1.0, 10.0, 1e6, math.inf)
    family.add_metric(["1", "2"], [(number_text(bound), 1234567.0) for bound in bounds], 7.0)
    assert text_of([family]).decode() == (
        "# HELP a text\n# TYPE a histogram\n"
        'a_bucket{b="2",z="1",le="0.5"} 1.234567e+06\n'
        'a_bucket{b="2",z="1",le="1"} 1.234567e+06\n'
        'a_bucket{b="2",z="1",le="10"} 1.234567e+06\n'
        'a_bucket{b="2",z="1",le="1e+06"} 1.234567e+06\n'
        'a_bucket{b="2",z="1",le="+Inf"} 1.234567e+06\n'
        'a_sum{b="2",z="1"} 7\n'
        'a_count{b="2",z="1"} 1.234567e+06\n'
    )


def test_lines_of_a_summary() -> None:
    family = SummaryMetricFamily("a", "text", labels=["z", "b"])
    family.add_metric(["1", "3"], [("0.5", 0.25), ("0.9", math.nan)], 7, 2.5)
    family.add_metric(["1", "2"], [("0.9", 0.25), ("0.5", 0.5)], 2, 1.5)
    text = text_of([family]).decode()
    assert text == (
        "# HELP a text\n# TYPE a summary\n"
        'a{b="2",z="1",quantile="0.9"} 0.25\n'
        'a{b="2",z="1",quantile="0.5"} 0.5\n'
        'a_sum{b="2",z="1"} 1.5\n'
        'a_count{b="2",z="1"} 2\n'
        'a{b="3",z="1",quantile="0.5"} 0.25\n'
        'a{b="3",z="1",quantile="0.9"} NaN\n'
        'a_sum{b="3",z="1"} 2.5\n'
        'a_count{b="3",z="1"} 7\n'
    )
    assert [one.type for one in text_string_to_metric_families(text)] == ["summary"]


def test_families_and_series_are_in_the_order_of_go() -> None:
    """Families by name, series by their labels' values, with labels in the order of their names."""
    counts = CounterMetricFamily("b", "text", labels=["z", "a"])
    for values in (("1", "2"), ("9", "10"), ("1", "1")):
        counts.add_metric(values, 1)
    spread = HistogramMetricFamily("b_sizes", "text", labels=["x"])
    for value in ("2", "10"):
        spread.add_metric([value], BUCKETS, 7)
    levels = GaugeMetricFamily("a", "text", 1)
    told = text_of([spread, counts, levels]).decode().splitlines()
    found = [line.rpartition(" ")[0] for line in told if not line.startswith("#")]
    assert [line for line in found if "bucket" not in line] == [
        "a",
        *(f'b_sizes_{part}{{x="{x}"}}' for x in ("10", "2") for part in ("sum", "count")),
        *(f'b_total{{a="{a}",z="{z}"}}' for a, z in (("1", "1"), ("10", "9"), ("2", "1"))),
    ]
    bounds = [line for line in found if "bucket" in line]
    assert bounds == [f'b_sizes_bucket{{x="{x}",le="{le}"}}' for x in ("10", "2") for le, _ in BUCKETS]
    assert len(spread.samples) == 8
    again = text_of([levels, counts, spread]).decode().splitlines()
    assert again == told, "whether or not somebody has looked at its samples"


def test_the_kind_of_text_is_told_as_prometheus_does() -> None:
    assert families.CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


def test_a_value_for_each_label() -> None:
    for kind in (CounterMetricFamily, GaugeMetricFamily):
        with pytest.raises(ValueError):
            kind("a", "text", labels=["x", "y"]).add_metric(["1"], 1)
    with pytest.raises(ValueError):
        HistogramMetricFamily("a", "text", labels=["x"]).add_metric([], BUCKETS, 1)
