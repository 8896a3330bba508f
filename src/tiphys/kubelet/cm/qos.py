"""The quality of service class of a pod, and what it means for the kernel's OOM killer. Pure.

Source: "Pod Quality of Service Classes"; "Node-pressure eviction" (oom_score_adj).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"

_COMPUTE = ("cpu", "memory")
CRITICAL_PRIORITY = 2_000_000_000
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
    if (pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY:
        return _GUARANTEED_SCORE
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return _GUARANTEED_SCORE
    if kind == BEST_EFFORT:
        return _BEST_EFFORT_SCORE
    resources = container.get("resources") or {}
    text = (resources.get("requests") or {}).get("memory", "0")
    request = parse(str(text)).value()
    score = 1000 - (1000 * request) // max(node_memory_bytes, 1)
    if score < 1000 + _GUARANTEED_SCORE:
        return 1000 + _GUARANTEED_SCORE
    return _BEST_EFFORT_SCORE - 1 if score == _BEST_EFFORT_SCORE else int(score)
