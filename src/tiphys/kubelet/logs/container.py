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
from tiphys.kubelet.logs.query import is_set, log_options, unsplit_stream
from tiphys.kubelet.runtime import Container, RuntimePod
from tiphys.wire.message import Request, Response

_WAITING: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class ContainerLogs:
    """Logs of the containers of a node's pods."""

    def __init__(
        self, node: NodeContext, pods: Callable[[], Iterable[Object]], *, split: bool = True
    ) -> None:
        self._node = node
        self._pods = pods
        self._split = split
        """Whether one stream alone may be asked for."""

    async def answer(self, request: Request, parts: list[str]) -> Response:
        """Return the log of ``namespace/pod/container``. Raises NotFound, BadRequest, Invalid."""
        namespace, pod_name, name = parts
        options = log_options(request.query, self._node.clock.now(), split=self._split)
        pod = self._find(namespace, pod_name)
        _check_declared(pod, name)
        if not self._split and (refused := unsplit_stream(request.query)):
            raise BadRequest(refused)
        runtime = self._node.cache.get(pod["metadata"]["uid"])
        container = logged(pod, runtime, name, previous=is_set(request.query, "previous"))
        folder = log_directory(pod, self._node.settings.logs_dir)
        path = Path(folder, log_path(name, container.restart_count))
        if not await asyncio.to_thread(path.exists):
            return Response(200)

        def alive() -> bool:
            current = self._node.cache.get(pod["metadata"]["uid"])
            return any(item.id == container.id and item.running for item in current.containers)

        return Response(200, stream=read_log(path, options, alive))

    def _find(self, namespace: str, name: str) -> Object:
        for pod in self._pods():
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return pod
        raise NotFound(f'pod "{name}" does not exist')


def _check_declared(pod: Object, name: str) -> None:
    """Raises NotFound."""
    kinds = ("containers", "initContainers", "ephemeralContainers")
    if all(item["name"] != name for kind in kinds for item in pod["spec"].get(kind) or ()):
        raise NotFound(f'container "{name}" not found in pod "{pod["metadata"]["name"]}"')


def logged(pod: Object, runtime: RuntimePod, name: str, *, previous: bool) -> Container:
    """Return the container whose log is meant. Raises BadRequest."""
    known = runtime.all_of(name)
    pod_name = pod["metadata"]["name"]
    if previous:
        if len(known) < 2:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        return known[1]
    if not known:
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is {_absence(pod, name)}')
    return known[0]


def _absence(pod: Object, name: str) -> str:
    """Return why there is nothing of a container, as its pod's status tells."""
    status = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    own = next((item for kind in kinds for item in status.get(kind) or () if item["name"] == name), None)
    if own is None:
        return "not available"
    state = own.get("state") or {}
    if "terminated" in state or (own.get("lastState") or {}).get("terminated"):
        return "terminated"
    if "waiting" not in state:
        return "waiting to start - no logs yet"
    reason = (state["waiting"] or {}).get("reason") or ""
    return f"waiting to start: {_WAITING.get(reason, reason)}"
