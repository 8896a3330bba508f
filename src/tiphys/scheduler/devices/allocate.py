"""Which devices claims get on one node: a bounded search over requests, in the order they are written.

Pure. A request takes a number of devices, or all that match; ``firstAvailable`` tries its alternatives in
turn; constraints hold over a claim's devices. Source: KEP-4381 (structured parameters), resource.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import field
from typing import Any, TypeAlias

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.taints import tolerates
from tiphys.scheduler.devices.capacity import Amounts, fits
from tiphys.scheduler.devices.inventory import Counters, Device, DeviceId, Pool
from tiphys.scheduler.devices.selectors import split_name

MOST_STEPS = 20_000
"""A search that takes longer is given up: no answer is better than a scheduler that stands still."""
MOST_DEVICES = 32
"""Of one claim."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One way to satisfy one request of a claim."""

    claim: int
    name: str
    """``request``, or ``request/subrequest``."""
    ask: Mapping[str, Any]

    @property
    def admin(self) -> bool:
        return bool(self.ask.get("adminAccess"))


@dataclass(frozen=True, slots=True)
class Granted:
    """One device for one request."""

    wanted: Wanted
    device: Device
    consumed: Amounts = field(default_factory=dict)
    """Of a device that is shared."""


Shares: TypeAlias = Mapping[DeviceId, Sequence[Amounts]]


class TooHard(Exception):
    """The search was given up."""


