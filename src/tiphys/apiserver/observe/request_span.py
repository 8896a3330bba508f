"""What the span of a request is called, and what it tells of it. Pure.

Source: OpenTelemetry's semantic conventions for HTTP servers; the names of spans are upstream's.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.tracing import Value
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.wire.message import Request

ERROR: Final = 500
"""Answers from this status on are failures of the server."""
_METHODS: Final = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_OTHER: Final = "_OTHER"
_HTTPS: Final = 443


def name_of(method: str, info: RequestInfo) -> str:
    """Return the name of a request's span: its route, or for what is no resource its method."""
    if not info.is_resource:
        return method
    parts = ["apis" if info.group else "api", info.group, info.version]
    parts += ["namespaces/{:namespace}"] if info.namespace else []
    parts += [info.resource, "{:name}" if info.name else "", info.subresource]
    return f"{method} /{'/'.join(filter(None, parts))}"


def attributes_of(request: Request) -> dict[str, Value]:
    """Return what the span of a request says from its beginning."""
    target = request.raw_path or request.path
    host, port = _split(request.headers.get("host", ""))
    sender = request.headers.get("x-forwarded-for", "").partition(",")[0].strip() or request.peer_address
    told: dict[str, Value] = {
        "server.address": host, **_method(request.method), "url.scheme": "https",
        "network.peer.address": request.peer_address, "network.peer.port": request.peer_port,
        "user_agent.original": request.headers.get("user-agent", ""),
        "client.address": sender, "url.path": request.path,
        "network.protocol.version": request.protocol.partition("/")[2],
    }  # fmt: skip
    found = {name: value for name, value in told.items() if value}
    if port and port != _HTTPS:
        found["server.port"] = port
    return {**found, "http.target": f"{target}?{request.raw_query}" if request.raw_query else target}


def _split(authority: str) -> tuple[str, int]:
    """Return a host and its port, 0 where none is named."""
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.endswith("]")):
        return authority.strip("[]"), 0
    return host.strip("[]"), int(port)


def _method(method: str) -> dict[str, Value]:
    """Return a method as it is known; one that is not, beside that."""
    if method in _METHODS:
        return {"http.request.method": method}
    known = method.upper() if method.upper() in _METHODS else _OTHER
    return {"http.request.method": known, "http.request.method_original": method}
