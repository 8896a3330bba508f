"""Clearing away what no pod of this node needs any more: sandboxes, files, cgroups, logs, images.

Owns nothing: it only removes. What belongs to a pod that the kubelet knows is left to that pod's worker.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tiphys.kubelet import counts
from tiphys.kubelet import runtime as words
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.logs.files import rotate
from tiphys.kubelet.runtime import ContainerState, RuntimeFailure, RuntimePod

log = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


class Usage(Protocol):
    """How full a disk is, in bytes."""

    @property
    def total(self) -> int: ...
    @property
    def used(self) -> int: ...


class Housekeeper:
    """``known`` returns the UIDs that workers look after."""

    def __init__(
        self,
        node: NodeContext,
        known: Callable[[], Collection[str]],
        disk_usage: Callable[[Path], Usage] = shutil.disk_usage,
    ) -> None:
        self._node = node
        self._disk_usage = disk_usage
        self._known = known
        self._used_at: dict[str, datetime] = {}
        """When an image was last seen in use, by its id."""

    async def sweep(self) -> None:
        """Remove everything of unknown pods, and old sandboxes of known ones. Raises RuntimeFailure."""
        known = set(self._known())
        for pod in self._node.cache.all():
            if pod.uid not in known:
                await self._remove_pod(pod)
            else:
                await self._remove_old_sandboxes(pod)
        alive = known | {pod.uid for pod in self._node.cache.all()}
        for uid in self._node.volumes.known_pods() - alive:
            try:
                await self._node.volumes.teardown(uid)
            except OSError as error:
                log.warning("files of a gone pod stay uid=%s error=%s", uid, error)
        await asyncio.to_thread(self._remove_traces, alive)

    def _remove_traces(self, alive: set[str]) -> None:
        for uid in self._node.cgroups.known_pods() - alive:
            self._node.cgroups.remove(uid)
        logs = Path(self._node.settings.logs_dir)
        for folder in sorted(logs.iterdir()) if logs.is_dir() else ():
            if folder.name.rpartition("_")[2] not in alive and folder.name.count("_") == 2:
                shutil.rmtree(folder, ignore_errors=True)

    async def _remove_pod(self, pod: RuntimePod) -> None:
        """Stop and remove a pod that the API does not know, with the grace it was started with."""
        log.info("removing orphaned pod name=%s uid=%s", pod.name, pod.uid)
        stops = [
            self._node.runtime.stop_container(item.id, int(item.annotations.get(words.GRACE_PERIOD) or 30))
            for item in pod.containers
            if item.running
        ]
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, RuntimeFailure):
                log.warning("orphan not stopped uid=%s error=%s", pod.uid, result)
        for sandbox in pod.sandboxes:
            if sandbox.ready:
                await self._node.runtime.stop_sandbox(sandbox.id)
            await self._node.runtime.remove_sandbox(sandbox.id)
        await self._node.cache.refresh(pod.uid)

    async def _remove_old_sandboxes(self, pod: RuntimePod) -> None:
        """Keep the newest: it holds the containers whose logs may still be asked for."""
        removed = False
        for sandbox in pod.sandboxes[1:]:
            alive = any(item.sandbox_id == sandbox.id and item.running for item in pod.containers)
            if not sandbox.ready and not alive:
                await self._node.runtime.remove_sandbox(sandbox.id)
                removed = True
        if removed:
            await self._node.cache.refresh(pod.uid)

    async def rotate_logs(self, max_bytes: int, max_files: int) -> None:
        """Rotate the logs of running containers that have grown too large. Raises RuntimeFailure, OSError."""
        for pod in self._node.cache.all():
            for item in pod.containers:
                if item.state is not ContainerState.RUNNING or not item.log_path:
                    continue
                if await asyncio.to_thread(_size, Path(item.log_path)) > max_bytes:
                    stamp = self._node.clock.now().strftime("%Y%m%d-%H%M%S")
                    await asyncio.to_thread(rotate, Path(item.log_path), max_files, stamp)
                    await self._node.runtime.reopen_log(item.id)

    async def collect_images(self, percents: tuple[int, int], keep: Collection[str]) -> None:
        """On a disk fuller than the first percentage remove unused images, the longest unused first.

        It ends when the disk is below the second. Raises RuntimeFailure, OSError.
        """
        now = self._node.clock.now()
        used = {item.image_id for pod in self._node.cache.all() for item in pod.containers}
        unused, here = [], set[str]()
        for image in await self._node.runtime.list_images():
            names = {image.id, *image.tags, *image.digests}
            if names & used:
                self._used_at[image.id] = now
            elif not names & set(keep):
                unused.append(image)
            here.add(image.id)
        self._used_at = {id: at for id, at in self._used_at.items() if id in here}
        high, low = percents
        if await self._fuller_than(high):
            unused.sort(key=lambda item: self._used_at.get(item.id, _NEVER))
            for image in unused:
                if not await self._fuller_than(low):
                    break
                log.info("removing unused image id=%s", image.id)
                await self._node.runtime.remove_image(image.id)
                counts.image_removed()
                self._used_at.pop(image.id, None)

    async def _fuller_than(self, percent: int) -> bool:
        usage = await asyncio.to_thread(self._disk_usage, self._node.volumes.root)
        return usage.used * 100 >= usage.total * percent


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
