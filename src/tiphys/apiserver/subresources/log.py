"""``pods/log``: what a container wrote, from its kubelet, as it comes: as a body, or over a websocket.

Source: PodLogOptions of core/v1; the subprotocols ``binary.k8s.io`` and ``base64.binary.k8s.io``.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlencode, urljoin

from tiphys.apimachinery import field_errors, go_time
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, FieldError, InternalError, Invalid, StatusError
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import parse_bool, parse_int
from tiphys.apiserver.observe.stream_counts import ENFORCED, SKIPPED
from tiphys.apiserver.outgoing.foreign_answers import explain, reason_for
from tiphys.apiserver.subresources.kubelet_link import (
    Kubelet,
    Unreachable,
    ask,
    choose_container,
    find_node,
    find_pod,
    node_of,
)
from tiphys.wire.client import Answer, ConnectFailed, CutOff
from tiphys.wire.message import ByteStream, Response
from tiphys.wire.relay import first_of
from tiphys.wire.websocket import (
    WebSocket,
    accept_headers,
    is_websocket,
    offered_protocols,
    refused_handshake,
)

log = logging.getLogger(__name__)

_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_STREAMS = ("All", "Stderr", "Stdout")
_FAULT_BYTES = 50000
_BASE64 = "base64.binary.k8s.io"
_PROTOCOLS = ("binary.k8s.io", _BASE64)


def log_query(call: Call) -> dict[str, str]:
    """Return the options to pass on.

    Raises:
        BadRequest: a number or a time is none. Invalid: every other fault.
    """
    query: dict[str, str] = {}
    faults: list[FieldError] = []
    for name in _FLAGS:
        if parse_bool(call, name):
            query[name] = "true"
    for name, least in _NUMBERS.items():
        value = parse_int(call, name)
        if value is None:
            continue
        query[name] = str(value)
        if name == "sinceSeconds" and call.param("sinceTime"):
            text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            faults.append(field_errors.forbidden("", text))
        elif value < least:
            words = "must be greater than 0" if least else "must be greater than or equal to 0"
            faults.append(field_errors.invalid(name, value, words))
    if since := call.param("sinceTime"):
        query["sinceTime"] = _time(since)
    faults += _check_stream(call, query)
    if faults:
        raise Invalid.of("", "PodLogOptions", call.name, faults)
    return query


def _check_stream(call: Call, query: dict[str, str]) -> list[FieldError]:
    """Enter the stream that is asked for, and return what is wrong with it."""
    stream = call.param("stream")
    if not stream:
        return []
    if not call.backend.options.feature_gates.enabled("PodLogsQuerySplitStreams"):
        return [field_errors.forbidden("stream", "may not be specified")]
    faults = []
    if stream not in _STREAMS:
        faults.append(field_errors.not_supported("stream", stream, _STREAMS))
    query["stream"] = stream
    if stream != "All" and "tailLines" in query:
        text = "`tailLines` and specific `stream` are mutually exclusive for now"
        faults.append(field_errors.forbidden("", text))
    return faults


def _time(text: str) -> str:
    try:
        return rfc3339(go_time.parse(text))
    except go_time.TimeError as error:
        raise BadRequest(str(error)) from None


async def handle(call: Call) -> Response:
    """Pass on what a container wrote; nothing where its pod has no node yet."""
    query = log_query(call)
    pod = await find_pod(call)
    container = choose_container(pod, call.param("container"))
    if not pod["spec"].get("nodeName"):
        return Response(204)
    insecure = bool(parse_bool(call, "insecureSkipTLSVerifyBackend"))
    call.backend.streams.logs[SKIPPED if insecure else ENFORCED] += 1
    kubelet = await find_node(call.backend, node_of(pod), insecure=insecure)
    target = f"/containerLogs/{call.namespace}/{call.name}/{container}?{urlencode(query)}".rstrip("?")
    answer = await _asked(call, kubelet, target)
    if refused := refused_handshake(call.request):
        await answer.close()
        return refused
    if not is_websocket(call.request):
        return Response(200, {"Content-Type": "text/plain"}, stream=_closing(answer))
    protocol = chosen(offered_protocols(call.request))
    if protocol is None:
        await answer.close()
        return Response(403)

    async def run(stream: ByteStream) -> None:
        await _send(WebSocket(stream), answer, encoded=protocol == _BASE64)

    return Response(101, accept_headers(call.request, protocol), upgrade=run)


async def _asked(call: Call, kubelet: Kubelet, target: str) -> Answer:
    """Return the kubelet's answer with what was written. Raises StatusError."""
    url = f"https://{kubelet.host}:{kubelet.port}{target}"
    try:
        answer = await ask(kubelet, "GET", target, {"Accept": "*/*"})
    except Unreachable as error:
        call.backend.streams.untrusted += error.is_untrusted
        raise StatusError(f'Get "{url}": {error.message}') from error
    if 200 <= answer.status <= 206:
        return answer
    try:
        body = (await answer.read())[:_FAULT_BYTES]
    except CutOff as error:
        raise InternalError.of(str(error)) from error
    finally:
        await answer.close()
    if 300 <= answer.status < 400 and (elsewhere := answer.header("location")):
        raise StatusError(f'Get "{urljoin(url, elsewhere)}": redirects forbidden')
    raise refusal(answer.status, body, call.name)


def refusal(status: int, body: bytes, pod: str) -> StatusError:
    """Return what a kubelet's refusal is to the client. Pure."""
    text = body.decode(errors="replace")
    if status == 400:
        return BadRequest(text)
    if status == 500:
        return InternalError.of(text)
    details = {"name": pod, "kind": "pods/log"}
    message = f"{explain(status, {}, body)} ( pods/log {pod})"
    return StatusError(message, code=status, reason=reason_for(status), details=details)


def chosen(offered: Sequence[str]) -> str | None:
    """Return the first protocol offered that is spoken, "" where none is asked for, None for others. Pure."""
    return next((one for one in offered if one in _PROTOCOLS), None) if offered else ""


async def _send(socket: WebSocket, answer: Answer, *, encoded: bool) -> None:
    async def outward() -> None:
        try:
            await socket.send(b"", text=encoded)  # the client is heard, also where nothing was written yet
            async for chunk in _closing(answer):
                await socket.send(base64.b64encode(chunk) if encoded else chunk, text=encoded)
            await socket.close()
        except ConnectionError:
            return

    await first_of(outward(), socket.ignore())


async def _closing(answer: Answer) -> AsyncIterator[bytes]:
    """Yield what comes of a log; where it breaks off, it ends. Nobody is told."""
    try:
        async for chunk in answer.body():
            yield chunk
    except (ConnectFailed, OSError) as error:
        log.info("a log has broken off error=%s", error)
    finally:
        await answer.close()
