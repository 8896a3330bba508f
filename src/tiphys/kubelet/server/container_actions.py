"""What callers of the kubelet's endpoint may have done to a container: a command run, a checkpoint taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import Container, RuntimeFailure
from tiphys.wire.message import Request, Response

_JSON: Final = {"Content-Type": "application/json"}
_TEXT: Final = {"Content-Type": "text/plain"}


class ContainerActions:
    """``POST /run/...`` and ``POST /checkpoint/...``."""

    def __init__(self, node: NodeContext, pods: Callable[[], Iterable[Object]]) -> None:
        self._node = node
        self._pods = pods

    async def run(self, request: Request, parts: list[str]) -> Response:
        """Run ``cmd`` in ``namespace/pod[/uid]/container`` and return what it said.

        Raises NotFound, BadRequest, RuntimeFailure.
        """
        if request.method != "POST":
            return _not_allowed()
        if len(parts) not in (3, 4):
            raise BadRequest("the path must name namespace, pod and container")
        _, container = self._find(parts[:-1], parts[-1])
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
        timeout = _timeout(request)
        _, container = self._find([namespace, name], container_name)
        folder = self._node.volumes.root / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        stamp = rfc3339(self._node.clock.now())
        path = folder / f"checkpoint-{name}_{namespace}-{container_name}-{stamp}.tar"
        try:
            await self._node.runtime.checkpoint_container(container.id, str(path), timeout)
        except RuntimeFailure as error:
            text = f"checkpointing of {namespace}/{name}/{container_name} failed ({error})"
            return Response(500, dict(_TEXT), text.encode())
        return Response(200, dict(_JSON), orjson.dumps({"items": [str(path)]}))

    def _find(self, where: list[str], name: str) -> tuple[Object, Container]:
        namespace, pod_name, *more = where
        for pod in self._pods():
            meta: dict[str, Any] = pod["metadata"]
            if (meta["namespace"], meta["name"]) != (namespace, pod_name) or more not in ([], [meta["uid"]]):
                continue
            found = self._node.cache.get(meta["uid"]).latest(name)
            if found is None or not found.running:
                raise NotFound(f"container {name} does not exist")
            return pod, found
        raise NotFound("pod does not exist")


def _timeout(request: Request) -> int:
    text = (request.query.get("timeout") or ["0"])[0]
    try:
        return int(text)
    except ValueError as error:
        raise BadRequest("cannot parse value of timeout parameter") from error


def _not_allowed() -> Response:
    return Response(405, {**_TEXT, "Allow": "POST"}, b"Method Not Allowed")
