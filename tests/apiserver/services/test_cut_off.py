"""Requests that end while a Service is written: it gets all that it needs, or nothing is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.apiserver.conftest import SIGNING_KEY, TOKENS, Api

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.unbroken import Unbroken
from tiphys.storage.base import Delete, Put
from tiphys.storage.memory import MemoryStore

SERVICES = "/api/v1/namespaces/default/services"
ADDRESS = "10.0.0.9"
PORT = 30007
WRITES = {
    "its address": "/registry/ipaddresses/10.0.0.9",
    "its port": "/registry/ranges/servicenodeports",
    "itself": "/registry/services/specs/default/s",
}


class Held(MemoryStore):
    """Keeps writes of one key waiting, as a disk that stalls does."""

    def __init__(self) -> None:
        super().__init__()
        self.key = ""
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        if self.key in [write.key for write in writes]:
            self.reached.set()
            await self.gate.wait()
        return await super().commit(writes)


@pytest.fixture
async def held() -> AsyncIterator[tuple[Api, Held]]:
    store, clock = Held(), FakeClock()
    options = ApiServerOptions(
        tokens=TOKENS, service_account_signing_key=SIGNING_KEY, service_cluster_ip_ranges=("10.0.0.0/24",)
    )
    server = ApiServer(store, options, clock)
    await server.start()
    yield Api(server, clock), store
    store.gate.set()
    await server.stop()


def service(name: str = "s") -> dict[str, Any]:
    ports = [{"port": 80, "nodePort": PORT}]
    spec = {"type": "NodePort", "clusterIP": ADDRESS, "clusterIPs": [ADDRESS], "ports": ports}
    return {"metadata": {"name": name}, "spec": spec}


async def cut_off(request: Any, store: Held, key: str) -> None:
    """Cancel a request while it writes a key, as its deadline does; then let that write go on."""
    store.key = key
    task = asyncio.ensure_future(request)
    await asyncio.wait_for(store.reached.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.gate.set()


@pytest.mark.parametrize("write", WRITES)
async def test_a_service_whose_request_ended_while_it_was_made(held: tuple[Api, Held], write: str) -> None:
    api, store = held
    services = api.server.backend.services
    await cut_off(api("POST", SERVICES, service()), store, WRITES[write])
    await services.unbroken.close()
    made = await api.get(f"{SERVICES}/s")
    assert (made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]) == (ADDRESS, PORT)
    assert PORT in await services.ports.read()
    await api.get(f"/apis/networking.k8s.io/v1/ipaddresses/{ADDRESS}")


@pytest.mark.parametrize("write", [WRITES["its port"], WRITES["itself"]])
async def test_a_service_whose_request_ended_while_it_was_changed(held: tuple[Api, Held], write: str) -> None:
    api, store = held
    made = service()
    del made["spec"]["ports"][0]["nodePort"]
    await api.create(SERVICES, {**made, "spec": {**made["spec"], "type": "ClusterIP"}})
    await cut_off(api.patch(f"{SERVICES}/s", service()), store, write)
    await api.server.backend.services.unbroken.close()
    changed = await api.get(f"{SERVICES}/s")
    assert [port["nodePort"] for port in changed["spec"]["ports"]] == [PORT]
    assert PORT in await api.server.backend.services.ports.read()


async def test_what_a_deleted_service_had_is_given_back_though_the_request_ended(
    held: tuple[Api, Held],
) -> None:
    api, store = held
    await api.create(SERVICES, service())
    await cut_off(api("DELETE", f"{SERVICES}/s"), store, WRITES["its address"])
    await api.server.backend.services.unbroken.close()
    assert PORT not in await api.server.backend.services.ports.read()
    await api.create(SERVICES, service("other"))


async def test_what_comes_of_work_is_returned_or_raised() -> None:
    unbroken = Unbroken()

    async def work(*, fails: bool) -> int:
        if fails:
            raise LookupError
        return 1

    assert await unbroken.do(work(fails=False)) == 1
    with pytest.raises(LookupError):
        await unbroken.do(work(fails=True))
    await unbroken.close()


async def test_the_end_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    unbroken, broken = Unbroken(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            broken.set()

    waiting = asyncio.ensure_future(unbroken.do(work()))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await unbroken.close(grace_s=0.01)
    assert broken.is_set()
    assert "work broken off tasks=1" in caplog.text
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await unbroken.close()
