"""What is said of a component's health checks, and how they went.

Owns: the lines of an answer, the check of the log, ``kubernetes_healthcheck(s)`` (shown at ``/metrics/slis``
too). Refuses: to know the other checks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import orjson

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric, text_of

PING: Final = "ping"
"""The check that whoever answers passes."""
NO_GROUPS: Final[Mapping[str, str]] = {}


class HealthCounts:
    """The counts of one component. Source: KEP-3466."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], bool] = {}
        self._counts: dict[tuple[str, str, str], int] = {}

    def note(self, name: str, kind: str, *, good: bool) -> None:
        """Count one answer of a check, at ``kind`` (``livez``)."""
        key = (name, kind, "success" if good else "error")
        self._counts[key] = self._counts.get(key, 0) + 1
        self._last[name, kind] = good

    def collect(self) -> Iterator[Metric]:
        """Yield how the checks went when they were last asked, and how often so."""
        last = GaugeMetricFamily(
            "kubernetes_healthcheck", "[STABLE] Result of a health check.", labels=["name", "type"]
        )
        for key, good in self._last.items():
            last.add_metric(key, float(good))
        counts = CounterMetricFamily(
            "kubernetes_healthchecks", "[STABLE] Results of health checks.", labels=["name", "type", "status"]
        )
        counts.add_all(self._counts)
        yield last
        yield counts

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes at ``/metrics/slis``."""
        return text_of(self.collect())


def report(
    faults: Mapping[str, str | None], excluded: Collection[str], groups: Mapping[str, str] = NO_GROUPS
) -> tuple[bool, list[str]]:
    """Return whether all checks that are not left out are well, and a line for each.

    ``faults`` has every check, with what is wrong or None; ``groups`` with which other one some are left out.
    What is left out and is no check is told of.
    """
    lines, good = [], True
    for name, fault in faults.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif groups.get(name) in excluded:
            lines.append(f"[+]{name} excluded with {groups[name]}: ok")
        elif fault is None:
            lines.append(f"[+]{name} ok")
        else:
            good = False
            lines.append(f"[-]{name} failed: reason withheld")
    if strange := sorted(set(excluded) - set(faults)):
        names = ",".join(orjson.dumps(name).decode() for name in strange)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    return good, lines


def log_fault() -> str | None:
    """Return what keeps the log from being written: a handler whose stream has been closed."""
    for handler in logging.getLogger().handlers:
        if getattr(getattr(handler, "stream", None), "closed", False):
            return "logging blocked"
    return None
