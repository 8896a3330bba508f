"""Which devices of the node each container gets. Pure.

Device plugins say what devices there are; a container asks for a number of them with a limit of the plugin's
resource. What init containers had, the containers after them may have.
Source: "Device Plugins".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.cm.resources import is_sidecar

Pools = Mapping[str, Mapping[str, bool]]
"""By resource: whether each device, by id, is healthy."""
Assignment = Mapping[str, Mapping[str, Sequence[str]]]
"""By container: the ids of its devices, by resource."""


class DeviceProblem(Exception):
    """A plugin that does not give what it promised."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a container gets along with its devices, in the runtime's words."""

    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mapping[str, Any]] = ()
    devices: Sequence[Mapping[str, Any]] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi: Sequence[str] = ()

    def joined(self, other: Extras) -> Extras:
        """Return both; of the same variable the first counts."""
        return Extras(
            {**other.env, **self.env},
            (*self.mounts, *other.mounts),
            (*self.devices, *other.devices),
            {**other.annotations, **self.annotations},
            (*self.cdi, *other.cdi),
        )


def asked(container: Mapping[str, Any], pools: Iterable[str]) -> dict[str, int]:
    """Return how many devices of each known resource a container asks for."""
    limits = (container.get("resources") or {}).get("limits") or {}
    amounts = {name: int(parse(str(limits[name])).value()) for name in pools if name in limits}
    return {name: amount for name, amount in amounts.items() if amount > 0}


def assign(pod: Object, pools: Pools, taken: Mapping[str, set[str]]) -> Assignment | Rejection:
    """Choose devices for all containers of a pod, or say why that cannot be; ``taken`` are other pods'."""
    spec = pod["spec"]
    used = {name: set(ids) for name, ids in taken.items()}
    reusable: dict[str, list[str]] = {}
    result: dict[str, dict[str, list[str]]] = {}
    starting = spec.get("initContainers") or ()
    for container in (*starting, *spec["containers"]):
        passing = container in starting and not is_sidecar(container)
        for name, amount in asked(container, pools).items():
            own = reusable.get(name, [])[:amount]
            healthy = sorted(key for key, good in pools[name].items() if good)
            if not healthy:
                return refused(f"no healthy devices present; cannot allocate unhealthy devices {name}")
            free = [key for key in healthy if key not in used.get(name, set())]
            missing = amount - len(own)
            if missing > len(free):
                counts = f"Requested: {missing}, Available: {len(free)}"
                return refused(f"requested number of devices unavailable for {name}. {counts}")
            own = own + free[:missing]
            used.setdefault(name, set()).update(own)
            result.setdefault(container["name"], {})[name] = own
            known = reusable.setdefault(name, [])
            if passing:
                known.extend(key for key in own if key not in known)
            else:
                reusable[name] = [key for key in known if key not in own]
    return result


def refused(why: str) -> Rejection:
    """Return what becomes of a pod whose devices cannot be had."""
    return Rejection("UnexpectedAdmissionError", f"Allocate failed due to {why}, which is unexpected")


def counted(pools: Pools) -> dict[str, tuple[int, int]]:
    """Return how many devices there are of each resource, and how many of them are healthy."""
    return {name: (len(found), sum(found.values())) for name, found in pools.items()}
