"""Lists and their pages: what a selection finds, and of which moment."""

import base64
import json

import pytest
from tests.apiserver.cache.conftest import PODS, labelled, names, on_node, pod

from tiphys.apimachinery.errors import (
    BadRequest,
    Expired,
    Timeout,
)
from tiphys.apiserver.cache import CachedStore, bucket, versions
from tiphys.apiserver.registry.objects import Selection
from tiphys.storage.base import Store


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


@pytest.mark.parametrize("remembered", [0, 100])
async def test_continue_after_compaction(
    below: Store, store: CachedStore, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """What the store has forgotten is not told from memory either."""
    monkeypatch.setattr(bucket, "RING_EVENTS", remembered)
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
        (
            {"continue_token": "!!", "resource_version": "1"},
            "invalid continue token: continue key is not valid",
        ),
        (
            {"continue_token": "!!", "resource_version": "x"},
            "invalid continue token: continue key is not valid",
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
