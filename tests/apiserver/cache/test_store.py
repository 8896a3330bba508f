import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    NotFound,
    ServiceUnavailable,
    Timeout,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore, bucket, versions, watchers
from tiphys.apiserver.objects import Change, Selection
from tiphys.storage.base import Put, Store
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import ClockedEtcdStore, EtcdProcess

PODS = Resource(
    "", "v1", "Pod", "pods", "pod", True, (), GVK("", "v1", "Pod"), "/registry/pods/",
    selectable_fields=("spec.nodeName", "status.phase"),
)  # fmt: skip
NODES = Resource("", "v1", "Node", "nodes", "node", False, (), GVK("", "v1", "Node"), "/registry/minions/")
DEPLOYMENTS = Resource(
    "apps", "v1", "Deployment", "deployments", "deployment", True, (),
    GVK("apps", "v1", "Deployment"), "/registry/deployments/",
)  # fmt: skip


class FollowedStore:
    """A store that does not call back, as etcd: the cache must follow its watch."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        if name == "subscribe":
            raise AttributeError(name)
        return getattr(self._inner, name)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


ETCD = pytest.param("etcd", marks=[pytest.mark.etcd, pytest.mark.slow])


@pytest.fixture(params=["memory", "sqlite", "followed", ETCD])
async def below(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    store: Store
    etcd = None
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "store.db", clock=clock)
    elif request.param == "etcd":
        etcd = EtcdProcess(tmp_path / "etcd")
        await etcd.start()
        store = ClockedEtcdStore(etcd.url, clock)
    else:
        store = MemoryStore(clock=clock)
    try:
        await store.open()
        yield FollowedStore(store) if request.param == "followed" else store  # type: ignore[arg-type, misc]
        await store.close()
    finally:
        if etcd is not None:
            await etcd.end()


@pytest.fixture
async def store(below: Store, clock: FakeClock) -> AsyncIterator[CachedStore]:
    cached = CachedStore(below, clock=clock)
    await cached.open()
    async with asyncio.timeout(10):
        yield cached
        await cached.close()


def pod(name: str, namespace: str = "default", node: str = "", **labels: str) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **({"labels": labels} if labels else {})},
        "apiVersion": "v1",
        "spec": {"nodeName": node} if node else {},
    }


def labelled(**labels: str) -> Selection:
    return Selection(matches=lambda cached: labels.items() <= cached.labels.items())


def on_node(node: str) -> Selection:
    return Selection(
        field_equals=("spec.nodeName", node), matches=lambda c: c.fields.get("spec.nodeName") == node
    )


async def take(stream: AsyncIterator[list[Change]], count: int) -> list[Change]:
    """Read ``count`` changes."""
    seen: list[Change] = []
    while len(seen) < count:
        seen += await anext(stream)
    return seen


def told(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(c.type, c.cached.name if c.cached else "", c.revision) for c in changes]


def names(page: object) -> list[str]:
    return [cached.name for cached in page.items]  # type: ignore[attr-defined]


async def test_create_and_get(store: CachedStore) -> None:
    created = await store.create(PODS, pod("a", node="n1", app="web"))
    got = await store.get(PODS, "default", "a")
    assert got is created
    assert got.raw == (
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"2","name":"a","namespace":"default",'
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
    await below.commit(
        [Put("/registry/pods/ns/x", b'{"metadata":{"name":"x","labels":{"a":"b"}},"spec":{}}')]
    )
    got = await store.get(PODS, "ns", "x")
    assert got.labels == {"a": "b"}
    assert got.raw == b'{"metadata":{"resourceVersion":"2","name":"x","labels":{"a":"b"}},"spec":{}}'


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


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ["a", "b", "c", "a"]),
        (Selection(namespace="default"), ["a", "b", "c"]),
        (Selection(namespace="def"), []),
        (Selection(namespace="default", name="b"), ["b"]),
        (Selection(name="a"), ["a", "a"]),
        (labelled(app="x"), ["a", "c"]),
        (on_node("n1"), ["a", "a"]),
        (on_node("n9"), []),
    ],
)
async def test_list(store: CachedStore, selection: Selection, expected: list[str]) -> None:
    await store.create(PODS, pod("c", app="x"))
    await store.create(PODS, pod("a", node="n1", app="x"))
    await store.create(PODS, pod("b", node="n2"))
    await store.create(PODS, pod("a", "other", node="n1"))
    page = await store.list(PODS, selection)
    assert (names(page), page.revision, page.continue_token, page.remaining) == (expected, 5, "", None)


async def test_the_node_index_follows_changes(store: CachedStore) -> None:
    assert names(await store.list(PODS, on_node("n1"))) == []
    first = await store.create(PODS, pod("a"))
    second = await store.update(PODS, pod("a", node="n1"), first.revision)
    assert names(await store.list(PODS, on_node("n1"))) == ["a"]
    await store.delete(PODS, "default", "a", second.revision)
    assert names(await store.list(PODS, on_node("n1"))) == []


async def pages(store: CachedStore, selection: Selection, limit: int, between: object = None) -> list[object]:
    """Read a list page by page, doing something after the first."""
    found = [await store.list(PODS, selection, limit=limit)]
    while found[-1].continue_token:
        if between is not None and len(found) == 1:
            await between()  # type: ignore[operator]
        found.append(await store.list(PODS, selection, limit=limit, continue_token=found[-1].continue_token))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("ring", [0, 1000], ids=["from the store", "from memory"])
async def test_pages_show_one_moment(store: CachedStore, ring: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RING_EVENTS", ring)
    for name in "abcdef":
        await store.create(PODS, pod(name))

    async def disturb() -> None:
        await store.create(PODS, pod("aa"))
        await store.create(PODS, pod("dd"))
        e = await store.get(PODS, "default", "e")
        await store.update(PODS, pod("e", new="label"), e.revision)
        await store.delete(PODS, "default", "f", 7)

    found = await pages(store, Selection(namespace="default"), 2, disturb)
    assert [names(page) for page in found] == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert [page.remaining for page in found] == [4, 2, None]
    assert {page.revision for page in found} == {7}
    assert found[2].items[0].labels == {}
    assert found[2].items[0].revision == 6


async def test_pages_of_a_selection_tell_no_remaining(store: CachedStore) -> None:
    for name in "abcde":
        await store.create(PODS, pod(name, app="x" if name in "ace" else "y"))
    found = await pages(store, labelled(app="x"), 2)
    assert [(names(page), page.remaining) for page in found] == [(["a", "c"], None), (["e"], None)]


async def test_continue_token_is_upstreams(store: CachedStore) -> None:
    for name in "ab":
        await store.create(PODS, pod(name))
    page = await store.list(PODS, Selection(), limit=1)
    token = json.loads(base64.urlsafe_b64decode(page.continue_token + "=="))
    assert token.pop("begun") > 0, "ours alone; others pass it over"
    assert token == {"v": "meta.k8s.io/v1", "rv": 3, "start": "default/a\0"}


async def test_continue_after_compaction(
    below: Store, store: CachedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RING_EVENTS", 0)
    for name in "abcd":
        await store.create(PODS, pod(name))
    page = await store.list(PODS, Selection(), limit=2)
    await store.delete(PODS, "default", "c", 4)
    await below.compact(6)
    with pytest.raises(Expired, match="The provided continue parameter is too old") as caught:
        await store.list(PODS, Selection(), limit=2, continue_token=page.continue_token)
    status = caught.value.to_status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    rest = await store.list(PODS, Selection(), limit=2, continue_token=status["metadata"]["continue"])
    assert names(rest) == ["d"]
    with pytest.raises(Expired, match="The resourceVersion for the provided list is too old"):
        await store.list(PODS, Selection(), resource_version="3", resource_version_match="Exact")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"continue_token": "!!"}, "continue key is not valid"),
        ({"continue_token": versions.encode_token(0, "a")}, "incorrect encoded start resourceVersion"),
        ({"continue_token": versions.encode_token(5, "../../secrets/x")}, "continue key is not valid"),
        ({"continue_token": "eyJ2IjoiYiJ9"}, "does not recognize this encoded version"),
        (
            {"continue_token": versions.encode_token(1, "a"), "resource_version": "1"},
            "specifying resource version is not allowed when using continue",
        ),
        ({"resource_version": "x"}, "invalid resource version"),
    ],
)
async def test_nonsense_is_refused(store: CachedStore, options: dict[str, str], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        await store.list(PODS, Selection(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "match", "limit", "expected"),
    [
        ("", "", 0, 4), ("0", "", 0, 4), ("0", "NotOlderThan", 0, 4), ("2", "", 0, 4),
        ("2", "NotOlderThan", 0, 4), ("2", "Exact", 0, 2), ("2", "", 5, 2), ("2", "NotOlderThan", 5, 4),
    ],
)  # fmt: skip
async def test_resource_version(
    store: CachedStore, version: str, match: str, limit: int, expected: int
) -> None:
    for name in "abc":
        await store.create(PODS, pod(name))
    page = await store.list(
        PODS, Selection(), limit=limit, resource_version=version, resource_version_match=match
    )
    assert (page.revision, len(page.items)) == (expected, expected - 1)


async def test_a_revision_yet_to_come(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.apiserver.cache.feed._CATCH_UP_S", 0.01)
    with pytest.raises(Timeout, match="Too large resource version: 100, current: 1") as caught:
        await store.list(PODS, Selection(), resource_version="100")
    assert caught.value.to_status()["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }


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
    await asyncio.sleep(0.01)
    await store.create(PODS, pod("a"))
    changes = [(await one)[0] for one in reading]
    assert changes[0] is changes[1] is changes[2]
    for stream in streams:
        await stream.aclose()


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


@pytest.mark.parametrize(
    ("version", "initial", "bookmarks", "want"),
    [
        ("", None, False, ["ADDED", "ADDED"]),
        ("0", None, True, ["ADDED", "BOOKMARK", "ADDED"]),
        ("", True, False, ["ADDED", "ADDED"]),
        ("2", True, True, ["ADDED", "BOOKMARK", "ADDED"]),
        ("", False, True, ["ADDED"]),
        ("0", False, False, ["ADDED"]),
        ("1", False, False, ["ADDED", "ADDED"]),
    ],
)  # fmt: skip
async def test_where_a_watch_begins(
    store: CachedStore, version: str, initial: bool | None, bookmarks: bool, want: list[str]
) -> None:
    await store.create(PODS, pod("a"))
    stream = store.watch(
        PODS, Selection(), resource_version=version, send_initial_events=initial, bookmarks=bookmarks
    )
    async with asyncio.timeout(5), aclosing(stream):
        reading = asyncio.ensure_future(take(stream, len(want)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await store.create(PODS, pod("b"))
        changes = await reading
    assert [change.type for change in changes] == want
    assert changes[-1].cached is not None
    assert changes[-1].cached.name == "b"


async def test_bookmarks(below: Store, clock: FakeClock) -> None:
    cached = CachedStore(below, clock=clock, bookmark_s=0.01)
    await cached.open()
    await cached.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    async with asyncio.timeout(5), aclosing(cached.watch(PODS, Selection(), bookmarks=True)) as stream:
        changes = await take(stream, 3)
    assert told(changes) == [("BOOKMARK", "", 2)] * 3
    assert [change.initial_end for change in changes] == [True, False, False]
    assert json.loads(changes[1].frame) == {
        "type": "BOOKMARK",
        "object": {
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"resourceVersion": "2"},
        },
    }  # fmt: skip
    await cached.close()


async def test_a_slow_watcher_is_ended(store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "BUFFER_CHANGES", 3)
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


async def test_an_empty_kind_is_listed_at_the_present(store: CachedStore) -> None:
    made = await store.create(PODS, pod("a"))
    last = await store.delete(PODS, "default", "a", made.revision)
    page = await store.list(PODS, Selection(), limit=5)
    assert (page.items, page.revision, page.continue_token) == ([], last.revision, "")
    past = await store.list(
        PODS, Selection(), resource_version=str(made.revision), resource_version_match="Exact"
    )
    assert names(past) == ["a"]


async def test_all_are_those_of_now(store: CachedStore) -> None:
    async def listed(namespace: str = "") -> list[str]:
        return [item.name for item in await store.all(PODS, namespace)]

    assert await listed() == []
    await store.create(PODS, pod("b"))
    await store.create(PODS, pod("a"))
    assert await listed() == await listed("default") == ["a", "b"]
    assert await listed("other") == []
    assert await store.all(PODS) is await store.all(PODS)
    live = await store.get(PODS, "default", "a")
    changed = await store.update(PODS, pod("a", app="web"), live.revision)
    assert (await store.all(PODS, "default"))[0].revision == changed.revision
    await store.delete(PODS, "default", "a", changed.revision)
    assert await listed() == ["b"]
