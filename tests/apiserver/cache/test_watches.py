"""Watches: where they begin, what they tell, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from tests.apiserver.cache.conftest import NODES, PODS, attached, labelled, on_node, pod, take, told

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import (
    Expired,
)
from tiphys.apiserver.cache import CachedStore, bucket, lanes
from tiphys.apiserver.cache.listing import portions
from tiphys.apiserver.registry.objects import Change, Selection
from tiphys.storage.base import Put, Store


async def test_watch_from_nothing_shows_what_is_and_what_comes(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    await store.create(PODS, pod("b"))
    async with aclosing(store.watch(PODS, Selection())) as stream:
        assert told(await take(stream, 2)) == [("ADDED", "a", 2), ("ADDED", "b", 3)]
        created = await store.create(PODS, pod("c"))
        updated = await store.update(PODS, pod("c", x="y"), created.revision)
        await store.delete(PODS, "default", "c", updated.revision)
        changes = await take(stream, 3)
    assert told(changes) == [("ADDED", "c", 4), ("MODIFIED", "c", 5), ("DELETED", "c", 6)]
    assert changes[1].frame == b'{"type":"MODIFIED","object":' + updated.raw + b"}\n"
    gone = json.loads(changes[2].frame)["object"]["metadata"]
    assert (gone["resourceVersion"], gone["labels"]) == ("6", {"x": "y"})


@pytest.mark.parametrize("ring", [0, 1000], ids=["from the store", "from memory"])
async def test_watch_from_a_revision(store: CachedStore, ring: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RING_EVENTS", ring)
    await store.create(PODS, pod("a", app="x"))
    await store.create(PODS, pod("b", app="x"))
    await store.update(PODS, pod("a", app="y"), 2)
    await store.delete(PODS, "default", "b", 3)
    await store.create(PODS, pod("c", "other", app="x"))
    async with aclosing(store.watch(PODS, labelled(app="x"), resource_version="2")) as stream:
        assert told(await take(stream, 4)) == [
            ("ADDED", "b", 3), ("DELETED", "a", 4), ("DELETED", "b", 5), ("ADDED", "c", 6),
        ]  # fmt: skip
        await store.create(PODS, pod("d", app="x"))
        assert told(await take(stream, 1)) == [("ADDED", "d", 7)]
    where = Selection(namespace="other")
    async with aclosing(store.watch(PODS, where, resource_version="2")) as stream:
        assert told(await take(stream, 1)) == [("ADDED", "c", 6)]


async def test_objects_come_and_go_as_a_selection_sees_them(store: CachedStore) -> None:
    await store.create(PODS, pod("a", app="x"))
    async with aclosing(store.watch(PODS, labelled(app="x"), resource_version="2")) as stream:
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await store.update(PODS, pod("a", app="y"), 2)
        (left,) = await reading
        assert told([left]) == [("DELETED", "a", 3)]
        assert json.loads(left.frame)["object"]["metadata"] == {
            "resourceVersion": "3", "name": "a", "namespace": "default", "labels": {"app": "x"},
        }  # fmt: skip
        await store.update(PODS, pod("a", app="y", more="z"), 3)
        await store.update(PODS, pod("a", app="x"), 4)
        assert told(await take(stream, 1)) == [("ADDED", "a", 5)]


async def test_watch_of_a_node_of_a_name_of_a_namespace(store: CachedStore) -> None:
    selections = [on_node("n1"), Selection(namespace="default", name="a"), Selection(name="b"),
                  Selection(namespace="other")]  # fmt: skip
    streams = [store.watch(PODS, selection, resource_version="1") for selection in selections]
    reading = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0.01)
    await store.create(PODS, pod("a"))
    await store.update(PODS, pod("a", node="n1"), 2)
    await store.update(PODS, pod("a", node="n2"), 3)
    await store.create(PODS, pod("b", "other"))
    seen = [await first + await rest for first, rest in
            zip(reading, [_rest(stream) for stream in streams], strict=True)]  # fmt: skip
    assert [told(changes) for changes in seen] == [
        [("ADDED", "a", 3), ("DELETED", "a", 4)],
        [("ADDED", "a", 2), ("MODIFIED", "a", 3), ("MODIFIED", "a", 4)],
        [("ADDED", "b", 5)],
        [("ADDED", "b", 5)],
    ]
    for stream in streams:
        await stream.aclose()


async def _rest(stream: AsyncIterator[list[Change]]) -> list[Change]:
    """Read what is there already."""
    seen: list[Change] = []
    try:
        async with asyncio.timeout(0.02):
            while True:
                seen += await anext(stream)
    except TimeoutError:
        return seen


async def test_watchers_share_one_frame(store: CachedStore) -> None:
    streams = [store.watch(PODS, Selection(), resource_version="1") for _ in range(3)]
    reading = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await attached(store, PODS, 3)
    await store.create(PODS, pod("a"))
    changes = [(await one)[0] for one in reading]
    assert changes[0] is changes[1] is changes[2]
    for stream in streams:
        await stream.aclose()


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], []),
        ([1] * 501, [500, 1]),
        ([200_000] * 5, [2, 2, 1]),
        ([1, 900_000, 1, 1], [2, 2]),
        ([900_000, 900_000], [1, 1]),
    ],
)
def test_what_is_told_at_a_time(sizes: list[int], runs: list[int]) -> None:
    cut = list(portions(sizes, lambda size: size))
    assert [len(run) for run in cut] == runs
    assert [size for run in cut for size in run] == sizes


@pytest.mark.parametrize("version", ["", "2"])
async def test_much_is_told_in_steps(store: CachedStore, version: str) -> None:
    for name in "abcd":
        await store.create(PODS, {**pod(name), "spec": {"x": "y" * 600_000}})
    async with aclosing(store.watch(PODS, Selection(), resource_version=version)) as stream:
        batches = [told(await anext(stream)) for _ in range(3)]
    assert [len(batch) for batch in batches] == [1, 1, 1]


async def test_as_much_is_read_of_the_log_as_fits(
    store: CachedStore, below: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RING_EVENTS", 0)
    limits: list[int] = []
    read = below.history

    async def history(prefix: str, first: int, last: int, limit: int) -> Any:
        limits.append(limit)
        return (await read(prefix, first, last, limit))[:limit]

    monkeypatch.setattr(below, "history", history)
    names = [f"a{at:03}" for at in range(107)]
    for name in names:
        await store.create(PODS, {**pod(name), "spec": {"x": "y" * 100_000}})
    async with aclosing(store.watch(PODS, Selection(), resource_version="1")) as stream:
        changes = await take(stream, 107)
    assert [name for _, name, _ in told(changes)] == names
    assert limits == [100, 20]


async def test_watch_of_a_compacted_revision(below: Store, store: CachedStore) -> None:
    for name in "abcd":
        await below.commit([Put(f"/registry/pods/d/{name}", b'{"metadata":{"name":"x"}}')])
    await below.compact(4)
    with pytest.raises(Expired, match=r"too old resource version: 2 \(4\)"):
        await anext(store.watch(PODS, Selection(), resource_version="2"))


async def test_send_initial_events(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    stream = store.watch(PODS, Selection(), resource_version="2", send_initial_events=True, bookmarks=True)
    async with aclosing(stream):
        changes = await take(stream, 2)
    assert told(changes) == [("ADDED", "a", 2), ("BOOKMARK", "", 2)]
    assert changes[1].initial_end
    meta = json.loads(changes[1].frame)["object"]["metadata"]
    assert (meta["resourceVersion"], meta["annotations"]) == ("2", {"k8s.io/initial-events-end": "true"})


ALL, NEW = ["a", "b", "c", "later"], ["later"]
BEGINS = {
    ("", True): ALL, ("", False): NEW, ("", None): ALL,
    ("0", True): ALL, ("0", False): NEW, ("0", None): ALL,
    ("1", True): ALL, ("1", False): ALL, ("1", None): ALL,
    ("3", True): ALL, ("3", False): ["c", "later"], ("3", None): ["c", "later"],
    ("now", True): ALL, ("now", False): NEW, ("now", None): NEW,
}  # fmt: skip
"""By the version and whether first events are asked for: which pods are told of."""


@pytest.mark.parametrize("bookmarks", [True, False], ids=["bookmarks", "none"])
@pytest.mark.parametrize(("version", "initial"), BEGINS)
async def test_where_a_watch_begins(
    store: CachedStore, version: str, initial: bool | None, bookmarks: bool
) -> None:
    for name in "abc":
        await store.create(PODS, pod(name))
    await store.create(PODS, pod("a", "elsewhere"))  # the bookmark has the revision of everything
    now = str(store.revision_of(PODS))
    stream = store.watch(
        PODS, Selection("default"), resource_version=now if version == "now" else version,
        send_initial_events=initial, bookmarks=bookmarks,
    )  # fmt: skip
    want = BEGINS[version, initial]
    ends = bool(initial and bookmarks)
    async with asyncio.timeout(5), aclosing(stream):
        reading = asyncio.ensure_future(take(stream, len(want) + ends))
        await attached(store, PODS)
        await store.create(PODS, pod("later"))
        changes = await reading
    assert [change.cached.name for change in changes if change.cached is not None] == want
    assert {change.type for change in changes} <= {"ADDED", "BOOKMARK"}
    last_of = [at for at, change in enumerate(changes) if change.type == "BOOKMARK"]
    assert last_of == ([3] if ends else [])
    if ends:
        assert (changes[3].initial_end, changes[3].revision) == (True, int(now))


async def test_first_events_of_one_name_end_at_the_revision_of_everything(store: CachedStore) -> None:
    for name in "abc":
        await store.create(PODS, pod(name))
    stream = store.watch(PODS, Selection(name="a"), send_initial_events=True, bookmarks=True)
    async with asyncio.timeout(5), aclosing(stream):
        assert told(await take(stream, 2)) == [("ADDED", "a", 2), ("BOOKMARK", "", 4)]


async def test_bookmarks(below: Store, clock: FakeClock) -> None:
    cached = CachedStore(below, clock=clock, bookmark_s=0.01)
    await cached.open()
    await cached.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    async with asyncio.timeout(5), aclosing(cached.watch(PODS, Selection(), bookmarks=True)) as stream:
        changes = await take(stream, 2)
    assert told(changes) == [("BOOKMARK", "", 2)] * 2
    assert not any(change.initial_end for change in changes)  # nobody asked to be told of that
    assert json.loads(changes[1].frame) == {
        "type": "BOOKMARK",
        "object": {
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"resourceVersion": "2"},
        },
    }  # fmt: skip
    await cached.close()


async def test_a_bookmark_comes_before_the_end(store: CachedStore) -> None:
    """Two seconds before it, so that the next watch begins where this one was."""
    await store.create(PODS, pod("a"))
    stream = store.watch(PODS, Selection(), resource_version="2", bookmarks=True, lasts_s=2.01)
    async with asyncio.timeout(5), aclosing(stream):
        assert told(await take(stream, 1)) == [("BOOKMARK", "", 2)]


async def test_a_watch_from_a_time_to_come(store: CachedStore) -> None:
    """What happened up to then is known to who names it."""
    async with asyncio.timeout(5), aclosing(store.watch(PODS, Selection(), resource_version="4")) as stream:
        reading = asyncio.ensure_future(take(stream, 1))
        await attached(store, PODS)
        for name in "abcd":
            await store.create(PODS, pod(name))
        assert told(await reading) == [("ADDED", "d", 5)]


async def test_a_slow_watcher_is_ended(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "BUFFER_CHANGES", 3)
    async with aclosing(store.watch(PODS, Selection())) as stream:
        await store.create(PODS, pod("first"))
        await anext(stream)
        for number in range(5):
            await store.create(PODS, pod(f"p{number}"))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_ending_watches(store: CachedStore) -> None:
    await store.create(PODS, pod("a"))
    streams = [store.watch(PODS, selection) for selection in (Selection(), on_node(""), Selection(name="a"))]
    for stream in streams:
        await anext(stream)
    store.end_watches(PODS)
    for stream in streams:
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
