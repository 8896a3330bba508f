"""Where the Service kubernetes leads while API servers come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.controlplane.endpoint_reconciler import (
    KEYS,
    LIFE_S,
    EndpointReconciler,
    corrected,
    endpoints_of,
    lease_value,
    leased_address,
    slice_of,
)
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.storage.base import Put, StoreUnavailable
from tiphys.storage.memory import MemoryStore
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import make_signing_key

ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
OPTIONS = ApiServerOptions(
    tokens=(TokenEntry("admin", "admin", "1", ("system:masters",)),),
    service_account_signing_key=make_signing_key(),
)
ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (lease_value(ONE, 7), ONE),
        (b'{"kind":"Endpoints","apiVersion":"v1","subsets":[{"addresses":[{"ip":"192.0.2.1"}]}]}', ONE),
        (b'{"kind":"Endpoints","apiVersion":"v1"}', None),
        (b'{"kind":"Endpoints","apiVersion":"v1","subsets":[{}]}', None),
        (b"rubbish", None),
    ],
)
def test_whose_key_it_is(value: bytes, address: str | None) -> None:
    assert leased_address(value) == address


def live(*addresses: str, port: int = 6443, **rest: Any) -> dict[str, Any]:
    found = endpoints_of(addresses, port)
    found["metadata"]["resourceVersion"] = "5"
    return {**found, **rest}


@pytest.mark.parametrize(
    ("present", "same"),
    [
        (live(ONE, TWO), True),
        (live(TWO, ONE), True),
        (live(ONE), False),
        (live(ONE, TWO, THREE), False),
        (live(ONE, THREE), False),
        (live(ONE, TWO, port=8443), False),
        (live(ONE, TWO, subsets=[]), False),
        (live(ONE, TWO, subsets=[*live(ONE)["subsets"], *live(TWO)["subsets"]]), False),
        (live(ONE, TWO, metadata={"name": "kubernetes", "labels": {"mine": "yes"}}), False),
    ],
    ids=["as it should be", "in another order", "one is missing", "one too many", "another", "another port",
         "nothing", "in pieces", "without its label"],
)  # fmt: skip
def test_endpoints_are_set_right(present: dict[str, Any], *, same: bool) -> None:
    wanted = endpoints_of([TWO, ONE], 6443)
    found = corrected(present, wanted, ("subsets",))
    assert (found is None) is same
    if found is not None:
        assert found["subsets"] == wanted["subsets"]
        assert found["metadata"]["labels"].items() >= wanted["metadata"]["labels"].items()
        assert found["metadata"]["labels"].get("mine") == present["metadata"]["labels"].get("mine")
        assert "resourceVersion" not in found["metadata"]


def test_a_slice_has_one_family() -> None:
    found = slice_of(endpoints_of(["fd00::1", "192.0.2.9", "fd00::2"], 6443))
    assert (found["addressType"], found["endpoints"]) == (
        "IPv4", [{"addresses": ["192.0.2.9"], "conditions": {"ready": True}}]
    )  # fmt: skip


@asynccontextmanager
async def servers(*addresses: str, port: int = 6443) -> AsyncIterator[tuple[MemoryStore, list[ApiServer]]]:
    """Servers over one store, in their order; no renewal comes by itself within a test."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    started = []
    try:
        for address in addresses:
            options = replace(OPTIONS, advertise_address=address, secure_port=port)
            server = ApiServer(store, options, clock)
            await server.start()
            started.append(server)
        yield store, started
    finally:
        for server in started:
            await server.stop()


async def read(server: ApiServer, path: str) -> dict[str, Any]:
    headers = {"authorization": "Bearer admin", "accept": "application/json"}
    response: Response = await server.handler(Request("GET", path, headers=headers))
    assert response.status == 200
    assert isinstance(response.body, bytes)
    found: dict[str, Any] = orjson.loads(response.body)
    return found


async def led_to(server: ApiServer) -> list[str]:
    subsets = (await read(server, ENDPOINTS))["subsets"]
    addresses = [one["ip"] for subset in subsets for one in subset["addresses"]]
    piece = await read(server, SLICE)
    assert [one["addresses"] for one in piece["endpoints"]] == [[address] for address in addresses]
    return addresses


async def test_every_server_is_an_endpoint_until_it_ends() -> None:
    async with servers(TWO, ONE) as (store, (two, one)):
        assert await led_to(one) == [ONE, TWO]
        await publishing(two).end()
        assert await led_to(one) == [ONE]
        await publishing(two).renew()  # a last turn of its rhythm does not bring it back
        assert await led_to(one) == [ONE]
        await publishing(one).end()
        assert await led_to(one) == [ONE], "of the last one the endpoint stays"
        assert not (await store.range(KEYS)).records


async def test_a_server_that_died_goes_when_its_time_is_over() -> None:
    async with servers(TWO, ONE) as (store, (_, one)):
        store._clock.advance(LIFE_S - 1)  # type: ignore[attr-defined]
        await publishing(one).renew()
        await store.expire_leases()
        assert await led_to(one) == [ONE, TWO]
        store._clock.advance(2)  # type: ignore[attr-defined]
        await store.expire_leases()
        await publishing(one).renew()
        assert await led_to(one) == [ONE]


async def test_what_others_write_is_set_right_and_other_servers_keys_are_read() -> None:
    async with servers(ONE) as (store, (one,)):
        await store.commit([Put(f"{KEYS}{THREE}", lease_value(THREE, 1)), Put(f"{KEYS}x", b"rubbish")])
        await publishing(one).renew()
        assert await led_to(one) == [ONE, THREE]
        before = store.revision
        await publishing(one).renew()
        assert store.revision == before + 1, "the key alone is written where all is well"


async def test_a_server_with_another_address_than_last_time() -> None:
    async with servers(ONE, port=6443) as (store, (one,)):
        await publishing(one).end()
        assert await led_to(one) == [ONE]
        async with again(store, "fd00::7") as other:
            assert await led_to(other) == ["fd00::7"]
            assert (await read(other, SLICE))["addressType"] == "IPv6"


@asynccontextmanager
async def again(store: MemoryStore, address: str) -> AsyncIterator[ApiServer]:
    server = ApiServer(store, replace(OPTIONS, advertise_address=address), FakeClock())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_nobody_waits_for_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers(ONE) as (store, (one,)):

        async def away(*_: Any) -> int:
            raise StoreUnavailable("away")

        monkeypatch.setattr(store, "commit", away)
        await asyncio.wait_for(publishing(one).end(), 5)


async def test_a_server_that_ends_withdraws_before_it_turns_requests_away() -> None:
    async with servers(ONE, TWO) as (_, (one, two)):
        seen: list[Any] = []

        class Listener:
            def replace_handler(self, handler: Any) -> None:
                seen.append("replaced")

            def close(self) -> None:
                seen.append("closed")

            async def end_streams(self, grace_s: float, least_a_second: int) -> None:
                raise AssertionError

            async def outlast_streams(self, timeout_s: float) -> None:
                seen.append("outlasted")

            async def stop(self, grace_s: float) -> None:
                seen.append(await led_to(two))

        await one.end(Listener())
        assert seen == ["replaced", "closed", "outlasted", [TWO]]


async def test_no_server_is_published_where_that_is_not_wanted(serving: Any) -> None:
    async with serving(publishes_endpoints=False) as api:
        assert api.server.published is None


def publishing(server: ApiServer) -> EndpointReconciler:
    assert server.published is not None
    return server.published
