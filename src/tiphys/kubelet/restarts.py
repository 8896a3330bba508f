"""Whether and when a container that ended starts again. Pure.

Source: "Pod Lifecycle": restart policy, container restart rules, back-off of 10 s doubling to 5 minutes (or
at a node's own pace), forgotten after 10 minutes without a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.cm.qos import spec_containers
from tiphys.kubelet.cm.resources import is_sidecar
from tiphys.kubelet.runtime import LIFE, Container, ContainerState, RuntimePod

INITIAL_S = 10.0
CAP_S = 300.0
RESTART_ALL = "RestartAllContainers"
_FIRST = "first"
_FORGET_S = 600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a node has a container wait first, and at most."""

    initial_s: float
    cap_s: float


@dataclass(frozen=True, slots=True)
class BackoffEntry:
    """How long a container waits after its end, as of its last start."""

    delay_s: float
    updated_at: datetime


def next_backoff(
    entry: BackoffEntry | None, now: datetime, ended_at: datetime, pace: Pace | None = None
) -> BackoffEntry:
    """Return the entry to keep when a container is started again; without a pace of its own the usual one."""
    pace = pace or Pace(INITIAL_S, CAP_S)
    if entry is None or (ended_at - entry.updated_at).total_seconds() > _FORGET_S:
        return BackoffEntry(pace.initial_s, now)
    return BackoffEntry(min(entry.delay_s * 2, pace.cap_s), now)


def wait_left_s(entry: BackoffEntry | None, ended_at: datetime, now: datetime) -> float:
    """Return how long the container must still wait; 0 when it may start."""
    if entry is None or (ended_at - entry.updated_at).total_seconds() > _FORGET_S:
        return 0.0
    left = ended_at + timedelta(seconds=entry.delay_s) - now
    return max(0.0, left.total_seconds())


def format_delay(seconds: float) -> str:
    """Return a delay as messages show it: ``10s``, ``1m20s``, ``5m0s``."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"


def restart_policy(pod: Object, container: dict[str, Any]) -> str:
    """Return the policy of one container: its own, or its pod's."""
    return str(container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always")


def should_restart(
    pod: Object, container: dict[str, Any], ended: Container | None, *, init: bool = False
) -> bool:
    """Return whether a container that ended (or never ran: None) is to be started."""
    if ended is None or ended.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
        return True
    if ended.state is ContainerState.RUNNING:
        return False
    action = _action(container, ended.exit_code)
    if action:
        return action in ("Restart", RESTART_ALL)
    policy = restart_policy(pod, container)
    if policy == "Never":
        return False
    if policy == "OnFailure" or (init and not is_sidecar(container)):
        return ended.exit_code != 0
    return True


def _action(container: dict[str, Any], exit_code: int) -> str:
    """Return what the first rule for an exit code says is to be done, or ""."""
    for rule in container.get("restartPolicyRules") or ():
        if _rule_matches(rule.get("exitCodes") or {}, exit_code):
            return str(rule.get("action") or "")
    return ""


def may_restart_all(pod: Object) -> bool:
    """Whether a container's end can have the whole pod start anew."""
    return any(
        rule.get("action") == RESTART_ALL
        for container in spec_containers(pod)
        for rule in container.get("restartPolicyRules") or ()
    )


def restart_epoch(pod: Object, runtime: RuntimePod) -> datetime | None:
    """Return when a container last ended in a way that has the whole pod start anew.

    Containers made before it belong to the pod's past life. What the runtime still has tells it, so it is the
    same for a kubelet that has just been started.
    """
    ends = [
        ended.finished_at
        for container in (spec_containers(pod) if may_restart_all(pod) else ())
        for ended in runtime.all_of(container["name"])
        if ended.state is ContainerState.EXITED
        and ended.finished_at is not None
        and _action(container, ended.exit_code) == RESTART_ALL
    ]
    return max(ends, default=None)


def life_of(pod: Object, epoch: datetime | None) -> str:
    """Return what is noted at containers of a pod that may start anew: which of its lives is theirs."""
    if epoch is None:
        return _FIRST if may_restart_all(pod) else ""
    return epoch.isoformat()


def is_past(container: Container | None, epoch: datetime | None) -> bool:
    """Whether a container belongs to the pod's past life.

    Its start may have been under way when that life ended: what it was made for counts, not when.
    """
    if container is None or epoch is None:
        return False
    life = container.annotations.get(LIFE)
    return container.created_at < epoch if life is None else life != epoch.isoformat()


def restarting_all(runtime: RuntimePod, epoch: datetime | None) -> bool:
    """Whether the past life is being ended: nothing of the new one is there yet."""
    return epoch is not None and all(is_past(item, epoch) for item in runtime.containers)


def _rule_matches(codes: Mapping[str, Any], exit_code: int) -> bool:
    values = codes.get("values") or ()
    if codes.get("operator") == "In":
        return exit_code in values
    return codes.get("operator") == "NotIn" and exit_code not in values
