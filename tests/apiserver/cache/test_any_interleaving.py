"""Any order of writes, compactions, lists, pages and watches: the answers are those of a simple model.

The model keeps every state there ever was. A list shows the state of its revision, all pages the same. A
watch shows each step from its revision on, once, however often it breaks off and is taken up again. Only
where history has been compacted may either be refused, as expired.
"""

from __future__ import annotations

import asyncio
import builtins
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.apiserver.cache.conftest import ETCD, NODES, PODS, FollowedStore, labelled, pod

from tiphys.apimachinery.errors import AlreadyExists, Conflict, Expired, NotFound
from tiphys.apiserver.cache import CachedStore, bucket, versions
from tiphys.apiserver.registry.objects import Change, Page, Selection
from tiphys.storage.base import Store
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import EtcdProcess

Key = tuple[str, str]
"""Namespace and name."""
State = dict[Key, tuple[int, str]]
"""The revision and the label of what is alive."""

NAMESPACES = ("default", "other")
NAMES = ("a", "b", "c")
LABELS = ("x", "y")
LAST = "zz-last"

# A selection, and the same for the model.
SELECTIONS: list[tuple[Selection, Callable[[Key, str], bool]]] = [
    (Selection(), lambda _key, _label: True),
    (Selection(namespace="other"), lambda key, _label: key[0] == "other"),
    (labelled(app="x"), lambda _key, label: label == "x"),
    (Selection(namespace="default", name="a"), lambda key, _label: key == ("default", "a")),
]

KEYS = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
PART = st.floats(0, 1)
"""Of history, the newest revision being 1."""
WHICH = st.integers(0, len(SELECTIONS) - 1)
WRITES = st.one_of(
    st.tuples(st.just("put"), KEYS, st.sampled_from(LABELS)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("stale"), KEYS),
)
STEPS = st.one_of(
    WRITES,
    WRITES,
    st.tuples(
        st.just("together"), st.lists(st.tuples(KEYS, st.sampled_from(LABELS)), min_size=2, max_size=6)
    ),
    st.tuples(st.just("elsewhere")),
    st.tuples(st.just("compact"), PART),
    st.tuples(st.just("list"), WHICH, st.sampled_from(["", "0", "Exact", "NotOlderThan"]), PART),
    st.tuples(st.just("page"), WHICH, st.integers(1, 3)),
    st.tuples(st.just("next page"), st.integers(0, 5)),
    st.tuples(st.just("watch"), WHICH, st.one_of(st.none(), PART)),
    st.tuples(st.just("resume"), st.integers(0, 5)),
    st.tuples(st.just("breathe")),
)


