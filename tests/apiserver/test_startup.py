"""A server starts over a store that is slow at first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apiserver import server, startup
from tiphys.apiserver.endpoints.call import Backend
from tiphys.storage.base import StoreUnavailable

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


async def test_indexes_are_filled_in_the_time_that_there_is(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_once(_self: object) -> list[Any]:
        return [SimpleNamespace(prime=Step(StoreUnavailable("etcd does not answer")), run=Step())]

    monkeypatch.setattr(server.ApiServer, "_feeds", failing_once)
    with pytest.raises(StoreUnavailable):
        async with serving(storage_initialization_s=0.0):
            pass
    async with serving(storage_initialization_s=60.0) as api:
        assert (await api("GET", "/readyz/poststarthook/storage-readiness")).raw == b"ok"


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
