"""Events in an etcd of their own, all else in another one (``--etcd-servers-overrides``)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.apiserver.test_shared_etcd import MAPS, OPTIONS, call, config_map, send

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.cache import feed
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.store_probe import NOT_OPEN
from tiphys.apiserver.stores import Stores
from tiphys.storage.base import Put
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.etcd_client import EtcdOptions
from tiphys.storage.memory import MemoryStore
from tiphys.testing.etcd import EtcdProcess, free_ports

NAMESPACES = "/api/v1/namespaces"
EVENTS = "/api/v1/namespaces/default/events"
NEWER = "/apis/events.k8s.io/v1/namespaces/default/events"
SEALED = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [events]
  providers:
  - aescbc: {keys: [{name: one, secret: c2VjcmV0IGlzIHNlY3VyZQ==}]}
"""


def event(name: str, **more: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    return {"metadata": {"name": name}, "involvedObject": about, "reason": "Seen", **more}


@pytest.fixture
async def etcds(tmp_path: Path) -> AsyncIterator[tuple[EtcdProcess, EtcdProcess]]:
    first, second = EtcdProcess(tmp_path / "all", "all"), EtcdProcess(tmp_path / "events", "events")
    try:
        await asyncio.gather(first.start(), second.start())
        yield first, second
    finally:
        await asyncio.gather(first.end(), second.end())


@asynccontextmanager
async def serving(
    etcds: tuple[EtcdProcess, EtcdProcess], options: ApiServerOptions = OPTIONS, patience_s: float = 10
) -> AsyncIterator[ApiServer]:
    reached = EtcdOptions(timeout_s=patience_s)
    first, second = (EtcdStore([etcd.url], options=reached, compact_every_s=0) for etcd in etcds)
    server = ApiServer(first, options, RealClock(), elsewhere={("", "events"): second})
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def looking(etcd: EtcdProcess) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd.url], compact_every_s=0)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.etcd
async def test_events_are_in_their_own_etcd_and_nothing_else_is(
    etcds: tuple[EtcdProcess, EtcdProcess],
) -> None:
    async with serving(etcds) as server, looking(etcds[0]) as first, looking(etcds[1]) as second:
        for number in range(3):
            assert (await call(server, "POST", EVENTS, event(f"e{number}")))[0] == 201
        _, made = await call(server, "POST", MAPS, config_map("m"))
        keys = [record.key for record in (await second.range("/")).records]
        assert keys == [f"/registry/events/default/e{number}" for number in range(3)]
        assert (await first.range("/registry/events/")).count == 0
        _, events = await call(server, "GET", f"{EVENTS}?limit=2")
        _, maps = await call(server, "GET", MAPS)
        assert int(events["metadata"]["resourceVersion"]) == second.revision == 4
        assert 4 < int(made["metadata"]["resourceVersion"]) <= int(maps["metadata"]["resourceVersion"])
        token = events["metadata"]["continue"]
        _, rest = await call(server, "GET", f"{EVENTS}?limit=2&continue={token}")
        assert [one["metadata"]["name"] for one in rest["items"]] == ["e2"]
        _, newer = await call(server, "GET", f"{NEWER}/e1")
        assert newer["metadata"]["resourceVersion"] == "3"
        lease = (await second.get("/registry/events/default/e0")).lease  # type: ignore[union-attr]
        assert await second.lease_left_s(lease) > 3000
        status, answer = await call(server, "GET", f"{EVENTS}/e0?resourceVersion=5")
        assert (status, answer["message"]) == (504, "Timeout: Too large resource version: 5, current: 4")


@pytest.mark.etcd
async def test_watches_go_on_where_each_etcd_is(etcds: tuple[EtcdProcess, EtcdProcess]) -> None:
    async with serving(etcds) as server, serving(etcds) as other:
        _, made = await call(other, "POST", EVENTS, event("e"))
        assert (await call(server, "GET", f"{EVENTS}/e"))[1] == made, "at once, whoever wrote it"
        response = await send(
            other, "GET", f"{EVENTS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}"
        )
        assert response.stream is not None
        for number in range(3):
            await call(server, "POST", MAPS, config_map(f"m{number}"))
        _, changed = await call(server, "PUT", f"{EVENTS}/e", {**made, "reason": "Gone"})
        async with asyncio.timeout(10):
            line = await anext(aiter(response.stream))
        assert orjson.loads(line) == {"type": "MODIFIED", "object": changed}
        await response.stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.etcd
async def test_history_is_that_of_each_etcd(etcds: tuple[EtcdProcess, EtcdProcess]) -> None:
    async with serving(etcds) as server, looking(etcds[1]) as second:
        for number in range(3):
            await call(server, "POST", EVENTS, event(f"e{number}"))
        await second.compact(4)
        path = f"{EVENTS}?resourceVersion=2&resourceVersionMatch=Exact"
    async with serving(etcds) as server:  # which knows nothing of the past by itself
        status, answer = await call(server, "GET", path)
        assert (status, answer["reason"]) == (410, "Expired")
        status, listed = await call(server, "GET", f"{EVENTS}?resourceVersion=4&resourceVersionMatch=Exact")
        assert (status, len(listed["items"])) == (200, 3)
        assert (await call(server, "GET", f"{MAPS}?resourceVersion=2&resourceVersionMatch=Exact"))[0] == 200


