"""What to do next for one pod: the kubelet's decision, as a function. Pure.

``plan`` reads the pod, what the runtime has of it and what the worker remembers, and says what to start, kill
and clean up. Repeating it on an unchanged state gives the same plan; work under way (``PodState.busy``)
is not planned twice.
Source: "Pod Lifecycle", "Sidecar Containers", "Termination of Pods".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Any

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import Rejection, finished
from tiphys.kubelet.allocation.plan import ResizeState
from tiphys.kubelet.allocation.resize import Resize, Resources, plan_resizes, whole_pod_differs
from tiphys.kubelet.cm.resources import is_sidecar
from tiphys.kubelet.kuberuntime.containers import container_hash
from tiphys.kubelet.kuberuntime.security import pod_text
from tiphys.kubelet.restarts import (
    BackoffEntry,
    Pace,
    format_delay,
    is_past,
    life_of,
    next_backoff,
    restart_epoch,
    restart_policy,
    should_restart,
    wait_left_s,
)
from tiphys.kubelet.runtime import CONTAINER_HASH, Container, ContainerState, RuntimePod

START = "start"
"""Key of ``busy`` while a sandbox is made or containers are started; kills go by container id."""
RESIZE = "resize"
"""Key of ``busy`` while containers are changed in place."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A running container that a probe condemned."""

    probe: str
    """``liveness`` or ``startup``."""
    grace_s: int | None = None
    """The probe's own grace period."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The pod is being stopped: since when, and how long its containers may take."""

    since: datetime
    grace_s: float

    def left_s(self, now: datetime) -> float:
        """Return what is left of the grace period."""
        return max(0.0, self.grace_s - (now - self.since).total_seconds())


@dataclass(frozen=True, slots=True)
class PodState:
    """What the worker of a pod remembers between plans."""

    busy: frozenset[str] = frozenset()
    backoffs: Mapping[str, BackoffEntry] = field(default_factory=dict)
    pace: Pace | None = None
    """How fast the node starts anew what ends, where it has its own idea of that."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """Why the last attempt to start a container failed, by name."""
    started: frozenset[str] = frozenset()
    """Ids of running containers past their startup probe and postStart hook."""
    ready: frozenset[str] = frozenset()
    """Ids whose readiness probe (if any) succeeds."""
    unhealthy: Mapping[str, Unhealthy] = field(default_factory=dict)
    retry_at: Mapping[str, datetime] = field(default_factory=dict)
    """Earliest next try by container name, after a failed pull or start; START for the sandbox."""
    applied: Mapping[str, Resources] = field(default_factory=dict)
    pod_applied: Resources | None = None
    """What the whole pod was given last, in its own cgroup."""
    """Resources changed in place since a container's start, by its id."""
    resize: ResizeState = field(default_factory=ResizeState)
    """How far a change of the pod's resources has come."""
    renewed: frozenset[str] = frozenset()
    """Ids of containers that were killed to be started anew, however they ended."""
    rejection: Rejection | None = None
    """Refused, evicted or over its deadline: the pod is Failed whatever its containers say."""
    termination: Termination | None = None
    deleted: bool = False
    """The API object is gone or bears a deletion timestamp."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start one container."""

    name: str
    attempt: int
    backoff: BackoffEntry | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop one container, its preStop hook first."""

    container_id: str
    name: str
    message: str
    grace_s: float
    renew: bool = False
    """Another one starts in its place whatever its exit code."""
    hook: bool = True
    """Whether preStop is run first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to do now. Nothing set means: wait for a change, or for ``wake_after_s``."""

    stop: bool = False
    """The pod is on its way out; only kills and stopped sandboxes follow."""
    kills: tuple[Kill, ...] = ()
    stop_sandboxes: tuple[str, ...] = ()
    new_sandbox: bool = False
    sandbox_attempt: int = 0
    starts: tuple[Start, ...] = ()
    life: str = ""
    """Which life of the pod the starts belong to, where it may have several."""
    remove: tuple[str, ...] = ()
    """Dead containers that nobody needs any more."""
    resizes: tuple[Resize, ...] = ()
    """Containers to be changed in place."""
    resize_pod: bool = False
    """The pod's own cgroup is to be changed."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    wake_after_s: float | None = None
    stopped: bool = False
    """Nothing of the pod runs any more."""
    rejection: Rejection | None = None
    """A new reason to fail the pod."""


def plan(pod: Object, runtime: RuntimePod, now: datetime, state: PodState) -> Plan:
    """Decide what to do for a pod."""
    rejection = state.rejection or _deadline(pod, now)
    if state.deleted or rejection is not None or finished(pod):
        return replace(plan_stop(pod, runtime, now, state), rejection=rejection)
    chosen = _Planner(pod, runtime, now, state).plan()
    wake = _deadline_left_s(pod, now)
    if wake is not None and (chosen.wake_after_s is None or wake < chosen.wake_after_s):
        chosen = replace(chosen, wake_after_s=wake)
    return chosen


