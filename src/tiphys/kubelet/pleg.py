"""What the runtime has, remembered: relisted every second and right after our own actions.

Owns the cache of ``RuntimePod`` by UID. Details of containers that ended never change, so they are asked
for once. (containerd 1.6 sends no container events.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tiphys.kubelet import runtime as words
from tiphys.kubelet.kuberuntime.mounts import termination_file
from tiphys.kubelet.logs.files import last_lines
from tiphys.kubelet.runtime import (
    Container,
    ContainerState,
    Runtime,
    RuntimeFailure,
    RuntimePod,
    Sandbox,
    assemble,
)

_MESSAGE_BYTES = 4096
_FALLBACK_BYTES, _FALLBACK_LINES = 2048, 80
_LOG_WAITS_S = (0.05, 0.1, 0.2)

_Signature = frozenset[tuple[str, object]]


class PodCache:
    """``on_change(uid)`` is called when something of a pod changed."""

    def __init__(self, runtime: Runtime, pods_dir: Path, on_change: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._pods_dir = pods_dir
        self._on_change = on_change
        self._pods: dict[str, RuntimePod] = {}
        self._signatures: dict[str, _Signature] = {}

    def get(self, uid: str) -> RuntimePod:
        """Return what is known of a pod; an empty one if nothing is."""
        return self._pods.get(uid) or RuntimePod(uid)

    def all(self) -> list[RuntimePod]:
        """Return every pod the runtime has something of."""
        return list(self._pods.values())

    async def relist(self) -> None:
        """Look at everything. Raises RuntimeFailure."""
        sandboxes, containers = await asyncio.gather(
            self._runtime.list_sandboxes(), self._runtime.list_containers()
        )
        listed = assemble(sandboxes, containers)
        for uid in [uid for uid in self._pods if uid not in listed]:
            self._pods.pop(uid)
            self._signatures.pop(uid, None)
            self._on_change(uid)
        for uid, pod in listed.items():
            if self._signatures.get(uid) != _signature(pod):
                await self._detail(pod)
                self._on_change(uid)

    async def refresh(self, uid: str) -> RuntimePod:
        """Look at one pod now. Raises RuntimeFailure."""
        sandboxes, containers = await asyncio.gather(
            self._runtime.list_sandboxes(uid), self._runtime.list_containers(uid)
        )
        pod = assemble(sandboxes, containers).get(uid) or RuntimePod(uid)
        return await self._detail(pod)

    async def _detail(self, listed: RuntimePod) -> RuntimePod:
        known = self.get(listed.uid)
        sandboxes = [await self._sandbox(item, known) for item in listed.sandboxes]
        containers = await asyncio.gather(*(self._container(item, known) for item in listed.containers))
        pod = replace(
            listed,
            sandboxes=tuple(item for item in sandboxes if item is not None),
            containers=tuple(item for item in containers if item is not None),
        )
        if listed.sandboxes or listed.containers:
            self._pods[listed.uid] = pod
            self._signatures[listed.uid] = _signature(listed)
        else:
            self._pods.pop(listed.uid, None)
            self._signatures.pop(listed.uid, None)
        return pod

    async def _sandbox(self, listed: Sandbox, known: RuntimePod) -> Sandbox | None:
        for item in known.sandboxes:
            if item.id == listed.id and item.ready == listed.ready:
                return item
        try:
            return await self._runtime.sandbox_status(listed.id)
        except RuntimeFailure as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    async def _container(self, listed: Container, known: RuntimePod) -> Container | None:
        for item in known.containers:
            if (
                item.id == listed.id
                and item.state is listed.state
                and item.state is not ContainerState.CREATED
            ):
                return item
        try:
            detailed = await self._runtime.container_status(listed.id)
        except RuntimeFailure as error:
            if error.code == "NOT_FOUND":
                return None
            raise
        detailed = replace(detailed, sandbox_id=listed.sandbox_id)
        if detailed.state is ContainerState.EXITED:
            message = await self._message(detailed)
            if message:
                detailed = replace(detailed, message=message)
        return detailed

    async def _message(self, container: Container) -> str:
        """Return the last words. A log may be written just after its container was seen to have ended."""
        for wait_s in (*_LOG_WAITS_S, None):
            message = await asyncio.to_thread(self._last_words, container)
            if message or wait_s is None or not _tells_by_log(container):
                return message
            await asyncio.sleep(wait_s)
        return ""

    def _last_words(self, container: Container) -> str:
        """Return the termination message: what the container wrote, or the end of its log if it failed."""
        attempt = container.annotations.get(words.RESTART_COUNT, "0")
        path = termination_file(self._pods_dir / container.pod_uid, container.name, int(attempt))
        try:
            with path.open("rb") as file:
                text = file.read(_MESSAGE_BYTES).decode(errors="replace")
        except OSError:
            text = ""
        if not text and _tells_by_log(container):
            text = last_lines(Path(container.log_path), _FALLBACK_LINES, _FALLBACK_BYTES)
        return text or container.message


def _tells_by_log(container: Container) -> bool:
    policy = container.annotations.get(words.TERMINATION_POLICY)
    return policy == "FallbackToLogsOnError" and container.exit_code != 0


def _signature(pod: RuntimePod) -> _Signature:
    parts: Sequence[tuple[str, object]] = [
        *((item.id, item.ready) for item in pod.sandboxes),
        *((item.id, item.state) for item in pod.containers),
    ]
    return frozenset(parts)
