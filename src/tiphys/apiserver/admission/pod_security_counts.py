"""How PodSecurity judged: ``pod_security_{evaluations,exemptions,errors}_total``, with upstream's labels.

Pods that are cast like an earlier one (``shortcuts.molds``) are not judged again, but counted as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apis.podsecurity.policy import Standard
from tiphys.client.counting import Count

if TYPE_CHECKING:
    from tiphys.apiserver.admission.attributes import Attributes

_SERVED_MINOR: Final = 36
_REQUEST: Final = ("request_operation", "resource", "subresource")
_EVALUATION: Final = ("decision", "policy_level", "policy_version", "mode", *_REQUEST)
_RESOURCES: Final = {"pods": "pod", "namespaces": "namespace"}
_Counts = dict[tuple[str, ...], Count]


class PodSecurityCounts:
    """The counts of one server."""

    def __init__(self) -> None:
        creations = (("create", "pod", ""), ("update", "pod", ""))
        templates = (("create", "controller", ""), ("update", "controller", ""))
        open_policy = ("allow", "privileged", "latest", "enforce")
        self._evaluations: _Counts = {(*open_policy, *one): Count() for one in creations}
        self._exemptions: _Counts = {one: Count() for one in (*creations, *templates)}
        self._errors: _Counts = {}

    def evaluated(self, attributes: Attributes, mode: str, standard: Standard, *, allowed: bool) -> None:
        """Count that a standard was applied."""
        labels = ("allow" if allowed else "deny", standard.level, version_of(standard), mode)
        _count(self._evaluations, (*labels, *_request(attributes)), attributes)

    def exempted(self, attributes: Attributes) -> None:
        """Count a request at which nobody looked."""
        _count(self._exemptions, _request(attributes), attributes)

    def failed(self, attributes: Attributes, *, fatal: bool) -> None:
        """Count a policy that could not be read; ``fatal``: nothing was judged for that."""
        _count(self._errors, (str(fatal).lower(), *_request(attributes)), attributes)

    def collect(self) -> Iterator[Metric]:
        """Yield the counters as they stand."""
        for name, text, labels, counts in (
            ("evaluations", "Standards that were applied.", _EVALUATION, self._evaluations),
            ("exemptions", "Requests that were exempt.", _REQUEST, self._exemptions),
            ("errors", "Failures to find out what to apply.", ("fatal", *_REQUEST), self._errors),
        ):
            family = CounterMetricFamily(f"pod_security_{name}", text, labels=labels)
            for values, count in counts.items():
                family.add_metric(values, count.value)
            yield family


def version_of(standard: Standard) -> str:
    """Return the version as it is counted; that of the most open level says nothing."""
    if standard.open or standard.is_latest:
        return "latest"
    return "future" if standard.minor > _SERVED_MINOR else f"v1.{standard.minor}"


def _request(attributes: Attributes) -> tuple[str, str, str]:
    resource = "controller" if attributes.group else _RESOURCES.get(attributes.plural, "controller")
    return attributes.operation.lower(), resource, attributes.subresource


def _count(counts: _Counts, labels: tuple[str, ...], attributes: Attributes) -> None:
    count = counts.get(labels)
    if count is None:
        count = counts[labels] = Count()
    count.inc()
    if attributes.reads is not None:
        attributes.reads.counted.append(count)
