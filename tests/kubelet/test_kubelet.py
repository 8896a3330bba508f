"""The whole kubelet over a runtime and an API in memory."""

import asyncio

import orjson
import pytest
from fake_node import Node

from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import CONFIG_MAPS, LEASES, NODES, PODS, RUNTIME_CLASSES, SERVICES
from tiphys.client.rest import Client
from tiphys.kubelet.runtime import ExecResult, RuntimeFailure

pytestmark = pytest.mark.usefixtures("no_cgroups")


@pytest.fixture
async def node(tmp_path):
    node = Node(tmp_path)
    yield node
    await node.client.close()


async def test_registers_and_holds_a_lease(node):
    async with node.running():
        await node.until(lambda: (node.api.get(NODES, "n1") or {}).get("status"))
        await node.until(lambda: node.api.get(LEASES, "n1", "kube-node-lease"))
        status = node.api.get(NODES, "n1")["status"]
        assert {"type": "InternalIP", "address": "192.0.2.1"} in status["addresses"]
        ready = next(item for item in status["conditions"] if item["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "KubeletReady")
        await node.until(lambda: node.events("NodeReady"))
        assert node.events("Starting") == ["Starting kubelet."]
        assert node.events("NodeHasSufficientMemory") == ["Node n1 status is now: NodeHasSufficientMemory"]
        labels = node.api.get(NODES, "n1")["metadata"]["labels"]
        assert labels["kubernetes.io/hostname"] == "n1"


async def test_the_node_is_registered_with_its_whole_status(node):
    made = []

    def look(request):
        if request.method == "POST" and request.path == "/api/v1/nodes":
            made.append(orjson.loads(request.body))

    node.api.reactors.append(look)
    async with node.running():
        await node.until(lambda: made)
    status = made[0]["status"]
    assert {"type": "InternalIP", "address": "192.0.2.1"} in status["addresses"]
    assert status["capacity"]["pods"] == "110"
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.")
    assert [item["type"] for item in status["conditions"]][-1] == "Ready"


async def test_a_server_that_hangs_does_not_hold_up_the_next_beat(tmp_path):
    """A lease lasts 40 seconds, a request might wait for 60."""
    node, hung = Node(tmp_path, lease_duration_s=1), asyncio.Event()

    async def handler(request):
        if request.path.endswith("/leases/n1") and not hung.is_set():
            hung.set()
            await asyncio.get_running_loop().create_future()
        return await node.api.handler(request)

    node.client = Client(InProcessTransport(handler))
    async with node.running():
        await node.until(hung.is_set)
        await node.until(lambda: node.api.get(LEASES, "n1", "kube-node-lease"))
    await node.client.close()


async def test_of_a_node_that_is_there_others_labels_are_left_alone(tmp_path):
    """A label of the command line is for a new node: whoever changed it since has the last word."""
    node = Node(tmp_path, labels={"pool": "a", "topology.kubernetes.io/zone": "z1"})
    labels = {"pool": "b", "topology.kubernetes.io/zone": "z0", "kubernetes.io/hostname": "old"}
    node.api.put(NODES, {"metadata": {"name": "n1", "labels": labels}, "spec": {}})
    async with node.running():
        await node.until(lambda: (node.api.get(NODES, "n1") or {}).get("status"))
        found = node.api.get(NODES, "n1")["metadata"]["labels"]
    assert (found["pool"], found["topology.kubernetes.io/zone"]) == ("b", "z1")
    assert (found["kubernetes.io/hostname"], found["kubernetes.io/os"]) == ("n1", "linux")
    await node.client.close()


async def test_node_is_not_ready_without_network(node):
    node.runtime.network_ready = False
    async with node.running():
        await node.until(lambda: (node.api.get(NODES, "n1") or {}).get("status"))
        ready = next(c for c in node.api.get(NODES, "n1")["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "False"
        assert "NetworkPluginNotReady" in ready["message"]
        node.runtime.network_ready = True
        await node.until(
            lambda: node.api.get(NODES, "n1")["status"]["conditions"][-1]["status"] == "True", "readiness"
        )


async def test_runs_a_pod_and_forgets_it(node):
    async with node.running():
        pod = await node.create()
        await node.until(node.ready)
        assert node.phase() == "Running"
        assert node.status()["podIP"].startswith("10.0.0.")
        node.api.delete_pod("p")
        await node.until(lambda: node.api.get(PODS, "p", "default") is None)
        await node.until(lambda: not node.kubelet.workers)
        assert node.runtime.sandboxes == {}
        assert node.events("Killing") == ["Stopping container c"]
        assert not (node.options.root_dir / "pods" / pod["metadata"]["uid"]).exists()


async def test_job_pod_succeeds(node):
    async with node.running():
        await node.create(restartPolicy="Never")
        await node.until(lambda: node.phase() == "Running")
        node.runtime.exit("c", 0)
        await node.until(lambda: node.phase() == "Succeeded")
        assert node.container()["state"]["terminated"]["reason"] == "Completed"
        await node.until(lambda: not any(item.ready for item in node.runtime.sandboxes.values()))


async def test_crashing_container_backs_off(node):
    node.runtime.exit_on_start["c"] = 1
    async with node.running():
        await node.create()
        await node.until(lambda: node.waiting().get("reason") == "CrashLoopBackOff")
        assert node.container()["restartCount"] == 1
        assert "back-off 10s restarting failed container=c" in node.waiting()["message"]
        await node.until(lambda: node.events("BackOff"))
        assert node.phase() == "Running"


async def test_init_containers_first(node):
    async with node.running():
        await node.create(initContainers=[{"name": "i", "image": "img:1"}])
        await node.until(lambda: node.runtime.names("start_container") == ["i"])
        await node.until(lambda: node.waiting().get("reason") == "PodInitializing")
        node.runtime.exit("i")
        await node.until(node.ready)
        assert node.runtime.names("start_container") == ["i", "c"]


async def test_missing_image_is_told_and_pulled_when_it_comes(node):
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "none:1", "imagePullPolicy": "IfNotPresent"}])
        await node.until(lambda: node.waiting().get("reason") in ("ErrImagePull", "ImagePullBackOff"))
        await node.until(lambda: "Error: ErrImagePull" in node.events("Failed"))
        assert node.events("Pulling") == ['Pulling image "none:1"']


async def test_never_pull(node):
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "none:1", "imagePullPolicy": "Never"}])
        await node.until(lambda: node.waiting().get("reason") == "ErrImageNeverPull")