class Watching:
    """One client's watch: what it was told, over as many connections as it took."""

    def __init__(self, store: CachedStore, which: int, start: int, *, initial: bool) -> None:
        self._store, self.which = store, which
        self.start, self.initial = start, initial
        self.seen: list[Change] = []
        self.refused = False
        self.came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """From where it goes on."""
        return self.seen[-1].revision if self.seen else self.start

    def connect(self) -> None:
        self._task = asyncio.create_task(self._read())  # parent: whoever calls break_off

    def go_on(self) -> None:
        """Take it up again where the server ended it."""
        if self._task is None or self._task.done():
            self.connect()

    async def break_off(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        initial = self.initial and not self.seen
        stream = self._store.watch(
            PODS,
            SELECTIONS[self.which][0],
            resource_version="" if initial else str(self.version),
            send_initial_events=True if initial else None,
            bookmarks=initial,
        )
        try:
            async for batch in stream:
                self.seen += batch
                self.came.set()
        except Expired:
            self.refused = True
        finally:
            self.came.set()


@dataclass
class World:
    """The cache under test, its store, and the model of both."""

    store: CachedStore
    below: Store
    states: list[State] = field(default_factory=lambda: [{}, {}])
    """By revision; the first one that counts is 1."""
    compacted: int = 0
    lists: list[tuple[int, str, int, list[Key]]] = field(default_factory=list)
    """Which selection, token, revision, and what the pages before had."""
    watches: list[Watching] = field(default_factory=list)

    @property
    def now(self) -> State:
        return self.states[-1]

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def at(self, part: float) -> int:
        return max(1, round(part * self.revision))

    def _wrote(self, revision: int, key: Key, label: str | None) -> None:
        assert revision == self.revision + 1, "revisions are dense and only grow"
        state = dict(self.now)
        state.pop(key, None)
        if label is not None:
            state[key] = (revision, label)
        self.states.append(state)

    def selected(self, which: int, revision: int) -> dict[Key, int]:
        matches = SELECTIONS[which][1]
        return {key: at for key, (at, label) in sorted(self.states[revision].items()) if matches(key, label)}

    # -- steps

    async def put(self, key: Key, label: str) -> None:
        made = pod(key[1], key[0], app=label)
        if key not in self.now:
            self._wrote((await self.store.create(PODS, made)).revision, key, label)
            with pytest.raises(AlreadyExists):
                await self.store.create(PODS, made)
            return
        found, before = self.now[key]
        written = (await self.store.update(PODS, made, found)).revision
        if label == before:
            assert written == found, "writing what is there writes nothing"
        else:
            self._wrote(written, key, label)

    async def delete(self, key: Key) -> None:
        if key not in self.now:
            with pytest.raises(NotFound):
                await self.store.delete(PODS, *key, 1)
            return
        self._wrote((await self.store.delete(PODS, *key, self.now[key][0])).revision, key, None)

    async def stale(self, key: Key) -> None:
        refusal = Conflict if key in self.now else NotFound
        with pytest.raises(refusal):
            await self.store.update(PODS, pod(key[1], key[0], app="stale"), self.revision + 5)
        with pytest.raises(refusal):
            await self.store.delete(PODS, *key, self.revision + 5)

    async def together(self, writes: list[tuple[Key, str]]) -> None:
        wanted = {key: label for key, label in writes if key not in self.now}
        made = [self.store.create(PODS, pod(key[1], key[0], app=label)) for key, label in wanted.items()]
        found = await asyncio.gather(*made)
        done = zip((one.revision for one in found), wanted.items(), strict=True)
        for revision, (key, label) in sorted(done):
            self._wrote(revision, key, label)

    async def elsewhere(self) -> None:
        """Write an object of another kind: only the revision moves on."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{self.revision}"}}
        assert (await self.store.create(NODES, node)).revision == self.revision + 1
        self.states.append(self.now)

    async def compact(self, part: float) -> None:
        revision = self.at(part)
        if revision > self.compacted:
            await self.below.compact(revision)
            self.compacted = revision

    async def list(self, which: int, match: str, part: float) -> None:
        wanted = self.at(part)
        version, match = (match, "") if match in ("", "0") else (str(wanted), match)
        exact = match == "Exact"
        try:
            page = await self.store.list(
                PODS, SELECTIONS[which][0], resource_version=version, resource_version_match=match
            )
        except Expired:
            assert exact
            assert wanted < self.compacted
            return
        self._check(page, which, wanted if exact else self.revision)

    def _check(self, page: Page, which: int, revision: int) -> None:
        assert page.revision == revision
        found = {(item.namespace, item.name): item.revision for item in page.items}
        assert found == self.selected(which, revision)

    async def page(self, which: int, limit: int) -> None:
        page = await self.store.list(PODS, SELECTIONS[which][0], limit=limit)
        self._took(which, page, self.revision, [])

    def _took(self, which: int, page: Page, revision: int, before: builtins.list[Key]) -> None:
        keys = [*before, *((item.namespace, item.name) for item in page.items)]
        if page.continue_token:
            self.lists.append((which, page.continue_token, revision, keys))
        else:
            assert keys == [*self.selected(which, revision)]

    async def next_page(self, number: int) -> None:
        if not self.lists:
            return
        which, token, revision, before = self.lists.pop(number % len(self.lists))
        selection = SELECTIONS[which][0]
        try:
            page = await self.store.list(PODS, selection, limit=2, continue_token=token)
        except versions.ContinueExpired as error:
            assert revision < self.compacted
            rest = await self.store.list(PODS, selection, continue_token=error.continue_token)
            present = self.selected(which, self.revision)
            assert {
                (item.namespace, item.name): item.revision for item in rest.items
            }.items() <= present.items()
            return
        assert page.revision == revision
        self._took(which, page, revision, before)

    async def watch(self, which: int, part: float | None) -> None:
        watching = Watching(
            self.store, which, self.revision if part is None else self.at(part), initial=part is None
        )
        self.watches.append(watching)
        watching.connect()

    async def resume(self, number: int) -> None:
        if self.watches:
            watching = self.watches[number % len(self.watches)]
            await watching.break_off()
            if not watching.refused:
                watching.connect()

    async def breathe(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    # -- the end

    async def finish(self) -> None:
        """Write something that every selection sees, wait for it, and judge what watches told."""
        for namespace in NAMESPACES:
            await self.put((namespace, LAST), "x")
        await self.put(("default", "a"), "y")
        await self.put(("default", "a"), "x")
        for watching in self.watches:
            await self._judge(watching)

    async def _judge(self, watching: Watching) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while not (watching.refused or self._has_all(watching)):
                    watching.go_on()
                    watching.came.clear()
                    await watching.came.wait()
        expected = [*self._expected(watching)]
        told = [
            (one.type, (one.cached.namespace, one.cached.name) if one.cached else None, one.revision)
            for one in watching.seen
        ]
        if watching.refused:
            assert watching.version < self.compacted, "refused without need"
            expected = expected[: len(told)]
        assert told == expected
        await watching.break_off()

    def _has_all(self, watching: Watching) -> bool:
        begun = not watching.initial or any(one.initial_end for one in watching.seen)
        return begun and len(watching.seen) >= len([*self._expected(watching)])

    def _expected(self, watching: Watching) -> Iterator[tuple[str, Key | None, int]]:
        start, which = watching.start, watching.which
        if watching.initial:
            # Where it began is where its first bookmark says.
            start = next((one.revision for one in watching.seen if one.initial_end), start)
            yield from (("ADDED", key, at) for key, at in self.selected(which, start).items())
            yield ("BOOKMARK", None, start)
        for revision in range(start + 1, self.revision + 1):
            before, after = self.selected(which, revision - 1), self.selected(which, revision)
            for key in before.keys() - after.keys():
                yield ("DELETED", key, revision)
            for key, at in after.items():
                if before.get(key) != at:
                    yield ("MODIFIED" if key in before else "ADDED", key, revision)


async def play(world: World, steps: list[tuple[object, ...]]) -> None:
    for name, *arguments in steps:
        await getattr(world, str(name).replace(" ", "_"))(*arguments)
    await world.finish()


@asynccontextmanager
async def opened(kind: str, folder: Path, url: str) -> AsyncIterator[World]:
    below: Store
    if kind == "sqlite":
        below = SqliteStore(folder / "store.db")
    elif kind == "etcd":
        below = EtcdStore([url], compact_every_s=0)
    else:
        below = MemoryStore()
    await below.open()
    seen: Store = FollowedStore(below) if kind == "followed" else below  # type: ignore[arg-type, assignment]
    cached = CachedStore(seen)
    await cached.open()
    world = World(cached, below)
    try:
        yield world
    finally:
        for watching in world.watches:
            await watching.break_off()
        await cached.close()
        await below.close()


@contextmanager
def remembering(events: int) -> Iterator[None]:
    """Let the cache keep so many events: what is older is read from the store."""
    kept, bucket.RING_EVENTS = bucket.RING_EVENTS, events  # type: ignore[misc]
    try:
        yield
    finally:
        bucket.RING_EVENTS = kept  # type: ignore[misc]


async def run(kind: str, steps: list[tuple[object, ...]], ring: int) -> None:
    with tempfile.TemporaryDirectory() as folder, remembering(ring):
        process = EtcdProcess(Path(folder) / "etcd") if kind == "etcd" else None
        if process is not None:
            await process.start()
        try:
            async with opened(kind, Path(folder), process.url if process else "") as world:
                await play(world, steps)
        finally:
            if process is not None:
                await process.end()


@pytest.mark.parametrize("kind", ["memory", "sqlite", pytest.param("followed", marks=pytest.mark.slow), ETCD])
@given(steps=st.lists(STEPS, max_size=40), ring=st.sampled_from([0, 3, 1000]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_order(kind: str, steps: list[tuple[object, ...]], ring: int) -> None:
    asyncio.run(run(kind, steps, ring))
