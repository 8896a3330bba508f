"""What a scrape shows of a registry: its families but those that were disabled, and how many there are.

Owns: ``registered_metrics_total``, ``disabled_metrics_total``, ``hidden_metrics_total``,
``cardinality_enforcement_unexpected_categorizations_total``; what is disabled, which values labels have.
A family says how stable it is at the beginning of its help; of one that says nothing it is said here that
it is alpha, but for those of every process (``process_figures``). Families that upstream has are helped by
its words (``data/helps.txt``: a name and its text in each line), whatever theirs say to who reads the code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric, Registry, Sample, text_of

_STABILITY: Final = re.compile(r"\[(ALPHA|BETA|STABLE|INTERNAL)\](?: \(Deprecated since ([0-9.]+)\))?")
_ALPHA: Final = "ALPHA"
_OBSERVED: Final = "_count"
_ENDINGS: Final = ("", "_total")
_FOREIGN: Final = ("process_", "python_")
_OTHER: Final = "unexpected"
_OLDER: Final = {
    "apiserver_request_sli_duration_seconds": ("apiserver_request_slo_duration_seconds", "1.27.0"),
    "apiserver_flowcontrol_current_executing_seats": (
        "apiserver_flowcontrol_request_concurrency_in_use", "1.31.0",
    ),
    "apiserver_flowcontrol_nominal_limit_seats": (
        "apiserver_flowcontrol_request_concurrency_limit", "1.30.0",
    ),
    "kube_apiserver_pod_logs_backend_tls_failure_total": (
        "kube_apiserver_pod_logs_pods_logs_backend_tls_failure_total", "1.27.0",
    ),
    "kube_apiserver_pod_logs_insecure_backend_total": (
        "kube_apiserver_pod_logs_pods_logs_insecure_backend_total", "1.27.0",
    ),
}  # fmt: skip
"""What families were called before, and since when that is deprecated: hidden unless they are asked for."""
_showing_hidden: list[bool] = [False]
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


def show_hidden(*, shown: bool) -> None:
    """Show families under their deprecated names too, or no more."""
    _showing_hidden[0] = shown


def render(registry: Registry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return text_of(_shown(registry))


@cache
def _helps() -> Mapping[str, str]:
    """Return what upstream says of families, by their full names."""
    text = (Path(__file__).parent / "data" / "helps.txt").read_text()
    return dict(line.split(" ", 1) for line in text.splitlines())


def _shown(registry: Registry) -> Iterator[Metric]:
    """The families of a registry, and what is counted of them."""
    counts: Counter[tuple[str, str]] = Counter()
    unexpected, hidden = 0.0, 0
    for family in registry.collect():
        _help(family)
        older = _OLDER.get(family.name + family.ending)
        if older is not None and older[0] not in _disabled:
            if _showing_hidden[0]:
                counts[_ALPHA, older[1]] += 1
                yield _renamed(family, *older)
            else:
                hidden += 1
        if not any(family.name + ending in _disabled for ending in _ENDINGS):
            if not family.name.startswith(_FOREIGN):
                counts[_stability(family)] += 1
            values = _allowed.get(family.name + family.ending)
            if values is not None:
                unexpected += _constrain(family, values)
            yield family
    for family in _counted(counts, hidden):
        _help(family)
        yield family
    yield CounterMetricFamily(
        "cardinality_enforcement_unexpected_categorizations",
        "[ALPHA] The count of unexpected categorizations during cardinality enforcement.",
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


def _renamed(family: Metric, name: str, since: str) -> Metric:
    """Return a family under the name that it had before."""
    text = family.documentation.partition("] ")[2] or family.documentation
    older = Metric(name, f"[{_ALPHA}] (Deprecated since {since}) {text}")
    older.type = family.type
    full = family.name + family.ending
    older.samples = [
        Sample(name + one.name.removeprefix(full), one.labels, one.value) for one in family.samples
    ]
    return older


def _help(family: Metric) -> None:
    """Let a family say what upstream's says, and how stable it is."""
    said = _STABILITY.match(family.documentation)
    words = _helps().get(family.name + family.ending)
    if words is not None:
        family.documentation = f"{said.group() if said is not None else f'[{_ALPHA}]'} {words}"


def _stability(family: Metric) -> tuple[str, str]:
    """Return how stable a family is, and since when deprecated; let its help say so."""
    said = _STABILITY.match(family.documentation)
    if said is not None:
        return said.group(1), said.group(2) or ""
    family.documentation = f"[{_ALPHA}] {family.documentation}"
    return _ALPHA, ""


def _counted(counts: Counter[tuple[str, str]], hidden: int) -> Iterator[Metric]:
    registered = CounterMetricFamily(
        "registered_metrics", "[BETA] The count of registered metrics.",
        labels=["stability_level", "deprecated_version"],
    )  # fmt: skip
    for (stability, since), count in counts.items():
        registered.add_metric([stability, since], count)
    yield registered
    yield CounterMetricFamily("disabled_metrics", "[BETA] Metrics that were disabled.", value=len(_disabled))
    yield CounterMetricFamily("hidden_metrics", "[BETA] Metrics hidden for their age.", value=hidden)
