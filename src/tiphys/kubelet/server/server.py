"""The kubelet's HTTPS endpoint: logs, exec, attach, port-forward, statistics, what the kubelet knows.

Owns the routes and what their parameters mean. Every request is checked first. The caller is normally the API
server, on behalf of a person.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    StatusError,
)
from tiphys.apimachinery.families import CONTENT_TYPE
from tiphys.apimachinery.meta import Object
from tiphys.client import metrics
from tiphys.client.zpages import ZPages
from tiphys.kubelet.certificate.serving import ServingCertificate
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.logs.container import ContainerLogs
from tiphys.kubelet.logs.system import SystemLogs
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.probes.counts import render_probes
from tiphys.kubelet.runtime import Container, RuntimeFailure, RuntimePod
from tiphys.kubelet.server.auth import Access
from tiphys.kubelet.server.container_actions import ContainerActions
from tiphys.kubelet.server.metrics import NodeMetrics
from tiphys.kubelet.server.streaming import proxy_upgrade
from tiphys.kubelet.server.views import NodeViews
from tiphys.kubelet.stats.summary import Stats
from tiphys.kubelet.tracing import answered
from tiphys.wire import serving_files
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import KeyPair, issue_server, make_ca
from tiphys.wire.server import ServerLimits, serve
from tiphys.wire.serving_files import Files, Held, ServingFiles

log = logging.getLogger(__name__)

_TEXT = "text/plain"
_READ_ONLY = frozenset({"pods", "runningpods", "logs", "containerLogs"})
_MAX_STREAMS = 250
"""Over one connection of HTTP/2: upstream's kubelet leaves this to Go."""
_PLAIN_PATHS = frozenset({"pods", "healthz", "stats", "metrics"})
_PATHS = ("/configz", "/flagz", "/healthz", "/metrics", "/metrics/cadvisor", "/metrics/probes",
          "/metrics/resource", "/metrics/slis", "/pods", "/statusz")  # fmt: skip
_TRUE = ("1", "true", "True", "t", "T", "TRUE")


