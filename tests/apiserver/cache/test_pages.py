"""Pages that are found and joined once, and how long they stay."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache import CachedStore
from tiphys.apiserver.cache import entry as entries
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.form import encode
from tiphys.apiserver.cache.pages import FORMS, PAGES, KeptBytes, PageItems, Pages
from tiphys.apiserver.evaluating import LARGE_BYTES
from tiphys.apiserver.registry.objects import Page, Selection
from tiphys.storage.memory import MemoryStore

MAPS = Resource(
    "", "v1", "ConfigMap", "configmaps", "configmap", True, (), GVK("", "v1", "ConfigMap"),
    "/registry/configmaps/",
)  # fmt: skip
SECRETS = Resource(
    "", "v1", "Secret", "secrets", "secret", True, (), GVK("", "v1", "Secret"), "/registry/secrets/"
)


def made(kind: str, name: str, namespace: str = "a") -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}


@pytest.fixture
async def store() -> AsyncIterator[CachedStore]:
    below = MemoryStore(clock=FakeClock())
    await below.open()
    cache = CachedStore(below)
    await cache.open()
    for name in "bcd":
        await cache.create(MAPS, made("ConfigMap", name))
    yield cache
    await cache.close()
    await below.close()


@pytest.fixture
def spliced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the entries whose bytes were put together."""
    seen: list[str] = []
    original: Any = Entry.listed

    def listed(self: Entry) -> bytes:
        seen.append(self.name)
        return original.fget(self)  # type: ignore[no-any-return]

    monkeypatch.setattr(entries.Entry, "listed", property(listed))
    return seen


def joined(page: Page) -> bytes:
    assert page.joined is not None
    return page.joined()


async def test_a_page_is_joined_twice_at_most(store: CachedStore, spliced: list[str]) -> None:
    seen = {joined(await store.list(MAPS, Selection())) for _ in range(5)}
    assert len(seen) == 1
    assert spliced == ["b", "c", "d"] * 2
    page = await store.list(MAPS, Selection())
    assert seen == {b",".join([item.listed for item in page.items])}


async def test_the_lists_revision_is_of_now_though_the_page_is_not_new(store: CachedStore) -> None:
    before = await store.list(MAPS, Selection(), limit=2)
    await store.create(SECRETS, made("Secret", "x"))
    after = await store.list(MAPS, Selection(), limit=2)
    assert after.revision == before.revision + 1
    assert after.items is before.items
    assert before.continue_token != after.continue_token


async def _create(store: CachedStore, at: int) -> None:
    await store.create(MAPS, made("ConfigMap", "e"))


async def _delete(store: CachedStore, at: int) -> None:
    await store.delete(MAPS, "a", "c", at)


async def _update(store: CachedStore, at: int) -> None:
    await store.update(MAPS, {**made("ConfigMap", "c"), "data": {"k": "v"}}, at)


@pytest.mark.parametrize("write", [_create, _delete, _update])
async def test_any_change_of_the_kind_makes_the_page_anew(
    store: CachedStore, write: Callable[[CachedStore, int], Awaitable[None]]
) -> None:
    stale = [joined(await store.list(MAPS, Selection())) for _ in range(3)][-1]
    assert store._feed.kept.total_bytes == len(stale)
    await write(store, (await store.get(MAPS, "a", "c")).revision)
    assert store._feed.kept.total_bytes == 0
    page = await store.list(MAPS, Selection())
    assert joined(page) == b",".join([item.listed for item in page.items]) != stale


async def test_pages_follow_each_other(store: CachedStore) -> None:
    await store.create(MAPS, made("ConfigMap", "z", "other"))
    for _ in range(2):
        first = await store.list(MAPS, Selection(), limit=2)
        assert [item.name for item in first.items] == ["b", "c"]
        assert first.remaining == 2
        second = await store.list(MAPS, Selection(), limit=2, continue_token=first.continue_token)
        assert [item.name for item in second.items] == ["d", "z"]
        assert (second.continue_token, second.remaining) == ("", None)
        narrowed = await store.list(MAPS, Selection(namespace="a"), limit=3)
        assert [item.name for item in narrowed.items] == ["b", "c", "d"]
        assert narrowed.continue_token == ""


async def test_a_narrowed_list_has_no_page(store: CachedStore) -> None:
    page = await store.list(MAPS, Selection(matches=lambda item: item.name != "c"), limit=1)
    assert [item.name for item in page.items] == ["b"]
    assert (page.joined, page.remaining) == (None, None)


async def test_a_past_page_is_not_of_now(store: CachedStore) -> None:
    first = await store.list(MAPS, Selection(), limit=1)
    await store.create(MAPS, made("ConfigMap", "bb"))
    second = await store.list(MAPS, Selection(), limit=5, continue_token=first.continue_token)
    assert [item.name for item in second.items] == ["c", "d"]


# -- the bound


class _Reader:
    has_fields = False
    custom = False

    def read_fields(self, obj: Object) -> dict[str, str]:
        return {}


def page_of(kept: KeptBytes, name: str = "x") -> PageItems:
    value = encode({"apiVersion": "v1", "kind": "A", "metadata": {"name": name}})
    return PageItems(kept, [Entry(_Reader(), f"/a/{name}", "", name, value, revision=7, lease=0)], more=False)


def ask(page: PageItems, times: int = 2) -> int:
    return len([page.joined() for _ in range(times)][-1])


