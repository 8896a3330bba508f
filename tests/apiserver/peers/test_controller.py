"""Two API servers over one store, neither of which serves everything.

Source: upstream's tests of the peer proxy (handler, discovery cache, integration) and of peer-aggregated
discovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from tiphys.apiserver.peers.addresses import PREFIX, record
from tiphys.storage.base import Delete, Put

JOBS = "/apis/batch/v1/namespaces/default/jobs"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
ALL = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PROXIED = "x_kubernetes_peer_proxied"
WAIT_S = 20.0


async def until(what: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)


async def knows(api: Any, *others: Any) -> None:
    """Wait until a server knows what the others serve, and nobody else."""
    await until(lambda: set(api.server.peers.groups()) == {other.name for other in others})


def job(name: str = "j") -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": containers, "restartPolicy": "Never"}}},
    }  # fmt: skip


async def read(response: Any) -> bytes:
    if response.stream is None:
        return response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return b"".join([chunk async for chunk in response.stream])


async def call(api: Any, method: str, path: str, body: Any = None, **rest: Any) -> tuple[int, Any]:
    response = await api.send(method, path, body, **rest)
    raw = await read(response)
    is_json = "json" in response.headers.get("content-type", response.headers.get("Content-Type", ""))
    return response.status, orjson.loads(raw) if is_json else raw


async def shown(api: Any, accept: str = ALL) -> dict[str, list[str]]:
    items = (await api.get("/apis", accept=accept))["items"]
    return {one["metadata"]["name"]: [version["version"] for version in one["versions"]] for one in items}


def numbers(api: Any, name: str) -> dict[str, float]:
    """Return the samples of a counter by their labels."""
    families = [family for family in api.server.peers.counts.collect() if family.name == name]
    return {
        "/".join(sample.labels.values()): sample.value for family in families for sample in family.samples
    }


@pytest.fixture
async def pair(fleet: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A server without apps/v1 and one without batch/v1, each of which knows the other."""
    async with fleet.start("a", "apps/v1") as one, fleet.start("b", "batch/v1") as other:
        await knows(one, other)
        await knows(other, one)
        yield one, other, fleet


async def test_what_one_server_does_not_serve_the_other_does(pair: tuple[Any, Any, Any]) -> None:
    one, other, _ = pair
    assert (await call(other, "POST", JOBS, job()))[0] == 201
    status, found = await call(other, "GET", JOBS)
    assert (status, [item["metadata"]["name"] for item in found["items"]]) == (200, ["j"])
    assert (await call(one, "GET", JOBS))[1]["items"][0] == found["items"][0]
    assert (await call(other, "GET", f"{JOBS}/none"))[0] == 404
    assert (await call(one, "GET", DEPLOYMENTS))[1]["kind"] == "DeploymentList"
    counted = numbers(other, "apiserver_rerouted_request")
    assert {key: value for key, value in counted.items() if "batch" in key} == {
        "201/batch/v1/jobs": 1, "200/batch/v1/jobs": 1, "404/batch/v1/jobs": 1
    }  # fmt: skip
    assert counted["200///"] >= 2
    text = (await other("GET", "/metrics")).raw
    assert (
        b'apiserver_rerouted_request_total{code="201",group="batch",resource="jobs",version="v1"} 1' in text
    )


async def test_requests_are_their_users_on_the_other_side(pair: tuple[Any, Any, Any]) -> None:
    _, other, _ = pair
    status, found = await call(other, "GET", JOBS, user="alice")
    assert (status, found["message"]) == (
        403, 'jobs.batch is forbidden: User "alice" cannot list resource "jobs" in API group "batch" in the '
        'namespace "default"',
    )  # fmt: skip
    status, found = await call(
        other, "GET", JOBS, impersonate_user="alice", impersonate_group="system:masters"
    )
    assert (status, found["kind"]) == (200, "JobList")


async def test_watches_go_through(pair: tuple[Any, Any, Any]) -> None:
    one, other, _ = pair
    response = await other.send("GET", f"{JOBS}?watch=true")
    assert response.status == 200
    await one.create(JOBS, job("w"))
    async with asyncio.timeout(20):
        event = orjson.loads(await anext(response.stream))
    await response.stream.aclose()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "w")


async def test_a_request_goes_to_one_peer_at_most(pair: tuple[Any, Any, Any]) -> None:
    _, other, _ = pair
    assert (await other("GET", JOBS, **{PROXIED: "true"})).status == 404
    assert (await call(other, "GET", JOBS, **{PROXIED: "True"}))[0] == 200


async def test_nobody_serves_it(pair: tuple[Any, Any, Any]) -> None:
    one, _, _ = pair
    for path in ("/apis/none/v1/things", "/apis/batch/v9/jobs", "/apis/batch/v1/cows", "/foo/bar/baz"):
        assert (await one("GET", path)).status == 404


async def test_discovery_shows_both(pair: tuple[Any, Any, Any]) -> None:
    one, other, _ = pair
    nopeer = f"{ALL};profile=nopeer"
    mine, theirs = await shown(one, nopeer), await shown(other, nopeer)
    assert "apps" not in mine
    assert "batch" not in theirs
    for api in (one, other):
        found = await shown(api)
        assert set(found) == {*mine, *theirs}
        assert (found["apps"], found["batch"]) == (["v1"], ["v1"])
        assert await shown(api, f"{ALL};profile=foo") == found
        legacy = {group["name"] for group in (await api.get("/apis"))["groups"]}
        assert legacy & {"apps", "batch"} == {"apps"}, (
            "the last one to start took the APIService of what it lacks"
        )
    assert list(await shown(one)) == list(await shown(other))
    first = await one("GET", "/apis", accept=ALL)
    assert (await one("GET", "/apis", accept=ALL, if_none_match=first.headers["etag"])).status == 304
    local = await one("GET", "/apis", accept=nopeer)
    assert local.headers["etag"] != first.headers["etag"]
    assert local.headers["content-type"] == first.headers["content-type"]


