"""Requests that ended otherwise than by an answer, and those of API servers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiphys.wire.message import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


async def lines(api: Any, name: str) -> list[str]:
    text = (await api("GET", "/metrics")).raw.decode()
    return [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]


@pytest.mark.parametrize(
    ("method", "labels"),
    [("GET", 'source="timeout-handler",status="ok"'), ("POST", 'source="rest-handler",status="error"')],
)
async def test_a_handler_that_comes_back_after_its_deadline(api: Any, method: str, labels: str) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    backend = api.server.backend
    backend.store.list = backend.admission.admit = never
    flights = api.server.traffic.traffic.flights
    assert not await lines(api, "apiserver_request_post_timeout_total")
    asking = asyncio.ensure_future(api(method, f"{MAPS}?timeout=5s", {"metadata": {"name": "m"}}))
    for _ in range(3):
        await asyncio.sleep(0)
    api.clock.advance(6)
    flights.sweep()
    assert (await asking).status == 504
    assert await lines(api, "apiserver_request_post_timeout_total") == [f"{{{labels}}} 1"]


@pytest.mark.parametrize("end", ["whole", "broken", "left"])
async def test_an_answer_from_elsewhere_that_breaks_off(api: Any, end: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        if end == "broken":
            raise ConnectionResetError

    async def answer(*_: Any) -> Response:
        return Response(200, {}, stream=chunks())

    api.server.aggregation.answer = answer
    response = await api.server.handler(
        Request(
            "GET", "/apis/metrics.example.com/v1/namespaces/n/things", "", {"authorization": "Bearer admin"}
        )
    )
    stream = response.stream
    assert await anext(stream) == b"a"
    if end == "left":
        await stream.aclose()
    else:
        with pytest.raises(StopAsyncIteration if end == "whole" else ConnectionResetError):
            await anext(stream)
        await stream.aclose()
    del api.server.aggregation.answer
    labels = 'group="metrics.example.com",resource="things",scope="namespace",subresource="",verb="LIST"'
    aborts = await lines(api, "apiserver_request_aborts_total")
    assert aborts == ([] if end == "whole" else [f'{{{labels},version="v1"}} 1'])


async def test_requests_of_api_servers(api: Any) -> None:
    """As upstream: by the user's name alone, once they came to a handler."""
    head = {"impersonate_user": "system:apiserver", "impersonate_group": "system:masters"}
    for _ in range(4):  # known from the third on
        await api("GET", f"{PODS}/p", **head)
        await api("GET", f"{PODS}/p")
    await api("POST", MAPS, {"metadata": {"name": "m"}}, **head)
    await api("GET", "/apis/nonsense/v1/things", **head)
    await api("GET", "/healthz", **head)
    assert await lines(api, "apiserver_selfrequest_total") == [
        '{group="",resource="",subresource="/healthz",verb="GET"} 1',
        '{group="",resource="configmaps",subresource="",verb="POST"} 1',
        '{group="",resource="pods",subresource="",verb="GET"} 4',
    ]
