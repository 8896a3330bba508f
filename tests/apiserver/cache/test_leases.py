"""How many objects share a lease, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.apiserver.cache.leases import SharedLeases
from tiphys.storage.base import StoreUnavailable


class Store:
    """Grants, and remembers for how long."""

    def __init__(self) -> None:
        self.granted: list[int] = []

    async def grant_lease(self, ttl_s: int) -> int:
        self.granted.append(ttl_s)
        return len(self.granted)


async def take(leases: SharedLeases, ttl_s: int, times: int = 1) -> list[int]:
    return [await leases.of(ttl_s) for _ in range(times)]


async def test_objects_of_a_time_share_one_that_outlives_them() -> None:
    store: Any = Store()
    clock = FakeClock()
    leases = SharedLeases(store, clock)
    assert await take(leases, 3600, 3) == [1, 1, 1]
    clock.advance(60)
    assert await take(leases, 3600) == [1]
    assert store.granted == [3660]  # the last to share it still has its hour
    clock.advance(1)
    assert await take(leases, 3600) == [2]


async def test_short_lives_share_for_a_tenth() -> None:
    store: Any = Store()
    clock = FakeClock()
    leases = SharedLeases(store, clock)
    await take(leases, 20)
    clock.advance(2.1)
    assert await take(leases, 20) == [2]
    assert store.granted == [22, 22]


async def test_other_times_and_full_leases_get_their_own() -> None:
    store: Any = Store()
    leases = SharedLeases(store, FakeClock())
    assert (await take(leases, 60), await take(leases, 90)) == ([1], [2])
    assert set(await take(leases, 60, 999)) == {1}
    assert await take(leases, 60) == [3]


async def test_a_store_that_is_away() -> None:
    class Away(Store):
        async def grant_lease(self, ttl_s: int) -> int:
            raise StoreUnavailable("etcd is away")

    store: Any = Away()
    with pytest.raises(ServiceUnavailable, match="etcd is away"):
        await SharedLeases(store, FakeClock()).of(60)


async def test_objects_of_leases_are_counted_when_these_are_given_to_no_more() -> None:
    store: Any = Store()
    clock = FakeClock()
    leases = SharedLeases(store, clock)

    def counted() -> dict[str, float]:
        (family,) = leases.collect()
        assert family.name == "etcd_lease_object_counts"
        return {one.labels.get("le", one.name[-6:]): one.value for one in family.samples}

    await take(leases, 3600, 60)
    assert set(counted().values()) == {0}
    clock.advance(61)
    await take(leases, 3600)
    assert counted() == {
        "10": 0, "50": 0, "100": 1, "500": 1, "1000": 1, "2500": 1, "5000": 1, "+Inf": 1,
        "ts_sum": 60, "_count": 1,
    }  # fmt: skip
