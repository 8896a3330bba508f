"""Extenders: what a service beside the scheduler is asked, and what its answers come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from scheduler_builders import columns, info, node, pod

from tiphys.apimachinery.meta import GVR, Object, get_condition
from tiphys.client.kinds import NODES, PODS, PRIORITY_CLASSES
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.config import API_VERSION, KIND, BadConfiguration, Configuration, read_configuration
from tiphys.scheduler.extenders import ExtenderFailed, Extenders
from tiphys.scheduler.framework import Decision, decide
from tiphys.scheduler.preemption import Preemption, choose, find_candidates
from tiphys.scheduler.profile import default_profile, make_profile
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing import Cluster
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

NO_CLAIMS = "no new claims to deallocate"
GPU = "example.com/gpu"
Answer = Callable[[dict[str, Any]], Any]


class Service:
    """An extender that answers by verb; it keeps what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.status = 200

    async def __call__(self, request: Request) -> Response:
        verb, body = request.path.rpartition("/")[2], orjson.loads(request.body)
        self.asked.append((verb, body))
        return Response(
            self.status, {"content-type": "application/json"}, orjson.dumps(self.answers[verb](body))
        )


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[str]:
    async with serve(service) as server:
        yield f"http://127.0.0.1:{server.port}/scheduler/"


def configuration(*extenders: dict[str, Any]) -> Configuration:
    return read_configuration({"apiVersion": API_VERSION, "kind": KIND, "extenders": list(extenders)})


async def decided(pod_: Any, cluster: Any, *extenders: dict[str, Any], turn: int = 0) -> Decision:
    made = Extenders(configuration(*extenders).extenders)
    try:
        asked, _ = await made.consult(pod_, cluster, default_profile())
        return decide(pod_, cluster, asked, turn=turn)
    finally:
        await made.close()


def names_of(body: dict[str, Any]) -> list[str]:
    return body["NodeNames"] or [one["metadata"]["name"] for one in body["Nodes"]["items"]]


def only(*wanted: str, **reasons: str) -> Answer:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["NodeNames"] is not None:
            names = [name for name in body["NodeNames"] if name in wanted]
            return {"NodeNames": names, "FailedNodes": reasons}
        items = [one for one in body["Nodes"]["items"] if one["metadata"]["name"] in wanted]
        return {"Nodes": {"items": items}, "FailedNodes": reasons}

    return answer


@pytest.mark.parametrize("caches", [True, False])
async def test_an_extender_narrows_the_nodes(caches: bool) -> None:
    service = Service(filter=only("b"))
    cluster = columns(node("a"), node("b"), node("full", cpu="0"))
    async with running(service) as url:
        made = {"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": caches}
        decision = await decided(info("p", cpu="1"), cluster, made)
    assert decision.node == "b"
    ((_, body),) = service.asked
    assert body["Pod"]["metadata"]["name"] == "p"
    assert sorted(names_of(body)) == ["a", "b"]
    assert (body["NodeNames"] is None) is not caches
    assert (body["Nodes"] is None) is caches


async def test_its_reasons_are_told_and_what_removing_pods_may_help() -> None:
    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {
            "Nodes": {"items": []},
            "FailedNodes": {"a": "too hot", "b": "overruled"},
            "FailedAndUnresolvableNodes": {"b": "melted"},
        }

    cluster = columns(node("a"), node("b"), node("silent"), node("full", cpu="0"))
    async with running(Service(filter=answer)) as url:
        decision = await decided(info(cpu="1"), cluster, {"urlPrefix": url, "filterVerb": "filter"})
    assert decision.message() == "0/4 nodes are available: 1 Insufficient cpu, 1 melted, 1 too hot."
    assert decision.plugins == ("NodeResourcesFit", url.rstrip("/"))
    helped = decision.resolvable()
    assert helped is not None
    assert [name for name, row in cluster.rows.items() if helped[row]] == ["a"]


