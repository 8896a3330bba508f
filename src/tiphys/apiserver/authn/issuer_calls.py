"""Getting what an OpenID Connect issuer serves, wherever it leads, and Go's words for what goes wrong.

Owns: TLS with the issuer's authority, redirections, the texts of statuses and of bodies that are no JSON.
Called by ``jwks`` and ``distributed_claims``, which know what they ask for.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

import orjson

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.go_text import syntax
from tiphys.apimachinery.schema import json_fault
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apiserver.config_files import url_fault
from tiphys.apiserver.outgoing.foreign_answers import MOST_BYTES
from tiphys.apiserver.outgoing.remote import go_reason
from tiphys.client.transport import Answer, Call, HttpTransport, TransportError
from tiphys.wire.dial import Tunnel

_TIMEOUT_S: Final = 30.0
_LEADS_ELSEWHERE: Final = frozenset((301, 302, 303, 307, 308))
_MOST_CALLS: Final = 10
_STATUS: Final = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip


class IssuerUnavailable(TiphysError):
    """An issuer does not serve what is asked of it."""


async def fetch(
    url: str, authority: str, headers: Mapping[str, str], through: Tunnel | None = None
) -> Answer:
    """Get what an issuer serves, also where it says that this lies elsewhere now.

    ``authority`` (PEM) replaces those that the machine trusts, wherever it leads.

    Raises:
        IssuerUnavailable: it is no https URL, nobody answers, or it leads on and on.
    """
    for _ in range(_MOST_CALLS):
        answer = await _fetch_once(url, authority, headers, through)
        location = answer.headers.get("location")
        if answer.status not in _LEADS_ELSEWHERE or not location:
            return answer
        led = _led(url, location)
        if not _is_same_domain(url, led):
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
        url = led
    raise IssuerUnavailable(f'Get "{url}": stopped after {_MOST_CALLS} redirects')


async def _fetch_once(url: str, authority: str, headers: Mapping[str, str], through: Tunnel | None) -> Answer:
    parts = _parted(url)
    if parts.scheme != "https" or not parts.netloc:
        raise IssuerUnavailable(f'Get "{url}": unsupported protocol scheme "{parts.scheme}"')
    context = ssl.create_default_context(cadata=authority or None)
    context.hostname_checks_common_name = False
    transport = HttpTransport(
        f"{parts.scheme}://{parts.netloc}", ssl_context=context, through=through, counted=False
    )
    path = parts.path or "/"
    call = Call("GET", path, parts.query, dict(headers), timeout_s=_TIMEOUT_S, most_bytes=MOST_BYTES)
    try:
        return await transport.send(call)
    except TransportError as error:
        raise IssuerUnavailable(f'Get "{url}": {go_reason(url, error.__cause__ or error)}') from error
    finally:
        await transport.close()


def _parted(url: str) -> SplitResult:
    """Return the parts of a URL that others have told. Raises IssuerUnavailable where it is none."""
    if fault := url_fault(url):
        raise IssuerUnavailable(fault)
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError as error:
        port = parts.netloc.rpartition(":")[2]
        raise IssuerUnavailable(f'Get "{url}": dial tcp: address {port}: invalid port') from error
    return parts


def _led(url: str, location: str) -> str:
    """Return the URL that is meant by a place, seen from another. Raises IssuerUnavailable."""
    if fault := url_fault(location):
        raise IssuerUnavailable(f'Get "{url}": failed to parse Location header "{location}": {fault}')
    return urljoin(url, location)


def _is_same_domain(url: str, led: str) -> bool:
    """Tell whether what only the one host should be told may be told the other."""
    host, other = urlsplit(url).hostname or "", urlsplit(led).hostname or ""
    return other == host or other.endswith(f".{host}")


def status_line(answer: Answer) -> str:
    """Return a status with its text."""
    return f"{answer.status} {_STATUS.get(answer.status, '')}".strip()


def shown(answer: Answer) -> str:
    """Return a body as texts tell of it."""
    return answer.body.decode("utf-8", "replace")


def read_object(answer: Answer, kind: str) -> dict[str, Any]:
    """Return the object that is served. Raises ValueError, which says in Go's words why ``kind`` is none."""
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        why = json_fault.explain(answer.body) or str(error)
    else:
        if isinstance(found, dict | None):
            return found or {}
        why = f"json: cannot unmarshal {json_kind(found)} into Go value of type {kind}"
    said = answer.headers.get("content-type", "")
    if said.partition(";")[0].strip().lower() == "application/json":
        why = f"got Content-Type = application/json, but could not unmarshal as JSON: {why}"
    else:
        why = f"expected Content-Type = application/json, got {syntax(said)}: {why}"
    raise ValueError(why)
