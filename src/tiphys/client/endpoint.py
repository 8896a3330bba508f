"""The HTTPS endpoint of a component: health, metrics, and what it was started with.

``/healthz``, ``/livez``, ``/readyz`` are open to everybody; ``/metrics``, ``/metrics/slis``, ``/configz``,
``/flagz``, ``/statusz`` and families that a component shows apart (``shown``) are for whom the API server
allows (``delegated``). Certificates are self-made unless given. Certificates of clients are believed when the
cluster's authority signed them, front proxies as the cluster says: both looked up there unless given.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any, Final

import orjson

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.families import CONTENT_TYPE, Metric, text_of
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.client import metrics
from tiphys.client.delegated import DelegatedAccess, DelegatedOptions
from tiphys.client.front_proxies import CLIENT_CA, ProxyHeaders
from tiphys.client.healthchecks import PING, HealthCounts, report
from tiphys.client.kinds import CONFIG_MAPS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.client.zpages import ZPages, text_answer
from tiphys.wire import pki, serving_files
from tiphys.wire.message import Request, Response
from tiphys.wire.server import ServerLimits, serve
from tiphys.wire.serving_files import Files, Held, ServingFiles
from tiphys.wire.tls_options import TlsOptions

log = logging.getLogger(__name__)
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
Checks = Callable[[str], Mapping[str, str | None]]
"""Returns the checks of a path (``healthz``) by their names, each with what is wrong, None for nothing."""
_GUARDED: Final = ("/configz", "/flagz", "/metrics", "/metrics/slis", "/statusz")
_LOOKUP_RETRY_S: Final = 10.0
_LOOKUP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """Where to listen, with which certificate, and whom to let in. Port 0: no endpoint."""

    address: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    limits: ServerLimits = field(default_factory=ServerLimits)
    client_ca: Path | None = None
    """PEM of who signs client certificates; None: the cluster's own, out of its ConfigMap."""
    look_up_client_ca: bool = True
    proxies_ca: Path | None = None
    """PEM of who signs front proxies' certificates; None: the cluster's own, with its headers."""
    proxy_headers: ProxyHeaders = field(default_factory=ProxyHeaders)
    access: DelegatedOptions = field(default_factory=DelegatedOptions)
    flags: Mapping[str, str] = field(default_factory=dict)
    """What ``/flagz`` shows."""
    gates: FeatureGates = DEFAULTS
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """What ``/configz`` shows: the document by its API group."""

    @property
    def pair(self) -> tuple[Path, Path] | None:
        """The files of the certificate that was given."""
        return (self.certificate, self.key) if self.certificate and self.key else None