async def test_missing_config_map_holds_the_pod_until_it_is_there(node):
    async with node.running():
        await node.create(volumes=[{"name": "v", "configMap": {"name": "cm"}}])
        await node.until(lambda: node.events("FailedMount"))
        assert (
            node.events("FailedMount")[0]
            == 'MountVolume.SetUp failed for volume "v" : configmap "cm" not found'
        )
        node.api.put(
            CONFIG_MAPS,
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "cm", "namespace": "default"},
                "data": {"a": "1"},
            },
        )
        await node.until(node.ready)


async def test_config_map_volume_is_updated(node):
    meta = {"name": "cm", "namespace": "default"}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}
    node.api.put(CONFIG_MAPS, config_map)
    async with node.running():
        pod = await node.create(volumes=[{"name": "v", "configMap": {"name": "cm"}}])
        await node.until(node.ready)
        folder = node.options.root_dir / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~configmap/v"
        assert (folder / "a").read_text() == "1"
        node.api.put(CONFIG_MAPS, {**config_map, "data": {"a": "2", "b": "3"}})
        await node.until(lambda: (folder / "b").exists())
        assert (folder / "a").read_text() == "2"


async def test_content_that_changes_while_it_is_written(node, monkeypatch):
    """Many changes one after another: the last of them is what lies there in the end."""
    meta = {"name": "cm", "namespace": "default"}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    node.api.put(CONFIG_MAPS, config_map)
    async with node.running():
        pod = await node.create(volumes=[{"name": "v", "configMap": {"name": "cm"}}])
        await node.until(node.ready)
        folder = node.options.root_dir / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~configmap/v"
        whole = node.kubelet.node.volumes.refresh
        free = asyncio.Event()

        async def slow(*args):
            await whole(*args)
            await free.wait()

        monkeypatch.setattr(node.kubelet.node.volumes, "refresh", slow)
        node.api.put(CONFIG_MAPS, {**config_map, "data": {"a": "1"}})
        await node.until(lambda: (folder / "a").exists())
        node.api.put(CONFIG_MAPS, {**config_map, "data": {"a": "2"}})
        await asyncio.sleep(0.05)
        free.set()
        await node.until(lambda: (folder / "a").read_text() == "2")