async def test_what_was_used_longest_ago_goes_first() -> None:
    size = ask(page_of(KeptBytes()))
    kept = KeptBytes(limit_bytes=2 * size)
    pages = [page_of(kept, name) for name in "abc"]
    for page in pages[:2]:
        ask(page)
    pages[0].joined()
    ask(pages[2])
    assert [page._joined is not None for page in pages] == [True, False, True]
    assert kept.total_bytes == 2 * size
    kept.close()
    assert kept.total_bytes == 0
    assert [page._joined for page in pages] == [None, None, None]


async def test_a_page_that_is_too_large_is_joined_each_time() -> None:
    kept = KeptBytes(limit_bytes=3)
    page = page_of(kept)
    ask(page, 3)
    assert (page._joined, kept.total_bytes) == (None, 0)


async def test_idle_bytes_go_by_themselves() -> None:
    kept = KeptBytes(idle_s=0.001)
    page = page_of(kept)
    ask(page)
    assert kept.total_bytes > 0
    async with asyncio.timeout(10):
        while kept.total_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert kept._timer is None
    assert page._joined is None


@pytest.mark.parametrize("away", ["idle", "pushed out", "closed"])
async def test_an_empty_page_goes_and_comes_again(away: str) -> None:
    kept = KeptBytes(limit_bytes=1)
    page = PageItems(kept, [], more=False)
    ask(page)
    if away == "idle":
        kept._sweep()  # it was asked for just now
        kept._sweep()
    elif away == "pushed out":
        kept.drop(page)
    else:
        kept.close()
    assert page._joined is None
    assert ask(page, 3) == 0
    kept.close()


async def test_what_is_asked_for_stays() -> None:
    kept = KeptBytes()
    idle, busy = page_of(kept, "idle"), page_of(kept, "busy")
    ask(idle)
    ask(busy)
    kept._sweep()
    busy.joined()
    kept._sweep()
    assert idle._joined is None
    assert busy._joined is not None
    kept.close()


async def test_a_kind_remembers_so_many_pages() -> None:
    kept = KeptBytes()
    pages = Pages(kept)
    for number in range(PAGES):
        ask(pages.add("/a/", "/a/", number, page_of(kept).entries, more=False))
    assert pages.get("/a/", "/a/", 0) is not None
    pages.add("/a/", "/a/", PAGES, [], more=False)
    assert pages.get("/a/", "/a/", 0) is None
    assert pages.get("/a/", "/a/", PAGES) is not None
    assert kept.total_bytes == 0
    kept.close()


async def test_a_page_is_kept_in_so_many_forms() -> None:
    kept = KeptBytes()
    page = page_of(kept)
    for form in range(FORMS):
        await page.shared(form, "now", lambda: b"1234")
    assert kept.total_bytes == 4 * FORMS
    await page.shared(FORMS, "now", lambda: b"1234")
    assert kept.total_bytes == 4
    await page.shared(FORMS, "later", lambda: b"12")
    assert (kept.total_bytes, await page.shared(FORMS, "later", lambda: b"made anew")) == (2, b"12")
    page.drop()
    assert kept.total_bytes == 0
    kept.close()


class Slow:
    """Makes bytes when it is let; it counts how often."""

    def __init__(self, data: bytes = b"made") -> None:
        self.let = threading.Event()
        self.times = 0
        self._data = data

    def __call__(self) -> bytes:
        self.times += 1
        assert self.let.wait(20)
        return self._data


def large(kept: KeptBytes) -> PageItems:
    value = encode({"apiVersion": "v1", "kind": "A", "metadata": {"name": "x"}, "data": "y" * LARGE_BYTES})
    return PageItems(kept, [Entry(_Reader(), "/a/x", "", "x", value, revision=7, lease=0)], more=False)


async def test_those_who_ask_meanwhile_wait_for_the_same() -> None:
    kept, make = KeptBytes(), Slow()
    page = large(kept)
    asking = [asyncio.create_task(page.shared("form", "now", make)) for _ in range(3)]
    await asyncio.sleep(0)  # all have asked
    asking[0].cancel()
    make.let.set()
    assert await asyncio.gather(*asking[1:]) == [b"made"] * 2
    assert make.times == 1
    assert await page.shared("form", "now", make) == b"made"
    assert (make.times, kept.total_bytes) == (1, 4)
    kept.close()


async def test_who_means_another_time_has_it_made_again() -> None:
    kept, now, later = KeptBytes(), Slow(b"now"), Slow(b"later")
    page = large(kept)
    asking = [
        asyncio.create_task(page.shared("form", stamp, make))
        for stamp, make in (("now", now), ("later", later))
    ]
    await asyncio.sleep(0)
    now.let.set()
    later.let.set()
    assert await asyncio.gather(*asking) == [b"now", b"later"]
    assert await page.shared("form", "later", now) == b"later"
    kept.close()


async def test_a_page_that_has_gone_meanwhile_keeps_nothing() -> None:
    kept, make = KeptBytes(), Slow()
    page = large(kept)
    asking = asyncio.create_task(page.shared("form", "now", make))
    await asyncio.sleep(0)
    page.drop()
    make.let.set()
    assert await asking == b"made"
    assert kept.total_bytes == 0


async def test_what_cannot_be_made_is_told_to_all() -> None:
    def fail() -> bytes:
        raise ValueError("no")

    kept = KeptBytes()
    page = large(kept)
    found = await asyncio.gather(*(page.shared("a", "b", fail) for _ in range(2)), return_exceptions=True)
    assert [str(one) for one in found] == ["no", "no"]
    make = Slow()
    make.let.set()
    assert await page.shared("a", "b", make) == b"made"
    kept.close()
