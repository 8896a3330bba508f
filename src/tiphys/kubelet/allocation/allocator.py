"""The allocations of all pods of a node.

Owns who was promised what, in one file for each pod so that a restarted kubelet keeps its promises, and the
resizes that wait for room. Decisions are ``allocation``'s; workers ask for ``view`` and are poked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, object_key
from tiphys.kubelet import counts
from tiphys.kubelet.admission import OUT_OF, NodeCapacity, Rejection, admit, finished, shortages
from tiphys.kubelet.allocation.plan import (
    DEFERRED,
    Allocation,
    Pending,
    Progress,
    ResizeState,
    allocated,
    allocation_of,
    obstacle,
    resize_message,
    resize_order,
)
from tiphys.kubelet.allocation.preemption import PREEMPTED, NoRoom, victims
from tiphys.kubelet.allocation.resize import Resources
from tiphys.kubelet.cm.qos import is_critical
from tiphys.kubelet.images.manager import Recorder

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    allocation: Allocation
    applied: dict[str, Resources] = field(default_factory=dict)
    """Resources changed in place since a container's start, by its id."""
    pod_applied: Resources = field(default_factory=dict)
    """What the pod's own cgroup was given."""
    state: ResizeState = field(default_factory=ResizeState)


class Allocator:
    """One for each kubelet. ``capacity`` says what the node gives to ``pods``, all by UID.

    ``preempt`` gives one up.
    """

    def __init__(
        self,
        folder: Path,
        pods: Callable[[], Mapping[str, Object]],
        capacity: Callable[[], NodeCapacity],
        recorder: Recorder,
        poke: Callable[[str], None],
        *,
        preempt: Callable[[str, Rejection], None],
    ) -> None:
        self._folder = folder
        self._pods = pods
        self._poke = poke
        self._preempt = preempt
        self._capacity = capacity
        self._recorder = recorder
        self._entries: dict[str, _Entry] = {}
        self._pending: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def adopt(self, pod: Object) -> None:
        """Take up a pod that runs already: with what an earlier kubelet promised it."""
        uid = _uid(pod)
        self._entries[uid] = self._load(uid) or _new(pod)

    def admit(self, pod: Object) -> Rejection | None:
        """Promise a new pod what it asks for, or say why it cannot be.

        For a critical one that finds too little, others go. It does not wait until they are gone.
        """
        others, node = self._others(pod), self._capacity()
        rejection = admit(pod, others, node)
        if rejection is not None and rejection.reason.startswith(OUT_OF) and is_critical(pod):
            rejection = admit(pod, others, replace(node, allocatable={})) or self._make_room(
                pod, others, node
            )
        if rejection is None:
            self._entries[_uid(pod)] = _new(pod)
            self._save(_uid(pod))
        return rejection

    def _make_room(self, pod: Object, others: list[Object], node: NodeCapacity) -> Rejection | None:
        short = list(shortages(pod, others, node))
        try:
            leaving = victims(pod, [one for one in others if not finished(one)], short)
        except NoRoom as error:
            text = f"Unexpected error while attempting to recover from admission failure: {error}"
            return Rejection("UnexpectedAdmissionError", text)
        for one in leaving:
            log.info("pod goes for a critical one pod=%s critical=%s", object_key(one), object_key(pod))
            self._preempt(_uid(one), PREEMPTED)
            counts.preempted(short[0].resource)
        return None

    def view(self, pod: Object) -> Object:
        """Return the pod with what it was promised instead of what it asks for."""
        entry = self._entries.get(_uid(pod))
        return pod if entry is None else allocated(pod, entry.allocation)

    def state(self, uid: str) -> ResizeState:
        """Return how far a pod's resize has come."""
        entry = self._entries.get(uid)
        return ResizeState() if entry is None else entry.state

    def applied(self, uid: str) -> Mapping[str, Resources]:
        """Return the resources changed in place, by container id."""
        entry = self._entries.get(uid)
        return {} if entry is None else entry.applied

    def pod_applied(self, uid: str) -> Resources | None:
        """Return what the whole pod was given; None for a pod that is not known."""
        entry = self._entries.get(uid)
        return None if entry is None else entry.pod_applied

    def note_pod_applied(self, uid: str, resources: Resources) -> None:
        """The cgroup of a pod has been changed."""
        if (entry := self._entries.get(uid)) is not None and entry.pod_applied != resources:
            entry.pod_applied = resources
            self._save(uid)

    def note_applied(self, uid: str, container_id: str, resources: Resources, alive: set[str]) -> None:
        """A running container has been changed; of those not ``alive`` nothing need be known."""
        if (entry := self._entries.get(uid)) is not None:
            kept = {key: value for key, value in entry.applied.items() if key in alive}
            entry.applied = {**kept, container_id: resources}
            self._save(uid)

    def consider(self, pod: Object) -> None:
        """Look at a new version of a pod: does it ask for something else?"""
        entry = self._entries.get(_uid(pod))
        if entry is None:
            return
        if allocated(pod, entry.allocation) is not pod:
            self._pending.add(_uid(pod))
            self.retry()
        elif entry.state.pending is not None:
            self._pending.discard(_uid(pod))
            entry.state = replace(entry.state, pending=None)

    def retry(self) -> None:
        """Try every pending resize again, in order: room may have appeared."""
        pods = self._pods()
        waiting = {uid: pods[uid] for uid in self._pending if uid in pods and uid in self._entries}
        ordered = sorted(waiting, key=lambda uid: resize_order(waiting[uid], self._entries[uid].allocation))
        self._pending -= set(waiting)
        for uid in ordered:
            entry, pod, before = self._entries[uid], waiting[uid], self._entries[uid].state
            self._resize(entry, pod)
            if entry.state.pending is not None and entry.state.pending.reason == DEFERRED:
                self._pending.add(uid)
            if entry.state != before:
                self._poke(uid)

    def _resize(self, entry: _Entry, pod: Object) -> None:
        if allocated(pod, entry.allocation) is pod or finished(pod):
            entry.state = replace(entry.state, pending=None)
            return
        pending = obstacle(pod, self._others(pod), self._capacity())
        if pending is not None:
            self._hold(entry, pod, pending)
            return
        generation = pod["metadata"].get("generation")
        entry.allocation = allocation_of(pod)
        entry.state = ResizeState(progress=Progress(generation))
        self._save(_uid(pod))
        log.info("resize allocated pod=%s generation=%s", object_key(pod), generation)
        text = resize_message("Pod resize started", pod, generation)
        self._recorder.record(pod, "Normal", "ResizeStarted", text)

    def _hold(self, entry: _Entry, pod: Object, pending: Pending) -> None:
        if entry.state.pending != pending:
            text = resize_message(f"Pod resize {pending.reason}", pod, pending.generation, pending.message)
            self._recorder.record(pod, "Warning", f"Resize{pending.reason}", text)
        entry.state = replace(entry.state, pending=pending)

    def finish(self, pod: Object) -> None:
        """The containers of a pod run with what it was promised."""
        entry = self._entries.get(_uid(pod))
        if entry is None or entry.state.progress is None:
            return
        generation = entry.state.progress.generation
        entry.state = replace(entry.state, progress=None)
        text = resize_message("Pod resize completed", self.view(pod), generation)
        self._recorder.record(pod, "Normal", "ResizeCompleted", text)
        self.retry()

    def fail(self, pod: Object, error: str) -> None:
        """What the pod was promised could not be carried out."""
        entry = self._entries.get(_uid(pod))
        if entry is None:
            return
        generation = entry.state.progress.generation if entry.state.progress else None
        if generation is None:
            generation = pod["metadata"].get("generation")
        failed = Progress(generation, error)
        if entry.state.progress != failed:
            entry.state = replace(entry.state, progress=failed)
            text = resize_message("Pod resize error", self.view(pod), generation, error)
            self._recorder.record(pod, "Warning", "ResizeError", text)

    def forget(self, uid: str) -> None:
        """A pod is gone for good: others may have its room."""
        self._pending.discard(uid)
        if self._entries.pop(uid, None) is not None:
            (self._folder / f"{uid}.json").unlink(missing_ok=True)
            self.retry()

    def sweep(self) -> None:
        """Remove what was kept of pods that went while no kubelet looked."""
        for path in self._folder.glob("*.json"):
            if path.stem not in self._entries and path.stem not in self._pods():
                path.unlink(missing_ok=True)

    def _others(self, pod: Object) -> list[Object]:
        return [self.view(item) for uid, item in self._pods().items() if uid != _uid(pod)]

    def _save(self, uid: str) -> None:
        entry = self._entries[uid]
        content = {
            "containers": entry.allocation.containers,
            "pod": entry.allocation.pod,
            "applied": entry.applied,
            "podApplied": entry.pod_applied,
        }
        made = self._folder / f"{uid}.tmp"
        try:
            made.write_bytes(orjson.dumps(content))
            made.rename(self._folder / f"{uid}.json")
        except OSError as error:
            log.warning("allocation not kept pod=%s error=%s", uid, error)

    def _load(self, uid: str) -> _Entry | None:
        try:
            found: dict[str, Any] = orjson.loads((self._folder / f"{uid}.json").read_bytes())
            allocation = Allocation(found["containers"], found["pod"])
            given = found.get("podApplied", found["pod"])
            return _Entry(allocation, dict(found["applied"]), dict(given or {}))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("allocation not read pod=%s error=%s", uid, error)
            return None


def _new(pod: Object) -> _Entry:
    allocation = allocation_of(pod)
    return _Entry(allocation, pod_applied=allocation.pod or {})


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])
