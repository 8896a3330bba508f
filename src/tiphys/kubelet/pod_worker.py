"""One pod's loop: look, plan, act, report.

Owns everything that happens to one pod on the node, from its arrival to the removal of its last file.
Decisions are ``lifecycle.plan``'s. Starts run one after another in one task, kills each in its own, so that a
plan can be made at any moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.kinds import PODS
from tiphys.client.transport import TransportError
from tiphys.kubelet import counts
from tiphys.kubelet.admission import NODE_AFFINITY, TAINTED, Rejection, finished
from tiphys.kubelet.allocation.pod_resize import PodResizer
from tiphys.kubelet.allocation.resize import Resize, plan_resizes, whole_pod_differs
from tiphys.kubelet.cm.resources import is_sidecar
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.lifecycle import (
    RESIZE,
    START,
    Plan,
    PodState,
    Termination,
    grace_period_s,
    plan,
)
from tiphys.kubelet.pod_actions import PodActions
from tiphys.kubelet.pod_start import PodStarter, find_container
from tiphys.kubelet.pod_stop import MIN_KILL_S, kill_container, remove_sandboxes
from tiphys.kubelet.pod_times import PodTimes
from tiphys.kubelet.probes.manager import PodProbes
from tiphys.kubelet.runtime import RuntimeFailure, RuntimePod, RuntimeUnavailable
from tiphys.kubelet.status.mirror import MirrorWriter, is_static
from tiphys.kubelet.status.pod import StatusInputs, make_status
from tiphys.kubelet.status.writer import StatusWriter
from tiphys.kubelet.volumes.payload import VolumeProblem

log = logging.getLogger(__name__)

_RUNTIME_RETRY_S = 1.0
_API_RETRY_S = 1.0
_RESIZE_RETRY_S = 10.0
_LOOK_MIN_S, _LOOK_MAX_S = 0.1, 1.0
_VOLUMES = "volumes"
"""What is done while content is brought up to date; a change meanwhile waits for the end of it."""


class PodWorker:
    """``update`` with every new version of the pod, ``poke`` when anything else changed, ``run`` once."""

    def __init__(self, node: NodeContext, pod: Object) -> None:
        self._node = node
        self._pod = pod
        self._state = PodState(pace=node.pace)
        self._wake = asyncio.Event()
        self._wake.set()
        self._actions = PodActions(object_key(pod), self._look, self.poke)
        self._hooked: set[str] = set()
        self._replaced: set[str] = set()
        """Names of containers that were killed to be started anew."""
        self._renewed: set[str] = set()
        """Ids of those of them that start anew however they end."""
        self._starter = PodStarter(node)
        self._resizer = PodResizer(node)
        self._mirror = MirrorWriter(node.client, pod, node.clock) if is_static(pod) else None
        self._writer = self._mirror or StatusWriter(node.client, pod, node.clock)
        self._times = PodTimes(pod, node.clock)
        self._probes = PodProbes(node.runtime, node.recorder, node.clock, self.poke)
        self._removed = False
        self._admitted = False
        self._refresh_volumes = False
        self._cleaned = False
        self._delete_sent = False
        self._watchful = False
        self.ended = asyncio.Event()
        """Set once nothing of the pod is left to be stopped or unmounted."""
        self._adopt()

    @property
    def pod(self) -> Object:
        """The newest version of the pod."""
        return self._pod

    @property
    def uid(self) -> str:
        return str(self._pod["metadata"]["uid"])

    def update(self, pod: Object) -> None:
        """Take a new version of the pod from the API."""
        before, facts = grace_period_s(self._pod), _facts(self._pod)
        self._pod = pod
        # What the pod tells its containers of itself lies in volumes.
        self._refresh_volumes = self._refresh_volumes or _facts(pod) != facts
        self._writer.observe(pod)
        self._times.seen(pod)
        if self._state.termination is not None and grace_period_s(pod) < before:
            self._shorten(grace_period_s(pod))
        self.poke()

    def mirrored(self, mirror: Object | None) -> None:
        """Take note of a static pod's mirror; None: it has gone, which is nothing to the pod."""
        if self._mirror is not None:
            self._mirror.mirrored(mirror)

    def remove(self) -> None:
        """The API object is gone: stop everything quickly."""
        self._removed = True
        self._writer.gone = True
        if self._state.termination is not None:
            self._shorten(min(self._state.termination.grace_s, MIN_KILL_S))
        self.poke()

    def poke(self) -> None:
        """Look again soon."""
        self._wake.set()

    def evict(self, rejection: Rejection, *, told: bool = True) -> None:
        """Give the pod up: stop it, and let it be Failed. ``told``: with an event."""
        if self._state.rejection is None and not finished(self._pod):
            self._reject(self._pod, rejection, told=told)
            self.poke()

    def refresh_volumes(self) -> None:
        """Objects behind the volumes changed, or a token is due."""
        self._refresh_volumes = True
        self.poke()

    def _shorten(self, grace_s: float) -> None:
        """A second deletion with less grace: stop waiting for the first one's kills."""
        termination = self._state.termination
        if termination is None:
            return
        self._state = replace(self._state, termination=Termination(termination.since, grace_s))
        self._actions.cancel_but(START)

    def _adopt(self) -> None:
        """Find what an earlier run of the kubelet left: its containers keep their standing."""
        runtime = self._node.cache.get(self.uid)
        known = {
            item.get("containerID", "").rpartition("/")[2]: item
            for key in ("containerStatuses", "initContainerStatuses")
            for item in (self._pod.get("status") or {}).get(key) or ()
        }
        for container in runtime.containers:
            if container.running:
                self._hooked.add(container.id)
                before = known.get(container.id) or {}
                self._probes.adopt(
                    container.id, ready=bool(before.get("ready")), started=bool(before.get("started"))
                )
        self._admitted = bool(runtime.sandboxes)
        if self._admitted:
            self._node.allocator.adopt(self._pod)

    async def run(self) -> None:
        """Work until the pod is gone for good."""
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._writer.run())
                await self._loop(group)
                writer.cancel()
        finally:
            self._node.on_gone(self.uid)

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        wait_s: float | None = None
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                if self._watchful:
                    await self._look()
            self._wake.clear()
            try:
                with self._traced(), self._times.round():
                    done, wait_s = await self._sync(group)
            except RuntimeUnavailable as error:
                log.warning("runtime unavailable pod=%s error=%s", object_key(self._pod), error)
                done, wait_s = False, _RUNTIME_RETRY_S
            if done:
                self._probes.sync(group, self._pod, RuntimePod(self.uid), set(), stopping=True)
                self._node.allocator.forget(self.uid)
                self._node.devices.release(self.uid)
                return

    def _traced(self) -> AbstractContextManager[None]:
        tracing = self._node.tracing
        if tracing is None:
            return nullcontext()
        return tracing.round(
            self._pod, terminating=self._removed or "deletionTimestamp" in self._pod["metadata"]
        )

    async def _sync(self, group: asyncio.TaskGroup) -> tuple[bool, float | None]:
        """One round. Returns whether all is over, and when to look again."""
        pod = self._writer.latest(self._pod)
        runtime = self._node.cache.get(self.uid)
        await self._admit(pod)
        deleted = self._removed or "deletionTimestamp" in pod["metadata"]
        self._state = replace(self._state, deleted=deleted)
        stopping = deleted or self._state.rejection is not None or finished(pod)
        pod = self._allocated(pod, runtime, stopping=stopping)
        self._renewed &= {item.id for item in runtime.containers}
        self._hooked &= {item.id for item in runtime.containers if item.running}
        self._hooked |= _without_hook(pod, runtime)
        self._probes.sync(group, pod, runtime, self._hooked, stopping=stopping)
        self._state = replace(
            self._state,
            busy=self._actions.busy,
            started=self._probes.started(self._hooked),
            ready=self._probes.ready(),
            unhealthy=self._probes.unhealthy(),
            applied=self._node.allocator.applied(self.uid),
            pod_applied=self._node.allocator.pod_applied(self.uid),
            renewed=frozenset(self._renewed),
        )
        now = self._node.clock.now()
        chosen = plan(pod, runtime, now, self._state)
        if chosen.rejection is not None and self._state.rejection is None:
            self._reject(pod, chosen.rejection)
        if chosen.stop and self._state.termination is None and not chosen.stopped:
            grace = MIN_KILL_S if self._removed else grace_period_s(pod)
            rejection = self._state.rejection
            if rejection is not None and rejection.grace_s is not None:
                grace = min(grace, rejection.grace_s)
            self._state = replace(self._state, termination=Termination(now, grace))
            chosen = plan(pod, runtime, now, self._state)
        self._carry_out(group, pod, chosen)
        if not self._between_lives(runtime, chosen):
            self._report(pod, runtime, chosen)
        if self._refresh_volumes and not chosen.stop and _VOLUMES not in self._actions:
            self._refresh_volumes = False
            self._actions.begin(group, _VOLUMES, self._bring_up_to_date(pod))
        if chosen.stopped and not self._actions.busy:
            return await self._finish(pod, deleted=deleted), _API_RETRY_S if deleted else None
        return False, self._wait_s(runtime, chosen.wake_after_s)

    def _allocated(self, pod: Object, runtime: RuntimePod, *, stopping: bool) -> Object:
        """Return the pod with what the node has promised it, and note how far a resize is."""
        allocator = self._node.allocator
        if not stopping:
            allocator.consider(pod)
        view = allocator.view(pod)
        state = allocator.state(self.uid)
        progress = state.progress
        if progress is not None and RESIZE not in self._actions:
            whole = whole_pod_differs(view, allocator.pod_applied(self.uid))
            if not whole and not plan_resizes(view, runtime, allocator.applied(self.uid)):
                allocator.finish(pod)
                state = allocator.state(self.uid)
            elif progress != self._state.resize.progress and not progress.error:
                # Another size than the one that failed is tried at once.
                retry_at = {key: when for key, when in self._state.retry_at.items() if key != RESIZE}
                self._state = replace(self._state, retry_at=retry_at)
        self._state = replace(self._state, resize=state)
        return view

    def _between_lives(self, runtime: RuntimePod, chosen: Plan) -> bool:
        """Whether a container that was killed to be started anew is being started.

        Nothing is told of the moment between: for its clients it restarts, it does not end.
        """
        if chosen.stop:
            self._replaced.clear()
        self._replaced = {name for name in self._replaced if not _runs(runtime, name, self._actions)}
        return bool(self._replaced) and START in self._actions

    def _wait_s(self, runtime: RuntimePod, wake_after_s: float | None) -> float | None:
        """What is expected to end soon is looked at more often than the relist does, less so with its age."""
        spec = self._pod["spec"]
        brief = {item["name"] for item in spec.get("initContainers") or () if not is_sidecar(item)}
        if spec.get("restartPolicy") in ("Never", "OnFailure"):
            brief |= {item["name"] for item in spec["containers"]}
        now = self._node.clock.now()
        ages = [
            (now - item.started_at).total_seconds()
            for item in runtime.containers
            if item.running and item.started_at is not None and item.name in brief
        ]
        self._watchful = bool(ages)
        if not ages:
            return wake_after_s
        soon = min(_LOOK_MAX_S, max(_LOOK_MIN_S, min(ages) / 4))
        return soon if wake_after_s is None else min(soon, wake_after_s)

    async def _admit(self, pod: Object) -> None:
        if self._admitted or self._removed or "deletionTimestamp" in pod["metadata"] or finished(pod):
            return
        self._admitted = True
        rejection = self._node.allocator.admit(pod)
        if rejection is not None and rejection.reason in (NODE_AFFINITY, TAINTED):
            await self._node.look_at_node()  # its labels and taints may be new
            rejection = self._node.allocator.admit(pod)
        rejection = rejection or await self._node.devices.assign(pod)
        if rejection is not None:
            self._reject(pod, rejection)
            counts.rejected(rejection.reason)
            told = f"Pod was rejected: {rejection.message}"
            self._state = replace(self._state, rejection=replace(rejection, message=told, at_admission=True))

    def _reject(self, pod: Object, rejection: Rejection, *, told: bool = True) -> None:
        self._state = replace(self._state, rejection=rejection)
        if told:
            self._node.recorder.record(pod, "Warning", rejection.reason, rejection.message)

    def _report(self, pod: Object, runtime: RuntimePod, chosen: Plan) -> None:
        if self._removed:
            return
        state = replace(self._state, waiting={**self._state.waiting, **chosen.waiting})
        for name in chosen.waiting:
            if self._state.waiting.get(name) != chosen.waiting[name]:
                _, path = find_container(pod, name)
                self._node.recorder.record(
                    pod, "Warning", "BackOff", _backoff_text(pod, name), field_path=path
                )
        self._state = replace(self._state, waiting=state.waiting)
        given = StatusInputs(
            state,
            self._node.host_ips,
            self._node.clock.now(),
            stopped=chosen.stop,
            whole_pods=self._node.whole_pods,
        )
        status = make_status(pod, runtime, given)
        self._times.told(status)
        self._writer.set(status)

    def _carry_out(self, group: asyncio.TaskGroup, pod: Object, chosen: Plan) -> None:
        if chosen.stop:
            self._actions.cancel(START)
        for kill in chosen.kills:
            if not chosen.stop and kill.hook:
                self._replaced.add(kill.name)
            if kill.renew:
                self._renewed.add(kill.container_id)
            self._actions.begin(group, kill.container_id, kill_container(self._node, pod, kill))
        for sandbox_id in chosen.stop_sandboxes:
            self._actions.begin(group, sandbox_id, self._node.runtime.stop_sandbox(sandbox_id))
        for container_id in chosen.remove:
            self._actions.begin(group, container_id, self._node.runtime.remove_container(container_id))
        if chosen.resizes or chosen.resize_pod:
            self._actions.begin(group, RESIZE, self._resize(pod, chosen.resizes))
        if chosen.new_sandbox or chosen.starts:
            self._actions.begin(group, START, self._start(pod, chosen))

    async def _look(self) -> None:
        try:
            await self._node.cache.refresh(self.uid)
        except RuntimeFailure as error:
            log.warning("pod not refreshed pod=%s error=%s", object_key(self._pod), error)

    async def _start(self, pod: Object, chosen: Plan) -> None:
        outcome = await self._starter.run(pod, chosen)
        waiting = {key: value for key, value in self._state.waiting.items() if key not in outcome.tried}
        retry_at = {key: value for key, value in self._state.retry_at.items() if key not in outcome.tried}
        retry_at.pop(START, None)
        self._hooked |= outcome.hooked
        self._state = replace(
            self._state,
            waiting={**waiting, **outcome.waiting},
            retry_at={**retry_at, **outcome.retry_at},
            backoffs={**self._state.backoffs, **outcome.backoffs},
        )

    async def _resize(self, pod: Object, resizes: Sequence[Resize]) -> None:
        fault = await self._resizer.run(pod, resizes)
        if fault:
            self._node.allocator.fail(pod, fault)
            until = self._node.clock.now() + timedelta(seconds=_RESIZE_RETRY_S)
            self._state = replace(self._state, retry_at={**self._state.retry_at, RESIZE: until})

    async def _bring_up_to_date(self, pod: Object) -> None:
        runtime = self._node.cache.get(self.uid)
        try:
            await self._node.volumes.refresh(pod, self._node.addresses(pod, runtime))
        except VolumeProblem as problem:
            self._node.recorder.record(pod, "Warning", "FailedMount", str(problem))

    async def _finish(self, pod: Object, *, deleted: bool) -> bool:
        """Nothing runs any more: free what the pod holds, and let the API forget a deleted one."""
        if not self._cleaned:
            self._cleaned = True
            try:
                await self._node.volumes.teardown(self.uid)
                await asyncio.to_thread(self._node.cgroups.remove, self.uid)
                self.ended.set()
            except OSError as error:
                self._cleaned = False
                log.warning("pod not cleaned up pod=%s error=%s", object_key(pod), error)
            self._node.devices.release(self.uid)
            self._node.allocator.retry()
        if not deleted:
            return False
        await self._writer.flush()
        if not await self._delete(pod):
            return False
        await remove_sandboxes(self._node, self.uid)
        await self._look()
        return True

    async def _delete(self, pod: Object) -> bool:
        if self._removed or self._writer.gone or self._mirror is not None:
            return True
        if self._delete_sent:
            return False  # finalizers hold it: the watch will tell when it is gone
        meta = pod["metadata"]
        try:
            await self._node.client.delete(
                PODS, meta["name"], meta["namespace"], grace_period_s=0, uid=meta["uid"]
            )
        except NotFound:
            pass
        except (StatusError, TransportError) as error:
            if getattr(error, "status_code", 0) == 409:
                return True  # the name is another pod's by now
            log.warning("pod not deleted pod=%s error=%s", object_key(pod), error)
            return False
        self._delete_sent = True
        return not meta.get("finalizers")


def _runs(runtime: RuntimePod, name: str, busy: Container[str]) -> bool:
    """Whether a container of that name runs that is not about to be stopped."""
    latest = runtime.latest(name)
    return latest is not None and latest.running and latest.id not in busy


def _without_hook(pod: Object, runtime: RuntimePod) -> set[str]:
    """Return the running containers that have started with their process: no hook follows."""
    hooked = {
        item["name"]
        for key in ("initContainers", "containers")
        for item in pod["spec"].get(key) or ()
        if (item.get("lifecycle") or {}).get("postStart")
    }
    return {item.id for item in runtime.containers if item.running and item.name not in hooked}


def _facts(pod: Object) -> tuple[Any, Any]:
    meta = pod["metadata"]
    return meta.get("labels"), meta.get("annotations")


def _backoff_text(pod: Object, name: str) -> str:
    meta = pod["metadata"]
    where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
    return f"Back-off restarting failed container {name} in pod {where}"
