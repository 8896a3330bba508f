"""``pods/exec``, ``pods/attach`` and ``pods/portforward``: upgraded connections through to the kubelet.

SPDY and the older websocket protocols are passed on as they are, and so are the websockets of newer clients
to a kubelet that declares that it takes them. To others SPDY is spoken (``wire.stream_upgrade``).

Source: KEP-4006 (SPDY to websockets).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import urlencode

from tiphys.apimachinery.errors import BadRequest, StatusError
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import parse_bool
from tiphys.apiserver.observe.stream_counts import DIRECT, TRANSLATED
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
from tiphys.wire.client import Answer
from tiphys.wire.exec_bridge import Channels
from tiphys.wire.message import Response
from tiphys.wire.stream_upgrade import Backend, is_command, spdy_headers, translate, tunnel, tunneled
from tiphys.wire.websocket import is_websocket

_TO_KUBELET = "ExtendWebSocketsToKubelet"
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
    if _translates(call, kubelet, "TranslateStreamCloseWebsocketRequests") and is_command(call.request):
        channels = Channels(
            **{name: bool(parse_bool(call, name)) for name in ("stdin", "stdout", "stderr", "tty")}
        )
        return translate(
            call.request, channels, _spdy(call, kubelet, target, call.backend.streams.translated)
        )
    return await _pass_on(call, kubelet, target)


async def handle_portforward(call: Call) -> Response:
    await require_create(call)
    pod = await find_pod(call)
    kubelet = await find_node(call.backend, node_of(pod))
    ports = ports_of(call.query.get("ports") or ())
    query = f"?{urlencode({'port': ','.join(map(str, ports))})}" if ports else ""
    target = f"/portForward/{call.namespace}/{call.name}{query}"
    if _translates(call, kubelet, "PortForwardWebsockets") and (protocols := tunneled(call.request)):
        backend = _spdy(call, kubelet, target, call.backend.streams.tunneled)
        answer = await _dialed(kubelet, "POST", target, spdy_headers(protocols))
        if answer.status == 101:
            return await tunnel(call.request, answer, backend)
        backend.counts[answer.status] += 1
        return await passed_upgrade(answer)
    return await _pass_on(call, kubelet, target)


def _translates(call: Call, kubelet: Kubelet, gate: str) -> bool:
    """Decide who speaks SPDY for newer clients, and count it: this server, or a kubelet that can."""
    gates = call.backend.options.feature_gates
    if not gates.enabled(gate):
        return False
    able = gates.enabled(_TO_KUBELET) and _TO_KUBELET in kubelet.features
    call.backend.streams.routed[call.info.subresource, DIRECT if able else TRANSLATED] += 1
    return not able


def _spdy(call: Call, kubelet: Kubelet, target: str, counts: Counter[int]) -> Backend:
    async def asked(headers: Mapping[str, str]) -> Answer:
        return await ask(kubelet, "POST", target, headers)

    limit = call.backend.options.max_connection_bytes_per_s
    return Backend(f"https://{kubelet.host}:{kubelet.port}{target}", asked, counts, limit)


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
