"""What a scrape shows of a registry: its families but those that were disabled, and how many there are.

Owns: ``registered_metrics_total``, ``disabled_metrics_total``, ``hidden_metrics_total``; what is disabled. A
family says how stable it is at the beginning of its help; of one that says nothing it is said here that it is
alpha, but for those of every process (``process_figures``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric, Registry, text_of

_STABILITY: Final = re.compile(r"\[(ALPHA|BETA|STABLE|INTERNAL)\]")
_ALPHA: Final = "ALPHA"
_ENDINGS: Final = ("", "_total")
_FOREIGN: Final = ("process_", "python_")
_disabled: set[str] = set()


def disable(names: Iterable[str]) -> None:
    """Show these families no more in this process; other than these, all are shown."""
    _disabled.clear()
    _disabled.update(names)


def render(registry: Registry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return text_of(_shown(registry))


def _shown(registry: Registry) -> Iterator[Metric]:
    """The families of a registry, and what is counted of them."""
    counts: Counter[str] = Counter()
    for family in registry.collect():
        if not any(family.name + ending in _disabled for ending in _ENDINGS):
            if not family.name.startswith(_FOREIGN):
                counts[_stability(family)] += 1
            yield family
    yield from _counted(counts)


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
