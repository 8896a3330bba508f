"""When must pods leave because of taints of their devices? Pure. Source: KEP-5055 (device taints)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object

DeviceId = tuple[str, str, str]
"""Driver, pool, device."""
PoolId = tuple[str, str]
_NO_EXECUTE = "NoExecute"


def pool_of(resource_slice: Object) -> PoolId:
    spec = resource_slice["spec"]
    return str(spec.get("driver") or ""), str((spec.get("pool") or {}).get("name") or "")


def tainted_devices(slices: Iterable[Object]) -> dict[DeviceId, list[Object]]:
    """Return the evicting taints of devices; of a pool only its newest generation counts."""
    newest: dict[PoolId, int] = {}
    listed = list(slices)
    for item in listed:
        newest[pool_of(item)] = max(newest.get(pool_of(item), 0), _generation(item))
    found: dict[DeviceId, list[Object]] = {}
    for item in listed:
        pool = pool_of(item)
        if _generation(item) != newest[pool]:
            continue
        for device in item["spec"].get("devices") or ():
            taints = [one for one in device.get("taints") or () if one.get("effect") == _NO_EXECUTE]
            if taints:
                found[*pool, device["name"]] = taints
    return found


def _generation(resource_slice: Object) -> int:
    return int((resource_slice["spec"].get("pool") or {}).get("generation") or 0)


def evict_at(claims: Iterable[Object], tainted: Mapping[DeviceId, Sequence[Object]]) -> datetime | None:
    """When a pod must leave that uses these claims; None for never.

    A taint that is not tolerated counts from when it was added; of limited tolerations the shortest does.
    """
    times: list[datetime] = []
    for claim in claims:
        allocation = (claim.get("status") or {}).get("allocation") or {}
        for result in (allocation.get("devices") or {}).get("results") or ():
            device = (result["driver"], result["pool"], result["device"])
            for taint in tainted.get(device, ()):
                at = _leaves_at(taint, result.get("tolerations") or ())
                if at is not None:
                    times.append(at)
    return min(times, default=None)


def _leaves_at(taint: Object, tolerations: Sequence[Object]) -> datetime | None:
    matching = [one for one in tolerations if tolerates(one, taint)]
    limits = [one.get("tolerationSeconds") for one in matching]
    if None in limits or not taint.get("timeAdded"):
        return None
    seconds = min((max(int(limit), 0) for limit in limits if limit is not None), default=0)
    return parse_time(taint["timeAdded"]) + timedelta(seconds=seconds)


def tolerates(toleration: Object, taint: Object) -> bool:
    """Source: resource.k8s.io/v1 DeviceToleration."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("key") not in (None, "", taint.get("key")):
        return False
    operator = toleration.get("operator") or "Equal"
    same = (toleration.get("value") or "") == (taint.get("value") or "")
    return operator == "Exists" or (operator == "Equal" and same)


def uses_pool(claim: Object, pool: PoolId) -> bool:
    """True if a device of the pool was given to the claim."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results = (allocation.get("devices") or {}).get("results") or ()
    return any((one["driver"], one["pool"]) == pool for one in results)
