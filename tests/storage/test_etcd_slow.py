"""Members of etcd that are slow, or say nothing: who is asked in their place, and how often."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from etcd_line import Line, opened

from tiphys.storage.base import Event, Put, StoreUnavailable
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.etcd_client import EtcdOptions

pytestmark = pytest.mark.etcd


async def test_a_line_that_stands_still_is_left(etcd: Any, line: Line) -> None:
    url = await line.open()
    heard: list[Event] = []
    async with opened(url, etcd.url) as store, opened(etcd.url) as other:
        store.subscribe(heard.extend)
        await store.commit([Put("/a", b"1")])
        line.moving.clear()
        revision = await other.commit([Put("/a", b"2")])
        while store.revision < revision:
            with suppress(StoreUnavailable):
                await store.confirm()
        assert await store.commit([Put("/a", b"3", expect=revision)]) == revision + 1
    assert [event.record.value for event in heard] == [b"1", b"2", b"3"]


async def test_who_waits_for_a_slow_members_events_gets_anothers(
    etcd: Any, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.storage.etcd._SLOW_S", 0.05)
    url = await line.open()
    heard: list[Event] = []
    async with opened(url, etcd.url) as store, opened(etcd.url) as other:
        store.subscribe(heard.extend)
        await store.commit([Put("/slow", b"1")])
        store._client.rotate()  # questions go to the other member, the events come over the line
        line.moving.clear()
        await other.commit([Put("/slow", b"2")])
        await store.confirm()  # does not fail: it is only later
        revision = await store.commit([Put("/slow", b"3")])
        assert store.revision == revision
    assert [event.record.value for event in heard if event.record.key == "/slow"] == [b"1", b"2", b"3"]


def asked_of(store: EtcdStore) -> list[int]:
    """Return a list that grows by each member that is asked for /a, and by ~member where that failed."""
    client, asked = store._client, []
    ask = client._ask

    async def noted(member: int, method: str, request: Any, timeout_s: float) -> Any:
        if getattr(request, "key", b"") != b"/a":  # the store has questions of its own
            return await ask(member, method, request, timeout_s)
        asked.append(member)
        try:
            return await ask(member, method, request, timeout_s)
        except Exception:
            asked.append(~member)
            raise

    client._ask = noted  # type: ignore[method-assign, assignment]
    return asked


async def test_a_read_of_a_slow_member_is_answered_by_another(
    etcd: Any, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await line.open()
    hedge = "tiphys.storage.etcd_client._HEDGE_S"
    async with opened(url, etcd.url) as store, opened(etcd.url) as other:
        await other.commit([Put("/a", b"1")])
        asked = asked_of(store)
        for hedge_s, moving, members in (
            (30, True, [0]),
            (0.05, False, [0, 1]),
            (30, False, [1]),
            (30, True, [1]),
        ):
            monkeypatch.setattr(hedge, hedge_s)
            (line.moving.set if moving else line.moving.clear)()
            assert (await store.get("/a")).value == b"1"  # type: ignore[union-attr]
            assert asked == members
            asked.clear()


async def test_a_slow_member_whose_fellow_is_gone_is_waited_for(
    etcd: Any, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.storage.etcd_client._HEDGE_S", 0.05)
    monkeypatch.setattr("tiphys.storage.etcd_client._TRY_S", 20.0)
    url = await line.open()
    async with opened(url, "http://127.0.0.1:9", options=EtcdOptions(timeout_s=25)) as store:
        await store.commit([Put("/a", b"1")])
        store._client._current = 0
        asked = asked_of(store)
        line.moving.clear()
        reading = asyncio.create_task(store.get("/a"))
        while ~1 not in asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        line.moving.set()
        assert (await reading).value == b"1"  # type: ignore[union-attr]
        assert asked == [0, 1, ~1]


async def test_members_that_are_all_slow_are_not_asked_again_and_again(
    etcd: Any, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.storage.etcd._SLOW_S", 0.02)
    url = await line.open()
    async with opened(url, url) as store, opened(etcd.url) as other:
        await store.commit([Put("/slow", b"1")])
        left: list[int] = []
        follow, present = store._follow_elsewhere, store._present
        asked = await present()

        def counted() -> None:
            left.append(1)
            follow()

        monkeypatch.setattr(store, "_follow_elsewhere", counted)
        line.moving.clear()
        waiting = asyncio.create_task(store._shown(asked + 1))
        await asyncio.sleep(0.2)
        await other.commit([Put("/slow", b"2")])
        line.moving.set()
        await waiting
        assert 1 <= len(left) <= 8  # after 0.02, 0.06, 0.14, 0.3 s; not every 0.02 s
        assert store._patience_s == 0.02
