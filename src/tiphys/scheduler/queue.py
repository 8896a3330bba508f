"""Pods that wait for a node: ready ones by priority and age, failed ones by what could help them.

Pure but for being state: time comes in as ``now_s``. A pod is in exactly one of three places: active
(a heap), backing off (due later), unschedulable (until an event that its failing plugins care about).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.podinfo import PodInfo

INITIAL_BACKOFF_S = 1.0
MAX_BACKOFF_S = 10.0
UNSCHEDULABLE_AT_MOST_S = 300.0
EAGER_AT_MOST = 16
"""An idle scheduler does not wait for backoff while so few pods back off; more could keep it busy forever."""

HELPS: dict[str, frozenset[str]] = {
    "node-static": frozenset(
        {"NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "PodTopologySpread"}
        | {"InterPodAffinity", "NodeResourcesFit", "NodePorts", "VolumeBinding", "VolumeZone"}
        | {"NodeVolumeLimits", "DynamicResources", "NodeDeclaredFeatures"}
    ),
    "node-capacity": frozenset({"NodeResourcesFit", "DynamicResources"}),
    "node-removed": frozenset({"PodTopologySpread"}),
    "pod-removed": frozenset(
        {"NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread"}
        | {"VolumeRestrictions", "NodeVolumeLimits"}
    ),
    "pod-placed": frozenset({"InterPodAffinity", "PodTopologySpread"}),
    "pod-relabelled": frozenset({"InterPodAffinity", "PodTopologySpread"}),
    "device": frozenset({"DynamicResources"}),
    "device-class": frozenset({"DynamicResources", "NodeResourcesFit"}),
    "volume": frozenset({"VolumeBinding", "VolumeZone", "VolumeRestrictions", "NodeVolumeLimits"}),
}
"""Which plugins' verdicts an event can turn. No plugin named (no nodes at all): every event."""
EVENT_NAMES = {
    "node-static": "NodeUpdate", "node-capacity": "NodeAllocatableChange", "node-removed": "NodeDelete",
    "pod-removed": "AssignedPodDelete", "pod-placed": "AssignedPodAdd", "pod-relabelled": "AssignedPodUpdate",
    "device": "ResourceClaimUpdate", "device-class": "DeviceClassUpdate", "volume": "PvcUpdate",
}  # fmt: skip
"""What an event is called in metrics."""
_KNOWN = frozenset().union(*HELPS.values())
"""Of other plugins nobody knows what helps them: every event may."""


@dataclass(slots=True, eq=False)
class Queued:
    """A pod in the queue and what its tries came to."""

    info: PodInfo
    order: int
    attempts: int = 0
    failed_at_s: float = 0.0
    tried_at_s: float = 0.0
    first_tried_at_s: float = 0.0
    plugins: frozenset[str] = frozenset()
    faulted: bool = False
    """The last try failed for a fault, not for want of a place: the backoff must be kept."""
    flushed: bool = False
    """It is tried again for no event, but because it has waited long."""


