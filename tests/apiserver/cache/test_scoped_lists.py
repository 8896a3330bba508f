"""Lists of a namespace and by fields: what is found, on either path, at every store (upstream's rows)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.apiserver.cache.conftest import PODS, pod

from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.registry.selection import select

NODES = {
    "1/foo1": "", "1/foo2": "bar2", "2/foo1": "bar1", "2/foo2": "bar2", "2/foo3": "bar1", "3/foo1": "bar2",
}  # fmt: skip
"""Pods by namespace and name, with their nodes."""


@dataclass(frozen=True)
class Case:
    """A namespace and a field selector, and what they find."""

    namespace: str
    selector: str
    want: list[str]


CASES = {
    "all": Case("", "", sorted(NODES)),
    "of a namespace by a field": Case("", "metadata.namespace=1", ["1/foo1", "1/foo2"]),
    "on a node": Case("", "spec.nodeName=bar1", ["2/foo1", "2/foo3"]),
    "on no node": Case("", "spec.nodeName=", ["1/foo1"]),
    "not on a node": Case("", "spec.nodeName!=bar1", ["1/foo1", "1/foo2", "2/foo2", "3/foo1"]),
    "of a namespace": Case("1", "", ["1/foo1", "1/foo2"]),
    "of a namespace twice": Case("1", "metadata.namespace=1", ["1/foo1", "1/foo2"]),
    "of two namespaces": Case("1", "metadata.namespace=2", []),
    "of a namespace, on a node": Case("2", "spec.nodeName=bar2", ["2/foo2"]),
    "of a namespace, not on a node": Case("2", "spec.nodeName!=bar1", ["2/foo2"]),
    "of a name": Case("", "metadata.name=foo1", ["1/foo1", "2/foo1", "3/foo1"]),
    "of a name and a namespace by fields": Case("", "metadata.name=foo1,metadata.namespace=1", ["1/foo1"]),
    "of a name, on a node": Case("", "metadata.name=foo1,spec.nodeName=bar1", ["2/foo1"]),
    "of a name, not on a node": Case("", "spec.nodeName!=bar1,metadata.name=foo1", ["1/foo1", "3/foo1"]),
    "of a namespace and a name": Case("1", "metadata.name=foo1", ["1/foo1"]),
    "of a namespace and a name, twice": Case("1", "metadata.name=foo1,metadata.namespace=1", ["1/foo1"]),
    "of all three": Case("2", "metadata.name=foo2,metadata.namespace=2,spec.nodeName=bar2", ["2/foo2"]),
    "of all three, elsewhere": Case("2", "metadata.name=foo2,metadata.namespace=2,spec.nodeName=bar1", []),
    "of two, not on a node": Case("2", "spec.nodeName!=bar2,metadata.name=foo1", ["2/foo1"]),
    "of another name": Case("2", "metadata.name!=foo1,spec.nodeName=bar1", ["2/foo3"]),
}


@pytest.fixture
async def filled(store: CachedStore) -> CachedStore:
    for key, node in NODES.items():
        namespace, _, name = key.partition("/")
        await store.create(PODS, pod(name, namespace, node=node))
    return store


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("limit", [0, 1])
async def test_list(filled: CachedStore, case: Case, limit: int) -> None:
    selection = select(PODS, case.namespace, "", "", case.selector)
    at_once = str(filled.revision_of(PODS))
    await filled.delete(PODS, "2", "foo1", 4)  # also of a moment that is over
    for options in ({"resource_version": at_once, "resource_version_match": "Exact"}, {}):
        found, token = [], ""
        while True:
            first = {"continue_token": token} if token else options
            page = await filled.list(PODS, selection, limit=limit, **first)
            found += [f"{one.namespace}/{one.name}" for one in page.items]
            if not (token := page.continue_token):
                break
        assert found == [key for key in case.want if options or key != "2/foo1"]
