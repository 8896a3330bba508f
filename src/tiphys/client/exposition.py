"""What a scrape shows of a registry: its families but those that were disabled, and how many there are.

Owns: ``registered_metrics_total``, ``disabled_metrics_total``, ``hidden_metrics_total``,
``cardinality_enforcement_unexpected_categorizations_total``; what is disabled, which values labels have.
A family says how stable it is at the beginning of its help; of one that says nothing it is said here that
it is alpha, but for those of every process (``process_figures``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric, Registry, Sample, text_of

_STABILITY: Final = re.compile(r"\[(ALPHA|BETA|STABLE|INTERNAL)\]")
_ALPHA: Final = "ALPHA"
_OBSERVED: Final = "_count"
_ENDINGS: Final = ("", "_total")
_FOREIGN: Final = ("process_", "python_")
_OTHER: Final = "unexpected"
_disabled: set[str] = set()
Allowed = Mapping[str, Mapping[str, frozenset[str]]]
"""By the full names of families and their labels: the values that are shown."""
_allowed: dict[str, Mapping[str, frozenset[str]]] = {}


def disable(names: Iterable[str]) -> None:
    """Show these families no more in this process; other than these, all are shown."""
    _disabled.clear()
    _disabled.update(names)


def constrain(allowed: Allowed) -> None:
    """Show no other values of these labels in this process; what has others is added up as ``unexpected``."""
    _allowed.clear()
    _allowed.update(allowed)


def render(registry: Registry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return text_of(_shown(registry))


def _shown(registry: Registry) -> Iterator[Metric]:
    """The families of a registry, and what is counted of them."""
    counts: Counter[str] = Counter()
    unexpected = 0.0
    for family in registry.collect():
        if not any(family.name + ending in _disabled for ending in _ENDINGS):
            if not family.name.startswith(_FOREIGN):
                counts[_stability(family)] += 1
            values = _allowed.get(family.name + family.ending)
            if values is not None:
                unexpected += _constrain(family, values)
            yield family
    yield from _counted(counts)
    yield CounterMetricFamily(
        "cardinality_enforcement_unexpected_categorizations",
        "[ALPHA] Observations whose labels had values that are not allowed.",
        value=unexpected,
    )


def _constrain(family: Metric, allowed: Mapping[str, frozenset[str]]) -> float:
    """Add up what has labels of other values; return how many observations that concerned.

    Levels are no observations: they are added up too, but not counted.
    """
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    found = 0.0
    for sample in family.samples:
        labels = {
            name: value if value in allowed.get(name, (value,)) else _OTHER
            for name, value in sample.labels.items()
        }
        if family.type == "counter" or (family.type == "histogram" and sample.name.endswith(_OBSERVED)):
            found += sample.value * sum(value != sample.labels[name] for name, value in labels.items())
        key = (sample.name, tuple(labels.items()))
        merged[key] = merged.get(key, 0.0) + sample.value
    family.samples = [Sample(name, dict(labels), value) for (name, labels), value in merged.items()]
    return found


def _stability(family: Metric) -> str:
    """Return how stable a family is, and let its help say so."""
    said = _STABILITY.match(family.documentation)
    if said is not None:
        return said.group(1)
    family.documentation = f"[{_ALPHA}] {family.documentation}"
    return _ALPHA


def _counted(counts: Counter[str]) -> Iterator[Metric]:
    registered = CounterMetricFamily(
        "registered_metrics", "[BETA] The count of registered metrics.",
        labels=["stability_level", "deprecated_version"],
    )  # fmt: skip
    for stability, count in counts.items():
        registered.add_metric([stability, ""], count)
    yield registered
    yield CounterMetricFamily("disabled_metrics", "[BETA] Metrics that were disabled.", value=len(_disabled))
    yield CounterMetricFamily("hidden_metrics", "[BETA] Metrics hidden for their age.", value=0)
