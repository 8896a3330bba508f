"""``pods/exec``, ``pods/attach`` and ``pods/portforward``: upgraded connections through to the kubelet.

SPDY and the older websocket protocols are passed on as they are. The v5 websocket protocol of newer clients
is translated to SPDY streams here (``exec_bridge``), and port-forward's websocket carries SPDY bytes that are
unpacked (``_tunnel``): kubelets and container runtimes speak SPDY.

Source: KEP-4006 (SPDY to websockets).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode, urljoin

import orjson

from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError
from tiphys.apiserver.call import Call
from tiphys.apiserver.params import parse_bool
from tiphys.apiserver.respond import plain_text
from tiphys.apiserver.subresources.kubelet_link import (
    Kubelet,
    Unreachable,
    ask,
    choose_container,
    find_node,
    find_pod,
    forwarded_headers,
    is_upgrade,
    node_of,
)
from tiphys.apiserver.subresources.proxy import passed_upgrade
from tiphys.wire import exec_bridge
from tiphys.wire.client import Answer
from tiphys.wire.message import ByteStream, Response
from tiphys.wire.relay import first_of, pace
from tiphys.wire.websocket import WebSocket, WebSocketError, accept_headers, is_websocket, offered_protocols

_TUNNELED = "SPDY/3.1+"
_OURS = ".k8s.io"
_MAX_PORT = 65535
_PORT_DIGITS = 5
_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


def stream_query(call: Call, *, command: bool) -> list[tuple[str, str]]:
    """Return exec and attach options in the kubelet's words. Raises BadRequest."""
    query = [(theirs, "1") for ours, theirs in _FLAGS.items() if parse_bool(call, ours)]
    if not any(name in ("input", "output", "error") for name, _ in query):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    if parse_bool(call, "tty") and parse_bool(call, "stderr"):
        query.remove(("error", "1"))
    if command:
        words = call.query.get("command") or []
        if not words:
            raise BadRequest("you must specify at least one command")
        query += [("command", word) for word in words]
    return query


async def require_create(call: Call) -> None:
    """Ask for ``create`` where a websocket's GET has been let in as ``get``. Raises Forbidden."""
    backend = call.backend
    asked = backend.options.feature_gates.enabled("AuthorizePodWebsocketUpgradeCreatePermission")
    if asked and call.info.verb != "create":
        await backend.authorizer.require(call.user, replace(call.info, verb="create"))


async def handle_exec(call: Call) -> Response:
    return await _container_stream(call, "exec")


async def handle_attach(call: Call) -> Response:
    return await _container_stream(call, "attach")


async def _container_stream(call: Call, verb: str) -> Response:
    await require_create(call)
    pod = await find_pod(call)
    container = choose_container(pod, call.param("container"))
    kubelet = await find_node(call.backend, node_of(pod))
    query = stream_query(call, command=verb == "exec")
    target = f"/{verb}/{call.namespace}/{call.name}/{container}?{urlencode(query)}"
    request = call.request
    protocols = offered_protocols(request) if is_websocket(request) else []
    if exec_bridge.PROTOCOL in protocols:
        channels = exec_bridge.Channels(
            **{name: bool(parse_bool(call, name)) for name in ("stdin", "stdout", "stderr", "tty")}
        )
        return _bridge(call, kubelet, target, channels)
    return await _pass_on(call, kubelet, target)


async def handle_portforward(call: Call) -> Response:
    await require_create(call)
    pod = await find_pod(call)
    kubelet = await find_node(call.backend, node_of(pod))
    ports = ports_of(call.query.get("ports") or ())
    query = f"?{urlencode({'port': ','.join(map(str, ports))})}" if ports else ""
    target = f"/portForward/{call.namespace}/{call.name}{query}"
    if is_websocket(call.request) and (protocols := tunneled(offered_protocols(call.request))):
        return await _tunnel(call, kubelet, target, protocols)
    return await _pass_on(call, kubelet, target)


def tunneled(offered: Iterable[str]) -> list[str]:
    """Return the SPDY protocols that websocket protocols stand for. Pure."""
    found = (one.removeprefix(_TUNNELED) for one in offered if one.startswith(_TUNNELED))
    return [one for one in found if one.endswith(_OURS)]


def ports_of(texts: Iterable[str]) -> list[int]:
    """Return the ports of a query: a parameter each, or several in one. Raises BadRequest. Pure."""
    found = []
    for text in (part for one in texts for part in one.split(",")):
        fault = ""
        if not text.isascii() or not text.isdigit():
            fault = "invalid syntax"
        elif len(text.lstrip("0")) > _PORT_DIGITS or int(text) > _MAX_PORT:
            fault = "value out of range"
        if fault:
            raise BadRequest(f'cannot convert to []int32: strconv.ParseUint: parsing "{text}": {fault}')
        found.append(int(text))
    return found


