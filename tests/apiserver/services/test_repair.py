"""The running server mends what is wrong, and says so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.conftest import SIGNING_KEY, TOKENS, Api

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.services.ports import KEY
from tiphys.storage.base import Delete
from tiphys.storage.memory import MemoryStore

SERVICES = "/api/v1/namespaces/default/services"
EVENTS = "/api/v1/namespaces/default/events"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
WANTED = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}


class Lasting(MemoryStore):
    """A store that outlives its servers."""

    async def close(self) -> None:
        pass


async def until(api: Api, path: str, status: int = 200) -> Any:
    for _ in range(200):
        answer = await api("GET", path)
        if answer.status == status:
            return answer.json
        await api.settle()
    raise AssertionError(path)


async def reasons(api: Api) -> list[str]:
    return [item["reason"] for item in (await api.get(EVENTS))["items"]]


async def test_a_deleted_address_comes_back(api: Api) -> None:
    made = await api.create(SERVICES, WANTED)
    await api.settle()
    path = f"{ADDRESSES}/{made['spec']['clusterIP']}"
    assert (await api("DELETE", path)).status == 200
    found = await until(api, path)
    assert found["spec"]["parentRef"]["name"] == "s"
    for _ in range(50):
        await api.settle()
    (event,) = (await api.get(EVENTS))["items"]
    assert event["reason"] == "ClusterIPNotAllocated"
    assert event["message"] == f"Cluster IP [IPv4]: {made['spec']['clusterIP']} is not allocated; repairing"
    assert event["involvedObject"]["kind"] == "Service"
    assert event["reportingComponent"] == "ipallocator-repair-controller"


async def test_the_default_range_comes_back(api: Api) -> None:
    path = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes"
    before = await api.get(path)
    await api("DELETE", path)
    assert (await until(api, path))["metadata"]["uid"] != before["metadata"]["uid"]


async def test_an_address_without_a_service_goes_after_a_minute(api: Api) -> None:
    made = await api.create(SERVICES, WANTED)
    address = made["spec"]["clusterIP"]
    backend, repair = api.server.backend, api.server._repair
    row = backend.table.by_path("", "v1", "services")
    live = await backend.store.get(row, "default", "s")
    await backend.store.delete(row, "default", "s", live.revision)  # as a server that died half-way
    await repair.run_once()
    assert (await api("GET", f"{ADDRESSES}/{address}")).status == 200
    api.clock.advance(61)
    await repair.run_once()
    assert (await api("GET", f"{ADDRESSES}/{address}")).status == 404
    assert list(await backend.services.ports.read()) == made_ports(made)
    await repair.run_once()
    assert list(await backend.services.ports.read()) == []


async def test_a_leaked_address_goes_without_waiting_for_the_next_round(api: Api) -> None:
    """Its Service is gone, as of a server that died half-way."""
    made = await api.create(SERVICES, WANTED)
    address, backend = made["spec"]["clusterIP"], api.server.backend
    api.clock.advance(61)
    row = backend.table.by_path("", "v1", "services")
    live = await backend.store.get(row, "default", "s")
    await backend.store.delete(row, "default", "s", live.revision)
    await api.settle()
    await stir(api)
    assert (await api("GET", f"{ADDRESSES}/{address}")).status == 200, "whoever deleted it gives it back"
    api.clock.advance(6)
    await stir(api)
    await until(api, f"{ADDRESSES}/{address}", status=404)
    (event,) = (await api.get(EVENTS))["items"]
    assert (
        event["message"] == f"IPAddress: {address} for Service default/s appears to have leaked: cleaning up"
    )
    assert event["involvedObject"]["kind"] == "IPAddress"
    assert (event["reason"], event["action"]) == ("IPAddressNotAllocated", "IPAddressAllocation")


async def stir(api: Api) -> None:
    """Make the repair look at its clock, which stands still."""
    api.server._repair._wake.set()
    await api.settle()


FOREIGN = {
    "a Service that has another": ({"resource": "services", "namespace": "default", "name": "s"}, 6, True),
    "a Service that is not there": ({"resource": "services", "namespace": "default", "name": "t"}, 61, True),
    "something else": ({"group": "x.io", "resource": "gateways", "name": "s"}, 0, True),
    "something else, not of the allocator": (
        {"group": "x.io", "resource": "gateways", "name": "s"},
        61,
        False,
    ),
}


@pytest.mark.parametrize(("reference", "after_s", "managed"), FOREIGN.values(), ids=FOREIGN)
async def test_an_address_that_names(reference: Any, after_s: float, managed: bool, api: Api) -> None:
    await api.create(SERVICES, WANTED)
    api.clock.advance(1)
    labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"} if managed else {}
    wanted = {"metadata": {"name": "10.96.77.77", "labels": labels}, "spec": {"parentRef": reference}}
    await api.create(ADDRESSES, wanted)
    if after_s:
        await stir(api)
        assert (await api("GET", f"{ADDRESSES}/10.96.77.77")).status == 200
        api.clock.advance(after_s)
        await stir(api)
    await until(api, f"{ADDRESSES}/10.96.77.77", status=404 if managed else 200)


async def test_what_cannot_be_mended_is_tried_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await api.create(SERVICES, WANTED)
    await api.settle()
    path, repair = f"{ADDRESSES}/{made['spec']['clusterIP']}", api.server._repair
    real = repair._check_service

    async def away(_service: Any) -> None:
        raise ServiceUnavailable("the store is away")

    monkeypatch.setattr(repair, "_check_service", away)
    await api("DELETE", path)
    await api.settle()
    monkeypatch.setattr(repair, "_check_service", real)
    await stir(api)
    assert (await api("GET", path)).status == 404
    api.clock.advance(6)
    await stir(api)
    await until(api, path)


async def test_rounds_come_however_much_changes_between(api: Api) -> None:
    """A change wakes the repair, and must not make its rest begin anew."""
    repair, rounds = api.server._repair, []

    async def run_once() -> None:
        rounds.append(api.clock.monotonic())

    repair.run_once = run_once  # type: ignore[method-assign]
    for _ in range(8):
        api.clock.advance(45)
        await stir(api)
    assert rounds == [180, 360]


def made_ports(made: dict[str, Any]) -> list[int]:
    return [made["spec"]["ports"][0]["nodePort"]]


async def test_a_cluster_from_before_gets_its_records_at_start() -> None:
    store, clock = MemoryStore(), FakeClock()
    options = ApiServerOptions(tokens=TOKENS, service_account_signing_key=SIGNING_KEY)
    server = ApiServer(store, options, clock)
    await server.start()
    made = await Api(server, clock).create(SERVICES, WANTED)
    await server.stop()
    store = Lasting()
    other = ApiServer(store, options, clock)
    await other.start()
    row = other.table.by_path("", "v1", "services")
    await other.objects.create(row, {**made, "metadata": _plain(made)})
    await store.commit([Delete(KEY)])
    await other.stop()
    last = ApiServer(store, options, clock)
    await last.start()
    api = Api(last, clock)
    assert (await api("GET", f"{ADDRESSES}/{made['spec']['clusterIP']}")).status == 200
    record = await store.get(KEY)
    assert record is not None
    assert orjson.loads(record.value)["range"] == "30000-32767"
    assert list(await last.backend.services.ports.read()) == made_ports(made)
    assert sorted(await reasons(api)) == ["ClusterIPNotAllocated", "PortNotAllocated"]
    await last.stop()


def _plain(made: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in made["metadata"].items() if key != "resourceVersion"}
