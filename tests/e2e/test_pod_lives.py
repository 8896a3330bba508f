"""What a pod's status says from its first event to its last, on real containers, through watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from cluster import RunningCluster, eventually
from manifests import Object, container, pod

from tiphys.apimachinery.errors import Conflict
from tiphys.client.kinds import ENDPOINTS, NODES, PODS, SERVICES
from tiphys.client.rest import Client, resource_path

pytestmark = pytest.mark.e2e
COUNTING = """
echo hello >> /count/runs
case $(wc -l < /count/runs) in 1) exit 1 ;; 2) exit 0 ;; esac
trap 'exit 0' TERM; sleep 1000 & wait
"""
ENDS: dict[str, tuple[str, str, str, int, bool]] = {
    # restart policy: phase, state, how often restarted, ready
    "Always": ("Always", "Running", "running", 2, True),
    "OnFailure": ("OnFailure", "Succeeded", "terminated", 1, False),
    "Never": ("Never", "Failed", "terminated", 0, False),
}
START_FAILED, KILLED = 128, 137


@pytest.fixture
async def client(cluster: RunningCluster) -> AsyncIterator[Client]:
    async with asyncio.timeout(180):
        made = Client.from_kubeconfig(cluster.folder / "kubeconfig")
        yield made
        await made.close()


def test_what_becomes_of_a_container_that_exits(cluster: RunningCluster) -> None:
    """It fails, then succeeds, then runs on: how far it gets is up to the restart policy."""
    for policy, *_ in ENDS.values():
        mounted = container(COUNTING, volumeMounts=[{"name": "count", "mountPath": "/count"}])
        cluster.apply(
            pod(policy.lower(), mounted, restartPolicy=policy, volumes=[{"name": "count", "emptyDir": {}}])
        )
    for policy, *expected in ENDS.values():
        what = f"pod/{policy.lower()}"
        eventually(lambda what=what, expected=expected: _end(cluster.json("get", what)) == tuple(expected))


def _end(shown: Object) -> tuple[str, str, int, bool] | None:
    statuses = shown["status"].get("containerStatuses")
    if not statuses:
        return None
    (only,) = statuses
    return shown["status"]["phase"], next(iter(only["state"])), only["restartCount"], only["ready"]


def test_app_containers_wait_for_an_init_container_that_fails(cluster: RunningCluster) -> None:
    inits = [{**container("exit 1"), "name": "fails"}, {**container("true"), "name": "never"}]
    cluster.apply(pod("waits", initContainers=inits))
    eventually(lambda: _restarts(cluster.json("get", "pod/waits")) >= 3, 90)
    status = cluster.json("get", "pod/waits")["status"]
    assert status["phase"] == "Pending"
    assert [next(iter(one["state"])) for one in status["initContainerStatuses"]][1] == "waiting"
    (app,) = status["containerStatuses"]
    assert app["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = next(one for one in status["conditions"] if one["type"] == "Initialized")
    assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")
    assert initialized["message"] == "containers with incomplete status: [fails never]"


def _restarts(shown: Object) -> int:
    statuses = shown["status"].get("initContainerStatuses") or [{"restartCount": 0}]
    return int(statuses[0]["restartCount"])


@dataclass
class Life:
    """Follows the events of a pod whose one container ``fail`` ends at once, and says what was impossible."""

    wrong: list[str] = field(default_factory=list)
    ended: bool = False
    terminal: str = ""

    def see(self, shown: Object) -> None:
        status = shown["status"]
        if self.terminal and status["phase"] != self.terminal:
            self.wrong.append(f"{self.terminal} became {status['phase']}")
        if status["phase"] in ("Failed", "Succeeded"):
            self.terminal = status["phase"]
        for one in status.get("containerStatuses") or ():
            if one["name"] == "blocked" and ("waiting" not in one["state"] or one.get("started")):
                self.wrong.append(f"the blocked container started: {one}")
            if one["name"] == "fail":
                self._see_failing(one)

    def _see_failing(self, one: Object) -> None:
        terminated = one["state"].get("terminated")
        if self.ended and terminated is None:
            self.wrong.append(f"a container that had ended is {one['state']}")
        if terminated is None:
            return
        self.ended = True
        if terminated["exitCode"] not in (1, START_FAILED, KILLED):
            self.wrong.append(f"ended with {terminated}")


def failing(name: str) -> Object:
    return pod(name, {**container("exit 1"), "name": "fail"}, **BRIEF)


def blocked(name: str) -> Object:
    first = {**container("exit 1"), "name": "first"}
    return pod(name, {**container("true"), "name": "blocked"}, initContainers=[first], **BRIEF)


BRIEF = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
DELETED_WHEN = {
    # name: the pod, whether it is deleted when it is no longer pending, else after how many seconds each
    "ended": (failing, True, ()),
    "initializing-failed": (blocked, True, ()),
    "starting": (failing, False, (0.0, 0.2, 0.5, 0.8, 1.2)),
}


@pytest.mark.parametrize("when", DELETED_WHEN)
async def test_no_event_of_a_pod_says_what_cannot_be(
    cluster: RunningCluster, client: Client, when: str
) -> None:
    """Pods that fail are deleted at all times of their lives, a few at once; each event is judged."""
    make, settled, delays = DELETED_WHEN[when]
    waits = delays or (0.0,) * 5
    lives = [
        _short_life(client, make(f"life-{number}"), cluster.namespace, settled, wait_s)
        for number, wait_s in enumerate(waits)
    ]
    wrong = [fault for life in await asyncio.gather(*lives) for fault in life.wrong]
    assert wrong == []


async def _short_life(client: Client, made: Object, namespace: str, settled: bool, wait_s: float) -> Life:
    made["metadata"]["namespace"] = namespace
    name = made["metadata"]["name"]
    created = await client.create(PODS, made)
    life = Life()
    version = created["metadata"]["resourceVersion"]
    async with client.watch(
        PODS, namespace, resource_version=version, field_selector=f"metadata.name={name}", bookmarks=False
    ) as events:
        deletion = None if settled else asyncio.create_task(_delete(client, name, namespace, wait_s))
        async for event in events:
            life.see(event.object)
            if event.type == "DELETED":
                break
            if deletion is None and event.object["status"]["phase"] != "Pending":
                deletion = asyncio.create_task(_delete(client, name, namespace, 0.0))
        assert deletion is not None
        await deletion
    if settled and life.terminal != "Failed":
        life.wrong.append(f"its last phase was {life.terminal!r}")
    return life


async def _delete(client: Client, name: str, namespace: str, wait_s: float) -> None:
    await asyncio.sleep(wait_s)
    await client.delete(PODS, name, namespace)


async def test_from_submission_to_removal(cluster: RunningCluster, client: Client) -> None:
    """The kubelet sees that the pod is to go, and its last event still says when and how long it had."""
    namespace = cluster.namespace
    cluster.apply(pod("goes"))
    cluster.ready("goes")
    live = await client.get(PODS, "goes", namespace)
    version = live["metadata"]["resourceVersion"]
    async with client.watch(PODS, namespace, resource_version=version) as events:
        answered = await client.delete(PODS, "goes", namespace, grace_period_s=30)
        assert answered["metadata"]["deletionGracePeriodSeconds"] == 30
        last = await _last_event(events)
    assert last["metadata"]["deletionTimestamp"]
    assert last["spec"]["terminationGracePeriodSeconds"]
    await _forgotten(client, live["spec"]["nodeName"], "goes")


async def _forgotten(client: Client, node: str, name: str) -> None:
    """Wait until the kubelet does not list a pod any more."""
    pods = resource_path(NODES, name=node, subresource="proxy/pods")
    while name in [one["metadata"]["name"] for one in (await client.request("GET", pods))["items"] or ()]:
        pass  # each question takes its time, and the fixture's deadline holds


async def _last_event(events: AsyncIterator) -> Object:
    async for event in events:
        if event.type == "DELETED":
            return event.object
    raise AssertionError("the watch ended before the pod was gone")


def test_a_pod_that_always_fails_can_be_deleted(cluster: RunningCluster) -> None:
    cluster.apply(pod("hopeless", container("exit 1")))
    eventually(
        lambda: (cluster.json("get", "pod/hopeless")["status"].get("containerStatuses") or [{}])[0].get(
            "restartCount"
        )
    )
    cluster.kubectl("delete", "pod/hopeless", "--timeout=60s")


async def test_the_kubelet_follows_a_hundred_changes(cluster: RunningCluster, client: Client) -> None:
    namespace = cluster.namespace
    cluster.apply(pod("changes"))
    cluster.ready("changes")
    for number in range(100):
        toleration = {"key": f"change-{number}", "operator": "Exists", "effect": "NoSchedule"}
        await _add_toleration(client, namespace, toleration)
    live = await client.get(PODS, "changes", namespace)
    assert live["metadata"]["generation"] == 101
    async with client.watch(
        PODS, namespace, field_selector="metadata.name=changes", bookmarks=False
    ) as events:
        async for event in events:
            if event.object["status"].get("observedGeneration") == 101:
                return


async def _add_toleration(client: Client, namespace: str, toleration: Object) -> None:
    while True:
        live = await client.get(PODS, "changes", namespace)
        spec = live["spec"] | {"tolerations": [*live["spec"]["tolerations"], toleration]}
        try:
            await client.update(PODS, live | {"spec": spec})
            return
        except Conflict:
            continue


async def test_two_hundred_services_get_their_endpoints(cluster: RunningCluster, client: Client) -> None:
    """Fifteen at a time, each made when an earlier one has its address."""
    namespace = cluster.namespace
    cluster.apply(pod("served"))
    cluster.ready("served")
    addressed: dict[str, asyncio.Event] = {}
    turns = asyncio.Semaphore(15)

    async def one(number: int) -> None:
        name = f"latency-{number}"
        addressed[name] = asyncio.Event()
        made = {"selector": {"app": "served"}, "ports": [{"port": 80}]}
        async with turns:
            await client.create(
                SERVICES,
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": made,
                },
            )
            await addressed[name].wait()

    async with client.watch(ENDPOINTS, namespace, bookmarks=False) as events, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_note(events, addressed))  # parent: the group
        await asyncio.gather(*(one(number) for number in range(200)))
        watching.cancel()


async def _note(events: AsyncIterator, addressed: dict[str, asyncio.Event]) -> None:
    async for event in events:
        if any(subset.get("addresses") for subset in event.object.get("subsets") or ()):
            addressed[event.object["metadata"]["name"]].set()
