"""Pods on a node, over a runtime and an API in memory: what their ends and their probes lead to."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from fake_node import Node

from tiphys.client.kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from tiphys.kubelet.housekeeping import Housekeeper
from tiphys.kubelet.restarts import Pace
from tiphys.kubelet.runtime import RuntimeFailure

pytestmark = pytest.mark.usefixtures("no_cgroups")

LATE = 0.0123


@pytest.fixture
async def node(tmp_path):
    node = Node(tmp_path, node_ips=("127.0.0.1",))
    yield node
    await node.client.close()


@asynccontextmanager
async def health_server():
    async def check(request, context):
        return b"\x08\x01"

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_grpc_liveness(node, monkeypatch):
    """The one that is answered stays; the one that asks where nobody serves is started again."""
    monkeypatch.setattr("tiphys.kubelet.restarts.INITIAL_S", 0.01)
    often = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}
    async with health_server() as port, node.running():
        for name, asked in (("well", port), ("ill", 1)):
            probe = {"grpc": {"port": asked}, **often}
            containers = [{"name": "c", "image": "img:1", "livenessProbe": probe}]
            await node.create(name, containers, hostNetwork=True)
        await node.until(lambda: node.container("ill").get("restartCount", 0) >= 1)
        assert node.container("well")["restartCount"] == 0
        assert node.ready("well")
        assert any(
            "failed to connect service" in text or "health rpc" in text for text in node.events("Unhealthy")
        )


async def test_a_probe_that_cannot_be_asked_says_nothing(node):
    """The container is not started again for it, nor is it ready."""
    node.runtime.fail["exec_sync"] = RuntimeFailure("UNKNOWN", "no such command")
    probe = {"exec": {"command": ["nope"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"name": "c", "image": "img:1", "livenessProbe": probe, "readinessProbe": probe}
    async with node.running():
        await node.create(containers=[container])
        await node.until(lambda: len(node.events("Unhealthy")) >= 2)
        said = "probe errored and resulted in unknown state: rpc error: code = Unknown desc = no such command"
        assert set(node.events("Unhealthy")) == {f"Liveness {said}", f"Readiness {said}"}
        assert (node.container()["restartCount"], node.container()["ready"]) == (0, False)
        assert "stop_container" not in dict(node.runtime.calls)


async def test_a_restart_is_told_of_when_it_is_done(node, monkeypatch):
    """However long making and starting take: who sees that it is counted or runs finds it ready."""
    monkeypatch.setattr("tiphys.kubelet.restarts.INITIAL_S", 0.01)

    def slow(call):
        async def done_late(*args):
            answer = await call(*args)
            await asyncio.sleep(0.08)  # the kubelet lists containers meanwhile
            return answer

        return done_late

    for name in ("create_container", "start_container"):
        monkeypatch.setattr(node.runtime, name, slow(getattr(node.runtime, name)))
    async with node.running():
        await node.create()
        await node.until(lambda: "running" in node.container().get("state", {}))
        assert node.ready()
        for count in (1, 2):
            node.runtime.exit("c", 1)
            await node.until(lambda count=count: node.container()["restartCount"] == count)
            assert "running" in node.container()["state"]
            assert node.ready()


async def test_a_node_s_own_pace(tmp_path):
    node = Node(tmp_path, restart_pace=Pace(0.01, 0.01))
    node.runtime.exit_on_start["c"] = 1
    async with node.running():
        await node.create()
        await node.until(lambda: node.container().get("restartCount", 0) >= 4)
    await node.client.close()


async def test_a_failing_init_container_is_tried_again(node, monkeypatch):
    """The others wait, the pod stays Pending, restarts are counted."""
    monkeypatch.setattr("tiphys.kubelet.restarts.INITIAL_S", 0.01)
    node.runtime.exit_on_start["first"] = 1
    inits = [{"name": name, "image": "img:1"} for name in ("first", "second")]
    async with node.running():
        await node.create(initContainers=inits)
        await node.until(
            lambda: (node.status().get("initContainerStatuses") or [{}])[0].get("restartCount", 0) >= 3
        )
        assert node.phase() == "Pending"
        first, second = node.status()["initContainerStatuses"]
        assert first["lastState"]["terminated"]["exitCode"] == 1
        assert second["state"]["waiting"]["reason"] == "PodInitializing"
        initialized = next(item for item in node.status()["conditions"] if item["type"] == "Initialized")
        assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")
        assert set(node.runtime.names("start_container")) == {"first"}
        assert "c" not in node.runtime.names("create_container")


@pytest.mark.parametrize(
    ("leaves", "reason", "tries"),
    [(True, "CrashLoopBackOff", 2), (False, "RunContainerError", 1)],
    ids=["the runtime has it end", "the runtime keeps it for another try"],
)
async def test_a_command_that_is_not_there_backs_off(node, monkeypatch, leaves, reason, tries):
    """The first restart comes at once, the second after 10 s, and so on, as for any container that ends."""
    monkeypatch.setattr("tiphys.kubelet.pod_start._ENDED_RETRY_S", 0.01)

    async def start(container_id):
        node.runtime.calls.append(("start_container", "c"))
        if leaves:
            node.runtime._end(container_id, 128, "StartError")
        raise RuntimeFailure("UNKNOWN", 'exec: "/nosuch": no such file or directory')

    node.runtime.start_container = start
    async with node.running():
        await node.create()
        await node.until(lambda: node.waiting().get("reason") == reason)
        assert set(node.events("Failed")) == {'Error: exec: "/nosuch": no such file or directory'}
        assert len(node.runtime.names("start_container")) == tries
        await node.until(lambda: len(node.events("BackOff")) == (1 if leaves else 0))
        before = (node.container()["lastState"].get("terminated") or {}).get("startedAt")
        assert before == ("1970-01-01T00:00:00Z" if leaves else None)


async def test_a_label_that_the_node_got_just_now_counts(node):
    """The kubelet has not seen it yet when the pod comes; one that asks for another is refused."""
    async with node.running():
        await node.until(lambda: node.api.get(NODES, "n1", "") is not None)
        await node.client.patch(NODES, "n1", "", {"metadata": {"labels": {"disk": "ssd"}}}, type="merge")
        await node.create("fits", nodeSelector={"disk": "ssd"})
        await node.create("not", nodeSelector={"disk": "nvme"})
        await node.until(lambda: node.phase("fits") == "Running")
        await node.until(lambda: node.status("not").get("reason") == "NodeAffinity")


async def test_a_cordon_is_told(tmp_path):
    node = Node(tmp_path, status_update_s=0.02)
    async with node.running():
        await node.until(lambda: node.events("NodeReady"))
        for wanted, reason in ((True, "NodeNotSchedulable"), (False, "NodeSchedulable")):
            assert not node.events(reason)
            await node.client.patch(NODES, "n1", "", {"spec": {"unschedulable": wanted}}, type="merge")
            await node.until(lambda reason=reason: node.events(reason))
            assert node.events(reason) == [f"Node n1 status is now: {reason}"]
    await node.client.close()


async def test_an_ended_pod_can_be_deleted(node):
    node.runtime.exit_on_start["c"] = 1
    async with node.running():
        await node.create(restartPolicy="Never")
        await node.until(lambda: node.phase() == "Failed")
        assert node.container()["state"]["terminated"]["reason"] == "Error"
        node.api.delete_pod("p")
        await node.until(lambda: node.api.get(PODS, "p", "default") is None)


async def test_unused_images_go_when_the_disk_is_full(node):
    """The longest unused first, until there is room; never those in use or that the node needs."""
    for name in ("old", "older", "kept"):
        node.runtime.add_image(f"docker.io/library/{name}:1")
    used = [90]

    def usage(root):
        return SimpleNamespace(total=100, used=used[0])

    remove = node.runtime.remove_image

    async def removing(image):
        await remove(image)
        used[0] -= 15

    node.runtime.remove_image = removing
    async with node.running():
        await node.create()
        await node.until(node.ready)
        keeper = Housekeeper(node.kubelet.node, set, usage)
        await keeper.collect_images((95, 80), [])
        assert len(node.runtime.images) == 4
        await keeper.collect_images((85, 80), ["docker.io/library/kept:1"])
        assert len(node.runtime.images) == 3
        used[0] = 100
        await keeper.collect_images((0, 0), ["docker.io/library/kept:1"])
        assert set(node.runtime.images) == {"docker.io/library/img:1", "docker.io/library/kept:1"}
        keeper._used_at["removed by somebody else"] = next(iter(keeper._used_at.values()))
        await keeper.collect_images((100, 80), [])
        assert len(keeper._used_at) == 1


@pytest.mark.parametrize(
    ("phase", "completed", "runs"),
    [("Bound", True, True), ("Pending", True, True), ("Pending", False, False), ("Lost", True, False)],
)
async def test_which_claims_are_mounted(node, tmp_path, phase, completed, runs):
    """One whose volume is settled, be its phase written yet or not."""
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if completed else {}
    meta = {"name": "data", "namespace": "default", "annotations": annotations}
    claim = {"metadata": meta, "spec": {"volumeName": "v"}, "status": {"phase": phase}}
    node.api.put(PERSISTENT_VOLUME_CLAIMS, claim)
    folder = {"path": str(tmp_path), "type": "Directory"}
    node.api.put(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": {"hostPath": folder}})
    async with node.running():
        await node.create(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
        await node.until(lambda: node.phase() == "Running" or node.events("FailedMount"))
        assert (node.phase() == "Running") is runs


async def test_large_logs_are_rotated(node):
    async with node.running():
        await node.create()
        await node.until(node.ready)
        (container,) = node.runtime.containers.values()
        path = Path(container.log_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(200))  # noqa: ASYNC240
        keeper = Housekeeper(node.kubelet.node, set)
        await keeper.rotate_logs(300, 3)
        assert node.runtime.names("reopen_log") == []
        await keeper.rotate_logs(100, 3)
        assert node.runtime.names("reopen_log") == [container.id]
        (rotated,) = path.parent.iterdir()
        assert rotated.name.startswith("0.log.")


async def test_images_as_volumes(node):
    """Each is pulled by its own policy when a container that mounts it starts."""
    node.runtime.pullable.add("docker.io/library/data:1")
    mounts = [{"name": "d", "mountPath": "/d"}]
    containers = [
        {"name": "c", "image": "img:1", "volumeMounts": mounts},
        {"name": "other", "image": "img:1"},
    ]
    source = {"reference": "data:1", "pullPolicy": "Always"}
    async with node.running():
        await node.create(containers=containers, volumes=[{"name": "d", "image": source}])
        await node.until(node.ready)
        assert node.runtime.names("pull_image") == ["docker.io/library/data:1"]
        assert node.runtime.names("mount_image") == ["docker.io/library/data:1"]
        config = next(item for item in node.runtime.configs.values() if item["metadata"]["name"] == "c")
        mount = next(item for item in config["mounts"] if item["container_path"] == "/d")
        assert mount["readonly"]
        assert mount["host_path"].endswith("/volumes/kubernetes.io~image/d")
        assert "docker.io/library/data:1" in node.kubelet.kept_images()


@pytest.mark.parametrize(
    ("call", "reason"), [("pull_image", "ErrImagePull"), ("mount_image", "ImageVolumeMountFailed")]
)
async def test_images_that_cannot_be_volumes(node, call, reason):
    node.runtime.pullable.add("docker.io/library/data:1")
    node.runtime.fail[call] = RuntimeFailure("UNKNOWN", "broken")
    mounts = [{"name": "d", "mountPath": "/d"}]
    volume = {"name": "d", "image": {"reference": "data:1"}}
    async with node.running():
        await node.create(
            containers=[{"name": "c", "image": "img:1", "volumeMounts": mounts}], volumes=[volume]
        )
        await node.until(lambda: node.waiting().get("reason") == reason)
        assert "broken" in node.waiting()["message"]


async def test_last_words_that_come_late(node, monkeypatch):
    """The runtime writes a log's end after the container's; those words are the message all the same."""
    waited = []

    async def write_while_waiting(seconds):
        if seconds == LATE and not waited:
            waited.append(seconds)
            (container,) = node.runtime.containers.values()
            await asyncio.to_thread(write_log, Path(container.log_path))
        await whole(seconds)

    def write_log(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("2026-01-01T00:00:00.000000000Z stdout F bye\n")

    whole = asyncio.sleep
    monkeypatch.setattr("tiphys.kubelet.pleg._LOG_WAITS_S", (LATE,))
    monkeypatch.setattr("tiphys.kubelet.pleg.asyncio.sleep", write_while_waiting)
    node.runtime.exit_on_start["c"] = 1
    async with node.running():
        fallback = {"name": "c", "image": "img:1", "terminationMessagePolicy": "FallbackToLogsOnError"}
        await node.create(containers=[fallback], restartPolicy="Never")
        await node.until(lambda: node.phase() == "Failed")
        assert node.container()["state"]["terminated"]["message"] == "bye\n"
    assert waited == [LATE]


async def test_nothing_is_told_between_two_lives(node, monkeypatch):
    """A container with another image is stopped and started: nobody hears that it was not ready meanwhile."""
    told = []
    settle, start = node.api._settle, node.runtime.start_container

    def record(gvr, namespace, name, old, new):
        if gvr == PODS:
            told.append(new.get("status") or {})
        return settle(gvr, namespace, name, old, new)

    async def slowly(container_id):
        looks = node.runtime.listed
        await node.until(lambda: node.runtime.listed > looks + 3)
        await start(container_id)

    async def list_containers(pod_uid=""):
        node.runtime.listed += 1
        return await listing(pod_uid)

    node.runtime.listed, listing = 0, node.runtime.list_containers
    monkeypatch.setattr(node.runtime, "list_containers", list_containers)
    node.runtime.add_image("docker.io/library/img:2")
    async with node.running():
        await node.create()
        await node.until(lambda: node.ready())
        monkeypatch.setattr(node.api, "_settle", record)
        monkeypatch.setattr(node.runtime, "start_container", slowly)
        pod = node.api.get(PODS, "p", "default")
        pod["spec"]["containers"][0]["image"] = "img:2"
        node.api.put(PODS, pod)
        await node.until(lambda: node.container().get("restartCount") == 1)
    states = [next(iter(one["containerStatuses"][0]["state"])) for one in told]
    assert states
    assert set(states) == {"running"}
    assert all(one["containerStatuses"][0]["ready"] for one in told)
    assert node.container()["lastState"]["terminated"]["exitCode"] == 0


async def test_a_life_that_does_not_begin_is_told(node):
    """The image to be started with is nowhere: the container is not ready, and says why."""
    async with node.running():
        await node.create()
        await node.until(lambda: node.ready())
        pod = node.api.get(PODS, "p", "default")
        pod["spec"]["containers"][0]["image"] = "nowhere:2"
        node.api.put(PODS, pod)
        await node.until(lambda: node.waiting().get("reason") in ("ErrImagePull", "ImagePullBackOff"))
        assert not node.ready()
