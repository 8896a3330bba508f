"""Which terms may speak of a pod, and of which pods a term may speak: found by one label of them.

Pure. Each Deployment brings a term of its own and pods with labels of their own; holding each against all the
others would make the thousandth a thousand times as dear as the first. What is found here may match, no more.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, ValuesView
from typing import Generic, TypeAlias, TypeVar

from tiphys.scheduler.podinfo import PodInfo, Term

K = TypeVar("K")
T = TypeVar("T")
Key: TypeAlias = tuple[str, str, str]
"""Namespace, label, value; of terms that may speak of anybody ``ANY``."""
ANY: Key = ("", "", "")


def asked(term: Term) -> list[Key]:
    """Return keys of which a pod must have one for the term to speak of it."""
    if term.namespace_selector is None:
        for requirement in term.selector.requirements:
            if requirement.operator in ("=", "in"):
                return [
                    (namespace, requirement.key, value)
                    for namespace in term.namespaces
                    for value in requirement.values
                ]
    return [ANY]


def offered(info: PodInfo) -> list[Key]:
    """Return the keys that a pod has."""
    return [(info.namespace, *pair) for pair in info.labels.items()]


class Terms(Generic[T]):
    """Something for each term, findable by the pods that the term may speak of."""

    def __init__(self) -> None:
        self._all: dict[Term, T] = {}
        self._by_key: dict[Key, dict[Term, T]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, term: Term) -> T | None:
        return self._all.get(term)

    def put(self, term: Term, value: T) -> None:
        self._all[term] = value
        for key in asked(term):
            self._by_key.setdefault(key, {})[term] = value

    def remove(self, term: Term) -> None:
        del self._all[term]
        for key in asked(term):
            _drop(self._by_key, key, term)

    def clear(self) -> None:
        self._all.clear()
        self._by_key.clear()

    def terms(self) -> KeysView[Term]:
        return self._all.keys()

    def values(self) -> ValuesView[T]:
        return self._all.values()

    def maybe_of(self, info: PodInfo) -> Iterator[tuple[Term, T]]:
        """Yield what may speak of a pod, each once."""
        found = {}
        for key in (ANY, *offered(info)):
            found.update(self._by_key.get(key, {}))
        yield from found.items()


class Groups(Generic[T]):
    """Something for each group of pods that are alike, findable by the terms that may speak of them."""

    def __init__(self) -> None:
        self._all: dict[bytes, T] = {}
        self._by_key: dict[Key, dict[bytes, T]] = {}

    def get(self, group: bytes) -> T | None:
        return self._all.get(group)

    def put(self, info: PodInfo, value: T) -> None:
        self._all[info.group] = value
        for key in offered(info):
            self._by_key.setdefault(key, {})[info.group] = value

    def remove(self, info: PodInfo) -> None:
        del self._all[info.group]
        for key in offered(info):
            _drop(self._by_key, key, info.group)

    def maybe_of(self, term: Term) -> Iterator[T]:
        """Yield the groups of which a term may speak, each once."""
        keys = asked(term)
        if keys == [ANY]:
            yield from self._all.values()
            return
        for key in keys:  # they differ in namespace or value: no pod has two of them
            yield from self._by_key.get(key, {}).values()


def _drop(table: dict[Key, dict[K, T]], key: Key, item: K) -> None:
    bucket = table[key]
    del bucket[item]
    if not bucket:
        del table[key]
