"""Daemons on every node that wants one, updated one after the other."""

import pytest

from tiphys.client.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.daemonset.placement import should_run, target_node


def node(name, taints=(), **labels):
    spec = {"taints": list(taints)} if taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def daemon(image="v1", **template):
    labels = {"app": "agent"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "d", "generation": 1},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"image": image}], **template},
            },
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
        },
    }


async def start(world):
    for pod in world.api.all(PODS):
        if not pod.get("status"):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            world.api.put(PODS, {**pod, "status": {"phase": "Running", "conditions": [ready]}})
    await world.settle()


def places(world):
    return sorted(target_node(pod) for pod in world.api.all(PODS))


async def test_nodes_come_and_go(world):
    world.api.put(DAEMON_SETS, daemon())
    for name in ("n1", "n2"):
        world.api.put(NODES, node(name))
    async with world.running(DaemonSetController):
        assert places(world) == ["n1", "n2"]
        world.api.put(NODES, node("n3"))
        await world.settle()
        assert places(world) == ["n1", "n2", "n3"]
        await start(world)
        status = world.api.get(DAEMON_SETS, "agent", "d")["status"]
        assert status == {
            "currentNumberScheduled": 3,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 3,
            "numberReady": 3,
            "observedGeneration": 1,
            "updatedNumberScheduled": 3,
            "numberAvailable": 3,
        }
        world.api.put(NODES, node("n1", [{"key": "k", "effect": "NoExecute"}]))
        await world.settle()
        assert places(world) == ["n2", "n3"]


