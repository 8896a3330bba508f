"""Families of figures, and the text of them that Prometheus scrapes. Pure.

Owns: the kinds of families, the registry that a process or a server collects them from, and the text format.
Prometheus' own library would do the same, but brings an HTTP client and server and the parser of mail along:
5 MB in each of our processes and a twentieth of their start. The text is that of the library for Go, which
upstream's components have: ``1`` and not ``1.0``, ``le`` behind the other labels, everything in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple, Protocol, TypeVar

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
"""What Go's library of Prometheus names the text form; our names need no escaping."""

_ENDED: Final = "_total"
_BOUND: Final = "le"
_QUANTILE: Final = "quantile"
_LAST: Final = (_BOUND, _QUANTILE)
"""Labels that stand behind all others, and of which series are in the order in which they were added."""
_EXPONENT_FROM: Final = 1e6
"""Go writes numbers that are no smaller with an exponent."""

_Key = TypeVar("_Key", bound="str | tuple[str, ...]")


class Sample(NamedTuple):
    """One number of a family, on a line of its own."""

    name: str
    labels: Mapping[str, str]
    value: float


class Metric:
    """A family: samples under one name, with a line of help."""

    type = "untyped"
    ending = ""
    """What the samples' names have behind the family's, of families of single numbers."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] | None = None) -> None:
        self.name = name
        self.documentation = documentation
        self._samples: list[Sample] = []
        self._label_names = tuple(labels or ())

    @property
    def samples(self) -> list[Sample]:
        """The numbers, each with its labels."""
        return self._samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        self._samples = samples

    def lines(self) -> Iterator[str]:
        """Yield the text of the samples, in the order of their labels' values."""
        for name, labels, value in sorted(self.samples, key=lambda one: _place(one.labels)):
            shown = f"{{{_labels_text(labels)}}}" if labels else ""
            yield f"{name}{shown} {number_text(value)}\n"

    def _add(self, ending: str, labels: Mapping[str, str], value: float) -> None:
        self._samples.append(Sample(self.name + ending, labels, value))

    def _labelled(self, values: Sequence[str]) -> dict[str, str]:
        return dict(zip(self._label_names, values, strict=True))


class _Numbers(Metric):
    """One number for each set of labels' values; ``value`` is that of a family without labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name.removesuffix(self.ending), documentation, labels)
        if value is not None:
            self.add_metric((), value)

    def add_metric(self, labels: Sequence[str], value: float) -> None:
        """Add the number of these labels' values."""
        self._add(self.ending, self._labelled(labels), value)

    def add_all(self, values: Mapping[_Key, float]) -> None:
        """Add a number for each of these labels' values; a family of one label has texts as keys."""
        for key, value in values.items():
            self.add_metric((key,) if isinstance(key, str) else key, value)


class CounterMetricFamily(_Numbers):
    """What only grows. ``name`` is without ``_total``, or loses it here: its sample ends so."""

    type = "counter"
    ending = _ENDED


class BareCounterMetricFamily(_Numbers):
    """The same under the very name that is given: what upstream named before that ending was the rule."""

    type = "counter"


class GaugeMetricFamily(_Numbers):
    """What goes up and down."""

    type = "gauge"


