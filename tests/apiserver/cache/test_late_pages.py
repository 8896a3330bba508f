"""Pages of one list that are asked for long after it began."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore, versions
from tiphys.apiserver.registry.objects import Page, Selection
from tiphys.storage.memory import MemoryStore

GROUP = GVK("", "v1", "PodTemplate")
TEMPLATES = Resource(
    "", "v1", "PodTemplate", "podtemplates", "podtemplate", True, (), GROUP, "/registry/podtemplates/"
)
HERE = Selection(namespace="default")


def names(page: Page) -> list[str]:
    return [item.name for item in page.items]


async def make(store: CachedStore, name: str, namespace: str = "default") -> None:
    meta = {"name": name, "namespace": namespace, "uid": name}
    await store.create(TEMPLATES, {"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta})


async def test_they_are_no_longer_of_one_moment() -> None:
    clock, below = FakeClock(), MemoryStore()
    await below.open()
    store = CachedStore(below, clock=clock)
    await store.open()
    for index in range(8):
        await make(store, f"template-{index}")
    first = await store.list(TEMPLATES, HERE, limit=2)
    clock.advance(versions.TOKEN_LASTS_S)
    second = await store.list(TEMPLATES, HERE, limit=2, continue_token=first.continue_token)
    assert (names(second), second.revision) == (["template-2", "template-3"], first.revision)
    clock.advance(1)
    for late in (first, second):
        with pytest.raises(versions.ContinueExpired) as caught:
            await store.list(TEMPLATES, HERE, limit=2, continue_token=late.continue_token)
    await make(store, "another", "elsewhere")
    following = caught.value.to_status()["metadata"]["continue"]
    rest = []
    while following:
        page = await store.list(TEMPLATES, HERE, limit=2, continue_token=following)
        rest.append((names(page), page.revision, page.remaining))
        following = page.continue_token
    assert rest == [
        (["template-4", "template-5"], first.revision + 1, 2),
        (["template-6", "template-7"], first.revision + 1, None),
    ]
    await store.close()


async def test_a_token_that_tells_no_beginning_is_taken() -> None:
    below = MemoryStore()
    await below.open()
    store = CachedStore(below, clock=FakeClock())
    await store.open()
    for name in "ab":
        await make(store, name)
    token = versions.encode_token(store.revision, "b")
    page = await store.list(TEMPLATES, HERE, limit=1, continue_token=token)
    assert names(page) == ["b"]
    await store.close()
