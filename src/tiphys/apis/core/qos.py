"""The quality of service class of a pod.

Source: Pod Quality of Service Classes; pod-level resources decide alone where they are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.memo import Memo, content
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.short_memory import short_memory
from tiphys.apis.defaulting import each, peek

_COMPUTE = ("cpu", "memory")


def _is_zero(amount: Any) -> bool:
    return _milli(amount) == 0


def _milli(amount: Any) -> int:
    return _parsed_milli(str(amount))


@short_memory(4096)
def _parsed_milli(amount: str) -> int:
    try:
        return quantity.parse(amount).milli()
    except ValueError:
        return 0


def _amounts(resources: Object, key: str) -> dict[str, Any]:
    listed = resources.get(key) or {}
    return {name: listed[name] for name in _COMPUTE if name in listed and not _is_zero(listed[name])}


_known: Memo[str] = Memo()


def pod_qos(pod: Object) -> str:
    """Return ``Guaranteed``, ``Burstable`` or ``BestEffort``."""
    spec = pod.get("spec") or {}
    key = content(spec)
    found = _known.get(key) if key is not None else None
    if found is None:
        found = _qos(spec)
        if key is not None:
            _known.put(key, found)
    return found


def _qos(spec: Object) -> str:
    whole = peek(spec, "resources")
    if whole.get("limits") or whole.get("requests"):
        return _classify([whole])
    containers = [*each(spec, "containers"), *each(spec, "initContainers")]
    return _classify([peek(container, "resources") for container in containers])


def _classify(all_resources: Iterable[Object]) -> str:
    any_given = False
    guaranteed = True
    requested: dict[str, list[Any]] = {}
    limited: dict[str, list[Any]] = {}
    for resources in all_resources:
        requests, limits = _amounts(resources, "requests"), _amounts(resources, "limits")
        any_given = any_given or bool(requests) or bool(limits)
        guaranteed = guaranteed and len(limits) == len(_COMPUTE)
        for name, amount in requests.items():
            requested.setdefault(name, []).append(amount)
        for name, amount in limits.items():
            limited.setdefault(name, []).append(amount)
    if not any_given:
        return "BestEffort"
    if guaranteed and len(requested) == len(limited) and _same_totals(requested, limited):
        return "Guaranteed"
    return "Burstable"


def _same_totals(requested: dict[str, list[Any]], limited: dict[str, list[Any]]) -> bool:
    return all(
        sum(map(_milli, amounts)) == sum(map(_milli, limited.get(name, ())))
        for name, amounts in requested.items()
    )
