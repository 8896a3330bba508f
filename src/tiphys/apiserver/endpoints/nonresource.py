"""Everything that is no resource: discovery, health, version, metrics, OpenAPI, token keys, log files.

Owns: the list of such paths. Called by the server's chain once the user is allowed.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.compatibility import DEFAULT, Effective
from tiphys.apimachinery.errors import MethodNotAllowed
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apimachinery.release import PLATFORM, RELEASE
from tiphys.apis.openapi.definitions import CustomSchemas, no_custom_schemas
from tiphys.apis.openapi.documents import OpenApi, Remotes, no_remotes
from tiphys.apis.openapi.pages import server_pages
from tiphys.apiserver.authn.serviceaccount import TokenKeys, discovery_fault
from tiphys.apiserver.endpoints.discovery import Discovery
from tiphys.apiserver.endpoints.negotiation import JSON, check_route
from tiphys.apiserver.endpoints.openapi_docs import OpenApiDocs
from tiphys.apiserver.health import PATHS, Health
from tiphys.apiserver.observe.metrics import Metrics
from tiphys.apiserver.options import ApiServerOptions
from tiphys.client.zpages import ZPages
from tiphys.wire.message import Request, Response

log = logging.getLogger(__name__)
_EXACT = ("openapi", "metrics", "flagz", "statusz")
"""Where a path with a slash at its end is another one, and health checks besides."""
_KEYS = "application/jwk-set+json"
_TOKENS = {"/.well-known/openid-configuration": JSON, "/openid/v1/jwks": _KEYS}
"""What others verify service accounts' tokens by, with the media type of each."""


def _address(options: ApiServerOptions) -> str:
    """Return host and port by which clients are told to find this server."""
    host = options.external_hostname or options.advertise_address
    if host.rpartition(":")[2].isdigit() and (host.count(":") == 1 or "]:" in host):
        return host
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{host}:{options.secure_port}"


class NonResource:
    """Answers by path; None where there is nothing, which is a 404."""

    def __init__(
        self,
        table: Any,
        options: ApiServerOptions,
        keys: TokenKeys,
        metrics: Metrics,
        health: Health,
        *,
        custom: CustomSchemas = no_custom_schemas,
        remotes: Remotes = no_remotes,
        debug: Callable[[Request], Response | None] = lambda _request: None,
        clock: Clock | None = None,
    ) -> None:
        self._address = _address(options)
        self._discovery = Discovery(
            table, self._address, hashes=options.feature_gates.enabled("StorageVersionHash")
        )
        pages = server_pages(logs=options.logs_dir is not None)
        self._openapi = OpenApiDocs(
            OpenApi(table, custom, remotes=remotes, pages=pages), clock or RealClock()
        )
        self._table = table
        self._keys = keys
        self._metrics = metrics
        self._health = health
        self._options = options
        self._debug = debug
        self._routes = {"/version": JSON, **({} if self._untold_keys() else _TOKENS)}
        """Paths, besides discovery, that upstream's router serves, with what comes from each.

        That must be accepted, and their other methods are told apart from what is not there.
        """
        self._clock = clock or RealClock()
        self._pages = ZPages(
            "kube-apiserver", self._clock.now(), options.flags, self._paths(), options.feature_gates
        )

    def _untold_keys(self) -> bool:
        """Whether nobody is told by what to verify tokens: their issuer is none that others could ask."""
        fault = discovery_fault(self._keys.issuer)
        if fault:
            log.error("keys of service accounts' tokens are not served error=%s", fault)
        return bool(fault)

    async def answer(self, request: Request) -> Response | None:
        """Answer one request; mostly, only reads are served. Raises MethodNotAllowed."""
        path = request.path.rstrip("/") or "/"
        if not path.startswith("/"):
            return None  # "*", and what CONNECT names
        first = path.split("/")[1]
        if path != request.path and (first in PATHS or first in _EXACT):
            return None
        if request.method not in ("GET", "HEAD"):
            if (
                path in self._routes
                or self._shows_logs(first)
                or (first in ("api", "apis") and self._discovery.handle(request))
            ):
                raise MethodNotAllowed("the server does not allow this method on the requested resource")
            if first not in PATHS and first not in ("metrics", "openapi"):
                return None  # those of upstream's handlers ask for no method
        if first == "openapi":
            return await self._openapi.answer(request, path)
        if self._shows_logs(first):
            return await self._logs(request)
        return self._answer(request, path, first)

    def _shows_logs(self, first: str) -> bool:
        return first == "logs" and self._options.logs_dir is not None

    async def _logs(self, request: Request) -> Response:
        """Answer with a log file of this machine, or with their names."""
        from tiphys.wire.file_server import failure, serve_file

        below = request.path.removeprefix("/logs").removeprefix("/")
        if any(part in (".", "..") for part in below.split("/")):
            return failure(400, f"invalid path: {orjson.dumps(below).decode()}")
        assert self._options.logs_dir is not None
        return await serve_file(request, self._options.logs_dir / below.strip("/"))

    def _answer(self, request: Request, path: str, first: str) -> Response | None:
        if first in ("api", "apis"):
            return self._discovery.handle(request)
        if first in PATHS:
            return self._health.handle(request, path)
        if first == "debug":
            return self._debug(request)
        if path in self._routes:
            check_route(request.headers.get("accept", ""), (self._routes[path],))
        elif path in _TOKENS:
            return None
        match path:
            case "/":
                return _json({"paths": self._paths()})
            case "/version":
                return _json(version_info(self._options.feature_gates.effective))
            case "/metrics":
                return Response(200, {"content-type": Metrics.CONTENT_TYPE}, self._metrics.render())
            case "/metrics/slis":
                return Response(200, {"content-type": Metrics.CONTENT_TYPE}, self._health.counts.render())
            case "/flagz" | "/statusz":
                return self._pages.answer(request, self._clock.now())
            case "/.well-known/openid-configuration":
                return _metadata(self._keys.openid_configuration(self._jwks_uri()), self._keys.max_age_s)
            case "/openid/v1/jwks":
                response = _metadata(self._keys.jwks(), self._keys.max_age_s)
                response.headers["content-type"] = _KEYS
                return response
        return None

    def _jwks_uri(self) -> str:
        return self._options.service_account_jwks_uri or f"https://{self._address}/openid/v1/jwks"

    def _paths(self) -> list[str]:
        own = [
            *self._routes, "/api", "/api/v1", "/apis", "/metrics", "/metrics/slis", "/openapi/v2",
            "/openapi/v3",
        ]  # fmt: skip
        own += [
            f"/{name.removeprefix('Component').lower()}"
            for name in ("ComponentFlagz", "ComponentStatusz")
            if self._options.feature_gates.enabled(name)
        ]
        own += ["/logs"] if self._options.logs_dir is not None else []
        groups = [f"/apis/{name}" for name in self._table.groups() if name]
        versions = [f"{path}/{one}" for path in groups for one in self._table.versions(path[6:])]
        return sorted([*own, *groups, *versions, *self._health.paths()])