@pytest.mark.etcd
async def test_an_etcd_that_is_away_is_said_of_and_takes_its_kinds_along(
    etcds: tuple[EtcdProcess, EtcdProcess],
) -> None:
    async with serving(etcds, replace(OPTIONS, store_check_s=1.0)) as server:
        await call(server, "POST", EVENTS, event("e"))
        await etcds[1].end()
        away = server.stores._raw[1]
        away._client._options = replace(away._client._options, timeout_s=0.5)  # nobody waits for it here
        for probe in server.stores.probes:
            await probe.look()
        assert (await call(server, "GET", MAPS))[0] == 200
        assert (await call(server, "GET", EVENTS))[0] == 503
        body = bytes((await send(server, "GET", "/readyz")).body)  # type: ignore[arg-type]
        told = [line for line in body.decode().splitlines() if "etcd" in line]
        assert told == [
            "[+]etcd ok", "[+]etcd-readiness ok",
            "[-]etcd-override-0 failed: reason withheld",
            "[-]etcd-override-readiness-0 failed: reason withheld",
        ]  # fmt: skip
        assert (await send(server, "GET", "/livez?exclude=etcd")).status == 200
        _, found = await call(server, "GET", "/api/v1/componentstatuses/etcd-1")
        assert found["conditions"] == [
            {"type": "Healthy", "status": "False", "error": "context deadline exceeded"}
        ]
        _, found = await call(server, "GET", "/api/v1/componentstatuses/etcd-0")
        assert found["conditions"][0]["status"] == "True"


@pytest.mark.etcd
async def test_an_etcd_that_was_emptied_is_served_as_it_is_now(
    tmp_path: Path, etcds: tuple[EtcdProcess, EtcdProcess]
) -> None:
    """Nobody is shown what is no longer there, or waits for revisions of the past to come once more."""
    async with serving(etcds) as server:
        for number in range(5):
            _, made = await call(server, "POST", EVENTS, event(f"e{number}"))
        seen = made["metadata"]["resourceVersion"]
        response = await send(server, "GET", f"{EVENTS}?watch=1&resourceVersion={seen}")
        assert response.stream is not None
        stream = aiter(response.stream)
        await call(server, "POST", EVENTS, event("e"))
        assert orjson.loads(await anext(stream))["type"] == "ADDED"
        waiting = asyncio.ensure_future(anext(stream))
        await etcds[1].end()
        shutil.rmtree(tmp_path / "events" / etcds[1].name)
        await etcds[1].start()
        async with asyncio.timeout(20):
            told = orjson.loads(await waiting)
            while (await call(server, "GET", EVENTS))[0] != 200:
                pass  # away until the server has found it again
        assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert (await call(server, "GET", EVENTS))[1]["items"] == []
        assert (await call(server, "POST", EVENTS, event("new")))[0] == 201, "the lease is a new one"
        assert len((await call(server, "GET", EVENTS))[1]["items"]) == 1
        again = await send(server, "GET", f"{EVENTS}?watch=1&resourceVersion={seen}")
        assert again.stream is not None
        told = orjson.loads(await anext(aiter(again.stream)))
        assert (told["type"], told["object"]["code"]) == ("ERROR", 410)


