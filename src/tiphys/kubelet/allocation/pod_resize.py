"""Carrying out a resize in place: checks, the pod's own cgroup, then container by container."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from tiphys.apimachinery.meta import Object
from tiphys.kubelet.allocation.plan import memory_faults
from tiphys.kubelet.allocation.resize import Resize, Resources, resources_of
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import RuntimeFailure, RuntimeUnavailable

log = logging.getLogger(__name__)


class PodResizer:
    """Changes the running containers of one pod."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node

    async def run(self, pod: Object, resizes: Sequence[Resize]) -> str:
        """Make the changes; returns what stands against them, or "". Raises RuntimeUnavailable."""
        node, uid = self._node, pod["metadata"]["uid"]
        running = self._running(uid, resizes)
        given = node.allocator.pod_applied(uid)
        fault = await self._memory_fault(pod, running, given)
        if fault:
            return fault
        # The pod's own cgroup makes room first, and is fitted again when the containers have shrunk.
        await asyncio.to_thread(node.cgroups.apply, pod)
        for item in resizes:
            try:
                await node.runtime.update_resources(item.container_id, dict(item.linux))
            except RuntimeUnavailable:
                raise
            except RuntimeFailure as error:
                return f'failed to update resources for container "{item.name}": {error}'
            alive = {container.id for container in node.cache.get(uid).containers}
            node.allocator.note_applied(uid, item.container_id, item.resources, alive)
        await asyncio.to_thread(node.cgroups.apply, pod)
        node.allocator.note_pod_applied(uid, pod["spec"].get("resources") or {})
        return ""

    def _running(self, uid: str, resizes: Sequence[Resize]) -> dict[str, Resources]:
        """Return what each container to be changed runs with, by name."""
        applied = self._node.allocator.applied(uid)
        ids = {item.container_id for item in resizes}
        containers = self._node.cache.get(uid).containers
        return {item.name: resources_of(item, applied) for item in containers if item.id in ids}

    async def _memory_fault(
        self, pod: Object, running: Mapping[str, Resources], given: Resources | None
    ) -> str:
        """A limit below what is used would have the kernel kill what was to be kept."""
        if not memory_faults(pod, dict.fromkeys(running, _ALL), running, _ALL, given):
            return ""  # nothing shrinks
        try:
            stats = await self._node.runtime.container_stats()
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            log.warning("memory of containers not known error=%s", error)
            stats = []
        usage: dict[str, int] = {}
        for item in stats:
            used = item.memory_usage_bytes or item.memory_working_set_bytes
            if item.pod_uid == pod["metadata"]["uid"] and used is not None:
                usage[item.name] = used
        pod_usage = await asyncio.to_thread(self._node.cgroups.memory_usage, pod)
        return memory_faults(pod, usage, running, pod_usage, given)


_ALL = 2**63
"""More memory than any limit."""
