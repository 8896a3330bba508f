"""Asking once: exec, HTTP, TCP and gRPC, for probes and (exec, HTTP, sleep) for lifecycle hooks.

An answer is a value, never an exception: a container that does not answer is a fact about it. That it could
not be asked (no such command, no such port) says nothing of it.
Source: "Types of probe", gRPC health checking protocol.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import grpc.aio
from yarl import URL

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration
from tiphys.kubelet.runtime import Runtime, RuntimeFailure

USER_AGENT = "kube-probe/1.36"
_MAX_BODY = 10 * 1024
_HEALTH_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
_STATUS_NAMES = {b"": "UNKNOWN", b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked."""

    runtime: Runtime
    container_id: str
    host: str
    ports: Mapping[str, int]
    """Container ports by name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``text`` goes into an event when it is bad."""

    ok: bool
    text: str = ""
    asked: bool = True
    """Whether there was an answer at all; without one nothing follows."""
    warning: bool = False
    """Good, and yet ``text`` is to be told."""


def _port(target: Target, port: Any) -> int:
    """Return a port's number. Raises ValueError for a name that the container does not have."""
    if isinstance(port, int):
        return port
    if str(port) in target.ports:
        return target.ports[str(port)]
    return int(port)


async def ask(probe: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    """Ask by whichever handler the probe has."""
    try:
        async with asyncio.timeout(timeout_s + 5):
            if handler := probe.get("exec"):
                return await _exec(handler, target, timeout_s)
            if handler := probe.get("httpGet"):
                return await http_get(handler, target, timeout_s)
            if handler := probe.get("tcpSocket"):
                return await _tcp(handler, target, timeout_s)
            if handler := probe.get("grpc"):
                return await _grpc(handler, target, timeout_s)
    except ValueError as error:
        return Answer(False, str(error), asked=False)
    except TimeoutError:
        return Answer(False, f"timeout: no answer within {timeout_s:g}s")
    return Answer(False, "missing probe handler", asked=False)


async def _exec(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    words, limit_s = handler.get("command") or (), max(1, int(timeout_s))
    try:
        result = await target.runtime.exec_sync(target.container_id, words, limit_s)
    except RuntimeFailure as error:
        if error.code == "DEADLINE_EXCEEDED":
            text = f'command timed out: "{" ".join(words)}" timed out after {go_duration(limit_s)}'
            return Answer(False, text)
        return Answer(False, str(error), asked=False)
    return Answer(result.exit_code == 0, result.output.decode(errors="replace"))


def _url(handler: Mapping[str, Any], target: Target) -> str:
    scheme = (handler.get("scheme") or "HTTP").lower()
    host = handler.get("host") or target.host
    if ":" in host:
        host = f"[{host}]"
    path = handler.get("path") or "/"
    return f"{scheme}://{host}:{_port(target, handler['port'])}{path if path.startswith('/') else '/' + path}"


def _unverified() -> ssl.SSLContext:
    # Probes do not check certificates: they ask whether something serves, not who.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def http_get(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    """GET; 200 to 399 is good, as is a redirect to another host."""
    url = _url(handler, target)
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    for item in handler.get("httpHeaders") or ():
        headers[item["name"]] = item.get("value", "")
    try:
        connector = aiohttp.TCPConnector(ssl=_unverified(), force_close=True)
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await _follow(session, url, headers)
    except TimeoutError:
        text = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return Answer(False, text)
    except aiohttp.ClientConnectorError as error:
        return Answer(False, f'Get "{url}": dial tcp {error.host}:{error.port}: connect: {_reason(error)}')
    except (aiohttp.ClientError, OSError) as error:
        return Answer(False, f'Get "{url}": {error}')


async def _follow(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> Answer:
    """Redirects are followed while they stay with the host."""
    host = URL(url).host
    for _ in range(11):
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            location = response.headers.get("Location")
            if 300 <= response.status < 400 and location:
                following = response.url.join(URL(location))
                if following.host != host:
                    body = await response.content.read(_MAX_BODY)
                    text = f"Probe terminated redirects, Response body: {body.decode(errors='replace')}"
                    return Answer(True, text, warning=True)
                url = str(following)
                continue
            body = await response.content.read(_MAX_BODY)
            if 200 <= response.status < 400:
                return Answer(True, body.decode(errors="replace"))
            return Answer(False, f"HTTP probe failed with statuscode: {response.status}")
    return Answer(False, f'Get "{url}": stopped after 10 redirects')


def _reason(error: OSError) -> str:
    """Return what the system calls the error: asyncio's own words vary."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _tcp(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    host, port = handler.get("host") or target.host, _port(target, handler["port"])
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        return Answer(False, f"dial tcp {host}:{port}: i/o timeout")
    except ConnectionRefusedError:
        return Answer(False, f"dial tcp {host}:{port}: connect: connection refused")
    except OSError as error:
        return Answer(False, f"dial tcp {host}:{port}: connect: {(error.strerror or str(error)).lower()}")
    return Answer(True)


async def _grpc(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Answer:
    address = f"{target.host}:{handler['port']}"
    service = (handler.get("service") or "").encode()
    # HealthCheckRequest has one string field; two bytes in front of it are all its encoding.
    request = b"\x0a" + bytes([len(service)]) + service if 0 < len(service) < 128 else b""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(_HEALTH_METHOD, request_serializer=None, response_deserializer=None)
        try:
            answer: bytes = await call(
                request, timeout=timeout_s, metadata=(("user-agent", USER_AGENT),), wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Answer(False, "error: this server does not implement the grpc health protocol")
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                text = f'timeout: failed to connect service "{address}" within {timeout_s:g}s'
                return Answer(False, f"{text}: context deadline exceeded")
            return Answer(False, f"error: health rpc probe failed: {error.details()}")
    if answer[:2] == _SERVING:
        return Answer(True, "service healthy")
    return Answer(False, f'service unhealthy (responded with "{_STATUS_NAMES.get(answer[:2], "UNKNOWN")}")')
