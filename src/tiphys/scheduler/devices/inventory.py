"""ResourceSlices as pools of devices, and which of them a node can reach.

Of a pool only the newest generation counts, and a pool some of whose slices are missing is incomplete.
Source: resource.k8s.io/v1 ResourceSlice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from fractions import Fraction
from typing import Any, TypeAlias

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.scheduler.devices.capacity import Amounts, Capacity, Name, consumption, read_capacities
from tiphys.scheduler.devices.selectors import (
    SelectorError,
    attribute_value,
    device_view,
    first_mismatch,
    split_name,
)
from tiphys.scheduler.matching import matches_node_selector

DeviceId: TypeAlias = tuple[str, str, str]
"""Driver, pool, device."""
Counters: TypeAlias = dict[tuple[str, str], Fraction]
"""Amounts by counter set and counter."""


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """One device of the newest generation of its pool."""

    id: DeviceId
    view: dict[str, Any]
    attributes: dict[tuple[str, str], frozenset[tuple[type, Any]]]
    """What each attribute holds, which may be several values of one type."""
    taints: tuple[dict[str, Any], ...]
    consumes: Counters
    place: dict[str, Any]
    """``nodeName``, ``nodeSelector`` or ``allNodes``: of the slice, or of the device itself."""
    capacities: dict[Name, Capacity] = field(default_factory=dict)
    shared: bool = False
    """Several requests may have it, as long as its capacities last."""
    binds_to_node: bool = False
    ready_when: tuple[str, ...] = ()
    """Conditions that must hold before a pod with the device is bound."""
    failed_when: tuple[str, ...] = ()
    _verdicts: dict[str, bool] = field(default_factory=dict)

    def matches(self, selectors: Sequence[Mapping[str, Any]], whose: str) -> bool:
        """Say whether every selector takes the device. Raises SelectorError, which says ``whose`` it is."""
        key = repr(selectors)
        if key not in self._verdicts:
            try:
                self._verdicts[key] = not first_mismatch(selectors, self.view)
            except SelectorError as error:
                raise SelectorError(f"{whose}: {error}") from error
        return self._verdicts[key]

    def consumed_by(self, ask: Mapping[str, Any]) -> Amounts | None:
        """Return what a request takes of the device; None where the device cannot give it."""
        if not self.shared and not ask.get("capacity"):
            return {}
        return consumption(self.capacities, ask, self.id[0])

    def reaches(self, node: Object) -> bool:
        """Say whether pods on the node can use the device."""
        if self.place.get("nodeName"):
            return bool(self.place["nodeName"] == node["metadata"]["name"])
        if self.place.get("nodeSelector"):
            return matches_node_selector(self.place["nodeSelector"], node)
        return bool(self.place.get("allNodes"))


@dataclass(slots=True)
class Pool:
    """All devices of one pool, on whatever nodes."""

    driver: str
    name: str
    generation: int = 0
    slices: int = 0
    expected: int = 0
    devices: list[Device] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every slice of the generation is known."""
        return self.slices == self.expected


def read_pools(slices: Iterable[Object]) -> list[Pool]:
    """Gather slices into pools, in a stable order."""
    pools: dict[tuple[str, str], Pool] = {}
    for one in sorted(slices, key=lambda one: str(one["metadata"]["name"])):
        spec = one["spec"]
        key = (str(spec["driver"]), str(spec["pool"]["name"]))
        generation = int(spec["pool"].get("generation") or 0)
        pool = pools.get(key)
        if pool is None or pool.generation < generation:
            expected = int(spec["pool"].get("resourceSliceCount") or 0)
            pool = pools[key] = Pool(*key, generation, 0, expected)
        if pool.generation == generation:
            _add_slice(pool, spec)
    return [pools[key] for key in sorted(pools)]


def _add_slice(pool: Pool, spec: Mapping[str, Any]) -> None:
    pool.slices += 1
    for counters in spec.get("sharedCounters") or ():
        pool.counters |= _amounts(counters["name"], counters.get("counters") or {})
    for raw in spec.get("devices") or ():
        pool.devices.append(_device(pool, spec, raw))


def _device(pool: Pool, spec: Mapping[str, Any], raw: Mapping[str, Any]) -> Device:
    own = raw.get("basic") or raw
    consumes: Counters = {}
    for one in own.get("consumesCounters") or ():
        consumes |= _amounts(one["counterSet"], one.get("counters") or {})
    place = own if spec.get("perDeviceNodeSelection") else spec
    return Device(
        id=(pool.driver, pool.name, str(raw["name"])),
        view=device_view(pool.driver, own),
        attributes={
            split_name(name, pool.driver): _values(attribute_value(value))
            for name, value in (own.get("attributes") or {}).items()
        },
        taints=tuple(own.get("taints") or ()),
        consumes=consumes,
        place={key: place[key] for key in ("nodeName", "nodeSelector", "allNodes") if place.get(key)},
        capacities=read_capacities(pool.driver, own),
        shared=bool(own.get("allowMultipleAllocations")),
        binds_to_node=bool(own.get("bindsToNode")),
        ready_when=tuple(own.get("bindingConditions") or ()),
        failed_when=tuple(own.get("bindingFailureConditions") or ()),
    )


def _values(held: Any) -> frozenset[tuple[type, Any]]:
    return frozenset((type(one), one) for one in (held if isinstance(held, list) else (held,)))


def _amounts(counter_set: str, counters: Mapping[str, Any]) -> Counters:
    return {(counter_set, name): quantity.parse(str(one["value"])).amount for name, one in counters.items()}
