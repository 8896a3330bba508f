"""What callers of the kubelet's endpoint may have done to a container: a command run, a checkpoint taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import Container, RuntimeFailure
from tiphys.wire.message import Request, Response

_JSON: Final = {"Content-Type": "application/json"}
_TEXT: Final = {"Content-Type": "text/plain"}
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")


class ContainerActions:
    """``POST /run/...`` and ``POST /checkpoint/...``."""

    def __init__(self, node: NodeContext, pods: Callable[[], Iterable[Object]]) -> None:
        self._node = node
        self._pods = pods

    async def run(self, request: Request, parts: list[str]) -> Response:
        """Run ``cmd`` in ``namespace/pod[/uid]/container`` and return what it said.

        Raises NotFound, BadRequest, RuntimeFailure; StatusError (500) where no such container runs.
        """
        if request.method != "POST":
            return _not_allowed()
        if len(parts) not in (3, 4):
            raise BadRequest("the path must name namespace, pod and container")
        pod, name = self._find(parts[:2]), parts[-1]
        container = self._running(pod, name)
        if container is None or parts[2:-1] not in ([], [pod["metadata"]["uid"]]):
            raise StatusError(f'container not found ("{name}")')
        command = (request.query.get("cmd") or [""])[0].split(" ")
        result = await self._node.runtime.exec_sync(container.id, command, 0)
        if result.exit_code:
            raise RuntimeFailure("UNKNOWN", f"command '{' '.join(command)}' exited with {result.exit_code}")
        return Response(200, dict(_JSON), result.output)

    async def checkpoint(self, request: Request, parts: list[str]) -> Response:
        """Have the runtime keep the state of ``namespace/pod/container`` in a file.

        Raises NotFound, BadRequest.
        """
        if request.method != "POST":
            return _not_allowed()
        if len(parts) != 3:
            raise BadRequest("the path must name namespace, pod and container")
        namespace, name, container_name = parts
        pod = self._find([namespace, name])
        if not any(
            container_name == item["name"] for key in _CONTAINERS for item in pod["spec"].get(key) or ()
        ):
            raise NotFound(f"container {container_name} does not exist")
        timeout, container = _timeout(request), self._running(pod, container_name)
        failed = f"checkpointing of {namespace}/{name}/{container_name} failed"
        if container is None:
            text = f"{failed} (container {container_name} not found)"
            return Response(500, dict(_TEXT), text.encode())
        folder = self._node.volumes.root / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        stamp = rfc3339(self._node.clock.now())
        path = folder / f"checkpoint-{name}_{namespace}-{container_name}-{stamp}.tar"
        try:
            await self._node.runtime.checkpoint_container(container.id, str(path), timeout)
        except RuntimeFailure as error:
            return Response(500, dict(_TEXT), f"{failed} ({error})".encode())
        return Response(200, dict(_JSON), orjson.dumps({"items": [str(path)]}))

    def _find(self, where: list[str]) -> Object:
        namespace, name = where
        for pod in self._pods():
            meta: dict[str, Any] = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return pod
        raise NotFound("pod does not exist")

    def _running(self, pod: Object, name: str) -> Container | None:
        found = self._node.cache.get(pod["metadata"]["uid"]).latest(name)
        return found if found is not None and found.running else None


def _timeout(request: Request) -> int:
    text = (request.query.get("timeout") or ["0"])[-1]
    try:
        return int(text)
    except ValueError as error:
        raise NotFound("cannot parse value of timeout parameter") from error


def _not_allowed() -> Response:
    return Response(405, {**_TEXT, "Allow": "POST"}, b"Method Not Allowed")
