"""For tests of the cache: one over every store, a few kinds, and what reads their answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.split import SplitStore
from tiphys.apiserver.registry.objects import Change, Selection
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


@pytest.fixture(params=["memory", "sqlite", "followed", "split", ETCD])
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


class Split(SplitStore):
    """All kinds of these tests are beside a first store that has revisions of its own."""

    def __init__(self, first: MemoryStore, other: Store, clock: FakeClock) -> None:
        cached = CachedStore(other, clock=clock)
        prefixes = (PODS.storage_prefix, NODES.storage_prefix, DEPLOYMENTS.storage_prefix)
        super().__init__(CachedStore(first, clock=clock), dict.fromkeys(prefixes, cached))
        self._feed, self._store = cached._feed, other

    @property
    def revision(self) -> int:
        return self.revision_of(PODS)


@pytest.fixture
async def store(below: Store, clock: FakeClock, request: pytest.FixtureRequest) -> AsyncIterator[CachedStore]:
    cached: Any = CachedStore(below, clock=clock)
    if request.node.callspec.params.get("below") == "split":
        first = MemoryStore(clock=clock)
        for number in range(40):
            await first.commit([Put(f"/registry/else/{number}", b"{}")])
        cached = Split(first, below, clock)
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


async def attached(store: CachedStore, resource: Resource, count: int = 1) -> None:
    """Wait until so many watch: over etcd a watch asks for the revision before it begins."""
    bucket = await store._feed.bucket(resource)
    while sum(1 for _ in bucket.watchers) < count:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.001)


def told(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(c.type, c.cached.name if c.cached else "", c.revision) for c in changes]


def names(page: object) -> list[str]:
    return [cached.name for cached in page.items]  # type: ignore[attr-defined]
