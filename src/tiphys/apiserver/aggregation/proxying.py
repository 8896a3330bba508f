"""Passes a request on to the API server behind an APIService.

Refuses: APIs that are not available (503), before any connection.
"""

from __future__ import annotations

import ssl

from tiphys.apimachinery.go_text import quoted
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.aggregation.availability import context_of, port_of
from tiphys.apiserver.aggregation.front_proxy import FrontProxy
from tiphys.apiserver.aggregation.objects import is_available
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.respond import plain_text
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.observe.certificate_counts import AGGREGATOR, annotate
from tiphys.apiserver.observe.metrics import labels_of
from tiphys.apiserver.outgoing.forwarding import Target, Unreached, send_on
from tiphys.apiserver.outgoing.service_link import NoEndpoint, resolve
from tiphys.apiserver.subresources.kubelet_link import is_upgrade
from tiphys.apiserver.subresources.proxy import pass_on, passed_upgrade
from tiphys.wire.client import Answer
from tiphys.wire.message import Request, Response

_REDIRECTS = b"the backend attempted to redirect this request, which is not permitted"
_NO_ROOTS = "unable to load root certificates: unable to parse bytes as PEM block"


async def pass_through(
    backend: Backend, service: Object, proxy: FrontProxy, request: Request, user: User
) -> Response:
    """Return the remote API's answer, or a 503 where there is none; a 500 for a bundle that is none."""
    if not is_available(service):
        return _ended(backend, request, 503, "service unavailable")
    reference = service["spec"]["service"]
    try:
        context = context_of(service, proxy)
    except (ssl.SSLError, ValueError):
        return _ended(backend, request, 500, _NO_ROOTS)
    try:
        endpoint = await resolve(backend, reference["namespace"], reference["name"], port_of(service))
    except NoEndpoint:
        return _ended(backend, request, 503, "service unavailable")
    target = Target(
        endpoint.host, endpoint.port, endpoint.server_name, context, endpoint.authority, endpoint.through
    )
    try:
        answer = await send_on(target, request, user, proxy.header)
    except Unreached as error:
        if error.__cause__ is not None:
            found = backend.certificates.refused(AGGREGATOR, error.__cause__)
            annotate(request.scope, found, endpoint.shown_host)
        return plain_text(503, f"error trying to reach service: {error}")
    if service["spec"].get("insecureSkipTLSVerify"):
        found = backend.certificates.shown(AGGREGATOR, answer.raw.certificate)
        annotate(request.scope, found, endpoint.shown_host)
    if (fault := _switch_fault(request, answer)) is not None:
        await answer.close()
        return plain_text(503, fault)
    rejects = backend.options.rejects_redirects
    if rejects and 300 <= answer.status < 400 and answer.header("location"):
        await answer.close()
        return Response(502, {}, _REDIRECTS)
    return await passed_upgrade(answer) if answer.status == 101 else pass_on(answer)


def _switch_fault(request: Request, answer: Answer) -> str | None:
    """Return what is wrong with an answer where a request wants another protocol, or does not."""
    if not is_upgrade(request.headers):
        if answer.status != 101:
            return None
        offered = quoted(answer.header("upgrade"))
        return f'backend tried to switch protocol {offered} when "" was requested'
    if answer.status == 101 or answer.status >= 400:
        return None
    return f"invalid upgrade response: status code {answer.status}"


def _ended(backend: Backend, request: Request, code: int, why: str) -> Response:
    """Return the answer to a request that cannot be passed on, and count it."""
    info = parse(request.method, request.path, request.raw_query)
    backend.metrics.ends.terminated(labels_of(info), code, "aggregator")
    return plain_text(code, why)
