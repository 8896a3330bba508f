"""Many writes at once into one namespace: one charge for all, and what others write meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.errors import Conflict, InternalError, NotFound
from tiphys.apiserver.admission import quota_ledger
from tiphys.apiserver.admission.quota_check import Refused, Uncovered, Write
from tiphys.apiserver.admission.quota_ledger import Charge, QuotaLedger

ROW: Any = "resourcequotas"


class Kept:
    """A quota as the store has it."""

    def __init__(self, name: str, hard: int, used: int = 0, revision: int = 1) -> None:
        key, self.revision = "count/configmaps", revision
        status = {"hard": {key: str(hard)}, "used": {key: str(used)}}
        self.object: Any = {"metadata": {"name": name, "resourceVersion": "1"}, "status": status}


class Store:
    """Quotas in memory; every read and write lets others run."""

    def __init__(self, *quotas: Kept) -> None:
        self.quotas = {quota.object["metadata"]["name"]: quota for quota in quotas}
        self.updates: list[str] = []
        self.before_update: Callable[[str], None] = lambda _name: None

    async def all(self, _row: Any, _namespace: str) -> Any:
        await asyncio.sleep(0)
        return list(self.quotas.values())

    async def update(self, _row: Any, obj: Any, expect_revision: int) -> Any:
        await asyncio.sleep(0)
        name = obj["metadata"]["name"]
        self.before_update(name)
        if name not in self.quotas:
            raise NotFound.of("", "resourcequotas", name)
        if self.quotas[name].revision != expect_revision:
            raise Conflict.of("", "resourcequotas", name)
        assert "resourceVersion" not in obj["metadata"]
        self.updates.append(name)
        changed = Kept(name, 0, revision=expect_revision + 1)
        changed.object = obj
        self.quotas[name] = changed
        return changed

    def used(self, name: str) -> int:
        return int(self.quotas[name].object["status"]["used"]["count/configmaps"])

    def touch(self, name: str, used: int | None = None) -> None:
        """Somebody else writes a quota."""
        quota = self.quotas[name]
        quota.revision += 1
        if used is not None:
            status = {**quota.object["status"], "used": {"count/configmaps": str(used)}}
            quota.object = {**quota.object, "status": status}


def one(*, dry_run: bool = False, plural: str = "configmaps") -> Charge:
    return Charge(Write("", plural, {"metadata": {"name": "c"}}), dry_run)


async def charge_all(store: Store, *charges: Charge, limited: Any = ()) -> list[BaseException | None]:
    ledger = QuotaLedger(ROW, limited)
    waiting = (ledger.charge(store, "n", charge) for charge in charges)
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_all_at_once_are_charged_in_one_write() -> None:
    store = Store(Kept("q", 150))
    found = await charge_all(store, *(one() for _ in range(200)))
    assert [error is None for error in found] == [True] * 150 + [False] * 50
    assert {str(error) for error in found[150:]} == {
        "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=150, "
        "limited: count/configmaps=150"
    }
    assert store.used("q") == 150
    assert len(store.updates) == 1


async def test_namespaces_do_not_wait_for_each_other() -> None:
    store, ledger = Store(Kept("q", 9)), QuotaLedger(ROW)
    await asyncio.gather(ledger.charge(store, "a", one()), ledger.charge(store, "b", one()))
    assert store.used("q") == 2  # this store has one namespace: the later one has tried again


async def test_only_what_others_have_written_is_charged_again() -> None:
    store = Store(Kept("a", 9), Kept("b", 9))
    meddle = ["b"]
    store.before_update = lambda name: store.touch(name, 5) if name in meddle and meddle.pop() else None
    assert await charge_all(store, one()) == [None]
    assert (store.used("a"), store.used("b")) == (1, 6)
    assert store.updates == ["a", "b"]


async def test_there_may_be_no_room_any_more() -> None:
    store = Store(Kept("q", 5))
    meddle = ["q"]
    store.before_update = lambda name: store.touch(name, 5) if name in meddle and meddle.pop() else None
    (error,) = await charge_all(store, one())
    assert isinstance(error, Refused)
    assert store.used("q") == 5


async def test_a_quota_that_is_gone_limits_nothing() -> None:
    store = Store(Kept("q", 5))
    store.before_update = lambda name: store.quotas.clear()
    assert await charge_all(store, one()) == [None]


async def test_others_who_always_come_first_are_told_of() -> None:
    store = Store(Kept("q", 5))
    store.before_update = store.touch
    (error,) = await charge_all(store, one())
    assert isinstance(error, Conflict)
    assert error.message == (
        'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )


async def test_a_dry_run_is_judged_and_not_charged() -> None:
    store = Store(Kept("q", 1))
    found = await charge_all(store, one(dry_run=True), one(), one(dry_run=True))
    assert [type(error) for error in found] == [type(None), type(None), Refused]
    assert store.used("q") == 1


async def test_what_is_limited_needs_a_quota() -> None:
    limited = [{"resource": "configmaps", "matchContains": ["count/configmaps"]}]
    (error,) = await charge_all(Store(), one(), limited=limited)
    assert isinstance(error, Refused | Uncovered)
    meddled = Store(Kept("q", 5))
    meddle = ["q"]
    meddled.before_update = lambda name: meddled.touch(name) if name in meddle and meddle.pop() else None
    assert await charge_all(meddled, one(), limited=limited) == [None]


async def test_one_who_leaves_does_not_take_the_others_along() -> None:
    store, ledger = Store(Kept("q", 9)), QuotaLedger(ROW)
    entered, gate = asyncio.Event(), asyncio.Event()

    async def all_of(_row: Any, _namespace: str) -> Any:
        entered.set()
        await gate.wait()
        return list(store.quotas.values())

    store.all = all_of  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        first = group.create_task(ledger.charge(store, "n", one()))
        await entered.wait()
        group.create_task(ledger.charge(store, "n", one()))
        left = group.create_task(ledger.charge(store, "n", one()))
        await asyncio.sleep(0)
        left.cancel()
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
    assert store.used("q") == 1


async def test_a_turn_does_not_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_ledger, "_PATIENCE_S", 0.001)
    store, ledger = Store(Kept("q", 9)), QuotaLedger(ROW)

    async def never(_row: Any, _namespace: str) -> Any:
        await asyncio.Event().wait()

    store.all = never  # type: ignore[method-assign]
    with pytest.raises(InternalError, match="resource quota evaluation timed out"):
        await ledger.charge(store, "n", one())


async def test_a_store_that_fails_fails_each_who_asks() -> None:
    store = Store(Kept("q", 9))

    def fail(_name: str) -> None:
        raise ValueError("away")

    store.before_update = fail
    assert [type(error) for error in await charge_all(store, one(), one())] == [ValueError, ValueError]


@pytest.mark.parametrize("plural", ["secrets"])
async def test_what_no_quota_is_about_is_free(plural: str) -> None:
    store = Store(Kept("q", 0))
    assert await charge_all(store, one(plural=plural)) == [None]
    assert store.updates == []


@pytest.mark.parametrize("gone", ["the first", "all"])
async def test_who_goes_away_is_charged_once_and_nobody_twice(gone: str) -> None:
    store, writing, gate = Store(Kept("q", 150)), asyncio.Event(), asyncio.Event()
    update = store.update

    async def slow(_row: Any, obj: Any, expect_revision: int) -> Any:
        writing.set()
        await gate.wait()
        return await update(_row, obj, expect_revision)

    store.update = slow  # type: ignore[method-assign]
    ledger = QuotaLedger(ROW)
    charges = [asyncio.ensure_future(ledger.charge(store, "n", one())) for _ in range(20)]
    await asyncio.wait_for(writing.wait(), 10)
    for task in charges[:1] if gone == "the first" else charges:
        task.cancel()
    await asyncio.wait(charges[:1])
    gate.set()
    await asyncio.gather(*charges, return_exceptions=True)
    await ledger.close()
    assert store.used("q") == 20
    await ledger.charge(store, "n", one())
    assert store.used("q") == 21


async def test_a_charge_that_failed_for_who_went_away_is_dropped() -> None:
    store, writing, gate = Store(Kept("q", 150)), asyncio.Event(), asyncio.Event()
    update = store.update

    async def fails(_row: Any, obj: Any, expect_revision: int) -> Any:
        writing.set()
        await gate.wait()
        store.update = update  # type: ignore[method-assign]
        raise OSError

    store.update = fails  # type: ignore[method-assign]
    ledger = QuotaLedger(ROW)
    first = asyncio.ensure_future(ledger.charge(store, "n", one()))
    await asyncio.wait_for(writing.wait(), 10)
    first.cancel()
    await asyncio.wait([first])
    gate.set()
    await ledger.close()
    await ledger.charge(store, "n", one())
    assert store.used("q") == 1
