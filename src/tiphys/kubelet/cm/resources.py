"""Requests and limits as the kernel's numbers, and pod-level sums. Pure.

Source: cgroups' cpu.shares, cpu.cfs_quota_us, memory.limit_in_bytes; KEP-753 for sidecars' share of a pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import from_milli, from_value, parse

_PERIOD_US = 100_000
_MIN_QUOTA_US = 1000
_MIN_SHARES = 2
_MAX_SHARES = 262_144


def cpu_milli(amounts: dict[str, Any] | None) -> int | None:
    """Return millicores of a requests or limits map, or None when it says nothing of cpu."""
    text = (amounts or {}).get("cpu")
    return None if text is None else int(parse(str(text)).milli())


def memory_bytes(amounts: dict[str, Any] | None) -> int | None:
    """Return bytes of memory, or None when it is not mentioned."""
    text = (amounts or {}).get("memory")
    return None if text is None else int(parse(str(text)).value())


def cpu_shares(milli: int) -> int:
    """Return ``cpu.shares`` for millicores."""
    return max(_MIN_SHARES, min(_MAX_SHARES, milli * 1024 // 1000))


def cpu_quota(milli: int) -> int:
    """Return microseconds of each 100 ms period; 0 means no limit."""
    return max(_MIN_QUOTA_US, milli * _PERIOD_US // 1000) if milli > 0 else 0


def with_pod_limits(pod: Object, container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's resources; limits that the whole pod has and it has not are ``inherited``."""
    own: dict[str, Any] = container.get("resources") or {}
    limits = own.get("limits") or {}
    whole = (pod["spec"].get("resources") or {}).get("limits") or {}
    inherited = {name: whole[name] for name in ("cpu", "memory") if name in whole and name not in limits}
    return {**own, "inherited": inherited} if inherited else own


def linux_resources(resources: Mapping[str, Any] | None, *, cfs_quota: bool = True) -> dict[str, int]:
    """Return CRI's LinuxContainerResources for one container's ``resources``, its pod's limits included."""
    told = resources or {}
    requests, limits = told.get("requests"), {**(told.get("inherited") or {}), **(told.get("limits") or {})}
    limit_milli = cpu_milli(limits)
    request_milli = cpu_milli(requests)
    if request_milli is None:
        request_milli = limit_milli or 0
    result = {"cpu_shares": cpu_shares(request_milli)}
    limit_bytes = memory_bytes(limits)
    if limit_bytes:
        result["memory_limit_in_bytes"] = limit_bytes
    if limit_milli and cfs_quota:
        result["cpu_period"] = _PERIOD_US
        result["cpu_quota"] = cpu_quota(limit_milli)
    return result


def is_sidecar(container: dict[str, Any]) -> bool:
    """Whether an init container keeps running beside the others."""
    return bool(container.get("restartPolicy") == "Always")


def pod_amount(pod: Object, kind: str, name: str) -> int:
    """Return a pod's sum of ``kind`` (requests, limits) in millis for cpu, bytes or counts else."""

    def amount(resources: dict[str, Any] | None) -> int:
        text = ((resources or {}).get(kind) or {}).get(name)
        if text is None and kind == "requests":
            text = ((resources or {}).get("limits") or {}).get(name)
        if text is None:
            return 0
        quantity = parse(str(text))
        return int(quantity.milli() if name == "cpu" else quantity.value())

    spec = pod["spec"]
    overhead = amount({kind: spec.get("overhead") or {}})
    if name in ((spec.get("resources") or {}).get(kind) or {}):
        return amount(spec["resources"]) + overhead
    total = sum(amount(item.get("resources")) for item in spec.get("containers") or ())
    sidecars = peak = 0
    for item in spec.get("initContainers") or ():
        own = amount(item.get("resources"))
        if is_sidecar(item):
            sidecars += own
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + own)
    return max(total + sidecars, peak) + overhead


def pod_requests(pod: Object) -> dict[str, str]:
    """Return all that a pod asks for without overhead, as text in the family of suffixes used first."""
    spec = pod["spec"]
    items = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ()), spec]
    asked = [(item.get("resources") or {}).get("requests") or {} for item in items]
    bare = {"spec": {**spec, "overhead": None}}
    texts: dict[str, str] = {}
    for amounts in asked:
        for name, text in amounts.items():
            texts.setdefault(name, str(text))
    found = {}
    for name in sorted(texts):
        amount = pod_amount(bare, "requests", name)
        made = from_milli(amount) if name == "cpu" else from_value(amount, parse(texts[name]).format)
        found[name] = str(made)
    return found


def pod_limits_known(pod: Object, name: str) -> bool:
    """Whether every container has a limit of that name, so that the pod as a whole has one."""
    spec = pod["spec"]
    if name in ((spec.get("resources") or {}).get("limits") or {}):
        return True
    items = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return all(name in ((item.get("resources") or {}).get("limits") or {}) for item in items)


def pod_linux_resources(pod: Object) -> dict[str, int]:
    """Return the resources of the pod's own cgroup."""
    result = {"cpu_shares": cpu_shares(pod_amount(pod, "requests", "cpu"))}
    if pod_limits_known(pod, "cpu") and (limit := pod_amount(pod, "limits", "cpu")):
        result["cpu_period"], result["cpu_quota"] = _PERIOD_US, cpu_quota(limit)
    if pod_limits_known(pod, "memory") and (limit := pod_amount(pod, "limits", "memory")):
        result["memory_limit_in_bytes"] = limit
    return result
