"""The records that tell where servers are."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apis.protobuf import codec
from tiphys.apiserver.peers.addresses import PREFIX, TTL_S, Addresses, NoAddress, Presence, place, record
from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore


async def test_a_record_ends_with_its_server() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    addresses = Addresses(store)
    presence = Presence(addresses, "apiserver-a", ("10.0.0.1", 6443))
    await presence.publish()
    assert await addresses.find("apiserver-a") == ("10.0.0.1", 6443)
    clock.advance(TTL_S - 1)
    await presence.publish()
    clock.advance(TTL_S - 1)
    await store.expire_leases()
    assert await addresses.find("apiserver-a") == ("10.0.0.1", 6443)
    clock.advance(2)
    await store.expire_leases()
    with pytest.raises(NoAddress):
        await addresses.find("apiserver-a")
    await presence.publish()
    await presence.end()
    await presence.end()
    with pytest.raises(NoAddress):
        await addresses.find("apiserver-a")
    await store.close()


async def test_records_of_upstreams_servers_are_read() -> None:
    store = MemoryStore()
    found = record("apiserver-b", "fd00::1", 7443, 3)
    assert found["metadata"] == {"generation": 3, "labels": {"apiserverIdentity": "apiserver-b"}}
    for value in (orjson.dumps(found), codec.encode(found)):
        await store.commit([Put(PREFIX + "apiserver-b", value)])
        assert await Addresses(store).find("apiserver-b") == ("fd00::1", 7443)
    await store.commit([Put(PREFIX + "apiserver-b", b"k8s")])
    with pytest.raises(NoAddress):
        await Addresses(store).find("apiserver-b")


@pytest.mark.parametrize(
    "subsets",
    [None, [], [{}], [{"addresses": [], "ports": [{"port": 1}]}], [{"addresses": [{"ip": "1.2.3.4"}]}],
     [{"addresses": [{"ip": ""}], "ports": [{"port": 1}]}]],
)  # fmt: skip
def test_records_without_an_address(subsets: Any) -> None:
    with pytest.raises(NoAddress):
        place({"subsets": subsets})
