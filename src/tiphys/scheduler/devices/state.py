"""Claims, classes and slices of devices as the scheduler knows them, with what it has just given away."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.devices.inventory import DeviceId, Pool, read_pools


class Devices:
    """Kept current by the scheduler's shell. An allocation is *assumed* until the claim shows it."""

    def __init__(self) -> None:
        self.classes: dict[str, Object] = {}
        self._claims: dict[str, Object] = {}
        self._slices: dict[str, Object] = {}
        self._assumed: dict[str, dict[str, Any]] = {}
        self._pools: list[Pool] | None = None
        self._taken: frozenset[DeviceId] | None = None

    def set_claim(self, old: Object | None, new: Object | None) -> None:
        """Take a ResourceClaim's new state (None: it is gone)."""
        self._taken = None
        if new is None:
            if old is not None:
                self._claims.pop(object_key(old), None)
                self._assumed.pop(object_key(old), None)
            return
        self._claims[object_key(new)] = new
        if allocation_of(new) is not None:
            self._assumed.pop(object_key(new), None)

    def set_class(self, old: Object | None, new: Object | None) -> None:
        """Take a DeviceClass's new state (None: it is gone)."""
        if new is not None:
            self.classes[new["metadata"]["name"]] = new
        elif old is not None:
            self.classes.pop(old["metadata"]["name"], None)

    def set_slice(self, old: Object | None, new: Object | None) -> None:
        """Take a ResourceSlice's new state (None: it is gone)."""
        self._pools = None
        if new is not None:
            self._slices[new["metadata"]["name"]] = new
        elif old is not None:
            self._slices.pop(old["metadata"]["name"], None)

    def claim(self, key: str) -> Object | None:
        """Return a claim as it will be: with the allocation that is being written."""
        claim = self._claims.get(key)
        if claim is None or key not in self._assumed:
            return claim
        return {**claim, "status": {**(claim.get("status") or {}), "allocation": self._assumed[key]}}

    def assume(self, key: str, allocation: dict[str, Any]) -> None:
        """Count an allocation that is being written."""
        self._assumed[key] = allocation
        self._taken = None

    def forget(self, key: str) -> None:
        """Take back an assumed allocation: it could not be written."""
        self._assumed.pop(key, None)
        self._taken = None

    @property
    def pools(self) -> list[Pool]:
        """All pools by driver and name."""
        if self._pools is None:
            self._pools = read_pools(self._slices.values())
        return self._pools

    @property
    def taken(self) -> frozenset[DeviceId]:
        """The devices that claims have; what an administrator looks at is not taken."""
        if self._taken is None:
            allocations = [*self._assumed.values(), *map(allocation_of, self._claims.values())]
            self._taken = frozenset(
                (str(result["driver"]), str(result["pool"]), str(result["device"]))
                for allocation in allocations
                for result in ((allocation or {}).get("devices") or {}).get("results") or ()
                if not result.get("adminAccess")
            )
        return self._taken


def allocation_of(claim: Object) -> dict[str, Any] | None:
    """Return what a claim got; None while it waits."""
    allocation: dict[str, Any] | None = (claim.get("status") or {}).get("allocation")
    return allocation
