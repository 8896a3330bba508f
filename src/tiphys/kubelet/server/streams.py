"""``/exec``, ``/attach`` and ``/portForward``: which container is meant, and what its runtime is asked for.

Owns the order in which faults are found, and their words. Where the runtime says that a stream begins,
``streaming`` leads the caller there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import BadRequest, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.runtime import Container, RuntimeFailure, RuntimePod
from tiphys.kubelet.server.replies import http_error
from tiphys.kubelet.server.streaming import proxy_tunnel, proxy_upgrade, runtime_fault, spdy_backend
from tiphys.wire.exec_bridge import Channels
from tiphys.wire.message import Request, Response
from tiphys.wire.stream_upgrade import is_command, translate, tunneled
from tiphys.wire.websocket import is_websocket

_SET: Final = "1"
_MOST_PORT: Final = 65535
_KINDS: Final = ("containers", "initContainers", "ephemeralContainers")


class ContainerStreams:
    """Streams into the containers of a node's pods."""

    def __init__(
        self, node: NodeContext, pods: Callable[[], Iterable[Object]], *, websockets: bool = True
    ) -> None:
        self._node = node
        self._pods = pods
        self._websockets = websockets
        """Whether newer clients' websockets are understood here, and not by the API server."""
        self.counts: Counter[str] = Counter()
        """Such websockets, by what they are for."""

    async def exec(self, request: Request, parts: list[str]) -> Response:
        """Run a command in ``namespace/pod[/uid]/container``. Raises StatusError.

        The name alone says which pod is meant: a UID that is not its own is not looked at.
        """
        streams = wanted_streams(request)
        _, runtime = self._find(parts)
        container = running(runtime, parts[-1])
        if container is None:
            raise StatusError(f'container not found ("{parts[-1]}")')
        fields = {"container_id": container.id, "cmd": request.query.get("command") or [], **streams}
        return await self._commanded(request, "Exec", fields, streams)

    async def attach(self, request: Request, parts: list[str]) -> Response:
        """Join what runs in ``namespace/pod[/uid]/container``. Raises StatusError.

        Whether it has a terminal was said when it began.
        """
        streams = wanted_streams(request)
        pod, runtime = self._find(parts)
        container, full_name = running(runtime, parts[-1]), f"{parts[1]}_{parts[0]}"
        if container is None:
            raise StatusError(f"container {parts[-1]} not found in pod {full_name}")
        if parts[2:-1] not in ([], [pod["metadata"]["uid"]]):
            raise StatusError(f"pod {full_name} not found")
        spec = _container_spec(pod, parts[-1])
        if spec is None:
            raise StatusError(f"container {parts[-1]} not found in pod {full_name}")
        fields = {"container_id": container.id, **streams, "tty": bool(spec.get("tty"))}
        return await self._commanded(request, "Attach", fields, streams)

    async def port_forward(self, request: Request, parts: list[str]) -> Response:
        """Lead to ports of ``namespace/pod[/uid]``. Raises StatusError."""
        through = self._websockets and bool(tunneled(request))
        asks = is_websocket(request) and not through
        ports = websocket_ports(request.query.get("port") or ()) if asks else []
        pod, runtime = self._find(parts)
        if parts[2:] not in ([], [pod["metadata"]["uid"]]):
            raise NotFound("pod not found")
        if not runtime.alive:
            raise StatusError(f'pod not found ("{parts[1]}_{parts[0]}")')
        if runtime.sandbox is None:
            described = f"{parts[1]}_{parts[0]}({pod['metadata']['uid']})"
            raise StatusError(f"failed to find sandboxID for pod {described}")
        fields: dict[str, Any] = {"pod_sandbox_id": runtime.sandbox.id, "port": ports}
        url = await self._url("PortForward", fields)
        if isinstance(url, Response) or not through:
            return await _passed(request, url)
        self.counts["portforward"] += 1
        return await proxy_tunnel(request, url)

    def _find(self, parts: list[str]) -> tuple[Object, RuntimePod]:
        """Return the pod that ``namespace/name`` means. Raises NotFound."""
        for pod in self._pods():
            meta = pod["metadata"]
            if [meta["namespace"], meta["name"]] == parts[:2]:
                return pod, self._node.cache.get(meta["uid"])
        raise NotFound("pod does not exist")

    async def _commanded(
        self, request: Request, call: str, fields: dict[str, Any], streams: dict[str, bool]
    ) -> Response:
        url = await self._url(call, fields)
        if isinstance(url, Response) or not (self._websockets and is_command(request)):
            return await _passed(request, url)
        self.counts[call.lower()] += 1
        return translate(request, Channels(**streams), spdy_backend(url))

    async def _url(self, call: str, fields: dict[str, Any]) -> str | Response:
        """Return where the runtime has the stream, or what is said where it has none."""
        try:
            return await self._node.runtime.stream_url(call, fields)
        except RuntimeFailure as error:
            return runtime_fault(error)


async def _passed(request: Request, url: str | Response) -> Response:
    if isinstance(url, Response):
        return url
    if "upgrade" not in request.headers.get("connection", "").lower():
        return http_error(500, "Upgrade request required")
    return await proxy_upgrade(request, url)


def wanted_streams(request: Request) -> dict[str, bool]:
    """Return which streams are wanted. Raises BadRequest if none is."""

    def wanted(name: str) -> bool:
        return (request.query.get(name) or [""])[0] == _SET

    tty = wanted("tty")
    # A terminal has one output.
    stdin, stdout, stderr = wanted("input"), wanted("output"), wanted("error") and not tty
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return {"stdin": stdin, "stdout": stdout, "stderr": stderr, "tty": tty}


def websocket_ports(texts: Sequence[str]) -> list[int]:
    """Return the ports that a websocket is to lead to: it cannot say so later. Raises BadRequest."""
    if not texts:
        raise BadRequest('query parameter "port" is required')
    ports = []
    for text in texts:
        if not text:
            raise BadRequest('query parameter "port" cannot be empty')
        for part in text.split(","):
            digits = part if part.isascii() and part.isdecimal() else ""
            number = atoi(digits)
            if number is None or number > _MOST_PORT:
                why = "value out of range" if digits else "invalid syntax"
                reason = f'strconv.ParseUint: parsing "{part}": {why}'
                raise BadRequest(f'unable to parse "{text}" as a port: {reason}')
            if number < 1:
                raise BadRequest(f'port "{text}" must be > 0')
            ports.append(number)
    return ports


def running(runtime: RuntimePod, name: str) -> Container | None:
    """Return the container of that name that runs now."""
    found = runtime.latest(name)
    return found if found is not None and found.running else None


def _container_spec(pod: Object, name: str) -> Object | None:
    specs = (one for kind in _KINDS for one in pod["spec"].get(kind) or ())
    return next((one for one in specs if one["name"] == name), None)
