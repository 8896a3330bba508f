"""The status of each container of a pod. Pure.

Source: API reference, ContainerStatus; "Container states".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.allocation.resize import changed_resources, resources_of
from tiphys.kubelet.cm.resources import is_sidecar, with_pod_limits
from tiphys.kubelet.lifecycle import PodState, Waiting
from tiphys.kubelet.restarts import is_past, restart_epoch
from tiphys.kubelet.runtime import Container, ContainerState, RuntimePod

RUNTIME_SCHEME = "containerd://"
_NEVER = "1970-01-01T00:00:00Z"
"""When a container started that could not: the runtime's zero, which Kubernetes shows as it is."""
_LOST_MESSAGE = "The container could not be located when the pod was terminated"
_GONE_MESSAGE = (
    "The container could not be located when the pod was deleted.  The container used to be Running"
)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def terminated_state(container: Container) -> dict[str, Any]:
    """Return ``state.terminated`` of a container that ended."""
    reason = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    state: dict[str, Any] = {"exitCode": container.exit_code, "reason": reason}
    if container.message:
        state["message"] = container.message
    state["startedAt"] = _time(container.started_at) or _NEVER
    state["finishedAt"] = _time(container.finished_at)
    state["containerID"] = RUNTIME_SCHEME + container.id
    return state


def _waiting_state(waiting: Waiting) -> dict[str, Any]:
    state = {"reason": waiting.reason}
    if waiting.message:
        state["message"] = waiting.message
    return {"waiting": state}


def _lost(message: str) -> dict[str, Any]:
    unknown = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}
    return {"terminated": {**unknown, "startedAt": None, "finishedAt": None}}


def close_statuses(init: list[dict[str, Any]], main: list[dict[str, Any]]) -> None:
    """Tell of a pod that has ended: a container that left no trace counts as killed. Changes the statuses.

    Where the init containers did not get through, the others were never to start, and stay waiting; so do the
    init containers after the last one that was tried. Source: kubelet's status manager, ``TerminatePod``.
    """
    tried = [place for place, status in enumerate(init) if _was_tried(status)]
    due = init[: max(tried, default=0) + 1]
    if not init or any(map(_was_tried, main)) or _succeeded(init[-1]):
        due = [*due, *main]
    for status in due:
        if "terminated" not in status["state"]:
            status["state"] = _lost(_LOST_MESSAGE)


def _was_tried(status: Mapping[str, Any]) -> bool:
    return "waiting" not in status["state"] or "terminated" in status["lastState"]


def _succeeded(status: Mapping[str, Any]) -> bool:
    states = (status["state"].get("terminated"), status["lastState"].get("terminated"))
    return any(state is not None and state["exitCode"] == 0 for state in states)