class KubeletServer:
    """``run`` listens until cancelled; ``handle`` answers one request (tests call it directly)."""

    def __init__(
        self,
        node: NodeContext,
        options: ServerOptions,
        pods: Callable[[], list[Object]],
        access: Access | None = None,
        *,
        configuration: Callable[[], dict[str, Any]] = dict,
        looked: Callable[[], float] | None = None,
    ) -> None:
        self._node = node
        self._options = options
        self._pods = pods
        self._access = access or Access(node.client, node.name, node.clock, options.access)
        self._stats = Stats(node, pods)
        self._views = NodeViews(node, pods, configuration, looked or node.clock.monotonic)
        self._metrics_of_pods = NodeMetrics(node.name, pods, lambda: node.cache.all())
        self._actions = ContainerActions(node, pods)
        self._logs = ContainerLogs(node, pods)
        self._system_logs = SystemLogs(options.system_logs_dir)
        self._pages = ZPages("kubelet", node.clock.now(), options.flags, _PATHS, options.gates)
        metrics.show_features(options.gates)

    async def run(self, on_listening: Callable[[int], None]) -> None:
        """Listen; ``on_listening`` gets the port. Raises OSError if the address is taken."""
        options = self._options
        async with AsyncExitStack() as stack:
            await self._open_plain_ports(stack)
            serving = self._serving()
            pair = await serving.obtain() if serving else await asyncio.to_thread(self._own_pair)
            files = Files(options.pair, options.client_ca)
            held = await asyncio.to_thread(serving_files.read, files, Held(pair))
            context = await asyncio.to_thread(serving_files.make_context, held, options.tls)
            self._access.trust(held.client_ca)
            server = await stack.enter_async_context(
                serve(
                    self.handle,
                    host=options.address,
                    port=options.port,
                    ssl_context=context,
                    limits=ServerLimits(max_streams=_MAX_STREAMS),
                )
            )
            on_listening(server.port)
            log.info("kubelet endpoint listens port=%d", server.port)

            async def take_over(held: Held, context: ssl.SSLContext) -> None:
                server.replace_context(context)
                self._access.trust(held.client_ca)

            looking = ServingFiles(files, held, options.tls, take_over)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(looking.run())
                if serving:
                    tasks.create_task(serving.keep(looking.show, pair))
                await asyncio.get_running_loop().create_future()

    async def _open_plain_ports(self, stack: AsyncExitStack) -> None:
        options = self._options
        if options.healthz_port:
            await stack.enter_async_context(
                serve(self.handle_health, host=options.healthz_address, port=options.healthz_port)
            )
        if options.read_only_port:
            await stack.enter_async_context(
                serve(self.handle_read_only, host=options.address, port=options.read_only_port)
            )

    def _serving(self) -> ServingCertificate | None:
        folder, node = self._options.bootstrap, self._node
        if folder is None:
            return None
        hosts = (node.name, *node.host_ips)
        return ServingCertificate(node.client, node.name, hosts, folder, node.clock)

    async def handle_read_only(self, request: Request) -> Response:
        """Answer one request on the plain port: what the node runs and uses, for everybody."""
        head = next((part for part in request.path.split("/") if part), "")
        if head not in _PLAIN_PATHS or request.method != "GET":
            return Response(404, {"Content-Type": _TEXT}, b"404 page not found\n")
        return await self._answered(request)

    async def handle_health(self, request: Request) -> Response:
        """Answer one request on the plain port, which has health and nothing else."""
        head, *parts = [part for part in request.path.split("/") if part] or [""]
        try:
            if head != "healthz":
                raise NotFound.path()
            return await self._views.health(request, parts)
        except StatusError as error:
            return Response(error.status_code, {"Content-Type": _TEXT}, error.message.encode())

    def _own_pair(self) -> KeyPair:
        """Return the certificate that was given, or one that nobody else has signed."""
        if self._options.pair is not None:
            return KeyPair.read(*self._options.pair)
        now = self._node.clock.now()
        ca = make_ca(f"{self._node.name}-ca", now)
        hosts = [self._node.name, "127.0.0.1", *self._node.host_ips]
        return issue_server(ca, self._node.name, hosts, now)

    async def handle(self, request: Request) -> Response:
        """Answer one request; errors become plain text with their code."""
        try:
            await self._access.check(request)
        except StatusError as error:
            return Response(error.status_code, {"Content-Type": _TEXT}, error.message.encode())
        if self._node.tracing is None:
            return await self._answered(request)
        with self._node.tracing.request(request) as span:
            return answered(span, await self._answered(request))

    async def _answered(self, request: Request) -> Response:
        try:
            return await self._route(request)
        except StatusError as error:
            return Response(error.status_code, {"Content-Type": _TEXT}, error.message.encode())
        except RuntimeFailure as error:
            return Response(500, {"Content-Type": _TEXT}, str(error).encode())

    async def _route(self, request: Request) -> Response:
        routes: dict[str, Callable[[Request, list[str]], Awaitable[Response]]] = {
            "containerLogs": self._logs.answer,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "run": self._actions.run,
            "checkpoint": self._actions.checkpoint,
            "pods": self._views.pods,
            "runningpods": self._views.running,
            "configz": self._views.configz,
            "healthz": self._views.health,
            "logs": self._node_logs,
            "stats": self._summary,
            "metrics": self._metrics,
            "flagz": self._page,
            "statusz": self._page,
        }
        head, *parts = [part for part in request.path.split("/") if part]
        if head not in routes:
            raise NotFound.path()
        if head in _READ_ONLY and request.method != "GET":
            return Response(405, {"Content-Type": _TEXT, "Allow": "GET"}, b"Method Not Allowed")
        return await routes[head](request, parts)

    def _find(self, parts: list[str]) -> tuple[Object, RuntimePod]:
        """Return the pod for ``namespace/name[/uid]``. Raises NotFound."""
        namespace, name, *more = parts
        for pod in self._pods():
            meta = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name) and (
                not more or meta["uid"] == more[0]
            ):
                return pod, self._node.cache.get(meta["uid"])
        raise NotFound("pod does not exist")

    def _running(self, runtime: RuntimePod, name: str) -> Container:
        """Return a container that streams may lead to. Raises StatusError."""
        found = runtime.latest(name)
        if found is None or not found.running:
            raise StatusError(f'container not found ("{name}")')
        return found

    async def _exec(self, request: Request, parts: list[str]) -> Response:
        _upgrading(request)
        pod_parts, name = _pod_and_container(parts)
        streams = _streams(request)
        _, runtime = self._find(pod_parts)
        container = self._running(runtime, name)
        fields = {"container_id": container.id, "cmd": request.query.get("command") or [], **streams}
        return await proxy_upgrade(request, await self._node.runtime.stream_url("Exec", fields))

    async def _attach(self, request: Request, parts: list[str]) -> Response:
        _upgrading(request)
        pod_parts, name = _pod_and_container(parts)
        streams = _streams(request)
        _, runtime = self._find(pod_parts)
        container = self._running(runtime, name)
        fields = {"container_id": container.id, **streams}
        return await proxy_upgrade(request, await self._node.runtime.stream_url("Attach", fields))

    async def _port_forward(self, request: Request, parts: list[str]) -> Response:
        _upgrading(request)
        if len(parts) not in (2, 3):
            raise BadRequest("the path must name namespace and pod")
        pod, runtime = self._find(parts[:2])
        if parts[2:] not in ([], [pod["metadata"]["uid"]]):
            raise NotFound("pod not found")
        if runtime.sandbox is None or not runtime.sandbox.ready:
            raise StatusError(f'pod not found ("{parts[1]}_{parts[0]}")')
        texts = [part for text in request.query.get("port") or () for part in text.split(",")]
        ports = [number for text in texts if (number := atoi(text))]
        fields: dict[str, Any] = {"pod_sandbox_id": runtime.sandbox.id, "port": ports}
        return await proxy_upgrade(request, await self._node.runtime.stream_url("PortForward", fields))

    async def _page(self, request: Request, parts: list[str]) -> Response:
        found = self._pages.answer(request, self._node.clock.now())
        if found is None:
            raise NotFound.path()
        return found

    async def _node_logs(self, request: Request, parts: list[str]) -> Response:
        return await self._system_logs.answer(request.path)

    async def _summary(self, request: Request, parts: list[str]) -> Response:
        if parts != ["summary"]:
            raise NotFound.path()
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps(await self._stats.summary()))

    async def _metrics(self, request: Request, parts: list[str]) -> Response:
        match parts:
            case []:
                body = metrics.render() + self._metrics_of_pods.render()
            case ["resource"]:
                body = await self._stats.metrics()
            case ["cadvisor"]:
                body = await self._stats.cadvisor()
            case ["probes"]:
                body = render_probes()
            case ["slis"]:
                body = self._views.counts.render()
            case _:
                raise NotFound.path()
        return Response(200, {"Content-Type": CONTENT_TYPE}, body)


