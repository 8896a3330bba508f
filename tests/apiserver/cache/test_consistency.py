"""The cache held against the store: what passes, what is told of what does not."""

from __future__ import annotations

import logging

import pytest
from tests.apiserver.cache.conftest import NODES, PODS, pod

from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.registry.consistency import ConsistencyChecker, Inconsistent
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Store, StoreUnavailable


def checker(store: CachedStore, below: Store) -> ConsistencyChecker:
    return ConsistencyChecker(store, below, lambda: [PODS, NODES])


def results(checking: ConsistencyChecker) -> dict[tuple[str, str], float]:
    (family,) = checking.collect()
    return {(one.labels["resource"], one.labels["status"]): one.value for one in family.samples}


def lose(store: CachedStore, name: str) -> None:
    """Forget an object as a fault would."""
    bucket = store._feed.buckets[PODS.storage_prefix]
    key = f"/registry/pods/default/{name}"
    del bucket.entries[key]
    bucket._keys.remove(key)


async def test_what_is_the_same_passes(store: CachedStore, below: Store) -> None:
    made = [await store.create(PODS, pod(name)) for name in ("a", "b", "c", "d")]
    await store.update(PODS, pod("b", app="x"), made[1].revision)
    await store.delete(PODS, "default", "c", made[2].revision)
    checking = checker(store, below)
    await checking.check(PODS)
    await checking.check(NODES)
    assert results(checking) == {("pods", "success"): 1.0}, "of nodes nobody has asked"


async def test_later_writes_do_not_count(store: CachedStore, below: Store) -> None:
    await store.create(PODS, pod("a"))
    checking = checker(store, below)
    read = below.revisions

    async def late(prefix: str, revision: int) -> list[tuple[str, int]]:
        await store.create(PODS, pod("b"))
        return await read(prefix, revision)

    below.revisions = late  # type: ignore[method-assign]
    await checking.check(PODS)
    assert results(checking) == {("pods", "success"): 1.0}


async def test_a_difference_is_told_and_the_past_is_read_from_the_store(
    store: CachedStore, below: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    for name in ("a", "b"):
        await store.create(PODS, pod(name))
    revision = store.revision
    lose(store, "b")
    checking = checker(store, below)
    await checking.check(PODS)
    assert results(checking) == {("pods", "failure"): 1.0}
    assert f"cache consistency check failed group= resource=pods resourceVersion={revision} " in caplog.text
    await store.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    await store.create(PODS, pod("c"))
    past = await store.list(
        PODS, Selection(), resource_version=str(revision - 1), resource_version_match="Exact"
    )
    assert [one.name for one in past.items] == ["a"]


async def test_the_process_ends_where_that_is_wanted(
    store: CachedStore, below: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create(PODS, pod("a"))
    lose(store, "a")
    monkeypatch.setenv("KUBE_WATCHCACHE_CONSISTENCY_CHECKER", "true")
    with pytest.raises(Inconsistent, match='Cache consistency check failed, group: "", resource: "pods"'):
        await checker(store, below).check(PODS)


async def test_a_store_that_is_away_is_no_difference(store: CachedStore, below: Store) -> None:
    await store.create(PODS, pod("a"))
    checking = checker(store, below)

    async def away(prefix: str, revision: int) -> list[tuple[str, int]]:
        raise StoreUnavailable("away")

    below.revisions = away  # type: ignore[method-assign]
    await checking.check(PODS)
    assert results(checking) == {("pods", "error"): 1.0}


async def test_all_kinds_are_looked_at_again_and_again(
    store: CachedStore, below: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create(PODS, pod("a"))
    checking, waits = checker(store, below), []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("tiphys.apiserver.registry.consistency.asyncio.sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        await checking.run()
    assert results(checking) == {("pods", "success"): 3.0}
    assert all(300.0 <= seconds <= 450.0 for seconds in waits)
