"""Requests that ended otherwise than by their answer, with upstream's names.

Owns: those that the server ended in self-defense (``apiserver_request_terminations_total``), those whose
answer broke off (``apiserver_request_aborts_total``), and what came of handlers whose requests had timed out
(``apiserver_request_post_timeout_total``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric

_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "scope")
_COMPONENT: Final = "apiserver"
AFTER_WRITES: Final = ("rest-handler", "error")
"""Source and status of a write that was told to give up, and did."""
AFTER_FILTER: Final = ("timeout-handler", "ok")
"""Those of any other request that was cut off: its handler has come to its end."""


class RequestEnds:
    """One server's counts; ``labels`` of requests are those of ``metrics.labels_of``."""

    def __init__(self) -> None:
        self._terminated: Counter[tuple[str, ...]] = Counter()
        self._aborted: Counter[tuple[str, ...]] = Counter()
        self._timed_out: Counter[tuple[str, str]] = Counter()

    def terminated(self, labels: tuple[str, ...], code: int, component: str = _COMPONENT) -> None:
        """Count a request that the server ended in self-defense: what waited or took too long."""
        self._terminated[labels[0], *labels[2:], component, str(code)] += 1

    def aborted(self, labels: tuple[str, ...]) -> None:
        """Count a request whose answer, passed on from elsewhere, did not come to its end."""
        subresource = "" if labels[5].startswith("/") else labels[5]
        self._aborted[labels[0], *labels[2:5], subresource, labels[6]] += 1

    def timed_out(self, source: str, status: str) -> None:
        """Count a handler that has come back after its request had timed out."""
        self._timed_out[source, status] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        yield _family(
            "terminations", "Number of requests which apiserver terminated in self-defense.",
            (*_LABELS, "component", "code"), self._terminated,
        )  # fmt: skip
        yield _family(
            "aborts",
            "Number of requests which apiserver aborted possibly due to a timeout, for each group, version, "
            "verb, resource, subresource and scope",
            _LABELS,
            self._aborted,
        )
        yield _family(
            "post_timeout",
            "Tracks the activity of the request handlers after the associated requests have been timed out "
            "by the apiserver",
            ("source", "status"),
            self._timed_out,
        )


def _family(name: str, text: str, labels: tuple[str, ...], counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(f"apiserver_request_{name}", f"[ALPHA] {text}", labels=labels)
    family.add_all(counts)
    return family
