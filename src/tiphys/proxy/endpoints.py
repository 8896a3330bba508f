"""Which endpoints a service port may use from one node: readiness, traffic policies, topology hints.

Pure. Reads EndpointSlices in wire form; ``rules`` turns the outcome into nftables rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the rules need to know about the node they are for."""

    name: str
    addresses: tuple[str, ...] = ()
    """Addresses on which NodePorts answer."""
    zone: str = ""
    cluster_cidr: tuple[str, ...] = ()
    """Pod ranges; sources outside of them are masqueraded when they use a ClusterIP."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a service port."""

    address: str
    port: int
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The endpoints for cluster-wide and for node-local traffic."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    exists: bool
    """True when some endpoint somewhere could serve: no local one then means drop, not reject."""


def slice_endpoints(slices: Iterable[Object], port_name: str, protocol: str, family: str) -> list[Endpoint]:
    """Return every endpoint of the named service port; ``family`` is ``IPv4`` or ``IPv6``.

    A duplicate address and port keeps the copy that is ready. Sorted, so that equal inputs give equal rules.
    """
    found: dict[tuple[str, int], Endpoint] = {}
    for item in slices:
        if item.get("addressType", "IPv4") != family:
            continue
        numbers = [
            port["port"]
            for port in item.get("ports") or ()
            if (port.get("name") or "") == port_name
            and (port.get("protocol") or "TCP") == protocol
            and port.get("port")
        ]
        for number in numbers:
            for raw in item.get("endpoints") or ():
                endpoint = _endpoint(raw, number)
                if endpoint is None:
                    continue
                key = (endpoint.address, endpoint.port)
                if key not in found or endpoint.ready > found[key].ready:
                    found[key] = endpoint
    return [found[key] for key in sorted(found)]


def _endpoint(raw: dict[str, Any], port: int) -> Endpoint | None:
    addresses = raw.get("addresses") or ()
    if not addresses:
        return None
    conditions = raw.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    hints = raw.get("hints") or {}
    return Endpoint(
        address=addresses[0],
        port=port,
        node=raw.get("nodeName") or "",
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        zones=tuple(hint["name"] for hint in hints.get("forZones") or ()),
        nodes=tuple(hint["name"] for hint in hints.get("forNodes") or ()),
    )


def select(endpoints: Sequence[Endpoint], node: NodeFacts) -> Selection:
    """Choose what traffic may use: ready endpoints, and failing those the terminating that still serve."""
    usable = _ready_or_draining(endpoints)
    local = _ready_or_draining([item for item in endpoints if item.node == node.name])
    return Selection(tuple(_near(usable, node)), tuple(local), bool(usable))


def _ready_or_draining(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    ready = [item for item in endpoints if item.ready]
    return ready or [item for item in endpoints if item.serving and item.terminating]


def _near(endpoints: list[Endpoint], node: NodeFacts) -> list[Endpoint]:
    """Keep the endpoints hinted for this node, else for its zone; hints count only when all have them."""
    if not endpoints or not all(item.ready for item in endpoints):
        return endpoints
    if all(item.nodes for item in endpoints):
        same_node = [item for item in endpoints if node.name in item.nodes]
        if same_node:
            return same_node
    if node.zone and all(item.zones for item in endpoints):
        same_zone = [item for item in endpoints if node.zone in item.zones]
        if same_zone:
            return same_zone
    return endpoints
