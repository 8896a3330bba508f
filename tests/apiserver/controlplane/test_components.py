"""``componentstatuses``: what is well, and what is not there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

PATH = "/api/v1/componentstatuses"


@pytest.fixture
def context() -> Any:
    now = RealClock().now()
    pair = pki.issue_server(pki.make_ca("ca", now), "component", ["127.0.0.1"], now)
    return pki.server_context(pair, None)


async def test_what_answers_is_healthy(serving: Any, context: Any) -> None:
    async def answer(request: Request) -> Response:
        assert request.path == "/healthz"
        return Response(*well)

    well: tuple[int, dict[str, str], bytes] = (200, {}, b"ok")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(answer, ssl_context=context))
        api = await stack.enter_async_context(serving(component_ports=(("scheduler", server.port),)))
        found = await api("GET", PATH)
        assert "ComponentStatus is deprecated" in found.headers["warning"]
        assert [item["metadata"]["name"] for item in found.json["items"]] == ["scheduler", "etcd-0"]
        for item in found.json["items"]:
            assert item["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
        well = (500, {}, b"no leader")
        one = await api.get(f"{PATH}/scheduler")
        text = "HTTP probe failed with statuscode: 500"
        assert one["conditions"] == [{"type": "Healthy", "status": "False", "message": text}]


async def test_who_asks_for_another_does_not_wait_for_stores(serving: Any, context: Any) -> None:
    async def answer(_request: Request) -> Response:
        return Response(200, {}, b"ok")

    async def never() -> tuple[None, ...]:
        raise AssertionError

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(answer, ssl_context=context))
        api = await stack.enter_async_context(serving(component_ports=(("scheduler", server.port),)))
        api.server.backend.look_at_stores = never
        assert (await api.get(f"{PATH}/scheduler"))["conditions"][0]["status"] == "True"


async def test_what_does_not_listen(serving: Any, context: Any) -> None:
    async def never(_request: Request) -> Response:
        return Response(200)

    async with serve(never, ssl_context=context) as server:
        port = server.port
    async with serving(component_ports=(("controller-manager", port),)) as api:
        (condition,) = (await api.get(f"{PATH}/controller-manager"))["conditions"]
        text = (
            f'Get "https://127.0.0.1:{port}/healthz": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )
        assert condition == {"type": "Healthy", "status": "False", "message": text}
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        table = await api.get(PATH, accept=accept)
        assert [row["cells"][0] for row in table["rows"]] == ["controller-manager", "etcd-0"]


async def test_a_store_at_fault(serving: Any) -> None:
    async with serving(component_ports=()) as api:
        api.server.stores.probes[0].found("no members")
        (condition,) = (await api.get(f"{PATH}/etcd-0"))["conditions"]
        assert condition == {"type": "Healthy", "status": "False", "error": "no members"}
        assert (await api.get(PATH))["metadata"] == {}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("DELETE", "/etcd-0", 405)])
async def test_refusals(api: Any, method: str, path: str, status: int) -> None:
    assert (await api(method, PATH + path)).status == status


async def test_they_cannot_be_watched(api: Any) -> None:
    answer = await api("GET", f"{PATH}?watch=true")
    text = 'watch is not supported on resources of kind "componentstatuses"'
    assert (answer.status, answer.message) == (405, text)
    assert answer.json["details"] == {"kind": "componentstatuses"}
