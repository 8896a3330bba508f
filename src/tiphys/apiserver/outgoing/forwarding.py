"""Passes a request on to another API server, with its user in headers in the place of credentials.

Owns: what such a request tells of the way that it came, and how its answer comes back: watches are streamed
and upgrades carried. Refuses: whom to ask, and what to say where nobody answers. Called by ``aggregation``
(the servers behind APIServices) and ``peers`` (other servers of this cluster).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final
from urllib.parse import quote, quote_plus, unquote_plus

from tiphys.apimachinery import tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.aggregation.front_proxy import Headers, headers_for
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.flights import FLIGHT
from tiphys.apiserver.outgoing.client_span import answered, asking
from tiphys.wire import client
from tiphys.wire.dial import Tunnel
from tiphys.wire.message import Request
from tiphys.wire.reasons import reason_of

_AUDIT_ID: Final = "audit-id"
_DISCOVERY_S: Final = 5.0
"""Clients wait for discovery before anything else: a server that hangs shall not hold them up."""
_DISCOVERY_SEGMENTS: Final = 3
_TRACE: Final = ("traceparent", "tracestate")
_PLAIN_IN_PATHS: Final = "/$&+,:;=@"
_BROKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORWARDED: Final = frozenset(f"x-forwarded-{part}" for part in ("for", "host", "proto", "uri"))


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Another API server: where it is, and as whom it must show itself."""

    host: str
    port: int
    server_name: str
    context: ssl.SSLContext
    authority: str = ""
    """For the header ``Host``; empty: the address."""
    through: Tunnel | None = None

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unreached(client.ConnectFailed):
    """A target did not answer; the text is Go's."""


async def send_on(
    target: Target, request: Request, user: User, header: RequestHeader | None = None, *more: tuple[str, str]
) -> client.Answer:
    """Send a request on and return the answer once its head is here; ``more`` are further headers.

    Raises:
        Unreached: nobody answered, or not in time.
        StatusError: the request's body does not come, or is too long.
    """
    if (flight := request.scope.get(FLIGHT)) is not None:
        flight.pass_on()
    await request.arrive()
    path = quote(request.path, safe=_PLAIN_IN_PATHS)
    query = encoded_query(request.raw_query)
    url = f"{path}?{query}" if query else path
    headers = [*_headers(target, request, user, header, path), *more]
    try:
        async with asyncio.timeout(_DISCOVERY_S if _is_discovery(request.path) else None):
            with asking(request.method, f"https://{target.authority or target.address}{url}") as span:
                answer = await client.send(
                    target.host, target.port, request.method, url, _traced(headers), body=request.body,
                    ssl_context=target.context, server_name=target.server_name, through=target.through,
                )  # fmt: skip
                answered(span, answer.status)
    except client.ConnectFailed as error:
        raise Unreached(reason_of(error, target.authority)) from error
    except TimeoutError as error:
        raise Unreached("context deadline exceeded") from error
    # The answer of this server has the same one already.
    answer.headers = [(name, value) for name, value in answer.headers if name.lower() != _AUDIT_ID]
    return answer


def encoded_query(raw: str) -> str:
    """Return a query as Go writes the one it has read: sorted by names, without what cannot be read."""
    found: dict[str, list[str]] = {}
    for part in raw.split("&"):
        if not part or ";" in part or _BROKEN.search(part):
            continue
        name, _, value = part.partition("=")
        found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    pairs = [(name, value) for name in sorted(found) for value in found[name]]
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


def _is_discovery(path: str) -> bool:
    parts = path.strip("/").split("/")
    return len(parts) == _DISCOVERY_SEGMENTS and parts[0] != "api"


def _headers(
    target: Target, request: Request, user: User, header: RequestHeader | None, path: str
) -> Headers:
    headers = headers_for(
        user, list(request.headers.items()), header, upgrade=request.headers.get("upgrade", "")
    )
    authority = target.authority or target.address
    headers = [*_forwarded(headers, request, path), ("Host", authority), ("X-Forwarded-Host", authority)]
    audit_id = request.scope.get("audit_id")
    if audit_id and _AUDIT_ID not in request.headers:
        headers.append(("Audit-ID", str(audit_id)))
    return headers


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