class ContainerStatuses:
    """Makes the statuses of one pod; the previous status keeps what the runtime forgot."""

    def __init__(self, pod: Object, runtime: RuntimePod, state: PodState, *, ending: bool) -> None:
        """``ending`` tells that nothing will be started any more."""
        self._pod = pod
        self._runtime = runtime
        self._state = state
        self._ending = ending
        self._epoch = restart_epoch(pod, runtime)
        old = pod.get("status") or {}
        self._old: dict[str, Mapping[str, Any]] = {
            item["name"]: item
            for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
            for item in old.get(key) or ()
        }

    def init(self) -> list[dict[str, Any]]:
        """Return the statuses of init containers, in the order of the spec."""
        return [self._one(item, init=True) for item in self._pod["spec"].get("initContainers") or ()]

    def main(self) -> list[dict[str, Any]]:
        """Return the statuses of containers, by name."""
        made = [self._one(item) for item in self._pod["spec"].get("containers") or ()]
        return sorted(made, key=lambda item: str(item["name"]))

    def ephemeral(self) -> list[dict[str, Any]]:
        """Return the statuses of ephemeral containers."""
        return [self._one(item) for item in self._pod["spec"].get("ephemeralContainers") or ()]

    def _default_waiting(self) -> Waiting:
        has_init = bool(self._pod["spec"].get("initContainers"))
        return Waiting("PodInitializing" if has_init else "ContainerCreating")

    def _one(self, container: dict[str, Any], *, init: bool = False) -> dict[str, Any]:
        name = container["name"]
        known = self._runtime.all_of(name)
        if len(known) > 1 and known[0].state is ContainerState.CREATED:
            known = known[1:]  # Until it has started, the one before it is what there is to tell of.
        latest = known[0] if known else None
        before = known[1] if len(known) > 1 else None
        state, last = self._states(name, latest, before)
        status: dict[str, Any] = {
            "name": name,
            "state": state,
            "lastState": last,
            "ready": self._ready(container, latest, init=init),
            "restartCount": self._restart_count(name, latest),
            "image": container.get("image", ""),
            "imageID": "",
            "started": latest is not None and latest.running and latest.id in self._state.started,
        }
        if latest is not None:
            status["image"] = latest.image or status["image"]
            status["imageID"] = latest.image_id
            status["containerID"] = RUNTIME_SCHEME + latest.id
        elif name in self._old:
            for key in ("image", "imageID", "containerID"):
                if self._old[name].get(key):
                    status[key] = self._old[name][key]
        self._add_resources(status, container, latest)
        self._add_mounts(status, container)
        return status

    def _states(
        self, name: str, latest: Container | None, before: Container | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        last = {"terminated": terminated_state(before)} if before is not None and _ended(before) else {}
        if not last:
            last = dict((self._old.get(name) or {}).get("lastState") or {}) if latest is not None else {}
        waiting = None if self._ending else self._state.waiting.get(name)
        if latest is None:
            return self._never_ran(name, waiting)
        if latest.running:
            return {"running": {"startedAt": _time(latest.started_at)}}, last
        if latest.state is ContainerState.CREATED:
            return _waiting_state(waiting or self._default_waiting()), last
        terminated = {"terminated": terminated_state(latest)}
        if is_past(latest, self._epoch) and not self._ending:
            return _waiting_state(waiting or self._default_waiting()), terminated
        if waiting is not None:
            return _waiting_state(waiting), terminated
        return terminated, last

    def _never_ran(self, name: str, waiting: Waiting | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The runtime has nothing: not started yet, or lost (its sandbox removed behind our back)."""
        old = self._old.get(name) or {}
        old_state = dict(old.get("state") or {})
        old_last = dict(old.get("lastState") or {})
        if "terminated" in old_state and (self._ending or waiting is None):
            return old_state, old_last
        if "running" in old_state:
            message = _LOST_MESSAGE if self._ending else _GONE_MESSAGE
            if self._ending:
                return _lost(message), old_last
            return _waiting_state(waiting or self._default_waiting()), _lost(message)
        return _waiting_state(waiting or self._default_waiting()), old_last

    def _ready(self, container: dict[str, Any], latest: Container | None, *, init: bool) -> bool:
        if init and not is_sidecar(container):
            if latest is None:
                terminated = ((self._old.get(container["name"]) or {}).get("state") or {}).get("terminated")
                return bool(terminated and terminated.get("exitCode") == 0)
            return _ended(latest) and latest.exit_code == 0 and not is_past(latest, self._epoch)
        if latest is None or not latest.running:
            return False
        return latest.id in self._state.started and latest.id in self._state.ready

    def _restart_count(self, name: str, latest: Container | None) -> int:
        if latest is not None:
            return latest.restart_count
        return int((self._old.get(name) or {}).get("restartCount") or 0)

    def _add_resources(
        self, status: dict[str, Any], container: dict[str, Any], latest: Container | None
    ) -> None:
        wanted = container.get("resources") or {}
        if requests := wanted.get("requests"):
            status["allocatedResources"] = dict(requests)
        applied = wanted
        if latest is not None and latest.running:
            running_with = resources_of(latest, self._state.applied)
            intended = with_pod_limits(self._pod, container)
            # Another spelling of the same amounts is shown as it is written now.
            applied = dict(running_with) if changed_resources(running_with, intended) else wanted
        shown = {key: applied[key] for key in ("limits", "requests") if applied.get(key)}
        if shown or latest is not None:
            status["resources"] = shown

    def _add_mounts(self, status: dict[str, Any], container: dict[str, Any]) -> None:
        mounts = []
        for mount in container.get("volumeMounts") or ():
            shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
            if mount.get("readOnly"):
                shown["readOnly"] = True
                shown["recursiveReadOnly"] = mount.get("recursiveReadOnly") or "Disabled"
            mounts.append(shown)
        if mounts:
            status["volumeMounts"] = mounts


def _ended(container: Container) -> bool:
    return container.state is ContainerState.EXITED
