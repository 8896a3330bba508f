"""Claims, classes and slices of devices as the scheduler knows them, with what it has just given away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.devices.capacity import Amounts
from tiphys.scheduler.devices.extended import classes_by_resource, made_claim
from tiphys.scheduler.devices.inventory import DeviceId, Pool, read_pools
from tiphys.scheduler.devices.selectors import split_name


class Devices:
    """Kept current by the scheduler's shell. An allocation is *assumed* until the claim shows it."""

    def __init__(self) -> None:
        self.classes: dict[str, Object] = {}
        self._claims: dict[str, Object] = {}
        self._slices: dict[str, Object] = {}
        self._assumed: dict[str, dict[str, Any]] = {}
        self._pools: list[Pool] | None = None
        self._taken: frozenset[DeviceId] | None = None
        self._shares: dict[DeviceId, list[Amounts]] | None = None
        self.serving: dict[str, str] = {}
        """The class of devices that serves an extended resource, by the resource's name."""
        self.serving_generation = 0

    def set_claim(self, old: Object | None, new: Object | None) -> None:
        """Take a ResourceClaim's new state (None: it is gone)."""
        self._changed()
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
        serving = classes_by_resource(self.classes)
        if serving != self.serving:
            self.serving = serving
            self.serving_generation += 1

    def served(self, requests: Iterable[str]) -> tuple[str, ...]:
        """Return those of the resources that devices may serve."""
        return tuple(name for name in requests if name in self.serving) if self.serving else ()

    def made_for(self, pod: Object) -> Object | None:
        """Return the claim that was made for the pod's extended resources."""
        return made_claim(pod, self._claims.values())

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
        self._changed()

    def forget(self, key: str) -> None:
        """Take back an assumed allocation: it could not be written."""
        self._assumed.pop(key, None)
        self._changed()

    def settle(self, assumed: str, key: str, allocation: dict[str, Any]) -> None:
        """A claim that was assumed before it was made has its name now, ``key``, and its devices."""
        self._assumed.pop(assumed, None)
        known = self._claims.get(key)
        if known is None or allocation_of(known) is None:
            self._assumed[key] = allocation
        self._changed()

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
            self._taken = frozenset(
                (str(result["driver"]), str(result["pool"]), str(result["device"]))
                for allocation in self._allocations()
                for result in (allocation.get("devices") or {}).get("results") or ()
                if not result.get("adminAccess") and not result.get("shareID")
            )
        return self._taken

    @property
    def shares(self) -> dict[DeviceId, list[Amounts]]:
        """What claims have of devices that they share."""
        if self._shares is None:
            self._shares = {}
            for allocation in self._allocations():
                for result in (allocation.get("devices") or {}).get("results") or ():
                    if result.get("shareID") and not result.get("adminAccess"):
                        driver = str(result["driver"])
                        device = (driver, str(result["pool"]), str(result["device"]))
                        consumed = {
                            split_name(name, driver): quantity.parse(str(amount))
                            for name, amount in (result.get("consumedCapacity") or {}).items()
                        }
                        self._shares.setdefault(device, []).append(consumed)
        return self._shares

    def _allocations(self) -> list[dict[str, Any]]:
        """Return what claims have: of each once, as it is being written or as it is."""
        known = {key: allocation_of(claim) for key, claim in self._claims.items()}
        return [one for one in {**known, **self._assumed}.values() if one]

    def _changed(self) -> None:
        self._taken = self._shares = None


def allocation_of(claim: Object) -> dict[str, Any] | None:
    """Return what a claim got; None while it waits."""
    allocation: dict[str, Any] | None = (claim.get("status") or {}).get("allocation")
    return allocation
