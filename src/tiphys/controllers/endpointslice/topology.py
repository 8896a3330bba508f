"""Topology aware hints: for which zone each endpoint is, by the processors that each zone has. Pure.

A Service asks for them with the annotation ``service.kubernetes.io/topology-mode: Auto``. Zones get endpoints
in proportion to their share of the nodes' processors; what a zone has too many of is lent to others.
Source: "Topology Aware Routing", and upstream's EndpointSlice controller for the amounts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.apimachinery.quantity import parse

ZONE = "topology.kubernetes.io/zone"
ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"
_MODE = "service.kubernetes.io/topology-mode"
_OLD_MODE = "service.kubernetes.io/topology-aware-hints"
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OVERLOAD = 0.2
"""A zone's endpoints may bear so much more than their share."""
_NO_NODE_INFO = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_FEW = "Insufficient number of endpoints"
_OVER = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
_NO_ZONE = "One or more endpoints do not have a zone specified"


@dataclass(frozen=True, slots=True)
class Hints:
    """The zone of each endpoint by address; or, in ``fault``, why there are none."""

    zones: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


def wants_hints(service: Object) -> bool:
    """Tell whether a Service asks for hints by zones' shares."""
    notes = service["metadata"].get("annotations") or {}
    return notes.get(_MODE, notes.get(_OLD_MODE)) in ("Auto", "auto")


def zone_shares(nodes: Iterable[Object]) -> dict[str, float] | None:
    """Return each zone's share of the processors of ready nodes; None: not all say, or there is one zone."""
    milli: dict[str, int] = {}
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        ready = get_condition(node, "Ready")
        if any(name in labels for name in _EXCLUDED) or ready is None or ready.get("status") != "True":
            continue
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        cpu = parse(str(allocatable.get("cpu", "0"))).milli()
        if not labels.get(ZONE) or not cpu:
            return None
        milli[labels[ZONE]] = milli.get(labels[ZONE], 0) + int(cpu)
    total = sum(milli.values())
    return {zone: amount / total for zone, amount in milli.items()} if len(milli) > 1 else None


def hints_for(
    endpoints: Sequence[Object], shares: Mapping[str, float] | None, before: Mapping[str, str]
) -> Hints:
    """Give ready endpoints their zones; ``before`` are those that they have: of equals they keep them."""
    ready = sorted((one for one in endpoints if one["conditions"]["ready"]), key=_address)
    if shares is None:
        return Hints(fault=_NO_NODE_INFO)
    counts = f"({len(ready)} endpoints, {len(shares)} zones)"
    if len(shares) > len(ready):
        return Hints(fault=f"{_FEW} {counts}")
    desired, least = {}, 0
    for zone, share in sorted(shares.items()):
        wanted = share * len(ready)
        minimum = math.ceil(wanted * (1 / (1 + _OVERLOAD)))
        desired[zone] = max(wanted, float(minimum))
        least += minimum
    if least > len(ready):
        return Hints(fault=f"{_OVER} {counts}")
    if any(not one.get("zone") for one in ready):
        return Hints(fault=_NO_ZONE)
    zones = {_address(one): str(one["zone"]) for one in ready}
    _lend(zones, desired, before)
    return Hints(zones)


def _lend(zones: dict[str, str], desired: Mapping[str, float], before: Mapping[str, str]) -> None:
    """Move endpoints from zones with more than they need to those with less, in place."""
    have: dict[str, int] = {}
    for zone in zones.values():
        have[zone] = have.get(zone, 0) + 1
    spare = {zone: have.get(zone, 0) - target for zone, target in desired.items()}
    while True:
        giver = max(spare, key=lambda zone: (spare[zone], zone))
        taker = min(spare, key=lambda zone: (spare[zone], zone))
        give, take = spare[giver], -spare[taker]
        if (give < 1.0 and take < 1.0) or give < 0.5 or take < 0.5:
            return
        lent = [address for address, zone in zones.items() if zone == giver]
        # Who was lent to that zone before stays there: the fewest slices change.
        chosen = next((address for address in lent if before.get(address) == taker), lent[0])
        zones[chosen] = taker
        spare[giver] -= 1
        spare[taker] += 1


def _address(endpoint: Object) -> str:
    return str(endpoint["addresses"][0])