class ComponentEndpoint:
    """``run`` listens until cancelled; ``handle`` answers one request."""

    def __init__(
        self,
        name: str,
        client: Client,
        clock: Clock | None = None,
        options: EndpointOptions | None = None,
        *,
        checks: Checks = lambda _kind: {PING: None},
        shown: Mapping[str, Callable[[], Iterable[Metric]]] | None = None,
    ) -> None:
        """``shown``: families that have a path of their own, made when somebody asks."""
        self._name = name
        self._client = client
        self._clock = clock or RealClock()
        self._options = options or EndpointOptions()
        self._access = DelegatedAccess(client, self._clock, self._options.access)
        self._checks = checks
        self._shown = shown or {}
        self._guarded = sorted((*_GUARDED, *self._shown))
        self._pages = ZPages(
            name, self._clock.now(), self._options.flags, (*_HEALTH, *self._guarded), self._options.gates
        )
        self._asked = HealthCounts()
        self._headers = self._options.proxy_headers
        gates = self._options.gates
        self._sends_strangers_away = gates.enabled("UnauthenticatedHTTP2DOSMitigation")
        metrics.show_features(self._options.gates)

    async def run(self) -> None:
        """Listen. Raises OSError when the address is taken or a certificate cannot be read."""
        options = self._options
        if not options.port:
            return
        files = Files(options.pair, options.client_ca, options.proxies_ca)
        held = await asyncio.to_thread(serving_files.read, files, Held(self._own_pair()))
        context = await asyncio.to_thread(serving_files.make_context, held, options.tls)
        self._take(held)
        async with serve(
            self.handle,
            host=options.address,
            port=options.port,
            ssl_context=context,
            limits=options.limits,
        ) as server:
            log.info("endpoint listens component=%s port=%d", self._name, options.port)

            async def take_over(held: Held, context: ssl.SSLContext) -> None:
                server.replace_context(context)
                self._take(held)

            looking = ServingFiles(files, held, options.tls, take_over)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(looking.run())
                given = options.client_ca is not None and options.proxies_ca is not None
                if not given and options.look_up_client_ca:
                    tasks.create_task(self._look_up_authorities(looking))
                await asyncio.get_running_loop().create_future()

    def trust(self, client_ca: bytes) -> None:
        """Believe client certificates of these authorities (PEM) from now on. Raises ValueError."""
        self._access.trust(client_ca)

    def _take(self, held: Held) -> None:
        self.trust(held.client_ca)
        self._access.trust_proxies(held.proxies_ca, self._headers)

    def _own_pair(self) -> pki.KeyPair:
        """Make what is shown where no certificate was given."""
        now = self._clock.now()
        authority = pki.make_ca(f"{self._name}-ca", now)
        return pki.issue_server(authority, self._name, ["localhost", "127.0.0.1"], now)

    async def _look_up_authorities(self, looking: ServingFiles) -> None:
        """Believe the cluster's client certificates and front proxies, now and after each change."""
        believed: dict[str, str] | None = None
        while True:
            try:
                found = await self._client.get(
                    CONFIG_MAPS, "extension-apiserver-authentication", "kube-system"
                )
                data = found.get("data") or {}
                if data != believed:
                    await self._believe(looking, data)
                    believed = data
            except (StatusError, TransportError, ValueError) as error:
                log.debug("authorities not read error=%s", error)
            await asyncio.sleep(_LOOKUP_S if believed else _LOOKUP_RETRY_S)

    async def _believe(self, looking: ServingFiles, data: Mapping[str, str]) -> None:
        """Take over what the cluster says of what no flag does. Raises ValueError."""
        client_ca = None if self._options.client_ca else (data.get("client-ca-file") or "").encode()
        proxies_ca = None
        if self._options.proxies_ca is None:
            self._headers = ProxyHeaders.of_cluster(data)
            proxies_ca = (data.get(CLIENT_CA) or "").encode()
        await looking.believe(client_ca, proxies_ca)

    async def handle(self, request: Request) -> Response:
        """Answer one request. No connection of HTTP/2 is kept for whom nobody knows: it is dear to serve."""
        response = await self._answer(request)
        if self._sends_strangers_away and request.protocol == "HTTP/2.0" and "stranger" in request.scope:
            response.headers["connection"] = "close"
        return response

    async def _answer(self, request: Request) -> Response:
        """Refusals are ``Status`` objects, as the API server's are."""
        path = request.path
        try:
            await self._access.check(request)
            if path in _HEALTH or path.rpartition("/")[0] in _HEALTH:
                return self._healthy(request)
            if path not in self._guarded:
                raise NotFound("404 page not found")
            if path in self._shown:
                body = text_of(self._shown[path]())
                return Response(200, {"content-type": CONTENT_TYPE}, body)
            if path == "/metrics":
                return Response(200, {"content-type": CONTENT_TYPE}, metrics.render(self._name))
            if path == "/configz":
                body = orjson.dumps(dict(self._options.configuration))
                return Response(200, {"content-type": "application/json"}, body)
            if path == "/metrics/slis":
                return Response(200, {"content-type": CONTENT_TYPE}, self._asked.render())
            page = self._pages.answer(request, self._clock.now())
            if page is None:
                raise NotFound("404 page not found")
            return page
        except NotFound as error:
            return text_answer(f"{error.message}\n", 404)
        except StatusError as error:
            headers = {"content-type": "application/json"}
            return Response(error.status_code, headers, orjson.dumps(error.to_status()))

    def _healthy(self, request: Request) -> Response:
        """Answer for all checks of a path, or for the one that it names."""
        kind, _, name = request.path.lstrip("/").partition("/")
        faults, query = self._checks(kind), request.query
        if name and name not in faults:
            raise NotFound("404 page not found")
        excluded = () if name else query.get("exclude") or ()
        for check in (name,) if name else faults:
            if check not in excluded:
                self._asked.note(check, kind, good=faults[check] is None)
        if name:
            fault = faults[name]
            return (
                text_answer("ok") if fault is None else text_answer(f"internal server error: {fault}\n", 500)
            )
        good, lines = report(faults, excluded)
        if good and "verbose" not in query:
            return text_answer("ok")
        said = f"{kind} check {'passed' if good else 'failed'}"
        return text_answer("\n".join([*lines, said, ""]), 200 if good else 500)


async def with_endpoint(endpoint: ComponentEndpoint, work: Coroutine[Any, Any, None]) -> None:
    """Run a component's own work beside its endpoint, and end both with the work."""
    listening = asyncio.create_task(_listen(endpoint))  # parent: this call, which cancels it below
    try:
        await work
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _listen(endpoint: ComponentEndpoint) -> None:
    try:
        await endpoint.run()
    except OSError as error:
        log.error("no endpoint error=%s", error)
