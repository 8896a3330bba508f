"""``pods/proxy``, ``services/proxy`` and ``nodes/proxy``: any HTTP request, passed on to what serves there.

The name may be ``name``, ``name:port`` or ``scheme:name:port``. Websockets and other upgrades go through.
Redirects are not followed: a Location that points back at the target is led through here, as links are.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, NotFound, ServiceUnavailable, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.connect import PROXIED_PATH
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.subresources.kubelet_link import find_node, forwarded_headers, is_upgrade
from tiphys.apiserver.subresources.proxied_links import LinkRewriter, Origin, rewrite_url
from tiphys.wire import client
from tiphys.wire.message import (
    HOP_HEADERS,
    ByteStream,
    RepeatedHeaders,
    Request,
    Response,
    named_hop_headers,
    text_of,
)
from tiphys.wire.reasons import reason_of
from tiphys.wire.relay import relay

_GRANTS = frozenset(
    f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin")
)
"""To pages of which other origins this server's answers are given is not for others to say."""
_PIECE_BYTES = 1 << 16
_GZIP_BITS = 16 + zlib.MAX_WBITS
"""16 asks zlib for gzip's frame."""
_BROADCAST = IPv4Address("255.255.255.255")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,18}", re.ASCII)
_PROXIED = re.compile(r"(/+api/+v1(?:/+namespaces/+[^/]+)?/+[^/]+/+[^/]+/+proxy)(?![^/])(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the request goes."""

    host: str
    port: int
    context: ssl.SSLContext | None


def split_name(text: str, what: str) -> tuple[str, str, str]:
    """Split ``[scheme:]name[:port]`` of a pod, service or node (``what``). Raises BadRequest."""
    parts = text.split(":")
    if len(parts) < 3:
        parts = ["", *parts]
    scheme, name, port = (*parts, "")[:3]
    if len(parts) <= 3 and name and scheme in ("", "http", "https"):
        return scheme, name, port
    raise BadRequest(f'invalid {what} request "{text}"')


def _unverified() -> ssl.SSLContext:
    # Pods show certificates of their own making; upstream does not verify them on this path either.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_reachable(address: str) -> bool:
    """Tell whether clients may be led to an address: never to the server's own machine or link."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found  # the kernel takes one for the other
    inside = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
    return not inside and found != _BROADCAST


async def _pod_target(call: Call, scheme: str, name: str, port: str) -> Target:
    resource = call.backend.table.by_path("", "v1", "pods")
    pod = (await call.backend.store.get(resource, call.namespace, name)).object
    address = (pod.get("status") or {}).get("podIP") or ""
    if not is_reachable(address):
        raise BadRequest("address not allowed")
    ports = [one for container in pod["spec"]["containers"] for one in container.get("ports") or ()]
    if not port and ports:
        number = int(ports[0]["containerPort"])
    elif not port or _PORT.fullmatch(port):
        number = int(port or (443 if scheme == "https" else 80))
    else:
        number = next((int(one["containerPort"]) for one in ports if one.get("name") == port), 0)
        if not number:
            raise BadRequest(f'no container port named "{port}" in pod "{name}"')
    return Target(address, number, _unverified() if scheme == "https" else None)


async def _port_name(call: Call, name: str, port: str) -> str:
    """Return the name of a Service's port that is given by its name or number."""
    if not _NUMBER.fullmatch(port):
        return port
    services = call.backend.table.by_path("", "v1", "services")
    service = (await call.backend.store.get(services, call.namespace, name)).object
    for one in service["spec"].get("ports") or ():
        if one["port"] == int(port):
            return str(one.get("name") or "")
    raise ServiceUnavailable(f'no service port {int(port)} found for service "{name}"')


async def _service_target(call: Call, scheme: str, name: str, port: str) -> Target:
    """Return one of a Service's pods, and nothing else that its endpoints may name."""
    port_name = await _port_name(call, name, port)
    row = call.backend.table.by_path("", "v1", "endpoints")
    endpoints = (await call.backend.store.get(row, call.namespace, name)).object
    subsets = endpoints.get("subsets") or []
    if not subsets:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    for subset in random.sample(subsets, len(subsets)):
        addresses = subset.get("addresses") or []
        for one in subset.get("ports") or ():
            if (one.get("name") or "") != port_name:
                continue
            for address in random.sample(addresses, len(addresses)):
                if await _is_pods(call, address):
                    context = _unverified() if scheme == "https" else None
                    return Target(address["ip"], int(one["port"]), context)
    raise ServiceUnavailable(f'no endpoints available for service "{call.name}"')


async def _is_pods(call: Call, address: Object) -> bool:
    """Tell whether an endpoint's address is that of the pod that it says it is."""
    target = address.get("targetRef") or {}
    if target.get("namespace") != call.namespace:
        return False
    pods = call.backend.table.by_path("", "v1", "pods")
    try:
        pod = (await call.backend.store.get(pods, call.namespace, target.get("name") or "")).object
    except (NotFound, BadRequest):
        return False
    return any(one.get("ip") == address["ip"] for one in (pod.get("status") or {}).get("podIPs") or ())


async def _node_target(call: Call, scheme: str, name: str, port: str) -> Target:
    """Return a node's kubelet, or what else listens there: that is shown no certificate of this server's."""
    kubelet = await find_node(call.backend, name)
    if port in ("", str(kubelet.port)):
        return Target(kubelet.host, kubelet.port, kubelet.context)
    if not is_reachable(kubelet.host):
        raise BadRequest("address not allowed")
    if not _NUMBER.fullmatch(port):
        raise ServiceUnavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
    return Target(kubelet.host, int(port), _unverified() if scheme == "https" else None)


async def find_target(call: Call) -> Target:
    """Return where the call's object serves. Raises NotFound, BadRequest, ServiceUnavailable."""
    scheme, name, port = split_name(call.name, call.resource.plural.removesuffix("s"))
    if call.resource.plural == "nodes":
        return await _node_target(call, scheme, name, port)
    if call.resource.plural == "services":
        return await _service_target(call, scheme, name, port)
    return await _pod_target(call, scheme, name, port)


def split_path(path: str) -> tuple[str, str]:
    """Split a proxied path into what leads to the object, ``/proxy`` included, and what is passed on.

    Segments are counted: namespaces and objects may be called ``proxy-1`` themselves.
    """
    found = _PROXIED.match(path)
    if found is None:
        raise BadRequest(f'invalid proxy request "{path}"')
    return found[1], found[2]


def passed_path(request: Request, asked: str) -> str:
    """Return the path that is asked of the other server: the rest of the request's, unless admission says."""
    said = request.scope.get(PROXIED_PATH)
    return (asked if said is None else quote("/" + said.removeprefix("/"))) or "/"


async def handle(call: Call) -> Response:
    request = call.request
    prefix, rest = split_path(request.raw_path.partition("?")[0] or request.path)
    query = f"?{request.raw_query}" if request.raw_query else ""
    upgrade = is_upgrade(request.headers)
    if not rest and not upgrade and request.method in ("GET", "HEAD"):
        return Response(301, {"Location": f"{prefix}/{query}"})
    target = await find_target(call)
    headers = forwarded_headers(request.headers, call.backend.options.request_header, upgrade=upgrade)
    headers["X-Forwarded-Uri"] = prefix + rest
    await request.arrive()
    try:
        answer = await client.send(
            target.host,
            target.port,
            request.method,
            passed_path(request, rest) + query,
            headers,
            body=request.body,
            ssl_context=target.context,
            through=call.backend.options.egress.cluster,
        )
    except client.ConnectFailed as error:
        reason = reason_of(error)
        if upgrade:
            raise StatusError(f"error dialing backend: {reason}") from error
        raise ServiceUnavailable(f"error trying to reach service: {reason}") from error
    if upgrade:
        return await passed_upgrade(answer, call.backend.options.max_connection_bytes_per_s)
    own = (f"{target.host}:{target.port}", request.headers.get("host", ""))
    return pass_on(answer, Origin(prefix, frozenset(host for host in own if host)))


async def passed_upgrade(answer: client.Answer, bytes_per_s: int = 0) -> Response:
    """Return the bare connection of another server, or its refusal as it is.

    Raises:
        StatusError: it takes the request for a plain one, which the client cannot see.
    """
    if answer.status != 101:
        if answer.status < 400:
            await answer.close()
            raise StatusError(f"invalid upgrade response: status code {answer.status}")
        return pass_on(answer)

    async def run(stream: ByteStream) -> None:
        await relay(stream, answer.raw, bytes_per_s)

    return Response(101, headers_of(answer.headers), upgrade=run)


def pass_on(answer: client.Answer, origin: Origin | None = None) -> Response:
    """Return another server's answer as this one's, without what it grants to pages of others.

    With ``origin``, its links lead through the proxy.

    A length that it declares holds for this one too, unless the body is written anew.
    """
    dropped = HOP_HEADERS | _GRANTS | named_hop_headers(answer.headers)
    location = answer.header("location")
    if origin is not None and location:
        dropped = dropped | {"location"}
    headers = headers_of((name, value) for name, value in answer.headers if name.lower() not in dropped)
    if origin is not None and location:
        headers["Location"] = text_of(rewrite_url(location, origin))
    if origin is None or location or not _has_links(answer):
        return Response(answer.status, headers, stream=_Passed(answer), length=answer.length)
    if answer.is_bodiless:  # of a page: its length would be another one
        return Response(answer.status, headers, stream=_Passed(answer))
    encoding = answer.header("content-encoding").lower()
    return Response(answer.status, headers, stream=_relinked(answer, origin, encoding))


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return another server's headers to send on as they were: several values of one, as cookies', apart."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in pairs:
        known = names.setdefault(name.lower(), name)
        if known not in found:
            found[known] = text_of(value)
            continue
        if not isinstance(found, RepeatedHeaders):
            found = RepeatedHeaders(found)
        found.repeat(known, text_of(value))
    return found


def _has_links(answer: client.Answer) -> bool:
    """Tell whether an answer is a page, in an encoding that can be taken off."""
    kind = answer.header("content-type").partition(";")[0].strip()
    encoding = answer.header("content-encoding").lower()
    return kind == "text/html" and encoding in ("", "identity", "gzip", "deflate")


class _Passed:
    """A body as it comes. It is closed with its answer, also where nobody has read any of it."""

    def __init__(self, answer: client.Answer) -> None:
        self._answer = answer
        self._chunks = answer.body()

    def __aiter__(self) -> _Passed:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except BaseException:
            await self._answer.close()
            raise

    async def aclose(self) -> None:
        try:
            await self._chunks.aclose()
        finally:
            await self._answer.close()


async def _relinked(answer: client.Answer, origin: Origin, encoding: str) -> AsyncIterator[bytes]:
    """Yield a page with its links changed, in the encoding that it came in."""
    links, coder = LinkRewriter(origin), _Coder(encoding)
    try:
        async for chunk in answer.body():
            for piece in coder.decode(chunk):
                changed = coder.encode(links.feed(piece))
                if changed:
                    yield changed
                await asyncio.sleep(0)  # a long page is not all that there is to do
        yield coder.encode(links.feed(coder.rest()) + links.close()) + coder.finish()
    finally:
        await answer.close()


class _Coder:
    """Takes a content encoding off a body and puts it on again."""

    def __init__(self, encoding: str) -> None:
        # HTTP's deflate is zlib's own.
        self._is_gzip = encoding == "gzip"
        bits = {"gzip": _GZIP_BITS, "deflate": zlib.MAX_WBITS}.get(encoding)
        self._decoder = zlib.decompressobj(bits) if bits else None
        self._encoder = zlib.compressobj(wbits=bits) if bits else None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what bytes stand for, a little at a time: a few may stand for very many."""
        if self._decoder is None:
            yield data
            return
        while data:
            yield self._decoder.decompress(data, _PIECE_BYTES)
            data = self._decoder.unconsumed_tail
            if self._decoder.eof and self._is_gzip:  # others may follow
                data, self._decoder = self._decoder.unused_data, zlib.decompressobj(_GZIP_BITS)

    def rest(self) -> bytes:
        return b"" if self._decoder is None else self._decoder.flush()

    def encode(self, data: bytes) -> bytes:
        return data if self._encoder is None else self._encoder.compress(data)

    def finish(self) -> bytes:
        return b"" if self._encoder is None else self._encoder.flush()
