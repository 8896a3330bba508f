"""What the cluster says, taken into columns and queue: the scheduler's handlers of nodes, pods and budgets.

Owns: which events give room or another chance, whose pods wait, and what was promised to whom (nominations).
"""

from __future__ import annotations

import asyncio
from collections.abc import Container

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.hints import Change, Hints
from tiphys.scheduler.metrics import handled, timed_hint
from tiphys.scheduler.podinfo import PodInfo, is_resized, pod_info
from tiphys.scheduler.preemption import Budget, read_budget
from tiphys.scheduler.queue import EVENT_NAMES, SchedulingQueue
from tiphys.scheduler.reporter import scheduler_of


class Intake:
    """Keeps columns and queue as the cluster is; ``wake`` is set when there may be something to try.

    ``profiles`` are the names of the schedulers whose pods are ours.
    """

    def __init__(
        self,
        columns: Columns,
        queue: SchedulingQueue,
        hints: Hints,
        profiles: Container[str],
        clock: Clock,
    ) -> None:
        self._columns = columns
        self._queue = queue
        self._hints = hints
        self._profiles = profiles
        self._clock = clock
        self.wake = asyncio.Event()
        self.budgets: dict[str, Budget] = {}

    def on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._columns.remove_node(old["metadata"]["name"])
                self.moved(Change("node-removed", old=old))
            return
        generation = self._columns.static_generation
        self._columns.set_node(new)
        if self._columns.static_generation != generation:
            self.moved(Change("node-static", old=old, new=new))
        elif _allocatable(old) != _allocatable(new):
            self.moved(Change("node-capacity", old=old, new=new))

    def on_namespace(self, old: Object | None, new: Object | None) -> None:
        subject = new or old
        if subject is not None:
            labels = (new["metadata"].get("labels") or {}) if new is not None else None
            self._columns.set_namespace(subject["metadata"]["name"], labels)

    def on_budget(self, old: Object | None, new: Object | None) -> None:
        subject = new or old
        if subject is not None:
            budget = read_budget(new) if new is not None else None
            if budget is None:
                self.budgets.pop(object_key(subject), None)
            else:
                self.budgets[object_key(subject)] = budget

    def on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is None or _finished(new):
            gone = new or old
            if gone is not None:
                self._forget(gone["metadata"]["uid"])
            return
        if old is not None and old["metadata"]["uid"] != new["metadata"]["uid"]:
            self._forget(old["metadata"]["uid"])
        node = new["spec"].get("nodeName")
        if node:
            self._take_bound(new, node)
        elif not self.is_ours(new):
            mine = scheduler_of(new) in self._profiles and not new["metadata"].get("deletionTimestamp")
            (self._queue.gate if mine else self._queue.remove)(new["metadata"]["uid"])
            self.leave_promise(new["metadata"]["uid"], "")
        elif new["metadata"]["uid"] not in self._columns.placed:
            self._take_waiting(old, pod_info(new))

    def _forget(self, uid: str) -> None:
        """A pod is gone: what it had of a node, or was promised, is there for others."""
        self._queue.remove(uid)
        held = self._columns.placed.get(uid) or self._columns.nominated.get(uid)
        self._columns.remove_pod(uid)
        self._columns.nominated.pop(uid, None)
        if held is not None:
            self.moved(Change("pod-removed", before=held[0]))

    def _take_waiting(self, old: Object | None, info: PodInfo) -> None:
        before = str(((old or {}).get("status") or {}).get("nominatedNodeName") or "")
        if info.nominated or before:
            # Where neither names a node, a promise just made may not be written yet: it stands.
            self.nominate(info, info.nominated)
        elif info.uid in self._columns.nominated:
            info.nominated = self._columns.nominated[info.uid][1]
        self._queue.add(info, self._clock.monotonic())
        self.wake.set()

    def nominate(self, info: PodInfo, node: str) -> None:
        """Promise a node, or none; what was promised before is free for others again."""
        before = self._columns.nominated.get(info.uid)
        self._columns.nominate(info, node)
        if before is not None and before[1] != node:
            self.moved(Change("pod-removed", before=before[0]))

    def leave_promise(self, uid: str, node: str) -> None:
        """Drop the promise of a pod that got ``node``, or none: another node is free again."""
        promised = self._columns.nominated.pop(uid, None)
        if promised is not None and promised[1] != node:
            self.moved(Change("pod-removed", before=promised[0]))

    def _take_bound(self, pod: Object, node: str) -> None:
        uid = pod["metadata"]["uid"]
        placed = self._columns.placed.get(uid)
        self._queue.remove(uid)
        self.leave_promise(uid, node)
        if placed is not None and placed[1] == node and not is_resized(placed[0].pod, pod):
            self._take_again(placed[0], pod)
            return
        info = pod_info(pod)
        self._columns.add_pod(info, node)
        self.moved(Change("pod-placed", after=info))
        if placed is not None:  # it may need less than before, or have another node
            after = info if placed[1] == node else None
            self.moved(Change("pod-removed", before=placed[0], after=after))

    def _take_again(self, before: PodInfo, pod: Object) -> None:
        """Take a new state of a pod that counts already: a Binding has come back, or labels are others."""
        fresh = not before.pod["spec"].get("nodeName")
        if before.labels == (pod["metadata"].get("labels") or {}):
            before.pod = pod
            after = before
        else:  # it has those of the node's zone now, for one
            self._columns.relabel_pod(pod)
            after = self._columns.placed[before.uid][0]
            self.moved(Change("pod-relabelled", before=before, after=after))
        if fresh:
            self.moved(Change("pod-placed", after=after))

    def is_ours(self, pod: Object) -> bool:
        return (
            scheduler_of(pod) in self._profiles
            and not pod["metadata"].get("deletionTimestamp")
            and not pod["spec"].get("schedulingGates")
        )

    def moved(self, change: Change) -> None:
        name, began = EVENT_NAMES[change.event], self._clock.monotonic()
        if self._queue.has_unschedulable:
            hint = self._hints.of(change)
            self._queue.move(change.event, began, hint and timed_hint(hint, name, self._clock))
        handled(name, self._clock.monotonic() - began)
        self.wake.set()


def _finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _allocatable(node: Object | None) -> Object:
    allocatable: Object = ((node or {}).get("status") or {}).get("allocatable") or {}
    return allocatable