async def test_peers_come_and_go(pair: tuple[Any, Any, Any]) -> None:
    one, other, fleet = pair
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    async with fleet.start("c", "apps/v1") as third:
        await knows(other, one, third)
        await one.patch(f"{leases}/{one.name}", {"spec": {"holderIdentity": ""}})
        await knows(other, third)
        assert (await call(other, "POST", JOBS, job()))[0] == 201
    assert (await call(other, "GET", JOBS))[0] == 503
    assert not await other.server.peers.learn()  # it is asked again, in vain
    assert (await call(other, "GET", JOBS))[0] == 503
    await call(other, "DELETE", f"{leases}/{third.name}")
    await knows(other)
    assert (await other("GET", JOBS)).status == 404
    assert "batch" not in await shown(other)


UNREACHED = {
    "no record": (None, b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"Error getting ip and port info of the remote server while proxying",'
        b'"reason":"ServiceUnavailable","code":503}'),
    "nobody listens": (("127.0.0.1", 1), b"dial tcp 127.0.0.1:1: connect: connection refused\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREACHED)
async def test_peers_that_are_not_reached(pair: tuple[Any, Any, Any], name: str) -> None:
    one, other, fleet = pair
    address, want = UNREACHED[name]
    key = PREFIX + one.name
    await fleet.store.commit(
        [Delete(key) if address is None else Put(key, orjson.dumps(record(one.name, *address, 1)))]
    )
    answer = await other("GET", JOBS)
    assert (answer.status, answer.raw.strip()) == (503, want.strip())
    if address is None:
        assert numbers(other, "apiserver_peer_proxy_errors") == {"endpoint_resolution/batch/v1/jobs": 1}
    else:
        assert numbers(other, "apiserver_rerouted_request")["503/batch/v1/jobs"] == 1


async def test_one_of_several_without_a_record(pair: tuple[Any, Any, Any]) -> None:
    one, other, fleet = pair
    async with fleet.start("c", "apps/v1") as third:
        await knows(other, one, third)
        await fleet.store.commit([Delete(PREFIX + third.name)])
        assert [(await call(other, "GET", JOBS))[0] for _ in range(5)] == [200] * 5


async def test_a_peer_is_asked_again_until_it_says_where_it_is(fleet: Any) -> None:
    async with AsyncExitStack() as stack:
        silent = await stack.enter_async_context(fleet.start("a", peer_address=None))
        asking = await stack.enter_async_context(fleet.start("b", "batch/v1"))
        errors = "apiserver_peer_discovery_sync_errors"
        await until(lambda: numbers(asking, errors).get("hostport_resolution", 0) > 1)
        assert asking.server.peers.groups() == {}
        record_of_b = await fleet.store.get(PREFIX + asking.name)
        assert record_of_b is not None
        telling = await stack.enter_async_context(fleet.start("c"))
        found = await fleet.store.get(PREFIX + telling.name)
        assert found is not None
        await fleet.store.commit([Put(PREFIX + silent.name, found.value)])
        await knows(asking, silent, telling)


CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition() -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "cows.farm.example"},
        "spec": {
            "group": "farm.example", "scope": "Namespaced", "names": {"plural": "cows", "kind": "Cow"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip


async def test_definitions_are_each_servers_own_affair(fleet: Any) -> None:
    """What a peer said of a kind before it was deleted is not believed for five minutes after."""
    cows = "/apis/farm.example/v1/namespaces/default/cows"
    async with fleet.start("a") as one:
        await one.create(CRD, definition())
        await until(lambda: one.server.table.by_path("farm.example", "v1", "cows") is not None)
        async with fleet.start("b") as other:
            await knows(other, one)
            peers = other.server.peers
            assert ("farm.example", "v1", "cows") in peers._peers[one.name].resources
            assert "farm.example" in await shown(other)
            assert all(group["metadata"]["name"] != "farm.example" for group in peers.groups()[one.name])
            await other("DELETE", f"{CRD}/cows.farm.example")
            await until(lambda: other.server.table.by_path("farm.example", "v1", "cows") is None)
            await other.settle()
            assert "farm.example" not in await shown(other)
            assert (await other("GET", cows)).status == 404
            fleet.clock.advance(301)
            peers._exclude(peers._exclusions.reaped(fleet.clock.monotonic()))
            assert "farm.example" in await shown(other)


async def test_servers_that_know_no_peers(fleet: Any) -> None:
    async with fleet.start("a"), fleet.start("b", "batch/v1", knows_peers=False) as other:
        assert other.server.peers is None
        assert await fleet.store.get(PREFIX + other.name) is not None
        assert (await other("GET", JOBS)).status == 404
        assert "batch" not in await shown(other)
        checks = (await other("GET", "/readyz?verbose")).raw
        assert b"[+]poststarthook/peer-endpoint-reconciler-controller ok" in checks
        assert b"mixed-version-proxy-handler" not in checks
