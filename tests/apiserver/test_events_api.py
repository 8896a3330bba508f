"""Events in both of their groups, deleted together, and gone when their time is over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore
from tiphys.testing.etcd import ClockedEtcdStore, EtcdProcess

CORE = "/api/v1/namespaces/default/events"
NEWER = "/apis/events.k8s.io/v1/namespaces/default/events"
LABELS = {"testevent-set": "true"}


def event(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Test", "message": "This is " + name, "type": "Normal",
    }  # fmt: skip


def newer(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Test", "note": "This is " + name, "type": "Normal", "action": "Do",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "test",
        "reportingInstance": "test-1",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "make"), [(CORE, event), (NEWER, newer)], ids=["core", "events.k8s.io"])
async def test_a_collection_of_events_is_deleted(api: Any, path: str, make: Any) -> None:
    for name in ("one", "two", "three"):
        await api.create(path, make(name))
    await api.create(path, {**make("other"), "metadata": {"name": "other", "namespace": "default"}})
    selected = f"{path}?labelSelector=testevent-set=true"
    assert len((await api.get(selected))["items"]) == 3
    assert (await api("DELETE", selected)).status == 200
    assert (await api.get(selected))["items"] == []
    assert [item["metadata"]["name"] for item in (await api.get(path))["items"]] == ["other"]


async def test_an_event_is_the_same_in_both_groups(api: Any) -> None:
    await api.create(NEWER, newer("one"))
    found = await api.get(f"{CORE}/one")
    assert (found["message"], found["involvedObject"]["name"]) == ("This is one", "p")
    await api.patch(f"{CORE}/one", {"message": "changed"})
    assert (await api.get(f"{NEWER}/one"))["note"] == "changed"
    everywhere = (await api.get("/apis/events.k8s.io/v1/events"))["items"]
    assert [item["metadata"]["name"] for item in everywhere] == ["one"]
    assert (await api("DELETE", f"{NEWER}/one")).status == 200
    assert (await api("GET", f"{CORE}/one")).status == 404


async def _memory(_path: Path, clock: FakeClock, stack: AsyncExitStack) -> Any:
    return MemoryStore(clock=clock)


async def _sqlite(path: Path, clock: FakeClock, stack: AsyncExitStack) -> Any:
    return SqliteStore(path / "store.db", clock=clock)


async def _etcd(path: Path, clock: FakeClock, stack: AsyncExitStack) -> Any:
    process = EtcdProcess(path)
    stack.push_async_callback(process.end)
    await process.start()
    return ClockedEtcdStore(process.url, clock)


STORES = [
    pytest.param(_memory, id="memory"),
    pytest.param(_sqlite, id="sqlite"),
    pytest.param(_etcd, id="etcd", marks=pytest.mark.etcd),
]


@pytest.mark.parametrize("make_store", STORES)
async def test_events_go_when_their_time_is_over(serving: Any, tmp_path: Path, make_store: Any) -> None:
    """Each write of an Event begins its time anew; one that changes nothing does not."""
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        store = await make_store(tmp_path, clock, stack)
        api = await stack.enter_async_context(serving(store, event_ttl_s=100))
        for name in ("short", "same", "patched", "newer"):
            await api.create(CORE, event(name))
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "kept"}})

        async def pass_time(seconds: float) -> None:
            clock.advance(seconds)
            api.clock.advance(seconds)
            await store.expire_leases()
            await api.settle()

        watch = (await api.send("GET", f"{CORE}?watch=1&resourceVersion=0")).stream
        assert b"ADDED" in await anext(watch)
        await pass_time(90)
        same = await api.get(f"{CORE}/same")
        await api.put(f"{CORE}/same", same)
        await api.patch(f"{CORE}/patched", {"count": 2})
        changed = await api.get(f"{NEWER}/newer")
        changed["metadata"]["labels"] = {"seen": "again"}
        await api.put(f"{NEWER}/newer", changed)
        await pass_time(30)
        left = [item["metadata"]["name"] for item in (await api.get(CORE))["items"]]
        assert left == ["newer", "patched"]
        await pass_time(90)
        assert (await api.get(CORE))["items"] == []
        assert (await api("GET", "/api/v1/namespaces/default/configmaps/kept")).status == 200
        gone: dict[str, int] = {}
        seen = 0
        async with asyncio.timeout(5):
            while len(gone) < 4:
                for change in map(orjson.loads, (await anext(watch)).splitlines()):
                    meta = change["object"]["metadata"]
                    if change["type"] == "DELETED":
                        gone[meta["name"]] = int(meta["resourceVersion"])
                        assert gone[meta["name"]] >= seen
                    seen = max(seen, int(meta["resourceVersion"]))
        await watch.aclose()
        assert set(list(gone)[:2]) == {"short", "same"}


async def test_a_custom_resource_that_is_called_events_stays(serving: Any) -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "metadata": {"name": "events.calendar.example.com"},
        "spec": {
            "group": "calendar.example.com", "scope": "Namespaced",
            "names": {"plural": "events", "kind": "Event"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    async with serving(store, event_ttl_s=100) as api:
        await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await api.settle()
        path = "/apis/calendar.example.com/v1/namespaces/default/events"
        kind = {"apiVersion": "calendar.example.com/v1", "kind": "Event"}
        await api.create(path, {**kind, "metadata": {"name": "party"}})
        await api.patch(f"{path}/party", {"at": "noon"})
        clock.advance(1000)
        await store.expire_leases()
        assert (await api.get(f"{path}/party"))["at"] == "noon"
