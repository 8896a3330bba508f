"""``pods/log``: what a container wrote, from its kubelet, as it comes.

Source: PodLogOptions of core/v1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apiserver.call import Call
from tiphys.apiserver.subresources.kubelet_link import (
    ask,
    choose_container,
    find_node,
    find_pod,
    raise_refusal,
)
from tiphys.wire.client import Answer
from tiphys.wire.message import Response

_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = {"tailLines": 0, "sinceSeconds": 1, "limitBytes": 1}
_STREAMS = ("All", "Stdout", "Stderr")


def log_query(call: Call) -> dict[str, str]:
    """Return the options to pass on. Raises Invalid with every fault."""
    query: dict[str, str] = {}
    faults: list[FieldError] = []
    for name in _FLAGS:
        if call.param(name).lower() in ("true", "1"):
            query[name] = "true"
    for name, least in _NUMBERS.items():
        text = call.param(name)
        if not text:
            continue
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            words = (
                "must be greater than or equal to 0" if least == 0 else f"must be greater than {least - 1}"
            )
            faults.append(FieldError("FieldValueInvalid", name, f"Invalid value: {text}: {words}"))
        query[name] = text
    if since := call.param("sinceTime"):
        query["sinceTime"] = since
        if "sinceSeconds" in query:
            words = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            faults.append(FieldError("FieldValueForbidden", "", words))
    stream = call.param("stream")
    if stream and stream not in _STREAMS:
        words = f'Unsupported value: "{stream}": supported values: "All", "Stderr", "Stdout"'
        faults.append(FieldError("FieldValueNotSupported", "stream", words))
    elif stream:
        query["stream"] = stream
    if faults:
        raise Invalid.of("", "PodLogOptions", call.name, faults)
    return query


async def handle(call: Call) -> Response:
    query = log_query(call)
    pod = await find_pod(call)
    container = choose_container(pod, call.param("container"))
    kubelet = await find_node(call.backend, pod["spec"]["nodeName"])
    target = f"/containerLogs/{call.namespace}/{call.name}/{container}?{urlencode(query)}"
    answer = await ask(kubelet, "GET", target, {"Accept": "*/*"})
    if answer.status != 200:
        await raise_refusal(answer, call)
    return Response(200, {"Content-Type": "text/plain"}, stream=_closing(answer))


async def _closing(answer: Answer) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.body():
            yield chunk
    finally:
        await answer.close()