@pytest.mark.etcd
async def test_kinds_of_an_etcd_that_lives_are_written_while_the_first_is_away(
    etcds: tuple[EtcdProcess, EtcdProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By namespaces and quotas as they were last known; once it is back, as they are."""
    monkeypatch.setattr(feed, "SILENT_S", 0.1)
    async with serving(etcds, patience_s=3) as server:
        _, made = await call(server, "POST", EVENTS, event("e"))
        await etcds[0].end()
        for name in ("f", "g"):
            assert (await call(server, "POST", EVENTS, event(name)))[0] == 201
        assert (await call(server, "PUT", f"{EVENTS}/e", {**made, "reason": "Gone"}))[0] == 200
        assert (await call(server, "DELETE", f"{EVENTS}/f"))[0] == 200
        assert len((await call(server, "GET", EVENTS))[1]["items"]) == 2
        elsewhere, other_event = EVENTS.replace("default", "new"), event("h")
        other_event["involvedObject"]["namespace"] = "new"
        assert (await call(server, "POST", elsewhere, other_event))[0] == 503, "it may be there by now"
        await etcds[0].start()
        async with serving(etcds) as other:
            assert (await call(other, "POST", NAMESPACES, {"metadata": {"name": "new"}}))[0] == 201
        assert (await call(server, "POST", elsewhere, other_event))[0] == 201


@pytest.mark.etcd
async def test_each_server_has_a_status_of_its_own(etcds: tuple[EtcdProcess, EtcdProcess]) -> None:
    """Two URLs of one etcd and one of another that is not there stand for a cluster of three."""
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    first = EtcdStore([etcds[0].url, nobody, etcds[0].url], compact_every_s=0)
    second = EtcdStore([etcds[1].url], compact_every_s=0)
    server = ApiServer(first, OPTIONS, RealClock(), elsewhere={("", "events"): second})
    try:
        await server.start()
        _, listed = await call(server, "GET", "/api/v1/componentstatuses")
        told = {one["metadata"]["name"]: one["conditions"][0]["status"] for one in listed["items"]}
        stores = {name: status for name, status in told.items() if name.startswith("etcd")}
        assert stores == {"etcd-0": "True", "etcd-1": "False", "etcd-2": "True", "etcd-3": "True"}
        assert (await call(server, "GET", "/api/v1/componentstatuses/etcd-4"))[0] == 404
        for probe in server.stores.probes:
            await probe.look()
        (family,) = server.stores.collect()
        places = [sample.labels["storage_cluster_id"] for sample in family.samples]
        assert places == ["etcd-0", "etcd-3"], "a size is one server's of each cluster"
    finally:
        await server.stop()


@pytest.mark.etcd
async def test_what_is_elsewhere_is_sealed_by_the_same_rules(
    etcds: tuple[EtcdProcess, EtcdProcess], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(SEALED)
    options = replace(OPTIONS, encryption_provider_config=file)
    async with serving(etcds, options) as server, looking(etcds[1]) as second:
        _, made = await call(server, "POST", EVENTS, event("e"))
        record = await second.get("/registry/events/default/e")
        assert record is not None
        assert record.value.startswith(b"k8s:enc:aescbc:v1:one:")
        assert await call(server, "GET", f"{EVENTS}/e") == (200, made)
        file.write_text(SEALED.replace("name: one", "name: two"))
        assert server._encrypted is not None
        assert server._encrypted.reload()
        await call(server, "POST", EVENTS, event("later"))
        record = await second.get("/registry/events/default/later")
        assert record is not None
        assert record.value.startswith(b"k8s:enc:aescbc:v1:two:")
        await call(server, "PUT", f"{EVENTS}/e", made)
        record = await second.get("/registry/events/default/e")
        assert record is not None
        assert record.value.startswith(b"k8s:enc:aescbc:v1:two:"), "what is written again is sealed anew"


@pytest.mark.parametrize(
    ("elsewhere", "prefix", "place"),
    [
        (("", "events"), "/registry/events/", 1),
        (("", "events"), "/registry/pods/", 0),
        (("events.k8s.io", "events"), "/registry/events/", 0),
        (("apps", "*"), "/registry/deployments/", 1),
        (("apps", "*"), "/registry/jobs/", 0),
        (("coordination.k8s.io", "leases"), "/registry/leases/", 1),
        (("apiextensions.k8s.io", "*"), "/registry/apiextensions.k8s.io/customresourcedefinitions/", 0),
        (("apiregistration.k8s.io", "apiservices"), "/registry/apiregistration.k8s.io/apiservices/", 0),
    ],
)
async def test_which_kinds_are_elsewhere(elsewhere: tuple[str, str], prefix: str, place: int) -> None:
    both = [MemoryStore(), MemoryStore()]
    stores = Stores(both[0], both[0], ApiServerOptions(), {elsewhere: both[1]}, lambda store: store)
    async with AsyncExitStack() as stack:
        await stores.open()
        stack.push_async_callback(stores.close)
        asked = [0, 0]
        for number, store in enumerate(both):

            async def revisions(_prefix: str, _revision: int, number: int = number) -> list[tuple[str, int]]:
                asked[number] += 1
                return []

            store.revisions = revisions  # type: ignore[method-assign]
        await stores.revisions(prefix, 1)
    assert asked[place] == 1


async def test_what_a_moved_kind_leaves_behind_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    first, second = MemoryStore(), MemoryStore()
    await first.open()
    await first.commit([Put(f"/registry/events/default/e{number}", b"{}") for number in range(3)])
    stores = Stores(first, first, ApiServerOptions(), {("", "events"): second}, lambda store: store)
    await stores.open()
    await stores.close()
    assert "objects left in the first store are not served prefix=/registry/events/ count=3" in caplog.text


def test_one_resource_beats_its_group() -> None:
    first, group, one = MemoryStore(), MemoryStore(), MemoryStore()
    elsewhere = {("apps", "*"): group, ("apps", "deployments"): one}
    stores = Stores(first, first, ApiServerOptions(), elsewhere, lambda store: store)
    assert stores._by_prefix["/registry/deployments/"] is one
    assert stores._by_prefix["/registry/daemonsets/"] is group


async def test_servers_of_a_store_that_is_not_open_are_not_asked() -> None:
    first, other = MemoryStore(), EtcdStore(["http://127.0.0.1:1"])
    stores = Stores(first, first, ApiServerOptions(), {("", "events"): other}, lambda store: store)
    assert await stores.look_at_servers() == [NOT_OPEN, NOT_OPEN]
