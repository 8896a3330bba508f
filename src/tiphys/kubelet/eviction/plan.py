"""When a node runs short, and which pod goes: the decision, as functions. Pure.

Owns thresholds (``memory.available<100Mi``), which of them are met, for how long, what the node's conditions
are, and the order in which pods are given up. Measuring and acting are ``eviction.manager``'s.
Source: "Node-pressure Eviction".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import BINARY_SI, QuantityError, from_value, parse
from tiphys.kubelet.cm.qos import is_critical
from tiphys.kubelet.cm.resources import pod_amount

MEMORY, DISK, PIDS = "MemoryPressure", "DiskPressure", "PIDPressure"
SIGNALS = {
    "memory.available": (MEMORY, "memory"),
    "nodefs.available": (DISK, "ephemeral-storage"),
    "nodefs.inodesFree": (DISK, "inodes"),
    "imagefs.available": (DISK, "ephemeral-storage"),
    "imagefs.inodesFree": (DISK, "inodes"),
    "pid.available": (PIDS, "pids"),
}
"""What is measured: the condition that it makes, and the resource that pods use of it."""
DEFAULT_HARD = (
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%"
    ",imagefs.available<15%,imagefs.inodesFree<5%"
)
HARD_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least that must be left of something: an amount, or percents of the whole."""

    signal: str
    text: str
    grace_s: float | None = None
    """How long a soft one may be fallen short of; None for a hard one."""

    def least(self, capacity: int) -> int:
        """Return the amount. A percentage is of ``capacity``."""
        if self.text.endswith("%"):
            return int(capacity * float(self.text[:-1]) / 100)
        return int(parse(self.text).value())


@dataclass(frozen=True, slots=True)
class Observation:
    """What is left of a signal's resource, and how much there is."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class PodUse:
    """What a pod takes, by resource as ``SIGNALS`` names them; ``containers`` in the same way by name."""

    pod: Object
    used: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is remembered from one look to the next."""

    since: Mapping[Threshold, datetime] = field(default_factory=dict)
    seen: Mapping[str, datetime] = field(default_factory=dict)
    """When each condition was last found to hold."""
    conditions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Victim:
    """A pod to evict, and what its people are told."""

    pod: Object
    message: str
    grace_s: float
    signal: str
    """What was short, as upstream names it."""


def parse_thresholds(hard: str, soft: str = "", soft_grace: str = "") -> tuple[Threshold, ...]:
    """Read the flags' texts. Raises ValueError, with what is wrong."""
    graces = {}
    for part in _parts(soft_grace):
        signal, equals, text = part.partition("=")
        if not equals:
            raise ValueError(f"invalid eviction grace period {part!r}: signal=duration is expected")
        graces[signal] = _seconds(text)
    found = [_threshold(part, None) for part in _parts(hard)]
    for part in _parts(soft):
        signal = part.partition("<")[0]
        if signal not in graces:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
        found.append(_threshold(part, graces[signal]))
    return tuple(found)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _threshold(part: str, grace_s: float | None) -> Threshold:
    signal, less, text = part.partition("<")
    if not less:
        raise ValueError(f"invalid eviction threshold syntax {part}, expected <signal><operator><value>")
    if signal not in SIGNALS:
        raise ValueError(f"unsupported eviction signal {signal}")
    try:
        amount = float(text[:-1]) if text.endswith("%") else parse(text).value()
    except (ValueError, QuantityError) as error:
        raise ValueError(f"eviction threshold {part}: {error}") from error
    if amount < 0 or (text.endswith("%") and amount > 100):
        raise ValueError(f"eviction threshold {signal} must be positive and at most 100%: {text}")
    return Threshold(signal, text, grace_s)


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    if text[-1:] in units and text[:-1].replace(".", "", 1).isdigit():
        return float(text[:-1]) * units[text[-1]]
    raise ValueError(f"invalid duration {text!r}")


def observe_pressure(
    thresholds: Iterable[Threshold],
    found: Mapping[str, Observation],
    before: Pressure,
    now: datetime,
    transition_s: float,
) -> Pressure:
    """Return which thresholds are fallen short of since when, and the conditions that hold.

    A condition lasts until nothing has been short for ``transition_s``, so that it does not flap.
    """
    short = [
        item
        for item in thresholds
        if item.signal in found and found[item.signal].available < item.least(found[item.signal].capacity)
    ]
    since = {item: before.since.get(item, now) for item in short}
    seen = {**before.seen, **{SIGNALS[item.signal][0]: now for item in short}}
    transition = timedelta(seconds=transition_s)
    lasting = frozenset(
        kind
        for kind, moment in seen.items()
        if moment == now or (kind in before.conditions and now - moment < transition)
    )
    return Pressure(since, {kind: seen[kind] for kind in lasting}, lasting)