def alternatives(request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the ways a request may be satisfied: its name, and what is asked for exactly."""
    name = str(request["name"])
    if request.get("firstAvailable"):
        for sub in request["firstAvailable"]:
            yield f"{name}/{sub['name']}", sub
    else:
        yield name, request.get("exactly") or request


def allocate(
    claims: Sequence[Object],
    node: Object,
    pools: Sequence[Pool],
    classes: Mapping[str, Object],
    taken: Set[DeviceId],
    *,
    shares: Shares | None = None,
) -> list[list[Granted]] | None:
    """Return what each claim gets on the node; None when they cannot all be satisfied.

    ``taken`` are devices that others have alone, ``shares`` what they have of those that are shared.
    Raises SelectorError for a selector that gives no answer.
    """
    search = _Search(claims, node, pools, classes, taken)
    search.shares = shares or {}
    try:
        found = search.requests(0)
    except TooHard:
        return None
    if not found:
        return None
    return [[one for one in search.granted if one.wanted.claim == index] for index in range(len(claims))]


class _Search:
    """The state of one search; what is granted grows and shrinks with it."""

    def __init__(
        self,
        claims: Sequence[Object],
        node: Object,
        pools: Sequence[Pool],
        classes: Mapping[str, Object],
        taken: Set[DeviceId],
    ) -> None:
        self.granted: list[Granted] = []
        self.shares: Shares = {}
        self._claims = claims
        self._classes = classes
        self._taken = taken
        self._pools = {(pool.driver, pool.name): pool for pool in pools}
        self._reached = [
            (pool, [device for device in pool.devices if device.reaches(node)]) for pool in pools
        ]
        self._left = MOST_STEPS
        self._matching: dict[tuple[int, str], list[Device] | None] = {}
        """What matches a request does not depend on what others got: it is asked once, not at every turn."""
        self._asked = [
            (index, request)
            for index, claim in enumerate(claims)
            for request in (claim["spec"].get("devices") or {}).get("requests") or ()
        ]
        self._constraints = [
            (claim["spec"].get("devices") or {}).get("constraints") or () for claim in claims
        ]

    def requests(self, at: int) -> bool:
        """Satisfy the requests from the given one on."""
        if at == len(self._asked):
            return True
        claim, request = self._asked[at]
        return any(self._one(at, Wanted(claim, name, ask)) for name, ask in alternatives(request))

    def _one(self, at: int, wanted: Wanted) -> bool:
        key = (at, wanted.name)
        if key not in self._matching:
            self._matching[key] = self._candidates(wanted)
        candidates = self._matching[key]
        if candidates is None:
            return False
        takes_all = wanted.ask.get("allocationMode") == "All"
        count = len(candidates) if takes_all else int(wanted.ask.get("count") or 1)
        have = sum(one.wanted.claim == wanted.claim for one in self.granted)
        repeats = not takes_all and any(device.shared for device in candidates)
        if not count or have + count > MOST_DEVICES or (count > len(candidates) and not repeats):
            return False
        return self._fill(at, wanted, candidates, 0, count)

    def _candidates(self, wanted: Wanted) -> list[Device] | None:
        """Return the devices that match the class and the request; None where all cannot be known."""
        device_class = self._classes.get(str(wanted.ask.get("deviceClassName") or ""))
        if device_class is None:
            return None
        of_class = (device_class.get("spec") or {}).get("selectors") or []
        own = wanted.ask.get("selectors") or []
        meta = self._claims[wanted.claim]["metadata"]
        found: list[Device] = []
        for pool, devices in self._reached:
            if not pool.complete:
                if devices and wanted.ask.get("allocationMode") == "All":
                    return None
                continue
            found += [
                device
                for device in devices
                if device.matches(of_class, f"class {device_class['metadata']['name']}")
                and device.matches(own, f"claim {meta['namespace']}/{meta['name']}")
            ]
        return found

    def _fill(self, at: int, wanted: Wanted, candidates: list[Device], start: int, count: int) -> bool:
        if not count:
            return self.requests(at + 1)
        takes_all = wanted.ask.get("allocationMode") == "All"
        for index in range(start, len(candidates)):
            self._left -= 1
            if self._left < 0:
                raise TooHard
            device = candidates[index]
            consumed = device.consumed_by(wanted.ask)
            if consumed is not None and self._usable(wanted, device, consumed):
                self.granted.append(Granted(wanted, device, consumed if device.shared else {}))
                # One request may have a device that is shared more than once.
                again = device.shared and not takes_all
                if self._fill(at, wanted, candidates, index if again else index + 1, count - 1):
                    return True
                self.granted.pop()
        return False

    def _usable(self, wanted: Wanted, device: Device, consumed: Amounts) -> bool:
        if not wanted.admin and not self._is_free(device, consumed):
            return False
        if not device.shared and any(
            one.device is device and one.wanted.name == wanted.name for one in self.granted
        ):
            return False
        tolerations = wanted.ask.get("tolerations") or ()
        for taint in device.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
                return False
        return all(self._holds(one, wanted, device) for one in self._constraints[wanted.claim])

    def _is_free(self, device: Device, consumed: Amounts) -> bool:
        own = {one.device.id for one in self.granted if not one.wanted.admin}
        if device.id in self._taken or (device.id in own and not device.shared):
            return False
        if device.shared:
            others = [*self.shares.get(device.id, ()), consumed]
            others += [one.consumed for one in self.granted if one.device is device and not one.wanted.admin]
            if not fits(device.capacities, others):
                return False
            if len(others) > 1:
                return True  # it draws on shared counters already
        if not device.consumes:
            return True
        pool = self._pools[device.id[:2]]
        left: Counters = dict(pool.counters)
        for other in pool.devices:
            if other.id in self._taken or other.id in own or other.id in self.shares:
                for key, amount in other.consumes.items():
                    left[key] = left.get(key, amount) - amount
        return all(key in left and left[key] >= amount for key, amount in device.consumes.items())

    def _holds(self, constraint: Mapping[str, Any], wanted: Wanted, device: Device) -> bool:
        """Say whether the device keeps a constraint beside what its claim has already.

        One value must be common to all, or no two may have one in common.
        """
        if not _is_bound_by(wanted.name, constraint):
            return True
        same, other = constraint.get("matchAttribute"), constraint.get("distinctAttribute")
        name = str(same or other or "")
        values = _attribute(device, name)
        if not values:
            return False
        for one in self.granted:
            if one.wanted.claim == wanted.claim and _is_bound_by(one.wanted.name, constraint):
                theirs = _attribute(one.device, name)
                if not same and not values.isdisjoint(theirs):
                    return False
                if same:
                    values &= theirs
        return bool(values)


def _is_bound_by(name: str, constraint: Mapping[str, Any]) -> bool:
    requests = constraint.get("requests") or ()
    return not requests or name in requests or name.partition("/")[0] in requests


def _attribute(device: Device, name: str) -> frozenset[tuple[type, Any]]:
    return device.attributes.get(split_name(name, device.id[0]), frozenset())
