"""How lists were answered: what is counted of each, and the families of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from tests.apiserver.cache.conftest import PODS, pod

from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.observe.list_families import list_families
from tiphys.apiserver.registry.objects import Selection

Doing = Callable[[CachedStore, int], Awaitable[object]]
INDEXED: Final = Selection(matches=lambda one: one.name != "c", field_equals=("spec.nodeName", "n"))
KIND: Final = {"group": "", "resource": "pods"}


def figures(store: CachedStore) -> dict[tuple[str, str], float]:
    """Return what families of lists show of pods, by name and index."""
    counts = store.counts(PODS)
    found: dict[tuple[str, str], float] = {}
    if counts is None:
        return found
    for family in list_families([(("", "pods"), counts)], alone=store.alone):
        for sample in family.samples:
            rest = {name: value for name, value in sample.labels.items() if name not in ("index", "le")}
            more = {"success": "true", "fallback": "false"} if "consistent" in sample.name else {}
            assert rest == {**KIND, **more}
            if not sample.name.endswith(("_bucket", "_sum")):
                name = sample.name.removeprefix("apiserver_")
                found[name, sample.labels.get("index", "")] = sample.value
    return found


def cached(count: int, fetched: int, returned: int, index: str = "") -> dict[tuple[str, str], float]:
    return {
        ("cache_list_total", index): count,
        ("cache_list_fetched_objects_total", index): fetched,
        ("cache_list_returned_objects_total", ""): returned,
    }


FRESH: Final = {("watch_cache_consistent_read_total", ""): 1}
CASES: Final[dict[str, tuple[Doing, dict[tuple[str, str], float]]]] = {
    "all": (lambda store, _: store.list(PODS, Selection()), {**cached(1, 3, 3), **FRESH}),
    "a page": (lambda store, _: store.list(PODS, Selection(), limit=2), {**cached(1, 2, 2), **FRESH}),
    "a filter": (
        lambda store, _: store.list(PODS, Selection(matches=lambda one: one.name == "a")),
        {**cached(1, 3, 1), **FRESH},
    ),
    "a page of a filter": (
        lambda store, _: store.list(PODS, Selection(matches=lambda one: one.name != "a"), limit=1),
        {**cached(1, 3, 1), **FRESH},
    ),
    "an index": (
        lambda store, _: store.list(PODS, INDEXED),
        {**cached(1, 2, 1, "f:spec.nodeName"), **FRESH},
    ),
    "whatever there is": (
        lambda store, _: store.list(PODS, Selection(), resource_version="0"),
        cached(1, 3, 3),
    ),
    "the past from memory": (
        lambda store, then: store.list(
            PODS, Selection(), resource_version=str(then), resource_version_match="Exact"
        ),
        cached(1, 1, 1),
    ),
    "another namespace": (
        lambda store, _: store.list(PODS, Selection("other")),
        {**cached(1, 0, 0), **FRESH},
    ),
    "no list": (lambda store, _: store.get(PODS, "default", "a"), {}),
}  # fmt: skip


async def prepared(store: CachedStore) -> int:
    """Make three pods; return the revision of the first."""
    first = await store.create(PODS, pod("a"))
    for name in ("b", "c"):
        await store.create(PODS, pod(name, node="n"))
    return first.revision


@pytest.mark.parametrize(("doing", "wanted"), CASES.values(), ids=CASES)
async def test_what_a_list_adds(store: CachedStore, doing: Doing, wanted: dict[Any, float]) -> None:
    then = await prepared(store)
    before = figures(store)
    await doing(store, then)
    added = {key: value - before.get(key, 0) for key, value in figures(store).items()}
    waited = added.pop(("watch_cache_read_wait_seconds_count", ""), 0)
    stored = {key: value for key, value in added.items() if key[0].startswith("storage")}
    assert set(stored.values()) == {0}
    assert {key: value for key, value in added.items() if key not in stored} == wanted
    if ("watch_cache_consistent_read_total", "") in wanted:
        assert waited == 1


async def test_an_empty_kind(store: CachedStore) -> None:
    await store.list(PODS, Selection())
    found = figures(store)
    assert {key: found[key] for key in cached(1, 0, 0)} == cached(1, 0, 0)


async def test_lists_from_the_store(store: CachedStore) -> None:
    then = await prepared(store)
    before = figures(store)
    assert [before[f"storage_list{name}_total", ""] for name in ("", "_fetched_objects")] == [1, 0]
    store.distrust(PODS, then + 1)
    page = await store.list(
        PODS, Selection(matches=lambda _: False), resource_version=str(then), resource_version_match="Exact"
    )
    assert not page.items
    after = figures(store)
    added = {key[0]: after[key] - value for key, value in before.items() if after[key] != value}
    assert added == {
        "storage_list_total": 1,
        "storage_list_fetched_objects_total": 1,
        "storage_list_evaluated_objects_total": 1,
    }
    await store.list(PODS, Selection(), resource_version=str(then), resource_version_match="Exact")
    assert figures(store)["storage_list_returned_objects_total", ""] == 1


def test_buckets_of_waits() -> None:
    counts = KindCounts()
    counts.waits.observe(0.3)
    *_, waits = list_families([(("", "pods"), counts)], alone=False)
    found = {one.labels["le"]: one.value for one in waits.samples if "le" in one.labels}
    assert " ".join(found) == "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 +Inf"
    assert found == {bound: float(bound) >= 0.3 for bound in found}
