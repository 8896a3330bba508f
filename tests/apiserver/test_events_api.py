"""Events in both of their groups, deleted together, and gone when their time is over."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.storage.memory import MemoryStore

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


async def test_events_go_when_their_time_is_over(serving: Any) -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with serving(store, event_ttl_s=100) as api:
        await api.create(CORE, event("short"))
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "kept"}})
        clock.advance(99)
        await store.expire_leases()
        assert (await api("GET", f"{CORE}/short")).status == 200
        clock.advance(20)
        await store.expire_leases()
        assert (await api("GET", f"{CORE}/short")).status == 404
        assert (await api("GET", "/api/v1/namespaces/default/configmaps/kept")).status == 200
