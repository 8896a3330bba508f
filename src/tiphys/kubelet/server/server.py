"""The kubelet's HTTPS endpoint: logs, exec, attach, port-forward, statistics, what the kubelet knows.

Owns the routes and what their parameters mean. Every request is checked first. The caller is normally the API
server, on behalf of a person.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.families import CONTENT_TYPE
from tiphys.apimachinery.meta import Object
from tiphys.client import metrics
from tiphys.client.zpages import ZPages
from tiphys.kubelet.certificate.serving import ServingCertificate
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.logs.container import ContainerLogs
from tiphys.kubelet.logs.journal import Journal
from tiphys.kubelet.logs.system import SystemLogs
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.probes.counts import render_probes
from tiphys.kubelet.runtime import RuntimeFailure
from tiphys.kubelet.server.auth import Access
from tiphys.kubelet.server.container_actions import ContainerActions
from tiphys.kubelet.server.debugging import debug
from tiphys.kubelet.server.http_counts import HttpCounts
from tiphys.kubelet.server.metrics import NodeMetrics
from tiphys.kubelet.server.replies import JSON, fault, not_found
from tiphys.kubelet.server.routes import Handlers, Route, find
from tiphys.kubelet.server.streams import ContainerStreams
from tiphys.kubelet.server.time_limit import limited
from tiphys.kubelet.server.views import NodeViews
from tiphys.kubelet.stats.summary import Stats, cpu_and_memory
from tiphys.kubelet.tracing import answered
from tiphys.wire import serving_files
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import KeyPair, issue_server, make_ca
from tiphys.wire.server import ServerLimits, serve
from tiphys.wire.serving_files import Files, Held, ServingFiles

log = logging.getLogger(__name__)

_READ_ONLY = Handlers(debugging=False)
_Handler = Callable[[Request, list[str]], Awaitable[Response]]
_MAX_STREAMS = 250
"""Over one connection of HTTP/2: upstream's kubelet leaves this to Go."""
_PATHS = ("/configz", "/flagz", "/healthz", "/metrics", "/metrics/cadvisor", "/metrics/probes",
          "/metrics/resource", "/metrics/slis", "/pods", "/statusz")  # fmt: skip


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
        self._actions = ContainerActions(node, pods)
        websockets = options.gates.enabled("ExtendWebSocketsToKubelet")
        self._streams = ContainerStreams(node, pods, websockets=websockets)
        self._metrics_of_pods = NodeMetrics(node.name, pods, lambda: node.cache.all(), self._streams.counts)
        split = options.gates.enabled("PodLogsQuerySplitStreams")
        self._logs = ContainerLogs(node, pods, split=split)
        folder = options.system_logs_dir
        journal = Journal(folder) if options.handlers.system_log_query else None
        self._system_logs = SystemLogs(folder, journal)
        self._pages = ZPages("kubelet", node.clock.now(), options.flags, _PATHS, options.gates)
        self._http = HttpCounts(node.clock)
        self._handlers = self._all_handlers()
        metrics.show_features(options.gates)

    def _all_handlers(self) -> Mapping[str, _Handler]:
        return {
            "attach": self._streams.attach,
            "checkpoint": self._actions.checkpoint,
            "configz": self._views.configz,
            "containerLogs": self._logs.answer,
            "debug": debug,
            "exec": self._streams.exec,
            "flagz": self._page,
            "healthz": self._views.health,
            "logs": self._node_logs,
            "metrics": self._metrics,
            "pods": self._views.pods,
            "portForward": self._streams.port_forward,
            "run": self._actions.run,
            "runningpods": self._views.running,
            "stats": self._summary,
            "statusz": self._page,
        }

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
        return _limited(await self._http.count(request, self._read_only, server="readonly"))

    async def _read_only(self, request: Request) -> Response:
        route = find(request, _READ_ONLY)
        return route.early or route.answer or await self._answered(request, route)

    async def handle_health(self, request: Request) -> Response:
        """Answer one request on the plain port, which tells whether anybody is there and nothing else."""
        if request.path not in {"/healthz", "/healthz/ping"}:
            return not_found()
        return self._views.ping(request, request.path.split("/")[2:])

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
        return _limited(await self._http.count(request, self._checked, server="readwrite"))

    async def _checked(self, request: Request) -> Response:
        route = find(request, self._options.handlers)
        if route.early is not None:
            return route.early
        try:
            await self._access.check(request)
        except StatusError as error:
            return fault(error.status_code, error.message)
        if self._node.tracing is None:
            return route.answer or await self._answered(request, route)
        with self._node.tracing.request(request) as span:
            return answered(span, route.answer or await self._answered(request, route))

    async def _answered(self, request: Request, route: Route) -> Response:
        try:
            return await self._handlers[route.name](request, list(route.parts))
        except StatusError as error:
            return fault(error.status_code, error.message)
        except RuntimeFailure as error:
            return fault(500, str(error))

    async def _page(self, request: Request, parts: list[str]) -> Response:
        found = self._pages.answer(request, self._node.clock.now())
        return found or not_found()

    async def _node_logs(self, request: Request, parts: list[str]) -> Response:
        return await self._system_logs.answer(request)

    async def _summary(self, request: Request, parts: list[str]) -> Response:
        summary = await self._stats.summary()
        if request.query.get("only_cpu_and_memory") == ["true"]:
            summary = cpu_and_memory(summary)
        return Response(200, dict(JSON), json.dumps(summary, indent=1, ensure_ascii=False).encode())

    async def _metrics(self, request: Request, parts: list[str]) -> Response:
        match parts:
            case []:
                body = metrics.render("kubelet", self._metrics_of_pods, self._http)
            case ["resource"]:
                body = await self._stats.metrics()
            case ["cadvisor"]:
                body = await self._stats.cadvisor()
            case ["probes"]:
                body = render_probes()
            case _:
                body = self._views.counts.render()
        return Response(200, {"Content-Type": CONTENT_TYPE}, body)


def _limited(response: Response) -> Response:
    if response.stream is not None:
        response.stream = limited(response.stream)
    return response
