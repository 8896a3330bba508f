"""``SplitStore``: one ``ObjectStore`` over several, some kinds in each (``--etcd-servers-overrides``).

Owns: which kind is where. Each store counts revisions of its own: what is read, listed and watched of a kind
has those of the store that it is in, and nothing compares versions of different kinds.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.cache.store import CachedStore
from tiphys.apiserver.registry.objects import Cached, Change, Page, Selection


class SplitStore:
    """Kinds by their storage prefix in ``others``, all else in ``first``."""

    def __init__(self, first: CachedStore, others: Mapping[str, CachedStore]) -> None:
        self._first = first
        self._others = dict(others)
        self.collect = first.collect
        """Yields what is counted that is of no kind, by all of them (``CachedStore``'s ``leased``)."""

    def of(self, resource: Resource) -> CachedStore:
        """Return the store that a kind is in."""
        return self._others.get(resource.storage_prefix, self._first)

    def _all(self) -> list[CachedStore]:
        return list(dict.fromkeys([self._first, *self._others.values()]))

    async def open(self) -> None:
        """Begin to follow the (opened) stores."""
        for store in self._all():
            await store.open()

    async def close(self) -> None:
        """End every watch and stop following. The stores are their owner's to close. Idempotent."""
        for store in self._all():
            await store.close()

    @property
    def revision(self) -> int:
        """The newest revision of the first store."""
        return self._first.revision

    @property
    def alone(self) -> bool:
        """Nobody else writes to any of the stores."""
        return all(store.alone for store in self._all())

    def revision_of(self, resource: Resource) -> int:
        return self.of(resource).revision

    def end_watches(self, resource: Resource) -> None:
        self.of(resource).end_watches(resource)

    def count(self, resource: Resource, namespace: str = "") -> int:
        return self.of(resource).count(resource, namespace)

    def revisions(self, resource: Resource) -> builtins.list[tuple[str, int]] | None:
        return self.of(resource).revisions(resource)

    def distrust(self, resource: Resource, revision: int) -> None:
        self.of(resource).distrust(resource, revision)

    def average_bytes(self, resource: Resource) -> int:
        return self.of(resource).average_bytes(resource)

    def counts(self, resource: Resource) -> KindCounts | None:
        return self.of(resource).counts(resource)

    def key_of(self, resource: Resource, namespace: str, name: str) -> str:
        return self._first.key_of(resource, namespace, name)

    def at_hand(self, resource: Resource, key: str) -> Cached | None:
        return self.of(resource).at_hand(resource, key)

    def all_at_hand(self, resource: Resource, namespace: str) -> Sequence[Cached] | None:
        return self.of(resource).all_at_hand(resource, namespace)

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        return await self.of(resource).get(resource, namespace, name)

    async def seen(self, resource: Resource, namespace: str, name: str) -> Cached:
        return await self.of(resource).seen(resource, namespace, name)

    async def list(self, resource: Resource, selection: Selection, **options: Any) -> Page:
        return await self.of(resource).list(resource, selection, **options)

    async def all(self, resource: Resource, namespace: str = "") -> Sequence[Cached]:
        return await self.of(resource).all(resource, namespace)

    def watch(
        self, resource: Resource, selection: Selection, **options: Any
    ) -> AsyncIterator[builtins.list[Change]]:
        return self.of(resource).watch(resource, selection, **options)

    async def create(self, resource: Resource, obj: Object, **options: Any) -> Cached:
        return await self.of(resource).create(resource, obj, **options)

    async def update(self, resource: Resource, obj: Object, expect_revision: int, **options: Any) -> Cached:
        return await self.of(resource).update(resource, obj, expect_revision, **options)

    async def delete(self, resource: Resource, namespace: str, name: str, expect_revision: int) -> Cached:
        return await self.of(resource).delete(resource, namespace, name, expect_revision)
