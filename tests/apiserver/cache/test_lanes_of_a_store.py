"""Watches of a whole cache: what one event costs for many, and what rest costs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.apiserver.cache.test_lanes import Reader, turn

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore, watchers
from tiphys.apiserver.registry.objects import Change, Selection
from tiphys.storage.memory import MemoryStore

MAPS = Resource(
    "", "v1", "ConfigMap", "configmaps", "configmap", True, (), GVK("", "v1", "ConfigMap"),
    "/registry/configmaps/",
)  # fmt: skip


def made(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a"}}


@pytest.fixture
async def store() -> AsyncIterator[CachedStore]:
    below = MemoryStore(clock=FakeClock())
    await below.open()
    cache = CachedStore(below)
    await cache.open()
    yield cache
    await cache.close()
    await below.close()


async def test_one_event_to_many_watchers_costs_one_encoding(
    store: CachedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    framed: list[str] = []
    original = watchers.change

    def counted(type_: str, entry: Any) -> Change:
        framed.append(type_)
        return original(type_, entry)

    monkeypatch.setattr(watchers, "change", counted)
    readers = [Reader() for _ in range(300)]
    watches = [store.watch(MAPS, Selection(), resource_version="0", outlet=reader) for reader in readers]
    tasks = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await turn(5)
    await store.create(MAPS, made("x"))
    await turn(5)
    assert framed == ["ADDED"]
    pushed = [chunk for reader in readers for chunk in reader.pushed]
    assert len(pushed) == 300
    assert len({id(chunk) for chunk in pushed}) == 1
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_idle_watches_wake_nobody(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: other kinds' events and the passing of turns cost a watch nothing."""
    watches = [store.watch(MAPS, Selection(namespace=f"n{i}"), resource_version="0") for i in range(2000)]
    tasks = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await turn(5)
    loop = asyncio.get_running_loop()
    calls: list[Any] = []
    for name in ("call_soon", "call_at"):
        original = getattr(loop, name)
        monkeypatch.setattr(
            loop, name, lambda *a, _original=original, **k: calls.append(a) or _original(*a, **k)
        )
    await store.create(MAPS, made("elsewhere"))
    before = len(calls)
    await turn(50)
    assert len(calls) - before <= 50  # this test's own turns
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
