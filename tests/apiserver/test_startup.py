"""A server starts over a store that is slow at first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from tests.apiserver.conftest import OPTIONS

from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apiserver import server, startup
from tiphys.apiserver.endpoints.call import Backend
from tiphys.storage.base import StoreUnavailable
from tiphys.storage.memory import MemoryStore
from tiphys.wire.message import Request

SLOW = [ServiceUnavailable("etcd's events lag behind"), StoreUnavailable("etcd does not answer")]


class Step:
    """Fails as often as there are faults."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.done = 0

    async def __call__(self, *_: object) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.done += 1


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_PAUSE_S", 0.0)


async def test_a_step_is_done_again_until_the_store_answers() -> None:
    step = Step(*SLOW)
    await startup.patiently(step)
    assert (step.faults, step.done) == ([], 1)


@pytest.mark.parametrize("fault", SLOW)
async def test_not_for_ever(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "PATIENCE_S", 0.0)
    with pytest.raises(type(fault)):
        await startup.patiently(Step(fault, fault))


async def test_indexes_that_take_too_long_keep_a_server_unready_but_not_its_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled = asyncio.Event()

    def slow(_self: object) -> list[Any]:
        return [SimpleNamespace(begin=filled.wait, run=Step())]

    monkeypatch.setattr(server.ApiServer, "_feeds", slow)
    one = server.ApiServer(MemoryStore(), replace(OPTIONS, storage_initialization_s=0.0))
    handler = startup.Initializing(one.handler)
    starting = asyncio.create_task(one.start())
    try:
        async with asyncio.timeout(10):
            while (await get(handler, "/readyz/poststarthook/storage-readiness"))[0] != 200:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
        assert (await get(handler, "/readyz/informer-sync"))[0] == 500
        assert (await get(handler, "/readyz"))[0] == 500
        assert [(await get(handler, path))[0] for path in ("/metrics", "/version")] == [200, 200]
        status, body = await get(handler, "/api/v1/namespaces")
        assert (status, orjson.loads(body)) == (
            429,
            {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "storage is (re)initializing", "reason": "TooManyRequests",
                "details": {"retryAfterSeconds": 1}, "code": 429,
            },
        )  # fmt: skip
        filled.set()
        await starting
        assert (await get(one.handler, "/readyz"))[0] == 200
        assert (await get(one.handler, "/api/v1/namespaces"))[0] == 200
    finally:
        starting.cancel()
        await one.stop()


async def test_indexes_are_tried_again_as_long_as_it_takes(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "PATIENCE_S", 0.0)
    step = Step(*SLOW, *SLOW)
    monkeypatch.setattr(server.ApiServer, "_feeds", lambda _self: [SimpleNamespace(begin=step, run=Step())])
    async with serving(storage_initialization_s=60.0) as api:
        assert (await api("GET", "/readyz/poststarthook/storage-readiness")).raw == b"ok"
    assert not step.faults


async def get(handler: Any, path: str) -> tuple[int, bytes]:
    headers = {"authorization": "Bearer admin", "accept": "application/json"}
    answer = await handler(Request("GET", path, "", headers, b""))
    return answer.status, answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


async def test_what_is_wrong_otherwise_is_said_at_once() -> None:
    step = Step(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await startup.patiently(step)
    assert step.done == 0


async def test_a_server_waits_for_it(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faults, bootstrap = list(SLOW), server.bootstrap

    async def slow(backend: Backend) -> None:
        if faults:
            raise faults.pop(0)
        await bootstrap(backend)

    monkeypatch.setattr(server, "bootstrap", slow)
    async with serving() as api:
        assert (await api("GET", "/readyz")).status == 200
        await api.get("/api/v1/namespaces/default")
    assert not faults
