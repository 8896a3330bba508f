"""A node falls silent, is marked and tainted, its pods leave, and it comes back."""

from tiphys.apimachinery.errors import Conflict
from tiphys.client.kinds import EVENTS, LEASES, NODES, PODS
from tiphys.controllers.conditions import find
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.tainteviction.controller import TaintEvictionController


def node(name="n1"):
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [ready]},
    }


def lease(renewed, name="n1"):
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"renewTime": renewed},
    }


def pod(name, seconds=None):
    tolerations = []
    if seconds is not None:
        tolerations = [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "d"},
        "spec": {"nodeName": "n1", "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


async def test_silence_taints_evicts_and_heals(world):
    world.api.put(NODES, node())
    world.api.put(NODES, node("steady"))
    world.api.put(LEASES, lease("1"))

    async def wait(seconds, beat):
        world.api.put(LEASES, lease(f"{beat} {world.clock.monotonic()}", "steady"))
        await world.advance(seconds)

    world.api.put(PODS, pod("fleeting"))
    world.api.put(PODS, pod("steady", 300))
    async with world.running(NodeLifecycleController, TaintEvictionController):
        for second in range(6):
            world.api.put(LEASES, lease(str(second + 2)))
            await wait(10, "first")
        assert len(world.api.all(PODS)) == 2
        for _ in range(11):
            await wait(5, "then")
        found = world.api.get(NODES, "n1")
        assert find(found["status"]["conditions"], "Ready")["status"] == "Unknown"
        assert {taint["effect"] for taint in found["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
        assert [item["metadata"]["name"] for item in world.api.all(PODS)] == ["steady"]
        steady = world.api.get(PODS, "steady", "d")
        assert find(steady["status"]["conditions"], "Ready")["status"] == "False"
        for _ in range(61):
            await wait(5, "last")
        assert world.api.all(PODS) == []
        world.api.put(LEASES, lease("alive"))
        world.api.put(NODES, {**found, "status": node()["status"]})
        await wait(5, "end")
        assert "taints" not in world.api.get(NODES, "n1")["spec"]


async def test_a_taint_by_hand_is_borne_no_longer_than_tolerated(world):
    """It does not say when it was added; taken away in time, it does nothing."""
    for name, seconds in (("none", 0), ("short", 4), ("long", 12)):
        world.api.put(PODS, pod(name, seconds))
    async with world.running(NodeLifecycleController, TaintEvictionController):
        tainted = node()
        tainted["spec"]["taints"] = [{"key": "x", "effect": "NoExecute"}]
        world.api.put(NODES, tainted)
        await world.settle()
        left = {0.1: ["long", "short"], 3: ["long", "short"], 2: ["long"]}
        for seconds, names in left.items():
            await world.advance(seconds)
            assert sorted(item["metadata"]["name"] for item in world.api.all(PODS)) == names
        world.api.put(NODES, node())
        await world.settle()
        await world.advance(5)
        world.api.put(NODES, tainted)
        await world.settle()
        await world.advance(8)
        assert [item["metadata"]["name"] for item in world.api.all(PODS)] == ["long"]
        await world.advance(5)
        assert world.api.all(PODS) == []


async def test_nodes_are_announced_and_evictions_have_their_own_voice(world):
    async with world.running(NodeLifecycleController, TaintEvictionController):
        world.api.put(NODES, node())
        await world.settle()
        world.api.put(PODS, pod("steady", 300))
        world.api.put(PODS, pod("fleeting"))
        tainted = node()
        tainted["spec"]["taints"] = [{"key": "x", "effect": "NoExecute"}]
        world.api.put(NODES, tainted)
        await world.settle()
        world.api.remove(NODES, "n1")
        await world.settle()
    told = {event["reason"]: event for event in world.api.all(EVENTS)}
    assert told["RegisteredNode"]["message"] == "Node n1 event: Registered Node n1 in Controller"
    assert told["RemovingNode"]["message"] == "Node n1 event: Removing Node n1 from Controller"
    assert told["RegisteredNode"]["source"]["component"] == "node-controller"
    assert told["TaintManagerEviction"]["message"] == "Marking for deletion Pod d/fleeting"
    assert told["TaintManagerEviction"]["source"]["component"] == "taint-eviction-controller"


async def test_nobody_is_evicted_while_every_node_is_silent(world):
    for name in ("n1", "n2"):
        world.api.put(NODES, node(name))
        world.api.put(LEASES, lease("1", name))
    world.api.put(PODS, pod("fleeting"))
    async with world.running(NodeLifecycleController, TaintEvictionController):
        await world.advance(5)
        for _ in range(40):
            await world.advance(5)
        for name in ("n1", "n2"):
            found = world.api.get(NODES, name)
            assert find(found["status"]["conditions"], "Ready")["status"] == "Unknown"
            assert {taint["effect"] for taint in found["spec"]["taints"]} == {"NoSchedule"}
        assert world.api.all(PODS)

        # One is back: the other is heard anew before it is given up.
        world.api.put(NODES, {**world.api.get(NODES, "n2"), "status": node("n2")["status"]})
        world.api.put(LEASES, lease("back", "n2"))
        await world.advance(2)
        assert world.api.all(PODS)
        for beat in range(3):
            world.api.put(LEASES, lease(f"on {beat}", "n2"))
            await world.advance(5)
        assert {taint["effect"] for taint in world.api.get(NODES, "n1")["spec"]["taints"]} == {
            "NoSchedule",
            "NoExecute",
        }
        assert not world.api.all(PODS)


async def test_a_node_that_falls_silent_is_told_of_once_and_its_labels_are_mended(world):
    """One that said itself that it is not ready is not told of again."""
    labelled = node()
    labelled["metadata"]["labels"] = {"kubernetes.io/os": "linux"}
    world.api.put(NODES, labelled)
    ill = node("ill")
    ill["status"]["conditions"][0]["status"] = "False"
    world.api.put(NODES, ill)
    async with world.running(NodeLifecycleController):
        await world.advance(1)
        assert world.api.get(NODES, "n1")["metadata"]["labels"]["beta.kubernetes.io/os"] == "linux"
        for _ in range(14):
            await world.advance(5)
    told = [event for event in world.api.all(EVENTS) if event["reason"] == "NodeNotReady"]
    assert [event["message"] for event in told] == ["Node n1 status is now: NodeNotReady"]


async def test_who_else_writes_a_node_brings_it_back_and_no_backoff_does(world):
    silent = node()
    silent["status"]["conditions"][0]["status"] = "False"
    world.api.put(NODES, silent)
    met = []

    def overtake(request):
        if met or request.method != "PUT":
            return None
        met.append(request.path)
        world.api.put(
            NODES, {**silent, "metadata": {**silent["metadata"], "labels": {"written": "meanwhile"}}}
        )
        return Conflict("the object has been modified")

    world.api.reactors.append(overtake)
    before = world.clock.monotonic()
    async with world.running(NodeLifecycleController):
        (controller,) = world.controllers
        found = world.api.get(NODES, "n1")
        assert found["metadata"]["labels"] == {"written": "meanwhile"}
        assert {taint["key"] for taint in found["spec"]["taints"]} == {"node.kubernetes.io/not-ready"}
        assert met
        assert controller.queue.failures("n1") == 0
        assert world.clock.monotonic() == before
