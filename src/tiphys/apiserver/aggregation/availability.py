"""Whether a remote API answers: its Service, the endpoints behind it, and its list of resources.

Owns: upstream's reasons and messages. Refuses: writing them (``controller``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.aggregation.front_proxy import FrontProxy, headers_for
from tiphys.apiserver.aggregation.objects import path_of
from tiphys.apiserver.authn.user import MASTERS, User
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.outgoing.service_link import (
    Endpoint,
    NoEndpoint,
    bundle_of,
    has_slices,
    is_served,
    resolve,
    tls_context,
)  # fmt: skip
from tiphys.wire import client
from tiphys.wire.reasons import reason_of

_TIMEOUT_S = 5.0
_ATTEMPTS = 5
_PATIENCE_S = 1.0
"""So long is waited for one attempt alone."""
_HTTPS = 443
SELF = User("system:kube-aggregator", groups=(MASTERS,))


@dataclass(frozen=True, slots=True)
class Availability:
    """What the Available condition shall say."""

    ok: bool
    reason: str
    message: str
    endpoint: Endpoint | None = None
    """Who answered."""
    body: bytes = b""
    """The list of resources that it answered with."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, read to its end."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's first value, empty without it."""
        return next((value for own, value in self.headers if own.lower() == name), "")


def port_of(service: Object) -> int:
    return int(service["spec"]["service"].get("port") or _HTTPS)


def context_of(service: Object, proxy: FrontProxy) -> ssl.SSLContext:
    """Return the TLS context for an APIService. Raises ssl.SSLError for a bad bundle."""
    spec = service["spec"]
    insecure = bool(spec.get("insecureSkipTLSVerify"))
    return tls_context(bundle_of(spec), insecure=insecure, client=proxy.client)


async def check(backend: Backend, service: Object, proxy: FrontProxy) -> Availability:
    """Return whether a remote API is there."""
    reference = service["spec"]["service"]
    namespace, name, port = reference["namespace"], reference["name"], port_of(service)
    where = f"service/{name} in {_quoted(namespace)}"
    found = await find(backend, "", "v1", "services", name, namespace=namespace)
    if found is None:
        return Availability(False, "ServiceNotFound", f"{where} is not present")
    spec = found.get("spec") or {}
    if spec.get("type") == "ClusterIP":  # what serves behind others is for the request to find out
        listening = next((one for one in spec.get("ports") or () if one.get("port") == port), None)
        if listening is None:
            return Availability(False, "ServicePortError", f"{where} is not listening on port {port}")
        if not await has_slices(backend, namespace, name):
            return Availability(False, "EndpointsNotFound", f"cannot find endpointslices for {where}")
        named = listening.get("name") or ""
        if not await is_served(backend, namespace, name, named):
            text = f"endpointslices for {where} have no addresses with port name {_quoted(named)}"
            return Availability(False, "MissingEndpoints", text)
    return await _discover(backend, service, proxy)


async def _discover(backend: Backend, service: Object, proxy: FrontProxy) -> Availability:
    """Try the discovery document: one endpoint that has it is enough, and a slow one is not waited for."""
    running: set[asyncio.Task[Availability]] = set()
    left, found = _ATTEMPTS, Availability(False, "FailedDiscoveryCheck", "")
    async with asyncio.TaskGroup() as group:
        while left or running:
            if left:
                running.add(group.create_task(_attempt(backend, service, proxy)))
                left -= 1
            patience_s = _PATIENCE_S if left else None
            done, running = await asyncio.wait(
                running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                found = task.result()
                if found.ok:
                    for other in running:
                        other.cancel()
                    return found
    return found


async def _attempt(backend: Backend, service: Object, proxy: FrontProxy) -> Availability:
    path, reference = path_of(service), service["spec"]["service"]
    try:
        endpoint = await resolve(backend, reference["namespace"], reference["name"], port_of(service))
    except NoEndpoint as error:
        return Availability(False, "FailedDiscoveryCheck", str(error))
    url = f"https://{endpoint.authority}{path}"
    try:
        answer = await fetch(service, endpoint, proxy, path, verified=False)
    except client.ConnectFailed as error:
        why = f'Get "{url}": {reason_of(error, endpoint.authority, of_client=True)}'
    except TimeoutError:
        why = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    else:
        if 200 <= answer.status < 300:
            return Availability(True, "Passed", "all checks passed", endpoint, answer.body)
        why = f"bad status from {url}: {answer.status}"
    text = f"failing or missing response from {url}: {why}"
    return Availability(False, "FailedDiscoveryCheck", text)


async def fetch(
    service: Object,
    endpoint: Endpoint,
    proxy: FrontProxy,
    path: str,
    *,
    headers: Sequence[tuple[str, str]] = (("Accept", "application/json"),),
    user: User = SELF,
    verified: bool = True,
) -> Fetched:
    """GET a path of a remote API as this server itself; whether it is there can be asked without trust.

    Raises:
        ConnectFailed, TimeoutError, ssl.SSLError, ValueError.
    """
    sent = [*headers_for(user, list(headers)), ("Host", endpoint.authority)]
    context = context_of(service, proxy) if verified else tls_context(b"", insecure=True, client=proxy.client)
    async with asyncio.timeout(_TIMEOUT_S):
        answer = await client.send(
            endpoint.host, endpoint.port, "GET", path, sent,
            ssl_context=context, server_name=endpoint.server_name, through=endpoint.through,
        )  # fmt: skip
        try:
            return Fetched(answer.status, answer.headers, await answer.read())
        finally:
            await answer.close()


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