async def test_a_new_template_goes_round_and_leaves_history(world):
    world.api.put(DAEMON_SETS, daemon())
    for name in ("n1", "n2", "n3"):
        world.api.put(NODES, node(name))
    async with world.running(DaemonSetController):
        await start(world)
        current = world.api.get(DAEMON_SETS, "agent", "d")
        current["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
        world.api.put(DAEMON_SETS, current)
        await world.settle()
        images = [pod["spec"]["containers"][0]["image"] for pod in world.api.all(PODS)]
        assert sorted(images) == ["v1", "v1", "v2"]
        for _ in range(3):
            await start(world)
        images = [pod["spec"]["containers"][0]["image"] for pod in world.api.all(PODS)]
        assert images == ["v2"] * 3
        assert sorted(item["revision"] for item in world.api.all(CONTROLLER_REVISIONS)) == [1, 2]


async def test_a_failed_daemon_is_replaced(world):
    world.api.put(DAEMON_SETS, daemon())
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        (pod,) = world.api.all(PODS)
        world.api.put(PODS, {**pod, "status": {"phase": "Failed"}})
        await world.settle()
        (fresh,) = world.api.all(PODS)
        assert fresh["metadata"]["uid"] != pod["metadata"]["uid"]


@pytest.mark.parametrize(
    ("template", "found", "verdict"),
    [
        pytest.param({}, node("n"), (True, True), id="anywhere"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, node("n"), (False, False), id="selector"),
        pytest.param(
            {"nodeSelector": {"disk": "ssd"}}, node("n", disk="ssd"), (True, True), id="selector fits"
        ),
        pytest.param({}, node("n", [{"key": "k", "effect": "NoSchedule"}]), (False, True), id="may stay"),
        pytest.param(
            {}, node("n", [{"key": "k", "effect": "PreferNoSchedule"}]), (True, True), id="soft taint"
        ),
        pytest.param(
            {},
            node("n", [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
            (True, True),
            id="cordon",
        ),
    ],
)
def test_should_run(template, found, verdict):
    assert should_run({"spec": template}, found) == verdict


async def test_a_failed_daemon_is_replaced_ever_more_slowly(world):
    world.api.put(DAEMON_SETS, daemon())
    world.api.put(NODES, node("n1"))

    async def fail():
        (pod,) = world.api.all(PODS)
        world.api.put(PODS, {**pod, "status": {"phase": "Failed"}})
        await world.settle()
        return pod["metadata"]["uid"] != world.api.all(PODS)[0]["metadata"]["uid"]

    async with world.running(DaemonSetController):
        assert await fail()
        assert not await fail(), "it waits for a second"
        await world.advance(1)
        assert world.api.all(PODS)[0].get("status") is None
    told = [reason for reason, _ in world.events() if reason == "FailedDaemonPod"]
    assert told == ["FailedDaemonPod"] * 2


async def test_a_daemon_that_succeeded_is_started_again(world):
    world.api.put(DAEMON_SETS, daemon())
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        (pod,) = world.api.all(PODS)
        world.api.put(
            PODS, {**pod, "status": {"phase": "Succeeded"}, "spec": {**pod["spec"], "nodeName": "n1"}}
        )
        await world.settle()
        (fresh,) = world.api.all(PODS)
        assert fresh["metadata"]["uid"] != pod["metadata"]["uid"]
        text = f"Found succeeded daemon pod d/{pod['metadata']['name']} on node n1, will try to delete it"
        assert ("SucceededDaemonPod", text) in world.events()


async def test_a_revisions_name_that_is_taken(world, make_world):
    world.api.put(DAEMON_SETS, daemon())
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        (revision,) = world.api.all(CONTROLLER_REVISIONS)
    taken = make_world()
    alien = {
        **revision,
        "metadata": {"name": revision["metadata"]["name"], "namespace": "d"},
        "data": {"x": 1},
    }
    taken.api.put(CONTROLLER_REVISIONS, alien)
    taken.api.put(DAEMON_SETS, daemon())
    taken.api.put(NODES, node("n1"))
    async with taken.running(DaemonSetController):
        (pod,) = taken.api.all(PODS)
        digest = pod["metadata"]["labels"]["controller-revision-hash"]
        assert digest != revision["metadata"]["labels"]["controller-revision-hash"]
        assert taken.api.get(DAEMON_SETS, "agent", "d")["status"]["collisionCount"] == 1
        assert len(taken.api.all(CONTROLLER_REVISIONS)) == 2


async def test_of_revisions_with_the_same_template_one_is_kept(world):
    world.api.put(DAEMON_SETS, daemon())
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        await start(world)
        (pod,) = world.api.all(PODS)
        (revision,) = world.api.all(CONTROLLER_REVISIONS)
        meta = revision["metadata"]
        labels = {**meta["labels"], "controller-revision-hash": "other"}
        twin = {key: value for key, value in meta.items() if key not in ("uid", "resourceVersion")}
        twin |= {"name": "agent-other", "labels": labels}
        world.api.put(CONTROLLER_REVISIONS, {**revision, "metadata": twin, "revision": 7})
        owner = world.api.get(DAEMON_SETS, "agent", "d")
        world.api.put(DAEMON_SETS, {**owner, "metadata": {**owner["metadata"], "annotations": {"a": "b"}}})
        await world.settle()
        assert [item["metadata"]["name"] for item in world.api.all(CONTROLLER_REVISIONS)] == ["agent-other"]
        (same,) = world.api.all(PODS)
        assert same["metadata"]["uid"] == pod["metadata"]["uid"], "no daemon is restarted for it"
        assert same["metadata"]["labels"]["controller-revision-hash"] == "other"


async def test_daemons_bear_the_generation_of_their_template(world):
    owner = daemon()
    owner["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "3"}
    world.api.put(DAEMON_SETS, owner)
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        (pod,) = world.api.all(PODS)
    assert pod["metadata"]["labels"]["pod-template-generation"] == "3"


@pytest.mark.parametrize("annotations", [{}, {"deprecated.daemonset.template.generation": "x"}])
async def test_a_generation_that_is_none_is_not_told(world, annotations):
    owner = daemon()
    owner["metadata"]["annotations"] = annotations
    world.api.put(DAEMON_SETS, owner)
    world.api.put(NODES, node("n1"))
    async with world.running(DaemonSetController):
        (pod,) = world.api.all(PODS)
    assert pod["metadata"]["labels"].keys() == {"app", "controller-revision-hash"}


async def test_the_revisions_of_a_daemon_set_that_was_deleted_alone_are_taken_over(world):
    world.api.put(DAEMON_SETS, daemon())
    async with world.running(DaemonSetController):
        (old,) = world.api.all(CONTROLLER_REVISIONS)
        world.api.remove(DAEMON_SETS, "agent", "d")
        world.api.put(CONTROLLER_REVISIONS, {**old, "metadata": {**old["metadata"], "ownerReferences": []}})
        world.api.put(DAEMON_SETS, daemon("v2"))
        await world.settle()
        owner = world.api.get(DAEMON_SETS, "agent", "d")["metadata"]["uid"]
        found = world.api.all(CONTROLLER_REVISIONS)
        assert [item["metadata"]["ownerReferences"][0]["uid"] for item in found] == [owner, owner]
        assert sorted(item["revision"] for item in found) == [1, 2]
