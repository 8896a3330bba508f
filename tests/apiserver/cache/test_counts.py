"""What the cache counts of a kind: requests to the store, events, watches."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from tests.apiserver.cache.conftest import NODES, PODS, pod

from tiphys.apimachinery.errors import AlreadyExists, ServiceUnavailable
from tiphys.apiserver.cache import CachedStore, lanes
from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Store


def counts_of(store: CachedStore) -> KindCounts:
    found = store.counts(PODS)
    assert found is not None
    return found


def requests(store: CachedStore) -> dict[str, tuple[int, int]]:
    """Return how many requests there were and how many of them failed, by operation."""
    return {name: (one.count, one.errors) for name, one in counts_of(store).requests.items()}


async def test_requests_to_the_store_are_counted_by_operation(store: CachedStore) -> None:
    assert store.counts(PODS) is None
    made = await store.create(PODS, pod("a"))
    with pytest.raises(AlreadyExists):  # the store has answered: no failure of it
        await store.create(PODS, pod("a"))
    await store.update(PODS, pod("a", node="n"), made.revision)
    again = await store.get(PODS, "default", "a")
    await store.update(PODS, pod("a", node="n"), again.revision)  # writes nothing
    await store.delete(PODS, "default", "a", again.revision)
    assert requests(store) == {"list": (1, 0), "create": (2, 0), "update": (1, 0), "delete": (1, 0)}
    assert store.counts(NODES) is None


async def test_requests_that_fail_are_counted_as_such(below: Store, store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    await below.close()
    with pytest.raises(ServiceUnavailable):
        await store.create(PODS, pod("b"))
    assert requests(store)["create"] == (2, 1)


async def test_requests_take_time(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    counts_of(store).requested("create", 0.3)
    assert counts_of(store).requests["create"].durations.total_s == pytest.approx(0.3)


async def test_events_and_watches(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "BUFFER_CHANGES", 2)
    for name in ("a", "b"):
        await store.create(PODS, pod(name))
    async with aclosing(store.watch(PODS, Selection())) as stream:
        await anext(stream)
        for name in ("c", "d", "e"):
            await store.create(PODS, pod(name))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    found = counts_of(store)
    assert (found.received, found.told, found.loads) == (5, 5, 1)
    assert (found.initial, found.cut) == (2, 1)


async def test_counts_outlive_what_is_forgotten(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    store._feed._reset()
    await store.get(PODS, "default", "a")
    assert counts_of(store).loads == 2
    assert requests(store) == {"list": (2, 0), "create": (1, 0)}
