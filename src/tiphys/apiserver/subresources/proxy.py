"""``pods/proxy``, ``services/proxy`` and ``nodes/proxy``: any HTTP request, passed on to what serves there.

The name may be ``name``, ``name:port`` or ``scheme:name:port``. Websockets and other upgrades go through.
Refuses to follow redirects: a Location that points back at the target is rewritten to this path.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tiphys.apimachinery.errors import BadRequest, ServiceUnavailable
from tiphys.apiserver.call import Call
from tiphys.apiserver.subresources.kubelet_link import find_node, forwarded_headers
from tiphys.wire import client
from tiphys.wire.message import ByteStream, Response
from tiphys.wire.relay import relay

_ANSWER_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "trailer", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the request goes."""

    host: str
    port: int
    context: ssl.SSLContext | None


def split_name(text: str) -> tuple[str, str, str]:
    """Split ``[scheme:]name[:port]``. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return parts[0], parts[1], parts[2]
    raise BadRequest(f'invalid proxy request "{text}"')


def _unverified() -> ssl.SSLContext:
    # Pods show certificates of their own making; upstream does not verify them on this path either.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _pod_target(call: Call, scheme: str, name: str, port: str) -> Target:
    resource = call.backend.table.by_path("", "v1", "pods")
    pod = (await call.backend.store.get(resource, call.namespace, name)).object
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise BadRequest("address not allowed")
    ports = [one for container in pod["spec"]["containers"] for one in container.get("ports") or ()]
    if not port and ports:
        number = int(ports[0]["containerPort"])
    elif port.isdigit() or not port:
        number = int(port or (443 if scheme == "https" else 80))
    else:
        number = next((int(one["containerPort"]) for one in ports if one.get("name") == port), 0)
        if not number:
            raise BadRequest(f'no container port named "{port}" in pod "{name}"')
    return Target(address, number, _unverified() if scheme == "https" else None)


def _service_port(service: dict[str, Any], port: str) -> dict[str, Any]:
    ports = service["spec"].get("ports") or []
    if not port and len(ports) == 1:
        return dict(ports[0])
    for one in ports:
        if port and port in (one.get("name"), str(one["port"])):
            return dict(one)
    raise ServiceUnavailable(f'no service port "{port}" found for service "{service["metadata"]["name"]}"')


async def _service_target(call: Call, scheme: str, name: str, port: str) -> Target:
    store, table = call.backend.store, call.backend.table
    service = (await store.get(table.by_path("", "v1", "services"), call.namespace, name)).object
    wanted = _service_port(service, port)
    endpoints = (await store.get(table.by_path("", "v1", "endpoints"), call.namespace, name)).object
    found = [
        (address["ip"], int(one["port"]))
        for subset in endpoints.get("subsets") or ()
        for one in subset.get("ports") or ()
        if (one.get("name") or "") == (wanted.get("name") or "")
        for address in subset.get("addresses") or ()
    ]
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{call.name}"')
    host, number = random.choice(found)
    return Target(host, number, _unverified() if scheme == "https" else None)


async def _node_target(call: Call, name: str) -> Target:
    kubelet = await find_node(call.backend, name)
    return Target(kubelet.host, kubelet.port, kubelet.context)


async def find_target(call: Call) -> Target:
    """Return where the call's object serves. Raises NotFound, BadRequest, ServiceUnavailable."""
    scheme, name, port = split_name(call.name)
    if call.resource.plural == "nodes":
        return await _node_target(call, name)
    if call.resource.plural == "services":
        return await _service_target(call, scheme, name, port)
    return await _pod_target(call, scheme, name, port)


def _path(call: Call) -> tuple[str, str]:
    raw = call.request.raw_path.partition("?")[0] or call.request.path
    prefix, _, rest = raw.partition("/proxy")
    return f"{prefix}/proxy", rest


async def handle(call: Call) -> Response:
    prefix, rest = _path(call)
    request = call.request
    query = f"?{request.raw_query}" if request.raw_query else ""
    if not rest and request.method in ("GET", "HEAD"):
        return Response(301, {"Location": f"{prefix}/{query}"})
    target = await find_target(call)
    upgrade = bool(request.headers.get("upgrade"))
    headers = forwarded_headers(request.headers, upgrade=upgrade)
    headers["X-Forwarded-Uri"] = prefix + rest
    headers["X-Forwarded-Host"] = request.headers.get("host", "")
    headers["X-Forwarded-Proto"] = "https"
    try:
        answer = await client.send(
            target.host,
            target.port,
            request.method,
            (rest or "/") + query,
            headers,
            body=request.body,
            ssl_context=target.context,
        )
    except client.ConnectFailed as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from error
    return pass_on(answer, prefix)


def pass_on(answer: client.Answer, prefix: str = "") -> Response:
    """Return another server's answer as this one's: streamed, or the bare connection after an upgrade."""
    if answer.status == 101:

        async def run(stream: ByteStream) -> None:
            await relay(stream, answer.raw)

        return Response(101, dict(answer.headers), upgrade=run)
    headers = {name: value for name, value in answer.headers if name.lower() not in _ANSWER_HOP}
    location = answer.header("location")
    if location.startswith("/"):
        parts = urlsplit(location)
        headers["Location"] = prefix + parts.path + (f"?{parts.query}" if parts.query else "")
    return Response(answer.status, headers, stream=_closing(answer))


async def _closing(answer: client.Answer) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.body():
            yield chunk
    finally:
        await answer.close()