class HistogramMetricFamily(Metric):
    """How many values were how large."""

    type = "histogram"

    def __init__(self, name: str, documentation: str, labels: Sequence[str] | None = None) -> None:
        super().__init__(name, documentation, labels)
        self._rows: list[tuple[Mapping[str, str], Sequence[tuple[str, float]], float]] = []
        """What has come and is no samples yet: a scrape does without."""

    def add_metric(
        self, labels: Sequence[str], buckets: Sequence[tuple[str, float]], sum_value: float
    ) -> None:
        """Add what these labels' values came to: bounds and how many were within each, ``+Inf`` last."""
        self._rows.append((self._labelled(labels), buckets, sum_value))

    @property
    def samples(self) -> list[Sample]:
        """The numbers, each with its labels."""
        rows, self._rows = self._rows, []
        for own, buckets, sum_value in rows:
            for bound, count in buckets:
                self._add("_bucket", {**own, _BOUND: bound}, count)
            self._add("_sum", own, sum_value)
            self._add("_count", own, buckets[-1][1])
        return self._samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        self._samples, self._rows = samples, []

    def lines(self) -> Iterator[str]:
        """Yield the text of the samples."""
        if self._samples:
            yield from super().lines()
            return
        for own, buckets, sum_value in sorted(self._rows, key=lambda row: _place(row[0])):
            text = _labels_text(own)
            shown, begun = (f"{{{text}}}", f"{text},") if text else ("", "")
            bucket = f'{self.name}_bucket{{{begun}{_BOUND}="'
            yield "".join([f'{bucket}{bound}"}} {number_text(count)}\n' for bound, count in buckets])
            yield (
                f"{self.name}_sum{shown} {number_text(sum_value)}\n"
                f"{self.name}_count{shown} {number_text(buckets[-1][1])}\n"
            )


class SummaryMetricFamily(Metric):
    """How large values were of which most are no larger."""

    type = "summary"

    def add_metric(
        self, labels: Sequence[str], quantiles: Sequence[tuple[str, float]], count: int, sum_value: float
    ) -> None:
        """Add what these labels' values came to; ``quantiles`` with their parts of one."""
        own = self._labelled(labels)
        for part, value in quantiles:
            self._add("", {**own, _QUANTILE: part}, value)
        self._add("_sum", own, sum_value)
        self._add("_count", own, count)


class Collector(Protocol):
    """What has families to show."""

    def collect(self) -> Iterable[Metric]:
        """Return the families as they stand."""
        ...


class Registry:
    """The collectors of a process, or of one server."""

    def __init__(self) -> None:
        self._collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        """Show what this has, after those that are here."""
        self._collectors.append(collector)

    def collect(self) -> Iterator[Metric]:
        """Yield all families as they stand."""
        for collector in self._collectors:
            yield from collector.collect()

    def sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return one number, None where there is none."""
        wanted = dict(labels or {})
        for family in self.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == wanted:
                    return sample.value
        return None


def text_of(families: Iterable[Metric]) -> bytes:
    """Return what Prometheus scrapes of these by their names; one that has nothing to show is not told of."""
    return "".join([_text(family) for family in sorted(families, key=_full_name)]).encode()


def _full_name(family: Metric) -> str:
    return family.name + family.ending


def _place(labels: Mapping[str, str]) -> list[str]:
    """Return what a series is put in order by: its values, by the names of their labels."""
    return [labels[name] for name in _order(tuple(labels))]


@cache
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of labels in order, without those that stand behind them."""
    return tuple(name for name in sorted(names) if name not in _LAST)


def _text(family: Metric) -> str:
    lines = "".join(family.lines())
    if not lines:
        return ""
    name = _full_name(family)
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n{lines}"


def _labels_text(labels: Mapping[str, str]) -> str:
    """Return labels in order of their names, but those of bounds and quantiles last."""
    names = _order(tuple(labels))
    pairs = [f'{key}="{_escaped(labels[key])}"' for key in names]
    if len(names) < len(labels):
        pairs += [f'{key}="{labels[key]}"' for key in _LAST if key in labels]
    return ",".join(pairs)


@cache
def bound_texts(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """Return how the bounds of buckets are written; for bounds that stay."""
    return tuple(map(number_text, bounds))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number_text(value: float) -> str:
    """Return a number as Go writes it: with as few digits as tell it, large ones with an exponent."""
    if type(value) is int and -_EXPONENT_FROM < value < _EXPONENT_FROM:
        return str(value)
    value = float(value)
    if -_EXPONENT_FROM < value < _EXPONENT_FROM:
        return str(int(value)) if value.is_integer() else repr(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    written = repr(value)
    if "e" in written:
        return written
    sign, number = ("-", written[1:]) if value < 0 else ("", written)
    whole, _, rest = number.partition(".")
    digits = f"{whole[0]}.{whole[1:]}{rest}".rstrip("0").rstrip(".")
    return f"{sign}{digits}e+{len(whole) - 1:02d}"
