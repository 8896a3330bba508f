"""Passes a request on to the API server behind an APIService, with its user in headers.

Watches are streamed and upgrades carried. Refuses: APIs that are not available (503), before any connection.
"""

from __future__ import annotations

import ssl
from typing import Final

from tiphys.apimachinery import tracing
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.aggregation.availability import context_of, port_of
from tiphys.apiserver.aggregation.front_proxy import FrontProxy, Headers, headers_for
from tiphys.apiserver.aggregation.objects import is_available
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.call import Backend
from tiphys.apiserver.service_link import NoEndpoint, reason_of, resolve
from tiphys.apiserver.subresources.proxy import pass_on, passed_upgrade
from tiphys.wire import client
from tiphys.wire.message import Request, Response

_TRACE: Final = ("traceparent", "tracestate")
_FORWARDED = frozenset(f"x-forwarded-{part}" for part in ("for", "host", "proto", "uri"))
_REDIRECTS = b"the backend attempted to redirect this request, which is not permitted"


async def pass_through(
    backend: Backend, service: Object, proxy: FrontProxy, request: Request, user: User
) -> Response:
    """Return the remote API's answer, or a 503 where there is none; a 500 for a bundle that is none."""
    if not is_available(service):
        return _unavailable("service unavailable")
    reference = service["spec"]["service"]
    try:
        context = context_of(service, proxy)
    except (ssl.SSLError, ValueError):
        return _plain(500, "unable to load root certificates: unable to parse bytes as PEM block")
    try:
        endpoint = await resolve(backend, reference["namespace"], reference["name"], port_of(service))
    except NoEndpoint:
        return _unavailable("service unavailable")
    headers = headers_for(
        user, list(request.headers.items()), proxy.header, upgrade=request.headers.get("upgrade", "")
    )
    path = request.raw_path.partition("?")[0] or request.path
    headers = [*_forwarded(headers, request, path), ("Host", f"{endpoint.server_name}:{port_of(service)}")]
    headers.append(("X-Forwarded-Host", f"{endpoint.host}:{endpoint.port}"))
    target = f"{path}?{request.raw_query}" if request.raw_query else path
    try:
        with tracing.step(f"HTTP {request.method}", {"url.path": path}, kind=tracing.CLIENT):
            answer = await client.send(
                endpoint.host, endpoint.port, request.method, target, _traced(headers), body=request.body,
                ssl_context=context, server_name=endpoint.server_name,
            )  # fmt: skip
    except client.ConnectFailed as error:
        return _unavailable(f"error trying to reach service: {reason_of(error, endpoint.server_name)}")
    if 300 <= answer.status < 400 and answer.header("location"):
        await answer.close()
        return Response(502, {}, _REDIRECTS)
    return await passed_upgrade(answer) if answer.status == 101 else pass_on(answer)


def _traced(headers: Headers) -> Headers:
    """Return the headers with the span that the other side is to go on with, where there is one."""
    own = tracing.headers()
    if not own:
        return headers
    return [*((name, value) for name, value in headers if name.lower() not in _TRACE), *own.items()]


def _forwarded(headers: Headers, request: Request, path: str) -> Headers:
    """Return the headers with what tells of the way that a request came."""
    before = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    kept = [(name, value) for name, value in headers if name.lower() not in _FORWARDED]
    if request.peer_address:
        before.append(request.peer_address)
    if before:
        kept.append(("X-Forwarded-For", ", ".join(before)))
    return [*kept, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Uri", path)]


def _unavailable(text: str) -> Response:
    return _plain(503, text)


def _plain(status: int, text: str) -> Response:
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Response(status, headers, f"{text}\n".encode())
