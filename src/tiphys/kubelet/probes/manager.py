"""The running probes of one pod.

Owns a task for each probe of each running container. Verdicts are read as plain sets; a change calls back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.cm.resources import is_sidecar
from tiphys.kubelet.images.manager import Recorder
from tiphys.kubelet.lifecycle import Unhealthy
from tiphys.kubelet.probes import counts
from tiphys.kubelet.probes.run import Answer, Target, ask
from tiphys.kubelet.probes.state import INITIAL, ProbeState, ProbeTimes, step
from tiphys.kubelet.runtime import Container, Runtime, RuntimePod

_KINDS = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}


class PodProbes:
    """Give it the pod's state with ``sync``; it starts and stops what is due."""

    def __init__(
        self, runtime: Runtime, recorder: Recorder, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._on_change = on_change
        self._states: dict[tuple[str, str], ProbeState] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._configured: dict[str, Mapping[str, Any]] = {}
        self._pod: Object = {}
        self._host = ""

    def adopt(self, container_id: str, *, ready: bool, started: bool) -> None:
        """Take over verdicts from before a restart of the kubelet."""
        if ready:
            self._states[container_id, "readiness"] = ProbeState(True)
        if started:
            self._states[container_id, "startup"] = ProbeState(True)

    def sync(
        self, group: asyncio.TaskGroup, pod: Object, runtime: RuntimePod, hooked: set[str], *, stopping: bool
    ) -> None:
        """Run the probes that should run now; ``hooked`` are containers whose postStart hook is done."""
        self._pod = pod
        self._host = self._address(pod, runtime)
        spec = pod["spec"]
        sidecars = [item for item in spec.get("initContainers") or () if is_sidecar(item)]
        wanted: dict[tuple[str, str], tuple[Mapping[str, Any], Container]] = {}
        for container in [*sidecars, *spec["containers"]]:
            running = runtime.latest(container["name"])
            if running is None or not running.running:
                continue
            self._configured[running.id] = container
            if running.id in hooked or stopping:
                for kind in self._due(container, running.id, stopping=stopping):
                    wanted[running.id, kind] = (container, running)
        for key in [key for key in self._tasks if key not in wanted]:
            self._tasks.pop(key).cancel()
        alive = {item.id for item in runtime.containers if item.running}
        for known in [key for key in self._states if key[0] not in alive]:
            del self._states[known]
            configured = self._configured.get(known[0])
            if configured is not None:
                counts.forget(pod, configured["name"], known[1])
        for gone in [key for key in self._configured if key not in alive]:
            del self._configured[gone]
        for key, (container, running) in wanted.items():
            if key not in self._tasks and self._host:
                self._states.setdefault(key, ProbeState(INITIAL[key[1]]))
                self._tasks[key] = group.create_task(self._loop(key, container, running))

    def _address(self, pod: Object, runtime: RuntimePod) -> str:
        if pod["spec"].get("hostNetwork"):
            return str((pod.get("status") or {}).get("hostIP") or "127.0.0.1")
        return runtime.sandbox.ips[0] if runtime.sandbox and runtime.sandbox.ips else ""

    def _due(self, container: Mapping[str, Any], container_id: str, *, stopping: bool) -> list[str]:
        """Liveness and readiness wait for a successful startup probe; only readiness outlasts the stop."""
        if container.get("startupProbe") and not self._passed(container_id, "startup"):
            return [] if stopping else ["startup"]
        kinds = ["readiness"] if stopping else ["liveness", "readiness"]
        return [kind for kind in kinds if container.get(_KINDS[kind])]

    def _passed(self, container_id: str, kind: str) -> bool:
        state = self._states.get((container_id, kind))
        return state is not None and state.verdict is True

    def started(self, hooked: set[str]) -> frozenset[str]:
        """Return the running containers past hook and startup probe."""
        return frozenset(
            container_id
            for container_id, container in self._configured.items()
            if container_id in hooked
            and (not container.get("startupProbe") or self._passed(container_id, "startup"))
        )

    def ready(self) -> frozenset[str]:
        """Return the running containers whose readiness probe, if they have one, is content."""
        return frozenset(
            container_id
            for container_id, container in self._configured.items()
            if not container.get("readinessProbe") or self._passed(container_id, "readiness")
        )

    def unhealthy(self) -> dict[str, Unhealthy]:
        """Return the containers that a startup or liveness probe condemned."""
        found = {}
        for (container_id, kind), state in self._states.items():
            container = self._configured.get(container_id)
            if kind == "readiness" or state.verdict is not False or container is None:
                continue
            probe = container.get(_KINDS[kind]) or {}
            found[container_id] = Unhealthy(kind, probe.get("terminationGracePeriodSeconds"))
        return found

    async def _loop(self, key: tuple[str, str], container: Mapping[str, Any], running: Container) -> None:
        container_id, kind = key
        probe = container[_KINDS[kind]]
        times = ProbeTimes.of(probe)
        ports = {
            item["name"]: item["containerPort"] for item in container.get("ports") or () if item.get("name")
        }
        if running.started_at is not None:
            age = (self._clock.now() - running.started_at).total_seconds()
            await asyncio.sleep(max(0.0, times.initial_delay_s - age))
        while True:
            target = Target(self._runtime, container_id, self._host, ports)
            answer = await ask(probe, target, times.timeout_s)
            self._tell(container, kind, answer)
            if not answer.asked:
                await asyncio.sleep(times.period_s)
                continue
            counts.count(self._pod, container["name"], kind, ok=answer.ok)
            before = self._states.get(key, ProbeState(INITIAL[kind]))
            after = self._states[key] = step(before, times, answer=answer.ok)
            if after.verdict is not before.verdict:
                self._on_change()
                if kind == "startup" or (kind == "liveness" and not after.verdict):
                    return
            await asyncio.sleep(times.period_s)

    def _tell(self, container: Mapping[str, Any], kind: str, answer: Answer) -> None:
        """Record what a probe has to say, if it is nothing good."""
        if answer.ok and not answer.warning:
            return
        said = "failed" if answer.asked else "errored and resulted in unknown state"
        text = f"{kind.title()} probe {'warning' if answer.warning else said}: {answer.text}"
        reason = "ProbeWarning" if answer.warning else "Unhealthy"
        path = f"spec.containers{{{container['name']}}}"
        self._recorder.record(self._pod, "Warning", reason, text, field_path=path)
