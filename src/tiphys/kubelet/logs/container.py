"""``GET /containerLogs/...``: what a container wrote, or the one of its name before it.

Owns which file that is, and what is said where there is none yet. ``logs.query`` reads what is asked for,
``logs`` reads files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tiphys.apimachinery.errors import BadRequest, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.kuberuntime.containers import log_path
from tiphys.kubelet.kuberuntime.sandbox import log_directory
from tiphys.kubelet.logs.files import read_log
from tiphys.kubelet.logs.query import is_set, log_options
from tiphys.kubelet.runtime import Container, RuntimePod
from tiphys.wire.message import Request, Response

_TEXT: Final = {"Content-Type": "text/plain"}


class ContainerLogs:
    """Logs of the containers of a node's pods."""

    def __init__(self, node: NodeContext, pods: Callable[[], Iterable[Object]]) -> None:
        self._node = node
        self._pods = pods

    async def answer(self, request: Request, parts: list[str]) -> Response:
        """Return the log of ``namespace/pod/container``. Raises NotFound, BadRequest, Invalid."""
        if len(parts) != 3:
            raise BadRequest("the path must name namespace, pod and container")
        namespace, pod_name, name = parts
        options = log_options(request.query, self._node.clock.now())
        pod = self._find(namespace, pod_name)
        runtime = self._node.cache.get(pod["metadata"]["uid"])
        container = logged(pod, runtime, name, previous=is_set(request.query, "previous"))
        folder = log_directory(pod, self._node.settings.logs_dir)
        path = Path(folder, log_path(name, container.restart_count))
        if not await asyncio.to_thread(path.exists):
            return Response(200, dict(_TEXT))

        def alive() -> bool:
            current = self._node.cache.get(pod["metadata"]["uid"])
            return any(item.id == container.id and item.running for item in current.containers)

        return Response(200, dict(_TEXT), stream=read_log(path, options, alive))

    def _find(self, namespace: str, name: str) -> Object:
        for pod in self._pods():
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return pod
        raise NotFound(f'pod "{name}" does not exist')


def logged(pod: Object, runtime: RuntimePod, name: str, *, previous: bool) -> Container:
    """Return the container whose log is meant. Raises BadRequest, NotFound."""
    known = runtime.all_of(name)
    pod_name = pod["metadata"]["name"]
    spec = pod["spec"]
    declared = {
        item["name"]
        for key in ("containers", "initContainers", "ephemeralContainers")
        for item in spec.get(key) or ()
    }
    if name not in declared:
        raise NotFound(f'container "{name}" not found in pod "{pod_name}"')
    if previous:
        if len(known) < 2:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        return known[1]
    if not known:
        reason = _waiting_reason(pod, name)
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}')
    return known[0]


def _waiting_reason(pod: Object, name: str) -> str:
    status = pod.get("status") or {}
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for item in status.get(key) or ():
            if item["name"] == name:
                return str(
                    ((item.get("state") or {}).get("waiting") or {}).get("reason") or "ContainerCreating"
                )
    return "ContainerCreating"
