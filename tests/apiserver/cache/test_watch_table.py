"""What a watch with selectors is told while objects are made and change: the cases of upstream's suite."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.apiserver.cache.conftest import PODS, attached, pod, take

from tiphys.apimachinery.errors import AlreadyExists
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.registry.objects import Change
from tiphys.apiserver.registry.selection import select

BARE, UPDATED = "", "+"
"""What a write leaves in ``spec.nodeName``, where it is no node; ``UPDATED`` changes a label."""


@dataclass(frozen=True)
class Case:
    """What is watched, and the writes that follow with what the watch is told of each."""

    namespace: str
    fields: str
    steps: list[tuple[str, str, str]]
    """``namespace/name``, what is written, the event's type ("" for none)."""


A, M, D, NONE = "ADDED", "MODIFIED", "DELETED", ""
CASES = {
    "all": Case("", "", [("1/a", BARE, A), ("2/b", BARE, A), ("1/a", UPDATED, M), ("2/b", UPDATED, M)]),
    "a namespace by its field": Case(
        "", "metadata.namespace=1",
        [("1/a", BARE, A), ("2/a", BARE, NONE), ("1/a", UPDATED, M), ("2/a", UPDATED, NONE)],
    ),
    "a node": Case(
        "", "spec.nodeName=n",
        [("1/a", BARE, NONE), ("2/b", BARE, NONE), ("1/a", "n", A), ("2/b", "n", A)],
    ),
    "all but a node": Case(
        "", "spec.nodeName!=n",
        [("1/a", BARE, A), ("1/b", BARE, A), ("1/a", UPDATED, M), ("1/a", "n", D)],
    ),
    "a namespace": Case(
        "1", "",
        [
            ("1/a", BARE, A), ("2/a", BARE, NONE), ("1/b", BARE, A),
            ("1/a", UPDATED, M), ("2/a", UPDATED, NONE),
        ],
    ),
    "a namespace and the same by its field": Case(
        "1", "metadata.namespace=1", [("1/a", BARE, A), ("2/a", BARE, NONE), ("1/a", UPDATED, M)]
    ),
    "a namespace and another by its field": Case(
        "1", "metadata.namespace=2",
        [("1/a", BARE, NONE), ("2/a", BARE, NONE), ("1/a", UPDATED, NONE), ("2/a", UPDATED, NONE)],
    ),
    "a node in a namespace": Case(
        "1", "spec.nodeName=n",
        [("1/a", BARE, NONE), ("1/a", "m", NONE), ("2/a", "n", NONE), ("1/a", "n", A), ("1/a", "m", D)],
    ),
    "all but a node in a namespace": Case(
        "2", "spec.nodeName!=n", [("1/a", BARE, NONE), ("2/a", BARE, A), ("2/a", "n", D), ("2/a", "m", A)]
    ),
    "a name": Case(
        "", "metadata.name=a",
        [("1/a", BARE, A), ("2/a", BARE, A), ("1/b", BARE, NONE), ("1/a", UPDATED, M), ("1/a", "n", M)],
    ),
    "a name and a namespace": Case(
        "", "metadata.name=a,metadata.namespace=1",
        [("1/a", BARE, A), ("1/b", BARE, NONE), ("2/a", BARE, NONE), ("1/a", UPDATED, M), ("1/a", "n", M)],
    ),
    "a name on a node": Case(
        "", "metadata.name=a,spec.nodeName=n",
        [("1/a", BARE, NONE), ("1/a", UPDATED, NONE), ("1/a", "n", A), ("1/b", "n", NONE)],
    ),
    "a name but on a node": Case(
        "", "metadata.name=a,spec.nodeName!=n",
        [("1/a", BARE, A), ("1/b", BARE, NONE), ("1/a", UPDATED, M), ("1/a", "n", D), ("1/a", "m", A)],
    ),
    "a name in a namespace": Case(
        "1", "metadata.name=a", [("1/a", BARE, A), ("1/b", BARE, NONE), ("1/a", UPDATED, M), ("1/a", "n", M)]
    ),
    "a name, a namespace and a node": Case(
        "1", "metadata.name=a,metadata.namespace=1,spec.nodeName=n",
        [
            ("1/a", BARE, NONE), ("1/b", BARE, NONE), ("2/a", BARE, NONE),
            ("1/a", UPDATED, NONE), ("1/a", "n", A),
        ],
    ),
    "a name and a namespace but on a node": Case(
        "1", "spec.nodeName!=n,metadata.name=b,metadata.namespace=1",
        [("1/a", BARE, NONE), ("2/b", BARE, NONE), ("1/b", BARE, A), ("1/b", UPDATED, M), ("1/b", "n", D)],
    ),
}  # fmt: skip


async def write(store: CachedStore, key: str, what: str) -> tuple[Object, int]:
    """Create or replace a pod; the object and its revision."""
    namespace, _, name = key.partition("/")
    labels = {"updated": "yes"} if what == UPDATED else {}
    obj = pod(name, namespace, "" if what == UPDATED else what, **labels)
    try:
        written = await store.create(PODS, obj)
    except AlreadyExists:
        written = await store.update(PODS, obj, (await store.get(PODS, namespace, name)).revision)
    return written.object, written.revision


@pytest.mark.parametrize("live", [True, False], ids=["live", "replayed"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_watch(store: CachedStore, case: Case, live: bool) -> None:
    selection = select(PODS, case.namespace, "", "", case.fields)
    begun = str(store.revision)
    expected = sum(1 for step in case.steps if step[2])

    def read() -> asyncio.Task[list[Change]]:
        return asyncio.create_task(take(store.watch(PODS, selection, resource_version=begun), expected or 1))

    if live:
        reading = read()
        await attached(store, PODS)
    wanted, states = [], {}
    for key, what, type_ in case.steps:
        obj, revision = await write(store, key, what)
        if type_:  # one that leaves is shown as it was last seen, at the revision at which it left
            shown = states[key] if type_ == D else obj
            wanted.append((type_, revision, {**shown["metadata"], "resourceVersion": str(revision)}))
        states[key] = obj
    if not live:
        reading = read()
    if not expected:
        await attached(store, PODS)
        assert not reading.done()
        reading.cancel()
        return
    told = await reading
    assert [
        (one.type, one.revision, one.cached.object["metadata"]) for one in told if one.cached is not None
    ] == wanted
