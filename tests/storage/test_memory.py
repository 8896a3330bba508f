"""What only the store in memory can do; the rest is ``test_contract.py``."""

from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore


async def test_a_copy_has_the_history_and_goes_its_own_way() -> None:
    store = MemoryStore()
    await store.commit([Put("/a", b"1")])
    await store.commit([Put("/a", b"2")])
    await store.compact(2)
    copy = store.copy()
    await copy.commit([Put("/a", b"3"), Put("/b", b"1")])
    assert (store.revision, copy.revision) == (3, 4)
    mine, its = await store.get("/a"), await copy.get("/a")
    assert mine is not None
    assert its is not None
    assert (mine.value, its.value) == (b"2", b"3")
    assert (await store.range("/")).count == 1
    assert [event.record.value for event in await copy.history("/a", 3, 4)] == [b"2", b"3"]
    assert [event.record.value for event in await store.history("/a", 3, 4)] == [b"2"]


async def test_a_copy_of_a_closed_store_is_open() -> None:
    store = MemoryStore()
    await store.commit([Put("/a", b"1")])
    await store.close()
    assert await store.copy().commit([Put("/a", b"2")]) == 3