def _deadline_left_s(pod: Object, now: datetime) -> float | None:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    started = (pod.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return float(seconds) - (now - parse_time(started)).total_seconds()


def _deadline(pod: Object, now: datetime) -> Rejection | None:
    left = _deadline_left_s(pod, now)
    if left is None or left > 0:
        return None
    return Rejection("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


def grace_period_s(pod: Object) -> float:
    """Return how long the pod's containers may take to end."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return float(30 if seconds is None else seconds)


def plan_stop(pod: Object, runtime: RuntimePod, now: datetime, state: PodState) -> Plan:
    """Stop everything: containers, then sidecars from the last to the first, then the sandbox."""
    left = state.termination.left_s(now) if state.termination else grace_period_s(pod)
    alive = [item for item in runtime.containers if item.state is ContainerState.RUNNING]
    sidecars = [item["name"] for item in pod["spec"].get("initContainers") or () if is_sidecar(item)]
    first = [item for item in alive if item.name not in sidecars]
    if first and left > 0:
        due = first
    elif left > 0:
        last_name = next((name for name in reversed(sidecars) if any(c.name == name for c in alive)), "")
        due = [item for item in alive if item.name == last_name]
    else:
        due = alive
    kills = tuple(
        Kill(item.id, item.name, f"Stopping container {item.name}", left)
        for item in due
        if item.id not in state.busy
    )
    if alive:
        wake = left if left > 0 else None
        return Plan(stop=True, kills=kills, wake_after_s=wake)
    if START in state.busy:
        return Plan(stop=True)
    sandboxes = tuple(item.id for item in runtime.sandboxes if item.ready and item.id not in state.busy)
    return Plan(
        stop=True, stop_sandboxes=sandboxes, stopped=not any(item.ready for item in runtime.sandboxes)
    )


class _Planner:
    """Collects the plan for a pod that should run."""

    def __init__(self, pod: Object, runtime: RuntimePod, now: datetime, state: PodState) -> None:
        self.pod = pod
        self.runtime = runtime
        self.now = now
        self.state = state
        self.kills: list[Kill] = []
        self.starts: list[Start] = []
        self.waiting: dict[str, Waiting] = {}
        self.wake_after_s: float | None = None
        self._init_failed = False
        self._epoch = restart_epoch(pod, runtime)

    def plan(self) -> Plan:
        sandbox = self.runtime.sandbox
        if START in self.state.busy:
            return Plan()
        if sandbox is None or not sandbox.ready:
            return self._plan_sandbox()
        if any(item.running and is_past(item, self._epoch) for item in self.runtime.containers):
            return self._end_past_life()
        if self._over():
            return plan_stop(self.pod, self.runtime, self.now, self.state)
        if not self._init_containers(sandbox.id):
            return self._result()
        if self._init_failed:
            return replace(plan_stop(self.pod, self.runtime, self.now, self.state), stop=True)
        for container in self.pod["spec"]["containers"]:
            self._container(container)
        for container in self.pod["spec"].get("ephemeralContainers") or ():
            if self.runtime.latest(container["name"]) is None:
                self._start(container, None)
        return self._result()

    def _end_past_life(self) -> Plan:
        """The pod starts anew: what runs ends at once, without hooks and grace."""
        kills = tuple(
            Kill(item.id, item.name, f"Stopping container {item.name}", 0.0, hook=False)
            for item in self.runtime.containers
            if item.running and is_past(item, self._epoch) and item.id not in self.state.busy
        )
        return Plan(kills=kills)

    def _over(self) -> bool:
        """Whether every container has ended for good; sidecars and debuggers do not keep a pod alive."""
        for container in self.pod["spec"]["containers"]:
            latest = self.runtime.latest(container["name"])
            if latest is None or latest.running or self._restarts(container, latest):
                return False
        return True

    def _restarts(self, container: dict[str, Any], latest: Container | None) -> bool:
        renewed = latest is not None and latest.id in self.state.renewed
        return renewed or is_past(latest, self._epoch) or should_restart(self.pod, container, latest)

    def _result(self) -> Plan:
        resizes = plan_resizes(self.pod, self.runtime, self.state.applied)
        doomed = {item.container_id for item in self.kills} | self.state.busy
        for item in resizes:
            if item.restart and item.container_id not in doomed:
                message = f"Container {item.name} resize requires restart"
                grace = grace_period_s(self.pod)
                self.kills.append(Kill(item.container_id, item.name, message, grace, renew=True))
        in_place = [item for item in resizes if not item.restart and item.container_id not in doomed]
        whole = whole_pod_differs(self.pod, self.state.pod_applied)
        if (in_place or whole) and self._held_back(RESIZE):
            in_place, whole = [], False
        return Plan(
            resize_pod=whole,
            resizes=tuple(in_place),
            kills=tuple(self.kills),
            starts=tuple(self.starts),
            life=life_of(self.pod, self._epoch),
            remove=self._garbage(),
            waiting=self.waiting,
            wake_after_s=self.wake_after_s,
        )

    def _garbage(self) -> tuple[str, ...]:
        """Of each name keep the newest container and, for its log, the one before."""
        seen: dict[str, int] = {}
        surplus = []
        for item in self.runtime.containers:
            seen[item.name] = seen.get(item.name, 0) + 1
            of_epoch = self._epoch is not None and item.finished_at == self._epoch
            if seen[item.name] > 2 and not item.running and item.id not in self.state.busy and not of_epoch:
                surplus.append(item.id)
        return tuple(surplus)

    def _plan_sandbox(self) -> Plan:
        """Without a sandbox all starts anew, except where the pod has ended or may not start again."""
        sandbox = self.runtime.sandbox
        attempt = sandbox.attempt + 1 if sandbox else 0
        wanted = [
            item
            for item in self.pod["spec"]["containers"]
            if self._restarts(item, self.runtime.latest(item["name"]))
        ]
        never = self.pod["spec"].get("restartPolicy") == "Never"
        if not wanted or (never and attempt and self.runtime.containers):
            return plan_stop(self.pod, self.runtime, self.now, self.state)
        alive = [item for item in self.runtime.containers if item.running]
        if alive:
            grace = grace_period_s(self.pod)
            kills = [
                Kill(item.id, item.name, f"Stopping container {item.name}", grace)
                for item in alive
                if item.id not in self.state.busy
            ]
            return Plan(kills=tuple(kills))
        if self._held_back(START):
            return Plan(wake_after_s=self.wake_after_s)
        return Plan(new_sandbox=True, sandbox_attempt=attempt)

    def _init_containers(self, sandbox_id: str) -> bool:
        """Go through the init containers; False while they are not all done."""
        main = {item["name"] for item in self.pod["spec"]["containers"]}
        initialized = any(
            item.name in main and item.sandbox_id == sandbox_id and not is_past(item, self._epoch)
            for item in self.runtime.containers
        )
        for container in self.pod["spec"].get("initContainers") or ():
            latest = self.runtime.latest(container["name"])
            current = latest if latest is not None and latest.sandbox_id == sandbox_id else None
            if is_past(current, self._epoch):
                current = None
            if is_sidecar(container):
                if not self._sidecar(container, latest, current) and not initialized:
                    return False
            elif not initialized and not self._init_container(container, latest, current):
                return self._init_failed
        return True

    def _sidecar(
        self, container: dict[str, Any], latest: Container | None, current: Container | None
    ) -> bool:
        if current is not None and current.running:
            self._check_running(container, current)
            return current.id in self.state.started
        self._start(container, latest)
        return False

    def _init_container(
        self, container: dict[str, Any], latest: Container | None, current: Container | None
    ) -> bool:
        if current is None:
            self._start(container, latest)
            return False
        if current.running:
            return False
        if current.state is ContainerState.EXITED and current.exit_code == 0:
            return True
        if not should_restart(self.pod, container, current, init=True):
            self._init_failed = True
            return False
        self._start(container, current)
        return False

    def _container(self, container: dict[str, Any]) -> None:
        latest = self.runtime.latest(container["name"])
        if latest is not None and latest.running:
            self._check_running(container, latest)
        elif self._restarts(container, latest):
            self._start(container, latest)

    def _check_running(self, container: dict[str, Any], running: Container) -> None:
        """Kill what failed a probe or is not what the spec asks for any more."""
        name = container["name"]
        condemned = self.state.unhealthy.get(running.id)
        known_hash = running.annotations.get(CONTAINER_HASH)
        if condemned is not None:
            message = f"Container {name} failed {condemned.probe} probe, will be restarted"
            grace = condemned.grace_s
            renew = restart_policy(self.pod, container) != "Never"
        elif known_hash and known_hash != container_hash(container):
            message, grace = f"Container {name} definition changed, will be restarted", None
            renew = True
        else:
            return
        if running.id not in self.state.busy:
            seconds = grace_period_s(self.pod) if grace is None else float(grace)
            self.kills.append(Kill(running.id, name, message, seconds, renew))

    def _start(self, container: dict[str, Any], previous: Container | None) -> None:
        """Start now, or note when; ``previous`` is the last container of that name."""
        name = container["name"]
        if self._held_back(name):
            return
        if previous is None:
            self.starts.append(Start(name, 0))
            return
        attempt = previous.restart_count + 1
        entry = self.state.backoffs.get(name)
        ended_at = previous.finished_at
        swept_along = is_past(previous, self._epoch) and ended_at != self._epoch
        if ended_at is None or swept_along:
            self.starts.append(Start(name, attempt, entry))
            return
        left = wait_left_s(entry, ended_at, self.now)
        if left > 0 and entry is not None:
            delay = format_delay(entry.delay_s)
            text = f"back-off {delay} restarting failed container={name} pod={pod_text(self.pod)}"
            self.waiting[name] = Waiting("CrashLoopBackOff", text)
            self._wake(left)
            return
        backoff = next_backoff(entry, self.now, ended_at, self.state.pace)
        self.starts.append(Start(name, attempt, backoff))

    def _held_back(self, key: str) -> bool:
        """Whether a failed try forbids another one yet."""
        until = self.state.retry_at.get(key)
        if until is None or until <= self.now:
            return False
        self._wake((until - self.now).total_seconds())
        return True

    def _wake(self, seconds: float) -> None:
        if self.wake_after_s is None or seconds < self.wake_after_s:
            self.wake_after_s = seconds
