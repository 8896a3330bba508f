"""What pods ask for and may use, pod by pod: what a scheduler shows at ``/metrics/resources``.

Owns: both families, made when somebody scrapes. A pod that has ended on its node asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.scheduler.podinfo import CPU, milli_or_value, pod_requests

_LABELS: Final = ("namespace", "pod", "node", "scheduler", "priority", "resource", "unit")
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_UNITS: Final = {
    CPU: "cores", "memory": "bytes", "storage": "bytes", "ephemeral-storage": "bytes",
}  # fmt: skip
_UNITS_BY_PREFIX: Final = {"hugepages-": "bytes", "attachable-volumes-": "integer"}


def families(pods: Iterable[Object]) -> Iterator[Metric]:
    """Yield the requests and the limits of pods, in cores, bytes or pieces; what is zero is left out."""
    requests = GaugeMetricFamily(
        "kube_pod_resource_request", "[STABLE] What a pod asks for of a resource.", labels=_LABELS
    )
    limits = GaugeMetricFamily(
        "kube_pod_resource_limit", "[STABLE] What a pod may use of a resource at most.", labels=_LABELS
    )
    for pod in pods:
        if pod["spec"].get("nodeName") and (pod.get("status") or {}).get("phase") in _ENDED:
            continue
        _add(requests, pod, pod_requests(pod["spec"]))
        _add(limits, pod, pod_limits(pod["spec"]))
    yield requests
    yield limits


def pod_limits(spec: Mapping[str, Any]) -> dict[str, int]:
    """Return what a pod may use, counted as its requests are; overhead adds only to what has a limit."""
    total = pod_requests(_limits_as_requests(spec))
    for name, text in (spec.get("overhead") or {}).items():
        if total.get(name):
            total[name] += milli_or_value(name, text)
    return total


def _limits_as_requests(spec: Mapping[str, Any]) -> dict[str, Any]:
    def view(item: Mapping[str, Any]) -> dict[str, Any]:
        return {**item, "resources": {"requests": (item.get("resources") or {}).get("limits") or {}}}

    keys = ("initContainers", "containers")
    return {
        **view(spec),
        **{key: [view(item) for item in spec.get(key) or ()] for key in keys},
        "overhead": {},
    }


def _add(family: GaugeMetricFamily, pod: Object, amounts: Mapping[str, int]) -> None:
    meta, spec = pod["metadata"], pod["spec"]
    priority = spec.get("priority")
    whose = (
        meta.get("namespace") or "", meta["name"], spec.get("nodeName") or "",
        spec.get("schedulerName") or "", "" if priority is None else str(priority),
    )  # fmt: skip
    for name, amount in amounts.items():
        if amount:
            family.add_metric((*whose, name, _unit(name)), amount / 1000 if name == CPU else amount)


def _unit(resource: str) -> str:
    known = _UNITS.get(resource)
    if known is not None:
        return known
    return next((unit for prefix, unit in _UNITS_BY_PREFIX.items() if resource.startswith(prefix)), "")