async def _pass_on(call: Call, kubelet: Kubelet, target: str) -> Response:
    if not is_upgrade(call.request.headers):
        raise BadRequest("Upgrade request required")
    headers = forwarded_headers(call.request.headers, call.backend.options.request_header, upgrade=True)
    method = "GET" if is_websocket(call.request) else "POST"
    answer = await _dialed(kubelet, method, target, headers)
    return await passed_upgrade(answer, call.backend.options.max_connection_bytes_per_s)


async def _dialed(kubelet: Kubelet, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    try:
        return await ask(kubelet, method, target, headers)
    except Unreachable as error:
        raise StatusError(f"error dialing backend: {error.message}") from error


def _spdy_headers(protocol: str) -> dict[str, str]:
    return {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}


def _bridge(call: Call, kubelet: Kubelet, target: str, channels: exec_bridge.Channels) -> Response:
    """Speak websocket to the client whatever the kubelet says; the channel of errors tells its refusal."""
    counts, limit = call.backend.streams.translated, call.backend.options.max_connection_bytes_per_s

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream)
        await exec_bridge.greet(socket, channels)
        try:
            answer = await _spdy(kubelet, target)
        except StatusError as error:
            counts[error.status_code] += 1
            await exec_bridge.refuse(socket, error)
            return
        try:
            counts[await exec_bridge.run(socket, answer.raw, channels, limit)] += 1
        finally:
            await answer.close()

    return Response(101, accept_headers(call.request, exec_bridge.PROTOCOL), upgrade=run)


async def _spdy(kubelet: Kubelet, target: str) -> Answer:
    """Return the kubelet's end of a command's streams. Raises StatusError as the client is to read it."""
    url = f"https://{kubelet.host}:{kubelet.port}{target}"
    try:
        answer = await ask(kubelet, "POST", target, _spdy_headers(exec_bridge.SPDY_PROTOCOL))
    except Unreachable as error:
        raise InternalError.of(f'error sending request: Post "{url}": {error.message}') from error
    if answer.status == 101:
        return answer
    body = await answer.read()
    await answer.close()
    if 300 <= answer.status < 400 and (elsewhere := answer.header("location")):
        at = urljoin(url, elsewhere)
        raise InternalError.of(f'error sending request: Post "{at}": redirect not allowed')
    raise status_error(body) or InternalError.of(
        f"unable to upgrade connection: {body.decode(errors='replace').strip()}"
    )


def status_error(body: bytes) -> StatusError | None:
    """Return the failure that a ``Status`` tells of; None for any other text. Pure."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or (found.get("kind"), found.get("apiVersion")) != ("Status", "v1"):
        return None
    return StatusError(
        str(found.get("message") or ""),
        code=int(found.get("code") or 500),
        reason=str(found.get("reason") or ""),
        details=found.get("details"),
    )


async def _tunnel(call: Call, kubelet: Kubelet, target: str, protocols: Sequence[str]) -> Response:
    answer = await _dialed(kubelet, "POST", target, _spdy_headers(", ".join(protocols)))
    counts, limit = call.backend.streams.tunneled, call.backend.options.max_connection_bytes_per_s
    if answer.status != 101:
        counts[answer.status] += 1
        return await passed_upgrade(answer)
    if not _is_spdy(answer):
        counts[500] += 1
        await answer.close()
        return plain_text(500, "unable to upgrade: missing upgrade headers in response")
    counts[101] += 1
    chosen = answer.header("x-stream-protocol-version").strip()

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream)

        async def inward() -> None:
            try:
                while (message := await socket.receive()) is not None:
                    await answer.raw.write(message)
                    await pace(message, limit)
            except (ConnectionError, WebSocketError):
                return

        async def outward() -> None:
            try:
                while data := await answer.raw.read():
                    await socket.send(data)
                    await pace(data, limit)
                await socket.close()
            except ConnectionError:
                return

        try:
            await first_of(inward(), outward())
        finally:
            await answer.close()

    agreed = f"{_TUNNELED}{chosen}" if chosen in protocols else ""
    return Response(101, accept_headers(call.request, agreed), upgrade=run)


def _is_spdy(answer: Answer) -> bool:
    """Tell whether a kubelet that switches protocols switches to the one that it was asked for."""
    words = answer.header("connection").lower(), answer.header("upgrade").lower()
    return "upgrade" in words[0] and "spdy/3.1" in words[1]