async def test_labels_that_change_reach_the_downward_volume(node, monkeypatch):
    # Such content lies on a tmpfs, which tests must not leave mounted (and only root could mount).
    monkeypatch.setattr("tiphys.kubelet.volumes.mount.mount", lambda *args, **more: None)
    async with node.running():
        items = [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]
        volume = {"projected": {"sources": [{"downwardAPI": {"items": items}}]}}
        pod = await node.create(volumes=[{"name": "v", **volume}])
        await node.until(node.ready)
        folder = node.options.root_dir / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~projected/v"
        assert (folder / "l").read_text() == ""
        await node.client.patch(PODS, "p", "default", {"metadata": {"labels": {"a": "b"}}}, type="merge")
        await node.until(lambda: (folder / "l").read_text() == 'a="b"')


async def test_missing_env_source_is_a_config_error(node):
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "img:1", "env": env}])
        await node.until(lambda: node.waiting().get("reason") == "CreateContainerConfigError")
        assert node.waiting()["message"] == 'configmap "no" not found'


async def test_services_are_in_the_environment(node):
    node.api.put(
        SERVICES,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "default"},
         "spec": {"clusterIP": "10.1.1.1", "ports": [{"port": 80}]}},
    )  # fmt: skip
    async with node.running():
        await node.create()
        await node.until(node.ready)
        config = next(item for item in node.runtime.configs.values() if "envs" in item)
        assert {"key": "DB_SERVICE_HOST", "value": b"10.1.1.1"} in config["envs"]


async def test_failing_liveness_probe_restarts(node):
    node.runtime.exec_answer = lambda command: ExecResult(1, b"broken")
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "img:1", "livenessProbe": probe}])
        await node.until(lambda: node.container().get("restartCount") == 1)
        assert node.events("Unhealthy") == ["Liveness probe failed: broken"]
        assert node.events("Killing")[0] == "Container c failed liveness probe, will be restarted"


async def test_readiness_probe_decides(node):
    answers = [1]
    node.runtime.exec_answer = lambda command: ExecResult(answers[0], b"")
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 0.02, "failureThreshold": 1}
    async with node.running():
        await node.create(containers=[{"name": "c", "image": "img:1", "readinessProbe": probe}])
        await node.until(lambda: node.phase() == "Running")
        assert not node.ready()
        answers[0] = 0
        await node.until(node.ready)


async def test_pre_stop_hook_runs_before_the_stop(node):
    async with node.running():
        hook = {"preStop": {"exec": {"command": ["bye"]}}}
        await node.create(containers=[{"name": "c", "image": "img:1", "lifecycle": hook}])
        await node.until(node.ready)
        node.api.delete_pod("p")
        await node.until(lambda: node.api.get(PODS, "p", "default") is None)
        calls = [name for name, _ in node.runtime.calls]
        assert calls.index("exec_sync") < calls.index("stop_container")


async def test_what_a_hook_says_is_in_no_event(node):
    node.runtime.exec_answer = lambda command: ExecResult(1, b"the secret")
    async with node.running():
        hook = {"preStop": {"exec": {"command": ["login", "password"]}}}
        await node.create(containers=[{"name": "c", "image": "img:1", "lifecycle": hook}])
        await node.until(node.ready)
        node.api.delete_pod("p")
        await node.until(lambda: node.events("FailedPreStopHook"))
        assert node.events("FailedPreStopHook") == ["PreStopHook failed"]


async def test_failed_post_start_hook_kills(node):
    node.runtime.exec_answer = lambda command: ExecResult(1, b"no")
    async with node.running():
        hook = {"postStart": {"exec": {"command": ["hello"]}}}
        await node.create(containers=[{"name": "c", "image": "img:1", "lifecycle": hook}])
        await node.until(lambda: node.events("FailedPostStartHook"))
        assert node.events("FailedPostStartHook") == ["PostStartHook failed"]
        await node.until(lambda: "stop_container" in [name for name, _ in node.runtime.calls])


async def test_forced_deletion_stops_what_runs(node):
    async with node.running():
        await node.create()
        await node.until(node.ready)
        node.api.remove(PODS, "p", "default")
        await node.until(lambda: not node.runtime.sandboxes and not node.kubelet.workers)


