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
