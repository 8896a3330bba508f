"""Objects written and read one by one, through every store."""

import asyncio

import pytest
from tests.apiserver.cache.conftest import DEPLOYMENTS, NODES, PODS, pod

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    ServiceUnavailable,
)
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Put, Store


async def test_create_and_get(store: CachedStore) -> None:
    created = await store.create(PODS, pod("a", node="n1", app="web"))
    got = await store.get(PODS, "default", "a")
    assert got is created
    assert got.raw == (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"default","resourceVersion":"2",'
        b'"labels":{"app":"web"}},"spec":{"nodeName":"n1"}}'
    )
    assert got.object["metadata"]["resourceVersion"] == "2"
    assert (got.key, got.namespace, got.name, got.revision) == ("/registry/pods/default/a", "default", "a", 2)
    assert got.labels == {"app": "web"}
    assert got.fields == {
        "metadata.name": "a", "metadata.namespace": "default", "spec.nodeName": "n1", "status.phase": "",
    }  # fmt: skip
    assert store.revision == 2


async def test_cluster_scoped(store: CachedStore) -> None:
    await store.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    got = await store.get(NODES, "", "n")
    assert (got.key, got.namespace, got.name) == ("/registry/minions/n", "", "n")


async def test_what_was_there_before_is_read_from_the_store(below: Store, store: CachedStore) -> None:
    head, tail = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x",', b'"labels":{"a":"b"}},"spec":{}}'
    await below.commit([Put("/registry/pods/ns/x", head + b'"resourceVersion":"",' + tail)])
    got = await store.get(PODS, "ns", "x")
    assert got.labels == {"a": "b"}
    assert got.raw == head + b'"resourceVersion":"2",' + tail


async def test_refusals(store: CachedStore) -> None:
    created = await store.create(DEPLOYMENTS, {**pod("a"), "kind": "Deployment"})
    with pytest.raises(AlreadyExists, match=r'deployments.apps "a" already exists'):
        await store.create(DEPLOYMENTS, {**pod("a"), "kind": "Deployment"})
    with pytest.raises(NotFound, match=r'deployments.apps "b" not found'):
        await store.get(DEPLOYMENTS, "default", "b")
    with pytest.raises(NotFound):
        await store.update(DEPLOYMENTS, pod("b"), 7)
    with pytest.raises(Conflict, match="the object has been modified"):
        await store.update(DEPLOYMENTS, pod("a"), created.revision + 1)
    with pytest.raises(Conflict):
        await store.delete(DEPLOYMENTS, "default", "a", created.revision + 1)
    with pytest.raises(NotFound):
        await store.delete(DEPLOYMENTS, "default", "b", 1)


async def test_update_and_delete(store: CachedStore) -> None:
    first = await store.create(PODS, pod("a"))
    obj = {**first.object, "spec": {"x": 1}}
    second = await store.update(PODS, obj, first.revision)
    assert second.revision == 3
    assert second.object["metadata"]["resourceVersion"] == "3"
    assert await store.update(PODS, obj, second.revision) is second, "writing the same writes nothing"
    last = await store.delete(PODS, "default", "a", second.revision)
    assert (last.revision, last.object["metadata"]["resourceVersion"]) == (4, "4")
    with pytest.raises(NotFound):
        await store.get(PODS, "default", "a")


async def test_a_closed_store_is_unavailable(below: Store, store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    await below.close()
    with pytest.raises(ServiceUnavailable):
        await store.create(PODS, pod("b"))


async def test_time_to_live(below: Store, store: CachedStore, clock: FakeClock) -> None:
    kept = await store.create(PODS, pod("a"), ttl_s=100)
    await store.update(PODS, pod("a", x="y"), kept.revision)
    await store.create(PODS, pod("b"), ttl_s=100)
    clock.advance(99)
    await below.expire_leases()  # type: ignore[attr-defined]
    assert len((await store.list(PODS, Selection())).items) == 2
    clock.advance(12)
    await below.expire_leases()  # type: ignore[attr-defined]
    assert (await store.list(PODS, Selection())).items == []


async def test_reads_see_every_write_that_returned(store: CachedStore) -> None:
    async def write(worker: int) -> None:
        for number in range(10):
            created = await store.create(PODS, pod(f"{worker}-{number}"))
            assert (await store.get(PODS, "default", created.name)).revision == created.revision
            updated = await store.update(PODS, pod(created.name, x="y"), created.revision)
            page = await store.list(PODS, Selection(name=created.name, namespace="default"))
            assert [c.revision for c in page.items] == [updated.revision]
            await store.delete(PODS, "default", created.name, updated.revision)
            with pytest.raises(NotFound):
                await store.get(PODS, "default", created.name)

    await asyncio.gather(*(write(worker) for worker in range(6)))
    assert (await store.list(PODS, Selection())).items == []