class SchedulingQueue:
    """One owner: the scheduler's loop. Each pod (by uid) is in at most one place."""

    def __init__(
        self,
        *,
        initial_backoff_s: float = INITIAL_BACKOFF_S,
        max_backoff_s: float = MAX_BACKOFF_S,
        unschedulable_at_most_s: float = UNSCHEDULABLE_AT_MOST_S,
    ) -> None:
        self._initial_s, self._max_s = initial_backoff_s, max_backoff_s
        self._unschedulable_at_most_s = unschedulable_at_most_s
        self._order = itertools.count()
        self._active: list[tuple[tuple[int, int], Queued]] = []
        self._delayed: list[tuple[float, int, Queued]] = []
        self._unschedulable: dict[str, Queued] = {}
        self._by_plugins: dict[frozenset[str], dict[str, Queued]] = {}
        """The same pods by the plugins that failed them: an event asks a few sets, not thousands of pods."""
        self._known: dict[str, Queued] = {}
        self.gated: set[str] = set()
        """Pods (by uid) that are not tried at all until their gates are gone."""
        self.incoming: dict[tuple[str, str], int] = {}
        """How many pods came into each place, and why."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, uid: str) -> bool:
        return uid in self._known

    @property
    def busy(self) -> bool:
        """Whether pods wait for nothing but their turn."""
        return bool(self._active)

    def add(self, info: PodInfo, now_s: float) -> None:
        """Take a new pod, or the new state of one that waits (which may help it)."""
        self.gated.discard(info.uid)
        queued = self._known.get(info.uid)
        if queued is None:
            queued = self._known[info.uid] = Queued(info, next(self._order))
            self._activate(queued)
            self._came("active", "UnscheduledPodAdd")
            return
        changed = _matters(queued.info) != _matters(info)
        queued.info = info
        if changed and self._unpark(info.uid):
            self._came(self._delay(queued, now_s), "UnscheduledPodUpdate")

    def remove(self, uid: str) -> None:
        """Forget a pod that was bound elsewhere or deleted."""
        self._known.pop(uid, None)
        self._unpark(uid)
        self.gated.discard(uid)

    def gate(self, uid: str) -> None:
        """Note a pod that is not to be tried yet."""
        self.remove(uid)
        self.gated.add(uid)

    def restore(self, queued: Queued, info: PodInfo, now_s: float) -> None:
        """Take back a pod whose binding failed: its tries count on, and it backs off."""
        if info.uid in self._known:
            return
        queued.info = info
        self._known[info.uid] = queued
        self.retry(queued, now_s)

    def pop(self, now_s: float) -> Queued | None:
        """Take the next pod to try; it stays known until removed. None when nothing is due."""
        while self._delayed and self._delayed[0][0] <= now_s:
            queued = heapq.heappop(self._delayed)[2]
            if self._known.get(queued.info.uid) is queued:
                self._activate(queued)
        while self._active:
            queued = heapq.heappop(self._active)[1]
            if self._known.get(queued.info.uid) is queued:
                return queued
        return self._pop_eagerly() if len(self._delayed) <= EAGER_AT_MOST else None

    def _pop_eagerly(self) -> Queued | None:
        for entry in sorted(self._delayed, key=lambda entry: entry[:2]):
            queued = entry[2]
            if self._known.get(queued.info.uid) is queued and not queued.faulted:
                self._delayed.remove(entry)
                heapq.heapify(self._delayed)
                return queued
        return None

    def next_due_s(self) -> float | None:
        """When the first delayed pod is due; None without one."""
        return self._delayed[0][0] if self._delayed else None

    def retry(self, queued: Queued, now_s: float) -> None:
        """Try again after backoff (the attempt failed for no fault of the cluster's state)."""
        if self._known.get(queued.info.uid) is queued:
            queued.attempts += 1
            queued.failed_at_s = now_s
            queued.faulted = True
            queued.flushed = False
            self._came(self._delay(queued, now_s), "ScheduleAttemptFailure")

    def park(self, queued: Queued, plugins: frozenset[str], now_s: float) -> None:
        """Wait for an event that can turn one of ``plugins``."""
        if self._known.get(queued.info.uid) is not queued:
            return
        self._unpark(queued.info.uid)
        queued.attempts += 1
        queued.failed_at_s = now_s
        queued.plugins = plugins
        queued.faulted = queued.flushed = False
        self._unschedulable[queued.info.uid] = queued
        self._by_plugins.setdefault(plugins, {})[queued.info.uid] = queued
        self._came("unschedulable", "ScheduleAttemptFailure")

    @property
    def has_unschedulable(self) -> bool:
        """Whether pods wait for an event."""
        return bool(self._unschedulable)

    def move(self, event: str, now_s: float, hint: Callable[[str, PodInfo], bool] | None = None) -> int:
        """Let pods try again that ``event`` (a key of HELPS) may help. Returns how many.

        ``hint`` is asked whether it may turn the verdict of a plugin that it concerns.
        """
        moved: list[Queued] = []
        for plugins, pods in self._by_plugins.items():
            concerned = plugins & HELPS[event]
            if not plugins or plugins - _KNOWN or (concerned and hint is None):
                moved += pods.values()
            elif concerned and hint is not None:
                moved += [one for one in pods.values() if any(hint(plugin, one.info) for plugin in concerned)]
        moved.sort(key=_by_age)
        self._move(moved, now_s, EVENT_NAMES[event])
        return len(moved)

    def flush(self, now_s: float) -> None:
        """Let pods try again that have waited long (five minutes, by default): an event may be missed."""
        limit = now_s - self._unschedulable_at_most_s
        late = [one for one in self._unschedulable.values() if one.failed_at_s <= limit]
        for one in late:
            one.flushed = True
        self._move(late, now_s, "UnschedulableTimeout")

    def _move(self, queued: list[Queued], now_s: float, event: str) -> None:
        for one in queued:
            self._unpark(one.info.uid)
            self._came(self._delay(one, now_s), event)

    def _unpark(self, uid: str) -> bool:
        """Take a pod from those that wait for an event; False if it was not among them."""
        queued = self._unschedulable.pop(uid, None)
        if queued is None:
            return False
        same = self._by_plugins[queued.plugins]
        del same[uid]
        if not same:
            del self._by_plugins[queued.plugins]
        return True

    def _came(self, place: str, event: str) -> None:
        key = (place, event)
        self.incoming[key] = self.incoming.get(key, 0) + 1

    def waiting(self) -> dict[str, int]:
        """Return how many pods are in each place."""
        known = self._known
        active = sum(known.get(one.info.uid) is one for _, one in self._active)
        backoff = sum(known.get(one.info.uid) is one for _, _, one in self._delayed)
        unschedulable = len(self._unschedulable)
        return {
            "active": active, "backoff": backoff, "unschedulable": unschedulable, "gated": len(self.gated),
        }  # fmt: skip

    def failed(self) -> list[Queued]:
        """Return the pods whose last try plugins have ended, and that were not tried again since."""
        return [one for one in self._known.values() if one.plugins]

    def _delay(self, queued: Queued, now_s: float) -> str:
        """Let a pod wait for what is left of its backoff; return the place that it came to."""
        due_s = queued.failed_at_s + self._backoff_s(queued)
        if due_s <= now_s:
            self._activate(queued)
            return "active"
        heapq.heappush(self._delayed, (due_s, next(self._order), queued))
        return "backoff"

    def _backoff_s(self, queued: Queued) -> float:
        if not queued.attempts:
            return 0.0
        return float(min(self._initial_s * 2 ** min(queued.attempts - 1, 10), self._max_s))

    def _activate(self, queued: Queued) -> None:
        heapq.heappush(self._active, ((-queued.info.priority, next(self._order)), queued))


def _matters(info: PodInfo) -> tuple[object, ...]:
    """Return what of a pod that waits may help it when it changes."""
    claims = (info.pod.get("status") or {}).get("resourceClaimStatuses")
    return info.pod.get("spec"), info.labels, claims


def _by_age(queued: Queued) -> tuple[float, int]:
    return queued.failed_at_s, queued.order
