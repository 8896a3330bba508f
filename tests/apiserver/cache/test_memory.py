"""What an object weighs: its bytes once, shared by store, cache and remembered events."""

import tracemalloc
from pathlib import Path

import orjson
import pytest

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.form import encode
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore

MAPS = Resource(
    "", "v1", "ConfigMap", "configmaps", "configmap", True, (), GVK("", "v1", "ConfigMap"),
    "/registry/configmaps/",
)  # fmt: skip


CUSTOM = Resource(
    "example.org", "v1", "ConfigMap", "maps", "map", True, (), GVK("example.org", "v1", "ConfigMap"),
    "/registry/example.org/maps/", custom=True,
)  # fmt: skip


def config_map(number: int, size: int = 500) -> Object:
    meta = {"name": f"m{number}", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "x" * size}}


async def test_store_and_cache_share_the_bytes_of_an_object(tmp_path: Path) -> None:
    for is_restarted in (False, True):
        below = SqliteStore(tmp_path / "store.db")
        await below.open()
        store = CachedStore(below)
        await store.open()
        await store.list(MAPS, Selection(namespace="default"))
        for number in () if is_restarted else range(5):
            await store.create(MAPS, config_map(number))
        bucket = store._feed.buckets[MAPS.storage_prefix]
        assert len(bucket.entries) == 5
        for key, entry in bucket.entries.items():
            record = await below.get(key)
            assert record is not None
            assert entry.value is record.value
        for event in bucket.since(0):
            assert event.entry is bucket.entries[event.key]
        await store.close()
        await below.close()


@pytest.mark.parametrize("size", [20, 900, 2_000, 9_000, 50_000])
def test_encoded_objects_weigh_what_they_are_long(size: int) -> None:
    objects = [config_map(number, size) for number in range(20)]
    tracemalloc.start()
    try:
        _ = [encode(one) for one in objects]  # orders are worked out once; Python keeps some freed maps
        before = tracemalloc.get_traced_memory()[0]
        encoded = [encode(obj) for obj in objects]
        weight = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert weight < 1.2 * sum(map(len, encoded)) + 20 * 300


async def test_what_was_just_written_is_not_decoded_again() -> None:
    store = CachedStore(MemoryStore())
    await store.open()
    await store.list(MAPS, Selection(namespace="default"))
    written = config_map(0)
    written["metadata"]["resourceVersion"] = "7"  # as a request may name it; the store's own counts
    made = await store.create(MAPS, written)
    assert made.object["data"] is written["data"]
    changed = await store.update(MAPS, {**made.object, "data": {"k": "y"}}, made.revision)
    for cached in (made, changed):
        assert orjson.dumps(cached.object) == cached.raw
    await store.close()


@pytest.mark.parametrize(
    ("row", "size"), [(CUSTOM, 10), (MAPS, 20_000)], ids=["numbers that JSON has not", "large"]
)
async def test_what_is_decoded_all_the_same(row: Resource, size: int) -> None:
    store = CachedStore(MemoryStore())
    await store.open()
    await store.list(row, Selection(namespace="default"))
    written = {**config_map(0, size), "odd": float("nan")}
    made = await store.create(row, written)
    assert made.object["data"] is not written["data"]
    assert made.object["odd"] is None
    await store.close()


async def test_few_written_objects_are_kept() -> None:
    store = CachedStore(MemoryStore())
    await store.open()
    await store.list(MAPS, Selection(namespace="default"))
    entries = [await store.create(MAPS, config_map(number)) for number in range(300)]
    kept = [entry for entry in entries if entry._written is not None]  # type: ignore[attr-defined]
    assert kept == entries[-256:]
    await store.close()
