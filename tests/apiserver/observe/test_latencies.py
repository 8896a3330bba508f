"""The times of a request's layers, and whom they are told of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.apiserver.cache.conftest import PODS, FollowedStore

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import NotFound
from tiphys.apis.table import TABLE as TABLE_OF_ALL
from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.cache import CachedStore, entry
from tiphys.apiserver.observe import latencies
from tiphys.apiserver.observe.metrics import Aside
from tiphys.apiserver.registry import machinery
from tiphys.storage.memory import MemoryStore
from tiphys.wire.message import Request

PREFIX = "apiserver.latency.k8s.io/"
MAPS = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


@pytest.fixture
def request_() -> Request:
    return Request("GET", "/")


@pytest.fixture(autouse=True)
def nobody_follows() -> Iterator[None]:
    yield
    latencies._present.set(None)


def test_layers(request_: Request) -> None:
    clock = FakeClock()
    latencies.follow(request_, clock.monotonic)
    assert latencies.told(request_, 2.5) == {}
    for seconds in (0.25, 0.5):
        latencies.spent(latencies.AUTHORIZATION, seconds)
        with latencies.spending(latencies.SERIALIZE):
            clock.advance(0.25)
    latencies.spent(latencies.IMPERSONATION, 0.0)
    assert latencies.told(request_, 2.5) == {
        f"{PREFIX}authorization": "750ms",
        f"{PREFIX}serialize-response-object": "500ms",
        f"{PREFIX}total": "2.5s",
    }
    assert latencies.told(request_, 0.5) == {}


def test_a_layer_within_another_is_told_apart(request_: Request) -> None:
    clock = FakeClock()
    latencies.follow(request_, clock.monotonic)
    for _ in range(2):
        with latencies.spending(latencies.TRANSFORM):
            clock.advance(0.25)
            for _ in range(2):
                with latencies.spending(latencies.DECODE):
                    clock.advance(0.5)
    assert latencies.told(request_, 2.5) == {
        f"{PREFIX}transform-response-object": "500ms",
        f"{PREFIX}decode-response-object": "2s",
        f"{PREFIX}total": "2.5s",
    }


def test_what_waiting_and_webhooks_took(request_: Request) -> None:
    aside = Aside.of(request_.scope)
    aside.waited_s, aside.mutating_s, aside.validating_s = 0.25, 0.75, 0.5
    assert latencies.told(request_, 2.5) == {}
    latencies.follow(request_, FakeClock().monotonic)
    assert latencies.told(request_, 2.5) == {
        f"{PREFIX}apf-queue-wait": "250ms",
        f"{PREFIX}mutating-webhook": "750ms",
        f"{PREFIX}validating-webhook": "500ms",
        f"{PREFIX}total": "2.5s",
    }


def test_nothing_is_kept_where_nobody_audits(request_: Request) -> None:
    latencies.spent(latencies.AUTHORIZATION, 1.0)
    with latencies.spending(latencies.STORE):
        pass
    assert request_.scope == {}
    assert latencies.told(request_, 2.5) == {}


@pytest.mark.parametrize(
    ("accept", "slow", "layer"),
    [
        ("application/json", "commit", "etcd"),
        (PROTOBUF, "encode_protobuf", "serialize-response-object"),
        (TABLE, "table_rows", "transform-response-object"),
    ],
)
async def test_where_the_time_of_a_write_went(
    tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch, accept: str, slow: str, layer: str
) -> None:
    policy, path, clock = tmp_path / "policy.yaml", tmp_path / "audit.log", FakeClock()
    policy.write_text(
        yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]})
    )
    async with serving(audit=AuditOptions(policy, LogOptions(str(path))), clock=clock) as api:
        where = api.store if slow == "commit" else machinery
        quick = getattr(where, slow)

        def wrapped(*args: Any, **more: Any) -> Any:
            clock.advance(0.75)
            return quick(*args, **more)

        monkeypatch.setattr(where, slow, wrapped)
        answer = await api("POST", MAPS, {"metadata": {"name": "m"}}, accept=accept)
        assert answer.status == 201
        event = orjson.loads(path.read_bytes().splitlines()[-1])
        found = {key: value for key, value in event["annotations"].items() if key.startswith(PREFIX)}
        assert found == {f"{PREFIX}{layer}": "750ms", f"{PREFIX}total": "750ms"}


POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


def audited(folder: Path) -> AuditOptions:
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    return AuditOptions(policy, LogOptions(str(folder / "audit.log")))


def latest(folder: Path) -> dict[str, str]:
    """Return the times that the latest event of the log tells."""
    event = orjson.loads((folder / "audit.log").read_bytes().splitlines()[-1])
    assert event["stage"] == "ResponseComplete"
    return {
        key.removeprefix(PREFIX): value
        for key, value in event["annotations"].items()
        if key.startswith(PREFIX)
    }


async def test_decoding_what_is_stored(tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    async with serving(audit=audited(tmp_path), clock=clock) as api:
        await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b"}})
        found = await api.server.objects.get(TABLE_OF_ALL.served_at("", "v1", "configmaps"), "default", "m")
        found._object = found._written = None

        class Slow:
            @staticmethod
            def loads(raw: bytes) -> Any:
                clock.advance(0.75)
                return orjson.loads(raw)

        monkeypatch.setattr(entry, "orjson", Slow)
        answer = await api("GET", f"{MAPS}/m", accept=PROTOBUF)
        assert answer.status == 200
        assert latest(tmp_path) == {"decode-response-object": "750ms", "total": "750ms"}


@pytest.mark.parametrize("slow_before", [False, True])
async def test_writing_to_a_client_that_takes_its_time(
    tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch, slow_before: bool
) -> None:
    clock = FakeClock()
    async with serving(audit=audited(tmp_path), clock=clock) as api:
        size = 10 if slow_before else 100_000
        await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b" * size}})
        if slow_before:
            quick = api.server.backend.store.get

            async def get(*args: Any) -> Any:
                clock.advance(0.75)
                return await quick(*args)

            monkeypatch.setattr(api.server.backend.store, "get", get)
        response = await api.send("GET", f"{MAPS}/m")
        before = (tmp_path / "audit.log").read_bytes().splitlines()
        assert orjson.loads(before[-1])["verb"] == "get"
        assert orjson.loads(before[-1])["stage"] == "RequestReceived"
        clock.advance(2)
        response.written()
        total = "2.75s" if slow_before else "2s"
        assert latest(tmp_path) == {"response-write": "2s", "total": total}


async def test_a_client_that_leaves_while_its_answer_is_compressed(
    tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(audit=audited(tmp_path)) as api:
        await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b" * 200_000}})

        async def leaves(*_args: Any) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(api.server._chain._compression, "apply", leaves)
        with pytest.raises(asyncio.CancelledError):
            await api.send("GET", f"{MAPS}/m", accept_encoding="gzip")
        events = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
        told = [one["stage"] for one in events if one["verb"] == "get" and one["requestURI"] == f"{MAPS}/m"]
        assert told == ["RequestReceived", "ResponseComplete"]


async def test_an_answer_that_is_small_and_quick_waits_for_the_audit(tmp_path: Path, serving: Any) -> None:
    async with serving(audit=audited(tmp_path)) as api:
        response = await api.send("GET", "/version")
        assert response.written is None
        assert latest(tmp_path) == {}


async def test_asking_a_shared_store_what_is_newest(request_: Request) -> None:
    inner, clock = MemoryStore(), FakeClock()
    quick = inner.range

    async def slow(*args: Any, **more: Any) -> Any:
        clock.advance(0.75)
        return await quick(*args, **more)

    inner.range = slow  # type: ignore[method-assign]
    await inner.open()
    store = CachedStore(FollowedStore(inner), clock=clock)  # type: ignore[arg-type]
    await store.open()
    with pytest.raises(NotFound):
        await store.get(PODS, "default", "p")  # reads it all, and whether that is the newest
    latencies.follow(request_, clock.monotonic)
    with pytest.raises(NotFound):
        await store.get(PODS, "default", "p")
    await store.close()
    assert latencies.told(request_, 0.75)[f"{PREFIX}etcd"] == "750ms"
