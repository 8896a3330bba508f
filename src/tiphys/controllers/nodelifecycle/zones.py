"""How much of each zone is down, and how fast its nodes may lose their pods. State without I/O.

When every node is silent the fault is likelier here than there: nothing is evicted. In a zone that is down in
good part, evictions are slow or stop; elsewhere one node in ten seconds may be given up.
Source: "Nodes", rate limits on eviction; upstream's node lifecycle controller.
"""

from __future__ import annotations

import math
from collections import Counter
from enum import Enum

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition

_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_NOT_COUNTED = "node.kubernetes.io/exclude-disruption"
_PARTLY_DOWN_AT_LEAST = 3


class ZoneState(Enum):
    """Upstream's names: a part that matters, or all of the zone's nodes are not ready."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(frozen=True, slots=True)
class Rates:
    """Nodes a second that may be given up, and when the slower rate holds."""

    usual: float = 0.1
    slow: float = 0.01
    unhealthy_share: float = 0.55
    large_zone: int = 50
    """A partly disrupted zone of at most so many nodes evicts nothing at all."""


class Zones:
    """Keeps count of ready and other nodes by zone."""

    def __init__(self, rates: Rates, settle_s: float = 0.0) -> None:
        """``settle_s``: so long after a node is seen to be down it may turn out that all of them are."""
        self._rates = rates
        self._settle_s = settle_s
        self._down_since: dict[str, float] = {}
        self._nodes: dict[str, tuple[str, bool]] = {}
        self._count: Counter[tuple[str, bool]] = Counter()
        self._next_at: dict[str, float] = {}

    def put(self, node: Object, now_s: float = 0.0) -> None:
        """Take a node's new state."""
        name = node["metadata"]["name"]
        since, all_were_down = self._down_since.get(name, now_s), self.all_down
        self.remove(name)
        ready = (get_condition(node, "Ready") or {}).get("status") == "True"
        if _NOT_COUNTED not in (node["metadata"].get("labels") or {}):
            entry = self._nodes[name] = (zone_of(node), ready)
            self._count[entry] += 1
        if not ready:
            self._down_since[name] = since
        elif all_were_down:
            # The fault was here and is over: the others get their time to be heard, too.
            self._down_since = dict.fromkeys(self._down_since, now_s)

    def remove(self, name: str) -> None:
        """Forget a node that is gone."""
        self._down_since.pop(name, None)
        entry = self._nodes.pop(name, None)
        if entry is not None:
            self._count[entry] -= 1
            if not self._count[entry]:
                del self._count[entry]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return of each zone how many nodes are ready and how many are not."""
        zones = {zone for zone, _ in self._count}
        return {zone: (self._count[zone, True], self._count[zone, False]) for zone in zones}

    @property
    def all_down(self) -> bool:
        """True if no node of the cluster is ready."""
        return bool(self._count) and not any(ready for _, ready in self._count)

    def state(self, zone: str) -> ZoneState:
        """Say how a zone fares."""
        up, down = self._count[zone, True], self._count[zone, False]
        if down and not up:
            return ZoneState.FULL
        if down >= _PARTLY_DOWN_AT_LEAST and down / (up + down) >= self._rates.unhealthy_share:
            return ZoneState.PARTIAL
        return ZoneState.NORMAL

    def may_give_up(self, node: Object, now_s: float) -> bool:
        """Say whether this node's pods may begin to be evicted now; if so the next node must wait."""
        zone = zone_of(node)
        rate = self._rate(zone)
        if rate <= 0 or self.all_down or now_s < self._next_at.get(zone, 0.0):
            return False
        if now_s < self._down_since.get(node["metadata"]["name"], math.inf) + self._settle_s:
            return False
        # Zones that need not wait any more are forgotten: some have no nodes by now.
        self._next_at = {other: at for other, at in self._next_at.items() if at > now_s}
        self._next_at[zone] = now_s + 1 / rate
        return True

    def _rate(self, zone: str) -> float:
        if self.state(zone) is not ZoneState.PARTIAL:
            return self._rates.usual
        size = self._count[zone, True] + self._count[zone, False]
        return self._rates.slow if size > self._rates.large_zone else 0.0


def zone_of(node: Object) -> str:
    """Return a key for the node's region and zone; '' without either."""
    labels = node["metadata"].get("labels") or {}
    region, zone = (next((labels[key] for key in keys if labels.get(key)), "") for keys in (_REGION, _ZONE))
    return f"{region}:\0:{zone}" if region or zone else ""
