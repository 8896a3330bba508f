"""What a request consumes of a device that several may share: amounts, rounded as the device's policy has it.

Pure. Source: KEP-5075 (consumable capacity), resource.k8s.io/v1 CapacityRequestPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.quantity import Quantity
from tiphys.scheduler.devices.selectors import split_name

Name: TypeAlias = tuple[str, str]
"""Domain and name."""
Amounts: TypeAlias = dict[Name, Quantity]


@dataclass(frozen=True, slots=True)
class Capacity:
    """One capacity of a device. Amounts that requests may consume; without any, whatever they ask for."""

    text: str
    """Its name as the slice has it."""
    value: Quantity
    default: Quantity | None = None
    valid: tuple[Quantity, ...] = ()
    low: Quantity | None = None
    high: Quantity | None = None
    step: Quantity | None = None

    def consumed(self, asked: Quantity | None) -> Quantity | None:
        """Return what a request takes of it, rounded up; None where it cannot have that."""
        taken: Quantity | None
        if asked is None:
            taken = self.default or self.value
        elif self.valid:
            fitting = [one for one in self.valid if one.amount >= asked.amount]
            taken = min(fitting, key=lambda one: one.amount, default=None)
        else:
            taken = self._in_range(asked)
        return taken if taken is not None and taken.amount <= self.value.amount else None

    def _in_range(self, asked: Quantity) -> Quantity | None:
        low, taken = self.low, asked
        if low is not None and taken.amount < low.amount:
            taken = low
        if low is not None and self.step is not None and self.step.amount > 0:
            steps = -((low.amount - taken.amount) // self.step.amount)
            if low.amount + steps * self.step.amount != taken.amount:
                taken = Quantity(low.amount + steps * self.step.amount, taken.format)
        return None if self.high is not None and taken.amount > self.high.amount else taken


def read_capacities(driver: str, device: Mapping[str, Any]) -> dict[Name, Capacity]:
    """Read a device's capacities; names without a domain are of the driver's."""
    return {
        split_name(name, driver): _capacity(name, raw) for name, raw in (device.get("capacity") or {}).items()
    }


def _capacity(name: str, raw: Mapping[str, Any]) -> Capacity:
    policy = raw.get("requestPolicy") or {}
    span = policy.get("validRange") or {}
    return Capacity(
        name,
        quantity.parse(str(raw["value"])),
        _optional(policy.get("default")),
        tuple(quantity.parse(str(one)) for one in policy.get("validValues") or ()),
        _optional(span.get("min")),
        _optional(span.get("max")),
        _optional(span.get("step")),
    )


def _optional(text: Any) -> Quantity | None:
    return None if text is None else quantity.parse(str(text))


def consumption(capacities: Mapping[Name, Capacity], ask: Mapping[str, Any], driver: str) -> Amounts | None:
    """Return what a request takes of each capacity of a device; None where the device cannot give it."""
    asked = {
        split_name(name, driver): quantity.parse(str(amount))
        for name, amount in ((ask.get("capacity") or {}).get("requests") or {}).items()
    }
    if asked.keys() - capacities.keys():
        return None
    taken: Amounts = {}
    for name, capacity in capacities.items():
        amount = capacity.consumed(asked.get(name))
        if amount is None:
            return None
        taken[name] = amount
    return taken


def fits(capacities: Mapping[Name, Capacity], taken: Iterable[Mapping[Name, Quantity]]) -> bool:
    """Say whether all that is taken together is no more than there is."""
    sums: dict[Name, Any] = {}
    for one in taken:
        for name, amount in one.items():
            sums[name] = sums.get(name, 0) + amount.amount
    return all(amount <= capacities[name].value.amount for name, amount in sums.items() if name in capacities)
