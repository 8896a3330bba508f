"""What callers of the kubelet's endpoint may have done to a container: a command run, a checkpoint taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import RuntimeFailure
from tiphys.kubelet.server.replies import JSON
from tiphys.kubelet.server.streams import running
from tiphys.wire.message import Request, Response

_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
_LEAST_CHECKPOINT_S: Final = 120
"""So long any call of a runtime may take."""


class ContainerActions:
    """``POST /run/...`` and ``POST /checkpoint/...``."""

    def __init__(self, node: NodeContext, pods: Callable[[], Iterable[Object]]) -> None:
        self._node = node
        self._pods = pods

    async def run(self, request: Request, parts: list[str]) -> Response:
        """Run ``cmd`` in ``namespace/pod[/uid]/container`` and return what it said, however long it takes.

        The name alone says which pod is meant. Raises NotFound, RuntimeFailure; StatusError (500) where no
        such container runs, or the command failed.
        """
        pod, name = self._find(parts[:2]), parts[-1]
        container = running(self._node.cache.get(pod["metadata"]["uid"]), name)
        if container is None:
            raise StatusError(f'container not found ("{name}")')
        command = (request.query.get("cmd") or [""])[0].split(" ")
        result = await self._node.runtime.exec_sync(container.id, command, 0)
        if result.exit_code:
            said = result.stderr.decode(errors="replace")
            raise StatusError(f"command '{' '.join(command)}' exited with {result.exit_code}: {said}")
        return Response(200, dict(JSON), result.output) if result.output else Response(200)

    async def checkpoint(self, request: Request, parts: list[str]) -> Response:
        """Have the runtime keep the state of ``namespace/pod/container`` in a file.

        Raises NotFound; StatusError (500) where that fails.
        """
        namespace, name, container_name = parts
        pod = self._find([namespace, name])
        if not any(
            container_name == item["name"] for key in _CONTAINERS for item in pod["spec"].get(key) or ()
        ):
            raise NotFound(f"container {container_name} does not exist")
        timeout = _timeout(request)
        container = running(self._node.cache.get(pod["metadata"]["uid"]), container_name)
        failed = f"checkpointing of {namespace}/{name}/{container_name} failed"
        if container is None:
            raise StatusError(f"{failed} (container {container_name} not found)")
        if timeout < 0:
            raise StatusError(f"{failed} (CheckpointContainer requires the timeout value to be > 0)")
        folder = self._node.volumes.root / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        stamp = rfc3339(self._node.clock.now())
        path = folder / f"checkpoint-{name}_{namespace}-{container_name}-{stamp}.tar"
        try:
            await self._node.runtime.checkpoint_container(
                container.id, str(path), max(timeout, _LEAST_CHECKPOINT_S)
            )
        except RuntimeFailure as error:
            raise StatusError(f"{failed} ({error})") from error
        return Response(200, dict(JSON), orjson.dumps({"items": [str(path)]}))

    def _find(self, where: list[str]) -> Object:
        namespace, name = where
        for pod in self._pods():
            meta: dict[str, Any] = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return pod
        raise NotFound("pod does not exist")


def _timeout(request: Request) -> int:
    found = atoi((request.query.get("timeout") or ["0"])[-1])
    if found is None:
        raise NotFound("cannot parse value of timeout parameter")
    return found
