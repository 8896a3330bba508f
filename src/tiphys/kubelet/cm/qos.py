"""The quality of service class of a pod, and what it means for the kernel's OOM killer. Pure.

Source: "Pod Quality of Service Classes"; "Node-pressure eviction" (oom_score_adj).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse
from tiphys.kubelet.cm.resources import is_sidecar, pod_amount

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"

_COMPUTE = ("cpu", "memory")
CRITICAL_PRIORITY = 2_000_000_000
_NODE_CRITICAL = "system-node-critical"
_CONFIG_SOURCE = "kubernetes.io/config.source"
_GUARANTEED_SCORE = -997
_BEST_EFFORT_SCORE = 1000


def spec_containers(pod: Object) -> Iterator[dict[str, Any]]:
    """Yield init containers, then containers."""
    spec = pod["spec"]
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _compute(amounts: dict[str, Any] | None) -> dict[str, str]:
    """Return the positive cpu and memory amounts."""
    return {
        name: str(text)
        for name, text in (amounts or {}).items()
        if name in _COMPUTE and parse(str(text)).milli() > 0
    }


def qos_class(pod: Object) -> str:
    """Return Guaranteed, Burstable or BestEffort."""
    resources = [pod["spec"].get("resources") or {}]
    if not (_compute(resources[0].get("requests")) or _compute(resources[0].get("limits"))):
        resources = [container.get("resources") or {} for container in spec_containers(pod)]
    anything = False
    guaranteed = True
    for item in resources:
        requests, limits = _compute(item.get("requests")), _compute(item.get("limits"))
        anything = anything or bool(requests or limits)
        if set(limits) != set(_COMPUTE):
            guaranteed = False
            continue
        wanted = {**limits, **requests}
        if any(parse(wanted[name]).milli() != parse(limits[name]).milli() for name in _COMPUTE):
            guaranteed = False
    if not anything:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def oom_score_adj(pod: Object, container: dict[str, Any], node_memory_bytes: int) -> int:
    """Return the score for a container's processes: lower survives longer."""
    spec = pod["spec"]
    kind = qos_class(pod)
    if kind == GUARANTEED or (spec.get("priorityClassName") == _NODE_CRITICAL and is_critical(pod)):
        return _GUARANTEED_SCORE
    if kind == BEST_EFFORT:
        return _BEST_EFFORT_SCORE
    request = _memory(container)
    if any(
        item["name"] == container["name"] and is_sidecar(item) for item in spec.get("initContainers") or ()
    ):
        # It lives as long as the one that dies first without it.
        request = max(request, min(map(_memory, spec["containers"])))
    score = 1000 - 1000 * (request + _share_of_rest(pod)) // max(node_memory_bytes, 1)
    return max(1000 + _GUARANTEED_SCORE, min(_BEST_EFFORT_SCORE - 1, score))


def is_critical(pod: Object) -> bool:
    """Whether the node itself needs a pod: static ones, and those of system priority."""
    source = (pod["metadata"].get("annotations") or {}).get(_CONFIG_SOURCE, "api")
    return source != "api" or (pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY


def _memory(item: dict[str, Any]) -> int:
    return int(parse(str(((item.get("resources") or {}).get("requests") or {}).get("memory", "0"))).value())


def _share_of_rest(pod: Object) -> int:
    """Return each container's part of what the pod as a whole asks for and none of them does."""
    spec = pod["spec"]
    whole = _memory(spec)
    if not whole:
        return 0
    own = pod_amount({"spec": {**spec, "resources": None, "overhead": None}}, "requests", "memory")
    return (whole - own) // len(list(spec_containers(pod)))