def due(pressure: Pressure, now: datetime) -> list[Threshold]:
    """Return what must be acted on: hard ones at once, soft ones after their grace; memory first."""
    ready = [
        item
        for item, moment in pressure.since.items()
        if item.grace_s is None or (now - moment).total_seconds() >= item.grace_s
    ]
    order = list(SIGNALS)
    return sorted(ready, key=lambda item: (order.index(item.signal), item.grace_s is not None))


def rank(uses: Iterable[PodUse], resource: str) -> list[PodUse]:
    """Return pods in the order in which they go: over their requests, less important, using more of it."""

    def key(item: PodUse) -> tuple[bool, int, int]:
        used = item.used.get(resource, 0)
        asked = 0 if resource in ("inodes", "pids") else pod_amount(item.pod, "requests", resource)
        # Nobody can ask for processes or inodes, so nobody is over such a request.
        over = resource not in ("inodes", "pids") and used > asked
        return (not over, item.pod["spec"].get("priority") or 0, asked - used)

    return sorted((item for item in uses if not is_critical(item.pod)), key=key)


def choose(
    threshold: Threshold, found: Observation, uses: Iterable[PodUse], max_grace_s: float
) -> Victim | None:
    """Return the one pod to evict for a threshold, or None if there is none to give."""
    resource = SIGNALS[threshold.signal][1]
    ranked = rank(uses, resource)
    if not ranked:
        return None
    use = ranked[0]
    grace = HARD_GRACE_S
    if threshold.grace_s is not None:
        grace = min(max_grace_s, float(use.pod["spec"].get("terminationGracePeriodSeconds", 30)))
    return Victim(use.pod, _message(threshold, found, use, resource), grace, threshold.signal)


def _message(threshold: Threshold, found: Observation, use: PodUse, resource: str) -> str:
    binary = resource not in ("inodes", "pids")
    text = f"The node was low on resource: {resource}. "
    least = threshold.least(found.capacity)
    text += f"Threshold quantity: {_amount(least, binary=binary)}, available: "
    text += f"{_amount(found.available, binary=binary, kibi=True)}. "
    if not binary:
        return text
    for container in use.pod["spec"].get("containers") or ():
        name = container["name"]
        used = use.containers.get(name, {}).get(resource, 0)
        request = ((container.get("resources") or {}).get("requests") or {}).get(resource, "0")
        if used > parse(str(request)).value():
            amount = _amount(used, binary=True, kibi=True)
            text += (
                f"Container {name} was using {amount}, request is {request},"
                f" has larger consumption of {resource}. "
            )
    return text


def _amount(value: int, *, binary: bool, kibi: bool = False) -> str:
    """Return a quantity as Kubernetes writes it; measured bytes in whole KiB."""
    if not binary:
        return str(value)
    if kibi:
        return f"{value // 1024}Ki"
    return str(from_value(value, BINARY_SI))


def over_own_limits(use: PodUse, empty_dirs: Mapping[str, int]) -> Victim | None:
    """Return the pod as a victim of its own limits on local storage; ``empty_dirs`` are sizes by volume."""
    spec = use.pod["spec"]
    for volume in spec.get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and empty_dirs.get(volume["name"], 0) > parse(str(limit)).value() > 0:
            text = f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
            return Victim(use.pod, text, HARD_GRACE_S, "emptydirfs.limit")
    name = "ephemeral-storage"
    limited = [item for item in spec.get("containers") or () if _limit(item, name)]
    total = sum(parse(_limit(item, name)).value() for item in limited)
    if limited and len(limited) == len(spec["containers"]) and use.used.get(name, 0) > total:
        amount = from_value(total, BINARY_SI)
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {amount}. "
        return Victim(use.pod, text, HARD_GRACE_S, "ephemeralpodfs.limit")
    for container in limited:
        limit = _limit(container, name)
        if use.containers.get(container["name"], {}).get(name, 0) > parse(limit).value():
            text = f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit}". '
            return Victim(use.pod, text, HARD_GRACE_S, "ephemeralcontainerfs.limit")
    return None


def _limit(container: Mapping[str, object], name: str) -> str:
    limits: Mapping[str, object] = (container.get("resources") or {}).get("limits") or {}  # type: ignore[attr-defined]
    return str(limits.get(name) or "")


def refused_under(pod: Object, conditions: Iterable[str], qos: str, tolerated: Sequence[str]) -> list[str]:
    """Return the conditions that keep a new pod from a node.

    Short memory keeps away only who asked for none; ``tolerated`` are keys of taints that the pod tolerates.
    """
    if is_critical(pod):
        return []
    held = sorted(conditions)
    if held == [MEMORY] and (qos != "BestEffort" or "node.kubernetes.io/memory-pressure" in tolerated):
        return []
    return held
