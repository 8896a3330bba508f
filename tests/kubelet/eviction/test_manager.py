"""A kubelet whose node runs short: over a runtime, an API and measures in memory."""

import shutil

import pytest
from fake_node import Node

from tiphys.client.kinds import NODES
from tiphys.kubelet import counts
from tiphys.kubelet.eviction.manager import measure, tree_bytes
from tiphys.kubelet.eviction.plan import Observation

MI = 2**20

pytestmark = pytest.mark.usefixtures("no_cgroups")


@pytest.fixture
async def node(tmp_path):
    node = Node(tmp_path, eviction_look_s=0.01, eviction_transition_s=0.0)
    yield node
    await node.client.close()


def condition(node, kind):
    found = (node.api.get(NODES, "n1") or {}).get("status", {}).get("conditions") or ()
    return next((item for item in found if item["type"] == kind), {})


def counted(name, **labels):
    return counts.REGISTRY.sample_value(f"kubelet_{name}", labels) or 0.0


async def test_short_of_memory(node):
    before = counted("evictions", eviction_signal="memory.available")
    enough, little = ({"memory.available": Observation(left * MI, 1000 * MI)} for left in (500, 50))
    pressed: list[bool] = []

    def left():
        """Little, until a victim has given its memory back: nobody looks again before that."""
        return little if pressed and not node.runtime.names("stop_container") else enough

    async with node.running(measure=left):
        await node.create(
            "modest", [{"name": "c", "image": "img:1", "resources": {"requests": {"memory": "1Gi"}}}]
        )
        await node.create("greedy")
        await node.until(lambda: node.ready("greedy") and node.ready("modest"))
        assert condition(node, "MemoryPressure")["status"] == "False"
        pressed.append(True)
        await node.until(lambda: node.phase("greedy") == "Failed")
        status = node.status("greedy")
        assert status["reason"] == "Evicted"
        assert status["message"].startswith(
            "The node was low on resource: memory. Threshold quantity: 100Mi, "
        )
        assert (
            "Container c was using 1Ki, request is 0, has larger consumption of memory. " in status["message"]
        )
        target = next(item for item in status["conditions"] if item["type"] == "DisruptionTarget")
        assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
        await node.until(lambda: node.events("Evicted") and node.events("EvictionThresholdMet"))
        assert node.events("Evicted") == [status["message"]]
        assert node.events("EvictionThresholdMet") == ["Attempting to reclaim memory"]
        assert node.phase("modest") == "Running"
        await node.until(lambda: condition(node, "MemoryPressure")["status"] == "False")
        assert counted("evictions", eviction_signal="memory.available") == before + 1


async def test_conditions_are_told_and_newcomers_refused(node):
    left = {"memory.available": Observation(50 * MI, 1000 * MI)}
    async with node.running(measure=lambda: left):
        await node.until(lambda: condition(node, "MemoryPressure").get("status") == "True")
        assert condition(node, "MemoryPressure")["reason"] == "KubeletHasInsufficientMemory"
        await node.create("late")
        await node.until(lambda: node.phase("late") == "Failed")
        assert node.status("late")["message"] == (
            "Pod was rejected: The node had condition: [MemoryPressure]. "
        )
        assert node.runtime.names("run_sandbox") == []


async def test_images_go_before_pods(node):
    full = False  # only once the pod runs: a node that is short takes no newcomers

    def left():
        short = full and "docker.io/library/old:1" in node.runtime.images
        return {"nodefs.available": Observation(50 if short else 500, 1000)}

    node.runtime.add_image("docker.io/library/old:1")
    async with node.running(measure=left):
        await node.create()
        await node.until(node.ready)
        full = True
        before = counted("image_garbage_collected_total", reason="space")
        await node.until(lambda: len(node.runtime.images) == 1)
        await node.until(lambda: counted("image_garbage_collected_total", reason="space") == before + 1)
        await node.until(lambda: condition(node, "DiskPressure").get("status") == "False")
        assert node.phase() == "Running"
        assert node.events("Evicted") == []


async def test_too_full_an_empty_dir(node):
    async with node.running(measure=dict):
        made = await node.create(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "8Ki"}}])
        await node.until(node.ready)
        folder = (
            node.options.root_dir / "pods" / made["metadata"]["uid"] / "volumes/kubernetes.io~empty-dir/v"
        )
        (folder / "f").write_bytes(bytes(64 * 1024))
        await node.until(lambda: node.phase() == "Failed")
        assert node.status()["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "8Ki". '


def test_sizes_of_trees(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "f").write_bytes(bytes(4096))
    (tmp_path / "a" / "b" / "g").write_bytes(bytes(4096))
    (tmp_path / "a" / "gone").symlink_to("/nowhere")
    assert 8192 <= tree_bytes(tmp_path) <= 8192 + 4096
    assert tree_bytes(tmp_path / "none") == 0


def test_this_machine(tmp_path):
    found = measure(tmp_path, 1000)
    assert found["nodefs.available"].capacity == shutil.disk_usage(tmp_path).total
    assert found["memory.available"].capacity == 1000
    assert 0 < found["pid.available"].available < found["pid.available"].capacity
