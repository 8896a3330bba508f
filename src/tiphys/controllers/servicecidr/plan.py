"""Whether a range of cluster IPs is ready, and whether one that is to go may go. Pure.

A range that is being deleted stays while an address of it is in no other range.

Source: KEP-1880 (ServiceCIDR and IPAddress), its deletion states.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"
GRACE_S = 10.0
"""API servers hear of the deletion within this time and take no more addresses."""
READY = "Kubernetes Service CIDR is ready"
TERMINATING = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, None for nothing; ``again_s``: when to look again."""

    finalizers: list[str] | None = None
    condition: Object | None = None
    again_s: float | None = None


def networks(cidr: Object) -> list[Network]:
    """Return the ranges of a ServiceCIDR that can be read."""
    found: list[Network] = []
    for text in (cidr.get("spec") or {}).get("cidrs") or ():
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            continue
    return found


def _inside(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def overlapping(cidr: Object, others: Iterable[Object]) -> list[str]:
    """Return the names of the ranges that hold part of this one or are part of it."""
    own = networks(cidr)
    return [
        other["metadata"]["name"]
        for other in others
        if any(a.version == b.version and a.overlaps(b) for a in own for b in networks(other))
    ]


def containing(address: Object, cidrs: Iterable[Object]) -> list[str]:
    """Return the names of the ranges that an address of the allocator's is in."""
    if (address["metadata"].get("labels") or {}).get(MANAGED_BY) != ALLOCATOR:
        return []
    try:
        parsed = ipaddress.ip_address(address["metadata"]["name"])
    except ValueError:
        return []
    return [cidr["metadata"]["name"] for cidr in cidrs if any(_holds(one, parsed) for one in networks(cidr))]


def _holds(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a range can have given out an address: neither its first nor, in IPv4, its last."""
    if address not in network or address == network.network_address:
        return False
    return address.version == 6 or address != network.broadcast_address


def may_go(cidr: Object, cidrs: Sequence[Object], addresses: Iterable[Object]) -> bool:
    """Whether no address would be left without a range."""
    name = cidr["metadata"]["name"]
    others = [net for other in cidrs if other["metadata"]["name"] != name for net in networks(other)]
    if all(any(_inside(own, other) for other in others) for own in networks(cidr)):
        return True
    return all(containing(address, cidrs) != [name] for address in addresses)


def _condition(cidr: Object) -> Object:
    for item in (cidr.get("status") or {}).get("conditions") or ():
        if item.get("type") == "Ready":
            return dict(item)
    return {}


def _set(cidr: Object, status: str, reason: str, message: str, now: datetime) -> Object | None:
    """Return the condition to write, None where it says the same already."""
    before = _condition(cidr)
    if (before.get("status"), before.get("reason") or "", before.get("message")) == (status, reason, message):
        return None
    changed = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": changed or rfc3339(now),
    }  # fmt: skip


def plan(cidr: Object, cidrs: Sequence[Object], addresses: Iterable[Object], now: datetime) -> Plan:
    """Decide what becomes of one range."""
    meta = cidr["metadata"]
    finalizers = list(meta.get("finalizers") or ())
    if not meta.get("deletionTimestamp"):
        condition = _set(cidr, "True", "", READY, now)
        return Plan(None if FINALIZER in finalizers else [*finalizers, FINALIZER], condition)
    if not may_go(cidr, cidrs, addresses):
        return Plan(condition=_set(cidr, "False", "Terminating", TERMINATING, now))
    if FINALIZER not in finalizers:
        return Plan()
    left_s = GRACE_S - (now - parse_time(meta["deletionTimestamp"])).total_seconds()
    if left_s > 0:
        return Plan(again_s=left_s)
    return Plan([item for item in finalizers if item != FINALIZER])