def version_info(effective: Effective = DEFAULT) -> dict[str, str]:
    """Return what ``/version`` answers."""
    major, minor, _ = RELEASE.lstrip("v").split(".")
    emulated, compatible = effective.emulated, effective.compatible
    return {
        "major": major, "minor": minor,
        "emulationMajor": str(emulated[0]), "emulationMinor": str(emulated[1]),
        "minCompatibilityMajor": str(compatible[0]), "minCompatibilityMinor": str(compatible[1]),
        "gitVersion": RELEASE, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-04-22T00:00:00Z", "goVersion": "", "compiler": platform.python_implementation(),
        "platform": PLATFORM,
    }  # fmt: skip


def declarative_validation() -> Iterator[Metric]:
    """Yield how often generated and written rules differed, and how often the former broke down.

    Never: there are no two validations here.
    """
    for name, text in (
        ("declarative_validation_mismatch", "[BETA] Objects that generated rules judged differently."),
        ("declarative_validation_panic", "[BETA] Generated rules that broke down."),
        ("duplicate_validation_error", "[INTERNAL] Faults that were told twice."),
    ):
        yield CounterMetricFamily(f"apiserver_validation_{name}", text, value=0)


def build_info() -> Iterator[Metric]:
    """Yield what ``/version`` answers as the metric that inventories look for."""
    labels = {
        "major": "major", "minor": "minor", "git_version": "gitVersion", "git_commit": "gitCommit",
        "git_tree_state": "gitTreeState", "build_date": "buildDate", "go_version": "goVersion",
        "compiler": "compiler", "platform": "platform",
    }  # fmt: skip
    found = version_info()
    family = GaugeMetricFamily("kubernetes_build_info", "[BETA] What this is.", labels=tuple(labels))
    family.add_metric([found[key] for key in labels.values()], 1)
    yield family


def _metadata(value: Any, max_age_s: int) -> Response:
    """Answer with a document for other issuers of tokens: compact, kept for a while."""
    headers = {"content-type": "application/json", "cache-control": f"public, max-age={max_age_s}"}
    return Response(200, headers, orjson.dumps(value))


def _json(value: Any) -> Response:
    headers = {"content-type": "application/json", "cache-control": "no-cache, private"}
    return Response(200, headers, orjson.dumps(value, option=orjson.OPT_INDENT_2))