async def test_a_profile_that_is_content_with_some_nodes_asks_about_those() -> None:
    cluster = columns(*(node(f"n{index}") for index in range(300)))
    service = Service(filter=lambda body: {"NodeNames": body["NodeNames"]})
    async with running(service) as url:
        verbs = {"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True}
        made = Extenders(configuration(verbs).extenders)
        profile = replace(default_profile(), percentage=40)
        asked, looked_at = await made.consult(info(), cluster, profile, start=250)
        await made.close()
    assert (len(service.asked[0][1]["NodeNames"]), looked_at) == (120, 120)
    assert cluster.rows[decide(info(), cluster, asked).node] in {*range(250, 300), *range(70)}


async def test_one_after_the_other_and_both_rank() -> None:
    first = Service(filter=only("a", "b"), prioritize=lambda _: [{"Host": "b", "Score": 10}])
    second = Service(
        filter=only("a", "b", "c"),
        prioritize=lambda body: [{"host": name, "score": 4 if name == "a" else 0} for name in names_of(body)],
    )
    cluster = columns(node("a"), node("b"), node("c"))
    verbs = {"filterVerb": "filter", "prioritizeVerb": "prioritize", "nodeCacheCapable": True}
    async with running(first) as one, running(second) as two:
        light = [{"urlPrefix": one, "weight": 1, **verbs}, {"urlPrefix": two, "weight": 1, **verbs}]
        assert (await decided(info(), cluster, *light)).node == "b"
        second.answers["filter"] = only("a", "b")
        heavy = [light[0], {**light[1], "weight": 3}]
        assert (await decided(info(), cluster, *heavy)).node == "a"
    assert sorted(names_of(second.asked[0][1])) == ["a", "b"], "what the first refused is not asked again"


async def test_a_node_that_was_not_asked_about_is_not_taken() -> None:
    cluster = columns(node("a"))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        cluster.remove_node("a")
        cluster.set_node(node("late"))
        return {"Nodes": body["Nodes"]}

    async with running(Service(filter=answer)) as url:
        decision = await decided(info(), cluster, {"urlPrefix": url, "filterVerb": "filter"})
    assert not decision.node


def broken(_: dict[str, Any]) -> Any:
    return {"Error": "out of order"}


FAILURES: dict[str, tuple[Answer, int, str]] = {
    "an error": (broken, 200, "out of order"),
    "a status": (broken, 500, "failed filter with extender at URL {url}filter, code 500"),
    "a strange node": (
        lambda _: {"NodeNames": ["z"]}, 200,
        'extender "{bare}" claims a filtered node "z" which is not found in the input node list',
    ),
    "no object": (lambda _: [1], 200, "extender {bare} gave no object"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES.keys())
async def test_a_failure_ends_the_try_unless_it_may_be_ignored(case: tuple[Answer, int, str]) -> None:
    answer, status, text = case
    service = Service(filter=answer)
    service.status = status
    async with running(service) as url:
        made = {"urlPrefix": url, "filterVerb": "filter", "nodeCacheCapable": True}
        with pytest.raises(ExtenderFailed) as caught:
            await decided(info(), columns(node("a")), made)
        assert str(caught.value) == text.format(url=url, bare=url.rstrip("/"))
        assert (await decided(info(), columns(node("a")), {**made, "ignorable": True})).node == "a"


async def test_nobody_there() -> None:
    made = {"urlPrefix": "http://127.0.0.1:1/x", "filterVerb": "filter"}
    with pytest.raises(ExtenderFailed, match=r"extender http://127\.0\.0\.1:1/x: "):
        await decided(info(), columns(node("a")), made)


async def test_a_failed_ranking_is_no_ranking() -> None:
    service = Service(prioritize=lambda _: [])
    service.status = 503
    async with running(service) as url:
        made = {"urlPrefix": url, "prioritizeVerb": "prioritize", "weight": 1}
        assert (await decided(info(), columns(node("a"), node("b")), made)).node
    assert len(service.asked) == 1


def test_whom_an_extender_concerns() -> None:
    managed = [{"name": GPU, "ignoredByScheduler": True}]
    read = configuration({"urlPrefix": "http://x", "filterVerb": "f", "managedResources": managed})
    made = Extenders(read.extenders)
    plain, asks = info("plain"), info("asks")
    asks.pod["spec"]["containers"][0]["resources"] = {"limits": {GPU: "1"}}
    asks.requests = {GPU: 1}
    assert not made.concern(plain)
    assert made.concern(asks)
    assert made.binder_of(asks) is None
    # What the extender counts, the scheduler does not.
    assert decide(asks, columns(node("a")), make_profile(read.profiles[0])).node == "a"
    assert not decide(asks, columns(node("a")), default_profile()).node


# -- in a cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=0, controllers=False, scheduler=False) as made:
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        await made.wait_for(GVR("", "v1", "namespaces"), "default")
        meta = {"name": "default", "namespace": "default"}
        await made.client.create(GVR("", "v1", "serviceaccounts"), {**account, "metadata": meta})
        for name in ("a", "b"):
            await made.client.create(NODES, {"apiVersion": "v1", "kind": "Node", **node(name)})
            await made.client.patch(NODES, name, "", {"spec": {"taints": None}})
        yield made


@asynccontextmanager
async def scheduling(cluster: Cluster, *extenders: dict[str, Any]) -> AsyncIterator[None]:
    options = SchedulerOptions(binders=4, configuration=configuration(*extenders))
    scheduler = Scheduler(cluster.client_for("system:kube-scheduler"), options)
    running = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def add_pod(cluster: Cluster, name: str, **spec: Any) -> None:
    made = pod(name, **spec)
    del made["metadata"]["uid"]
    await cluster.client.create(PODS, made)


def scheduled(found: Object | None) -> bool:
    return bool((found or {}).get("spec", {}).get("nodeName"))


def tried(found: Object | None) -> bool:
    return (get_condition(found or {}, "PodScheduled") or {}).get("reason") == "Unschedulable"


def ending(found: Object | None) -> bool:
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


async def test_a_pod_goes_where_the_extender_lets_it(cluster: Cluster) -> None:
    service = Service(filter=only("b"))
    async with running(service) as url, scheduling(cluster, {"urlPrefix": url, "filterVerb": "filter"}):
        await add_pod(cluster, "p")
        found = await cluster.wait_for(PODS, "p", "default", scheduled)
    assert found is not None
    assert found["spec"]["nodeName"] == "b"


async def test_the_extender_binds(cluster: Cluster) -> None:
    bindings: list[dict[str, Any]] = []
    again = asyncio.Event()

    def bind(body: dict[str, Any]) -> dict[str, Any]:
        bindings.append(body)
        if len(bindings) == 2:
            again.set()
        return {"Error": "not yet" if len(bindings) == 1 else ""}

    service = Service(bind=bind)
    async with running(service) as url, scheduling(cluster, {"urlPrefix": url, "bindVerb": "bind"}):
        await add_pod(cluster, "p")
        async with asyncio.timeout(30):
            await again.wait()  # the first was refused: the pod is tried again
    found = await cluster.client.get(PODS, "p", "default")
    assert bindings[0].keys() == {"PodName", "PodNamespace", "PodUID", "Node"}
    assert bindings[0]["PodUID"] == found["metadata"]["uid"]
    assert not scheduled(found), "binding is the extender's business alone"


async def test_what_failed_is_said_and_tried_again(cluster: Cluster) -> None:
    service = Service(filter=broken)

    def told(found: Object | None) -> bool:
        condition = get_condition(found, "PodScheduled") if found else None
        return bool(condition and condition["reason"] == "SchedulerError")

    async with running(service) as url, scheduling(cluster, {"urlPrefix": url, "filterVerb": "filter"}):
        await add_pod(cluster, "p")
        found = await cluster.wait_for(PODS, "p", "default", told)
        assert found is not None
        condition = get_condition(found, "PodScheduled")
        assert condition is not None
        assert condition["message"] == "out of order"
        service.answers["filter"] = only("a")
        assert await cluster.wait_for(PODS, "p", "default", scheduled)


# -- making room


def crowded() -> tuple[Columns, dict[str, str]]:
    """Return three nodes with two small pods each, and the pods' uids by name."""
    cluster, uids = columns(node("a", cpu="2"), node("b", cpu="2"), node("c", cpu="2")), {}
    for index in range(6):
        one = info(f"p{index}", cpu="1", priority=index)
        cluster.add_pod(one, "abc"[index // 2])
        uids[one.key.partition("/")[2]] = one.uid
    return cluster, uids


async def room(cluster: Columns, *extenders: dict[str, Any]) -> Preemption:
    asking = info("high", cpu="2", priority=100)
    made = Extenders(configuration(*extenders).extenders)
    profile = default_profile()
    found = find_candidates(asking, cluster, profile, decide(asking, cluster, profile))
    assert isinstance(found, list)
    try:
        assert made.may_preempt(asking)
        return choose(await made.preempt(asking, cluster, found))
    finally:
        await made.close()


@pytest.mark.parametrize("caches", [True, False])
async def test_an_extender_has_a_word_in_who_makes_room(caches: bool) -> None:
    cluster, uids = crowded()
    first = {"b": {"Pods": [{"UID": uids["p2"]}]}, "c": {"pods": [{"uid": uids["p4"]}, {"uid": uids["p5"]}]}}
    one = Service(preempt=lambda _: {"NodeNameToMetaVictims": first})
    two = Service(preempt=lambda body: {"nodeNameToMetaVictims": body["NodeNameToMetaVictims"]})
    async with running(one) as url, running(two) as other:
        made = {"urlPrefix": url, "preemptVerb": "preempt", "nodeCacheCapable": caches}
        second = {"urlPrefix": other, "preemptVerb": "preempt", "nodeCacheCapable": True}
        found = await room(cluster, made, second, {"urlPrefix": other, "filterVerb": "filter"})
    assert (found.node, [pod.uid for pod in found.victims]) == ("b", [uids["p2"]])
    (verb, body), ((_, then),) = one.asked[0], two.asked
    assert (verb, body["Pod"]["metadata"]["name"]) == ("preempt", "high")
    offered = body["NodeNameToMetaVictims" if caches else "NodeNameToVictims"]
    assert sorted(offered) == ["a", "b", "c"]
    assert offered["a"]["NumPDBViolations"] == 0
    names = [one["UID"] if caches else one["metadata"]["uid"] for one in offered["a"]["Pods"]]
    assert names == [uids["p1"], uids["p0"]]
    assert sorted(then["NodeNameToMetaVictims"]) == ["b", "c"], "each extender is offered what is left"


def nobody(_: dict[str, Any]) -> Any:
    return {"NodeNameToMetaVictims": {"b": {"Pods": []}}}


WRONG: dict[str, tuple[Answer, str]] = {
    "no victims": (nobody, 'expected at least one victim pod on node "b"'),
    "a pod that is not there": (
        lambda _: {"NodeNameToMetaVictims": {"b": {"Pods": [{"UID": "u"}]}}},
        "extender: {url} claims to preempt pod (UID: &{{u}}) on node: b, "
        "but the pod is not found on that node",
    ),
    "a node that is not there": (
        lambda _: {"NodeNameToMetaVictims": {"z": {"Pods": [{"UID": "u"}]}}},
        'nodeinfo not found for node name "z"',
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
async def test_an_answer_that_makes_no_sense(case: tuple[Answer, str]) -> None:
    answer, text = case
    cluster, _ = crowded()
    async with running(Service(preempt=answer)) as url:
        made = {"urlPrefix": url, "preemptVerb": "preempt"}
        with pytest.raises(ExtenderFailed) as caught:
            await room(cluster, made)
        assert str(caught.value) == text.format(url=url.rstrip("/"))
        ignored = await room(cluster, {**made, "ignorable": True})
    if answer is nobody:
        assert (ignored.node, ignored.message) == ("", "preemption: no candidate node for preemption")
    else:
        assert ignored.node == "a"


async def test_room_is_made_as_the_extender_says(cluster: Cluster) -> None:
    answer: dict[str, Any] = {}
    service = Service(preempt=lambda _: {"NodeNameToMetaVictims": answer})
    await cluster.client.create(
        PRIORITY_CLASSES,
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "high"},
            "value": 9,
        },
    )
    async with running(service) as url, scheduling(cluster, {"urlPrefix": url, "preemptVerb": "preempt"}):
        for name in ("one", "two"):
            await add_pod(cluster, name, cpu="3")
        places = {
            found["spec"]["nodeName"]: found["metadata"]
            for name in ("one", "two")
            if (found := await cluster.wait_for(PODS, name, "default", scheduled))
        }
        await add_pod(cluster, "refused", cpu="3", priorityClassName="high", priority=9)
        found = await cluster.wait_for(PODS, "refused", "default", tried)
        assert found is not None
        message = str((get_condition(found, "PodScheduled") or {})["message"])
        assert message.endswith(
            f"Insufficient cpu. {NO_CLAIMS}, preemption: no candidate node for preemption"
        )
        answer["b"] = {"Pods": [{"UID": places["b"]["uid"]}]}
        await add_pod(cluster, "given", cpu="3", priorityClassName="high", priority=9)
        await cluster.wait_for(PODS, places["b"]["name"], "default", ending)
        kept = await cluster.client.get(PODS, places["a"]["name"], "default")
    assert not ending(kept)


# -- configuration

FAULTS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "weight": (
        [{"prioritizeVerb": "p"}],
        ["extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"],
    ),
    "binders": (
        [{"bindVerb": "b"}, {"bindVerb": "b"}],
        [
            'extenders: Invalid value: "found 2 extenders implementing bind": '
            "only one extender can implement bind"
        ],
    ),
    "resources": (
        [
            {
                "managedResources": [
                    {"name": GPU},
                    {"name": "cpu"},
                    {"name": GPU},
                    {"name": "a.kubernetes.io/b"},
                ]
            }
        ],
        [
            'extenders[0].managedResources[1].name: Invalid value: "cpu": '
            "is an invalid extended resource name",
            f'extenders[0].managedResources[2].name: Invalid value: "{GPU}": '
            "duplicate extender managed resource name",
            'extenders[0].managedResources[3].name: Invalid value: "a.kubernetes.io/b": '
            "is an invalid extended resource name",
        ],
    ),
    "words": (
        [{"colour": 1, "httpTimeout": "soon", "tlsConfig": {"caData": "%", "ca": ""}}],
        [
            'unknown field "extenders[0].colour"',
            'extenders[0].httpTimeout: Invalid value: "soon": time: invalid duration "soon"',
            'unknown field "extenders[0].tlsConfig.ca"',
            "extenders[0].tlsConfig.caData: Invalid value: illegal base64 data",
        ],
    ),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(case: tuple[list[dict[str, Any]], list[str]]) -> None:
    raw, texts = case
    with pytest.raises(BadConfiguration) as caught:
        configuration(*raw)
    assert str(caught.value).splitlines() == texts


def test_what_is_read() -> None:
    (read,) = configuration(
        {
            "urlPrefix": "https://x/y/", "filterVerb": "f", "prioritizeVerb": "p", "bindVerb": "b",
            "weight": 3, "httpTimeout": "1m30s", "enableHTTPS": True, "ignorable": True,
            "nodeCacheCapable": True,
            "tlsConfig": {"serverName": "s", "caData": "YWJj", "certFile": "/c", "keyFile": "/k"},
        }
    ).extenders  # fmt: skip
    assert (read.url, read.weight, read.timeout_s) == ("https://x/y", 3, 90.0)
    assert (read.tls.server_name, read.tls.data[0]) == ("s", b"abc")
    assert read.tls.files == ("", "/c", "/k")
    assert read.ignorable
    assert read.secure
    assert read.caches_nodes
