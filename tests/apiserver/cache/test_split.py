"""Kinds in stores of their own: each has the versions of the store that it is in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.apiserver.cache.conftest import NODES, PODS, FollowedStore, names, pod, take

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.families import text_of
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.leases import object_counts
from tiphys.apiserver.cache.split import SplitStore
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}


@pytest.fixture
async def stores(clock: FakeClock) -> AsyncIterator[tuple[MemoryStore, MemoryStore]]:
    first, other = MemoryStore(clock=clock), MemoryStore(clock=clock)
    for number in range(20):
        await other.commit([Put(f"/registry/else/{number}", b"{}")])
    yield first, other
    await first.close()
    await other.close()


@pytest.fixture
async def split(stores: tuple[MemoryStore, MemoryStore], clock: FakeClock) -> AsyncIterator[SplitStore]:
    leased = object_counts()
    first, other = (CachedStore(store, clock=clock, leased=leased) for store in stores)
    split = SplitStore(first, {PODS.storage_prefix: other})
    await split.open()
    yield split
    await split.close()


async def test_each_kind_counts_as_its_store_does(
    split: SplitStore, stores: tuple[MemoryStore, MemoryStore]
) -> None:
    first, other = stores
    node = await split.create(NODES, NODE)
    made = await split.create(PODS, pod("a"))
    assert (node.revision, made.revision) == (first.revision, other.revision) == (2, 22)
    assert (split.revision, split.revision_of(NODES), split.revision_of(PODS)) == (2, 2, 22)
    assert await first.get("/registry/pods/default/a") is None
    assert await other.get("/registry/minions/n") is None
    nodes, pods = await split.list(NODES, Selection()), await split.list(PODS, Selection(), limit=1)
    assert (names(nodes), nodes.revision, names(pods), pods.revision) == (["n"], 2, ["a"], 22)


async def test_watches_and_past_lists_are_of_the_store_of_the_kind(split: SplitStore) -> None:
    made = await split.create(PODS, pod("a"))
    watch = split.watch(PODS, Selection(), resource_version=str(made.revision))
    await split.create(NODES, NODE)
    changed = await split.update(PODS, pod("a", app="x"), made.revision)
    (change,) = await take(watch, 1)
    assert (change.type, change.revision) == ("MODIFIED", changed.revision)
    exact = {"resource_version": str(made.revision), "resource_version_match": "Exact"}
    (past,) = (await split.list(PODS, Selection(), **exact)).items
    assert not past.labels


async def test_leases_are_of_each_store_and_counted_together(split: SplitStore, clock: FakeClock) -> None:
    for resource, obj in ((PODS, pod("a")), (NODES, NODE)):
        await split.create(resource, obj, ttl_s=60)
    clock.advance(30)
    for resource, obj in ((PODS, pod("b")), (NODES, {**NODE, "metadata": {"name": "m"}})):
        await split.create(resource, obj, ttl_s=60)
    assert "etcd_lease_object_counts_count 2\n" in text_of(split.collect()).decode()


async def test_it_is_alone_where_each_of_its_stores_is(stores: tuple[MemoryStore, MemoryStore]) -> None:
    own, shared = (CachedStore(store) for store in (stores[0], FollowedStore(stores[1])))
    split = SplitStore(own, {PODS.storage_prefix: shared})
    await split.open()
    try:
        assert (SplitStore(own, {}).alone, split.alone) == (True, False)
        assert not SplitStore(shared, {PODS.storage_prefix: own}).alone
    finally:
        await split.close()
