"""``pods/exec``, ``pods/attach`` and ``pods/portforward``: upgraded connections through to the kubelet.

SPDY and the older websocket protocols are passed on as they are. The v5 websocket protocol of newer clients
is translated to SPDY streams here (``exec_bridge``), and port-forward's websocket carries SPDY bytes that are
unpacked (``_tunnel``): kubelets and container runtimes speak SPDY.

Source: KEP-4006 (SPDY to websockets).
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.call import Call
from tiphys.apiserver.params import parse_bool
from tiphys.apiserver.subresources import exec_bridge
from tiphys.apiserver.subresources.kubelet_link import (
    Kubelet,
    ask,
    choose_container,
    find_node,
    find_pod,
    forwarded_headers,
    node_of,
    raise_refusal,
)
from tiphys.wire.client import Answer
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.relay import first_of, relay
from tiphys.wire.websocket import WebSocket, WebSocketError, accept_headers, is_websocket, offered_protocols

TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_PORT_FORWARD = "portforward.k8s.io"
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
    query = stream_query(call, command=verb == "exec")
    container = choose_container(pod, call.param("container"))
    kubelet = await find_node(call.backend, node_of(pod))
    target = f"/{verb}/{call.namespace}/{call.name}/{container}?{urlencode(query)}"
    request = call.request
    protocols = offered_protocols(request) if is_websocket(request) else []
    if exec_bridge.PROTOCOL in protocols:
        channels = exec_bridge.Channels(
            **{name: bool(parse_bool(call, name)) for name in ("stdin", "stdout", "stderr", "tty")}
        )
        return await _bridge(call, kubelet, target, channels)
    return await _pass_on(call, kubelet, target)


async def handle_portforward(call: Call) -> Response:
    await require_create(call)
    pod = await find_pod(call)
    kubelet = await find_node(call.backend, node_of(pod))
    ports = call.query.get("ports") or []
    query = f"?{urlencode([('port', port) for port in ports])}" if ports else ""
    target = f"/portForward/{call.namespace}/{call.name}{query}"
    if is_websocket(call.request) and TUNNEL_PROTOCOL in offered_protocols(call.request):
        return await _tunnel(call, kubelet, target)
    return await _pass_on(call, kubelet, target)


def _must_upgrade(request: Request) -> None:
    if not request.headers.get("upgrade"):
        raise BadRequest("Upgrade request required")


async def _pass_on(call: Call, kubelet: Kubelet, target: str) -> Response:
    _must_upgrade(call.request)
    headers = forwarded_headers(call.request.headers, call.backend.options.request_header, upgrade=True)
    method = "GET" if is_websocket(call.request) else "POST"
    answer = await ask(kubelet, method, target, headers)
    if answer.status != 101:
        await raise_refusal(answer, call)

    async def run(stream: ByteStream) -> None:
        await relay(stream, answer.raw)

    return Response(101, dict(answer.headers), upgrade=run)


async def _spdy(call: Call, kubelet: Kubelet, target: str, protocol: str) -> Answer:
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}
    answer = await ask(kubelet, "POST", target, headers)
    if answer.status != 101:
        await raise_refusal(answer, call)
    return answer


async def _bridge(call: Call, kubelet: Kubelet, target: str, channels: exec_bridge.Channels) -> Response:
    answer = await _spdy(call, kubelet, target, exec_bridge.SPDY_PROTOCOL)

    async def run(stream: ByteStream) -> None:
        try:
            await exec_bridge.run(WebSocket(stream), answer.raw, channels)
        finally:
            await answer.close()

    return Response(101, accept_headers(call.request, exec_bridge.PROTOCOL), upgrade=run)


async def _tunnel(call: Call, kubelet: Kubelet, target: str) -> Response:
    answer = await _spdy(call, kubelet, target, _PORT_FORWARD)

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream)

        async def inward() -> None:
            try:
                while (message := await socket.receive()) is not None:
                    await answer.raw.write(message)
            except (ConnectionError, WebSocketError):
                return

        async def outward() -> None:
            try:
                while data := await answer.raw.read():
                    await socket.send(data)
                await socket.close()
            except ConnectionError:
                return

        try:
            await first_of(inward(), outward())
        finally:
            await answer.close()

    return Response(101, accept_headers(call.request, TUNNEL_PROTOCOL), upgrade=run)