async def test_restart_leaves_containers_alone(node):
    async with node.running():
        await node.create()
        await node.until(node.ready)
    before = dict(node.runtime.containers)
    node.runtime.calls.clear()
    async with node.running():
        await node.until(lambda: node.kubelet.workers)
        await node.create("q")
        await node.until(lambda: node.ready("q"))
        assert node.ready()
        assert {key: node.runtime.containers[key] for key in before} == before
        assert "stop_container" not in [name for name, _ in node.runtime.calls]


async def test_orphans_are_removed(node):
    async with node.running():
        await node.create()
        await node.until(node.ready)
    node.api.remove(PODS, "p", "default")
    async with node.running():
        await node.until(lambda: not node.runtime.sandboxes)
        await node.until(lambda: not list((node.options.root_dir / "pods").iterdir()))


async def test_sandbox_failure_is_told_and_tried_again(node, monkeypatch):
    monkeypatch.setattr("tiphys.kubelet.pod_start._SANDBOX_RETRY_S", 0.01)
    node.runtime.fail["run_sandbox"] = RuntimeFailure("UNKNOWN", "no network")
    async with node.running():
        await node.create()
        await node.until(lambda: node.events("FailedCreatePodSandBox"))
        node.runtime.fail.clear()
        await node.until(node.ready)


async def test_runtime_classes_choose_the_handler(node, monkeypatch):
    monkeypatch.setattr("tiphys.kubelet.pod_start._SANDBOX_RETRY_S", 0.01)
    known = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "known"}}
    node.api.put(RUNTIME_CLASSES, {**known, "handler": "runc"})
    node.api.put(RUNTIME_CLASSES, {**known, "metadata": {"name": "odd"}, "handler": "odd"})
    async with node.running():
        await node.create("good", runtimeClassName="known")
        await node.create("bad", runtimeClassName="odd")
        await node.create("none", runtimeClassName="none")
        await node.until(lambda: node.ready("good"))
        await node.until(lambda: len(set(node.events("FailedCreatePodSandBox"))) == 2)
        told = sorted(set(node.events("FailedCreatePodSandBox")))
        assert told[0].endswith('no runtime for "odd" is configured')
        assert told[1].endswith('runtimeclasses.node.k8s.io "none" not found')
        assert node.phase("bad") == "Pending"


async def test_a_user_namespace_is_refused_not_left_out(node):
    async with node.running():
        await node.create(hostUsers=False)
        await node.until(lambda: node.events("FailedCreatePodSandBox"))
        text = (
            "can't set `spec.hostUsers: false`, runtime does not support user namespaces: "
            'the handler "" is not known'
        )
        assert node.events("FailedCreatePodSandBox")[0] == f"Failed to create pod sandbox: {text}"
        assert node.runtime.names("run_sandbox") == []
        assert node.phase() == "Pending"


async def test_unsafe_sysctl_is_refused(node):
    async with node.running():
        await node.create(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
        await node.until(lambda: node.phase() == "Failed")
        assert node.status()["reason"] == "SysctlForbidden"
        why = 'forbidden sysctl: "kernel.msgmax" not allowlisted'
        assert node.status()["message"] == f"Pod was rejected: {why}"
        await node.until(lambda: node.events("SysctlForbidden") == [why])


async def test_runtime_away_for_a_while(node):
    async with node.running():
        await node.create()
        await node.until(node.ready)
        node.runtime.fail["list"] = RuntimeFailure("UNAVAILABLE", "gone")
        await asyncio.sleep(0.05)
        node.runtime.fail.clear()
        await node.create("q")
        await node.until(lambda: node.ready("q"))


async def test_resize_in_place(node):
    async with node.running():
        resources = {"requests": {"cpu": "100m"}}
        pod = await node.create(containers=[{"name": "c", "image": "img:1", "resources": resources}])
        await node.until(node.ready)
        bigger = {"requests": {"cpu": "200m"}}
        pod = node.api.get(PODS, "p", "default")
        spec = {**pod["spec"], "containers": [{**pod["spec"]["containers"][0], "resources": bigger}]}
        node.api.put(PODS, {**pod, "spec": spec})
        await node.until(lambda: node.container()["resources"] == bigger)
        assert len(node.runtime.names("update_resources")) == 1
        assert node.container()["restartCount"] == 0
        assert node.container()["allocatedResources"] == {"cpu": "200m"}