def _first(request: Request, name: str) -> str:
    values = request.query.get(name)
    return values[0] if values else ""


def _flag(request: Request, name: str) -> bool:
    return _first(request, name) in _TRUE


def _pod_and_container(parts: list[str]) -> tuple[list[str], str]:
    """Split ``namespace/pod[/uid]/container``. Raises BadRequest."""
    if len(parts) not in (3, 4):
        raise BadRequest("the path must name namespace, pod and container")
    return parts[:-1], parts[-1]


def _upgrading(request: Request) -> None:
    if request.method not in ("GET", "POST"):
        raise MethodNotAllowed("the method is not allowed")
    if "upgrade" not in request.headers.get("connection", "").lower():
        raise BadRequest("Upgrade request required")


def _streams(request: Request) -> dict[str, bool]:
    """Return which streams are wanted. Raises BadRequest if none is."""

    def wanted(*names: str) -> bool:
        return any(_flag(request, name) for name in names)

    tty = wanted("tty")
    streams = {
        "stdin": wanted("input", "stdin"),
        "stdout": wanted("output", "stdout"),
        # A terminal has one output.
        "stderr": wanted("error", "stderr") and not tty,
        "tty": tty,
    }
    if not (streams["stdin"] or streams["stdout"] or streams["stderr"]):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return streams
