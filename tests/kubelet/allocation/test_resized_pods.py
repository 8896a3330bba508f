"""Resizes on a whole node: when they wait, are carried out, fail, and what is told of them."""

import pytest
from fake_node import NoCgroups, Node

from tiphys.apimachinery.meta import copy_object
from tiphys.client.kinds import PODS
from tiphys.kubelet.runtime import ContainerStats, ExecResult, RuntimeFailure

pytestmark = pytest.mark.usefixtures("no_cgroups")

MIB = 2**20


@pytest.fixture
async def node(tmp_path):
    node = Node(tmp_path, capacity={"cpu": "2", "memory": "2Gi", "pods": "10"})
    yield node
    await node.client.close()


def sized(cpu="100m", memory="100Mi", policy=None):
    amounts = {"cpu": cpu, "memory": memory}
    made = {"name": "c", "image": "img:1", "resources": {"requests": dict(amounts), "limits": dict(amounts)}}
    if policy:
        made["resizePolicy"] = [{"resourceName": name, "restartPolicy": policy} for name in amounts]
    return [made]


def resize(node, name="p", cpu="100m", memory="100Mi", generation=2):
    pod = copy_object(node.api.get(PODS, name, "default"))
    pod["metadata"]["generation"] = generation
    amounts = {"cpu": cpu, "memory": memory}
    pod["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    node.api.put(PODS, pod)


def condition(node, kind, name="p"):
    return next((c for c in node.status(name).get("conditions") or () if c["type"] == kind), None)


def has(node, cpu, name="p"):
    status = node.container(name)
    return (status.get("allocatedResources") or {}).get("cpu"), status["resources"]["requests"]["cpu"]


def settled(node, name="p"):
    return not condition(node, "PodResizePending", name) and not condition(node, "PodResizeInProgress", name)


async def test_in_place_and_told(node):
    async with node.running():
        await node.create(containers=sized())
        await node.until(node.ready)
        resize(node, cpu="200m")
        await node.until(lambda: has(node, "200m") == ("200m", "200m") and settled(node))
        assert node.container()["restartCount"] == 0
        assert node.events("ResizeStarted")[0].startswith("Pod resize started: {")
        await node.until(lambda: node.events("ResizeCompleted"))
        assert '"generation":2' in node.events("ResizeCompleted")[0]
        resize(node, generation=3)
        await node.until(lambda: has(node, "100m") == ("100m", "100m") and settled(node))
        assert len(node.runtime.names("update_resources")) == 2


async def test_waits_for_room_that_another_pod_takes(node):
    async with node.running():
        await node.create("big", containers=sized("1500m"))
        await node.create(containers=sized())
        await node.until(lambda: node.ready() and node.ready("big"))
        resize(node, cpu="1")
        await node.until(lambda: condition(node, "PodResizePending"))
        found = condition(node, "PodResizePending")
        assert (found["status"], found["reason"], found["observedGeneration"]) == ("True", "Deferred", 2)
        assert found["message"] == (
            "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"
        )
        assert has(node, "1") == ("100m", "100m")
        await node.until(lambda: node.events("ResizeDeferred"))
        node.api.delete_pod("big", grace_s=0)
        await node.until(lambda: has(node, "1") == ("1", "1") and settled(node))


async def test_what_it_asks_for_is_taken_back(node):
    async with node.running():
        await node.create(containers=sized())
        await node.until(node.ready)
        resize(node, cpu="64")
        await node.until(lambda: condition(node, "PodResizePending"))
        assert condition(node, "PodResizePending")["reason"] == "Infeasible"
        await node.until(lambda: node.events("ResizeInfeasible"))
        resize(node, cpu="100m", generation=3)
        await node.until(lambda: settled(node))
        assert node.runtime.names("update_resources") == []


async def test_one_pod_shrinks_so_that_another_may_grow(node):
    async with node.running():
        await node.create("big", containers=sized("1500m"))
        await node.create(containers=sized())
        await node.until(lambda: node.ready() and node.ready("big"))
        resize(node, cpu="1")
        await node.until(lambda: condition(node, "PodResizePending"))
        resize(node, "big", cpu="500m")
        await node.until(lambda: has(node, "1") == ("1", "1") and settled(node))


async def test_a_restarted_kubelet_keeps_its_promises(node):
    async with node.running():
        await node.create("big", containers=sized("1500m"))
        await node.create(containers=sized())
        await node.until(lambda: node.ready() and node.ready("big"))
        resize(node, cpu="200m")
        await node.until(lambda: has(node, "200m") == ("200m", "200m") and settled(node))
        resize(node, cpu="1", generation=3)
        await node.until(lambda: condition(node, "PodResizePending"))
    node.runtime.calls.clear()
    async with node.running():
        await node.until(lambda: len(node.kubelet.workers) == 2)
        await node.create("late", containers=sized("50m"))
        await node.until(lambda: node.ready("late"))
        assert has(node, "1") == ("200m", "200m")
        assert condition(node, "PodResizePending")["reason"] == "Deferred"
        assert node.runtime.names("update_resources") == []
        assert len(list((node.options.root_dir / "allocations").glob("*.json"))) == 3


async def test_restart_policy_of_the_resource(node):
    async with node.running():
        await node.create(containers=sized(policy="RestartContainer"), restartPolicy="OnFailure")
        await node.until(node.ready)
        resize(node, cpu="200m")
        # The runtime's stop ends it with code 0, which OnFailure alone would not start again.
        await node.until(lambda: node.container().get("restartCount") == 1 and node.ready())
        assert has(node, "200m") == ("200m", "200m")
        assert node.events("Killing") == ["Container c resize requires restart"]
        await node.until(lambda: settled(node))


async def test_memory_in_use_is_not_taken_away(node):
    used = {"bytes": 80 * MIB}

    async def stats():
        return [
            ContainerStats(item.id, item.name, item.pod_uid, 1, memory_usage_bytes=used["bytes"])
            for item in node.runtime.containers.values()
        ]

    node.runtime.container_stats = stats
    async with node.running():
        await node.create(containers=sized())
        await node.until(node.ready)
        resize(node, memory="50Mi")
        await node.until(lambda: (condition(node, "PodResizeInProgress") or {}).get("reason") == "Error")
        text = 'attempting to set container "c" memory limit (52428800) below current usage (83886080)'
        found = condition(node, "PodResizeInProgress")
        assert found["message"] == f"cannot decrease memory limits: {text}"
        status = node.container()
        assert status["allocatedResources"]["memory"] == "50Mi"
        assert status["resources"]["requests"]["memory"] == "100Mi"
        assert node.runtime.names("update_resources") == []
        assert "cannot decrease memory limits" in node.events("ResizeError")[0]
        resize(node, memory="90Mi", generation=3)
        await node.until(
            lambda: settled(node) and node.container()["resources"]["requests"]["memory"] == "90Mi"
        )


async def test_the_runtime_refuses(node):
    async with node.running():
        await node.create(containers=sized())
        await node.until(node.ready)
        node.runtime.fail["update_resources"] = RuntimeFailure("UNKNOWN", "busy")
        resize(node, cpu="200m")
        await node.until(lambda: (condition(node, "PodResizeInProgress") or {}).get("reason") == "Error")
        text = 'failed to update resources for container "c": rpc error: code = Unknown desc = busy'
        assert condition(node, "PodResizeInProgress")["message"] == text
        assert len(node.runtime.names("update_resources")) == 1


async def test_liveness_restarts_what_ends_well(node):
    """OnFailure: a container that a probe condemned starts anew though it ends with 0."""
    node.runtime.exec_answer = lambda command: ExecResult(1, b"no")
    probe = {"exec": {"command": ["x"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with node.running():
        await node.create(
            containers=[{"name": "c", "image": "img:1", "livenessProbe": probe}], restartPolicy="OnFailure"
        )
        await node.until(lambda: node.container().get("restartCount") == 1)


def resize_whole(node, memory, generation):
    pod = copy_object(node.api.get(PODS, "p", "default"))
    pod["metadata"]["generation"] = generation
    pod["spec"]["resources"] = whole(memory)
    node.api.put(PODS, pod)


def whole(memory):
    return {"requests": {"memory": memory}, "limits": {"memory": memory}}


def told_of_whole(node):
    status = node.status()
    return status.get("allocatedResources"), status.get("resources")


async def test_the_pod_as_a_whole(node, monkeypatch):
    """Its own cgroup, and the containers that have no limit but the pod's, are changed; it is kept."""
    sizes = []
    monkeypatch.setattr(NoCgroups, "apply", lambda _, pod: sizes.append(pod["spec"].get("resources")))

    changed = []

    async def update(container_id, linux):
        changed.append(linux["memory_limit_in_bytes"])

    monkeypatch.setattr(node.runtime, "update_resources", update)
    own = {"name": "own", "image": "img:1", "resources": {"limits": {"memory": "10Mi"}}}
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "img:1"}, own], resources=whole("64Mi"))
        await node.until(node.ready)
        assert told_of_whole(node) == ({"memory": "64Mi"}, whole("64Mi"))
        resize_whole(node, "96Mi", 2)
        await node.until(lambda: told_of_whole(node) == ({"memory": "96Mi"}, whole("96Mi")) and settled(node))
        assert node.container()["resources"] == {}
        assert changed == [96 * MIB]
        assert sizes[-2:] == [whole("96Mi")] * 2
    async with node.running():
        await node.until(lambda: node.kubelet.workers)
        await node.create("late")
        await node.until(lambda: node.ready("late"))
        assert changed == [96 * MIB]
        assert told_of_whole(node) == ({"memory": "96Mi"}, whole("96Mi"))


async def test_the_pod_as_a_whole_keeps_what_it_uses(node, monkeypatch):
    monkeypatch.setattr(NoCgroups, "memory_usage", lambda _, pod: 80 * MIB)
    async with node.running():
        await node.create(resources=whole("96Mi"))
        await node.until(node.ready)
        resize_whole(node, "64Mi", 2)
        await node.until(lambda: (condition(node, "PodResizeInProgress") or {}).get("reason") == "Error")
        text = "attempting to set pod memory limit (67108864) below current usage (83886080)"
        found = condition(node, "PodResizeInProgress")
        assert found["message"] == f"cannot decrease memory limits: {text}"
        assert told_of_whole(node) == ({"memory": "64Mi"}, whole("96Mi"))
        assert node.runtime.names("update_resources") == []
