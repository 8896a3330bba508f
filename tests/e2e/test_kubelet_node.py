"""One node for real: containerd, runc and CNI in a network namespace of its own, the API in memory.

Nothing leaves the namespace: it has no way out. Everything it makes goes when the module ends.
"""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from images import BUSYBOX
from lone_node import Machine, Node

sys.path.insert(0, str(Path(__file__).parent.parent / "kubelet"))
from device_plugin import GPU, Plugin

from tiphys.client.kinds import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS
from tiphys.kubelet.cm.cgroups import Cgroups

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


def memory_limit(container_id):
    """Return what the kernel holds a container to."""
    tree = Path("/sys/fs/cgroup")
    found = [
        *tree.glob(f"**/{container_id}/memory.limit_in_bytes"),
        *tree.glob(f"**/{container_id}/memory.max"),
    ]
    return int(found[0].read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.fail("containers need root")
    machine = Machine(tmp_path_factory.mktemp("n"))
    try:
        await machine.start()
        yield machine
    finally:
        await machine.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(machine):
    node = Node(machine, machine.base)
    async with node.running():
        yield node
        for pod in node.api.all(PODS):
            node.api.delete_pod(pod["metadata"]["name"], grace_s=1)
        await node.until(lambda: not node.kubelet.workers)
    await node.client.close()
    Cgroups(node.options.cgroup_root).remove_root()


async def test_node_becomes_ready(node):
    await node.until(lambda: (node.api.get(NODES, "n1") or {}).get("status"))
    ready = next(c for c in node.api.get(NODES, "n1")["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True", ready


async def test_pod_runs_and_goes(node):
    pod = await node.create("web", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done")
    await node.until(lambda: node.status("web").get("phase") == "Running")
    status = node.status("web")
    assert status["podIP"].startswith("10.250.77.")
    assert status["containerStatuses"][0]["ready"]
    await node.until(lambda: True)
    assert (await node.logs("web")) in ("up\n", "")
    await node.delete("web")
    assert not (node.options.root_dir / "pods" / pod["metadata"]["uid"]).exists()


async def test_exit_codes_and_messages(node):
    await node.finish("bad", "echo bye > /dev/termination-log; exit 3", phase="Failed")
    ended = node.status("bad")["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "bye\n")


async def test_environment_and_names(node):
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)2"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
    ]
    text = await node.told(
        "env",
        "echo $B $POD $CPU; hostname; grep -c env /etc/hosts; cat /etc/resolv.conf",
        env=env,
        resources={"requests": {"cpu": "50m"}},
        spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["x.test"]}},
    )
    assert text == "12 env 50\nenv\n1\nsearch x.test\nnameserver 192.0.2.53\n"


async def test_volumes(node):
    meta = {"name": "cfg", "namespace": "default"}
    node.api.put(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "v"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"s": "aGk="}}
    node.api.put(SECRETS, secret)
    volumes = [
        {"name": "cfg", "configMap": {"name": "cfg"}},
        {"name": "sec", "secret": {"secretName": "cfg", "defaultMode": 0o400}},
        {"name": "mem", "emptyDir": {"medium": "Memory"}},
        {"name": "dw", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {
            "name": "tok",
            "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]},
        },
    ]
    mounts = [{"name": item["name"], "mountPath": f"/{item['name']}"} for item in volumes]
    mounts.append({"name": "cfg", "mountPath": "/one", "subPath": "k"})
    mounts.append({"name": "mem", "mountPath": "/sub", "subPath": "a/b"})
    script = (
        "cat /cfg/k /sec/s /dw/n /tok/token /one; echo; stat -L -c %a /sec/s;"
        " echo x > /sub/f; cat /mem/a/b/f; grep -c ' /mem tmpfs' /proc/mounts"
    )
    text = await node.told("vol", script, volumeMounts=mounts, spec={"volumes": volumes})
    assert text == "vhivoltoken-of-defaultv\n400\nx\n1\n"
    await node.delete("vol")


async def test_security_context(node):
    text = await node.told(
        "sec",
        "id -u; id -g; grep NoNewPrivs /proc/self/status; touch /x 2>/dev/null || echo ro;"
        " grep CapEff /proc/self/status",
        securityContext={
            "runAsUser": 1000,
            "runAsGroup": 3000,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    assert "1000\n3000\nNoNewPrivs:\t1\n" in text
    assert "ro\n" in text
    assert "CapEff:\t0000000000000000" in text


async def test_memory_limit_kills(node):
    await node.finish(
        "oom",
        "dd if=/dev/zero of=/dev/null bs=200M count=1",
        phase="Failed",
        resources={"limits": {"memory": "20Mi"}},
    )
    ended = node.status("oom")["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_init_and_sidecar(node):
    sidecar = {
        "name": "side",
        "image": BUSYBOX,
        "restartPolicy": "Always",
        "command": ["sh", "-c", "trap 'exit 0' TERM; touch /s/up; while :; do sleep 0.1; done"],
        "volumeMounts": [{"name": "s", "mountPath": "/s"}],
    }
    first = {"name": "first", "image": BUSYBOX, "command": ["sh", "-c", "sleep 0.3"]}
    text = await node.told(
        "side",
        "until [ -e /s/up ]; do sleep 0.1; done; echo saw it",
        volumeMounts=[{"name": "s", "mountPath": "/s"}],
        spec={"initContainers": [first, sidecar], "volumes": [{"name": "s", "emptyDir": {}}]},
    )
    assert text == "saw it\n"


async def test_http_probe_makes_ready(node):
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    await node.create(
        "http",
        "mkdir /w; sleep 1; echo ok > /w/index.html; exec httpd -f -p 8080 -h /w",
        startupProbe={"exec": {"command": ["test", "-e", "/w/index.html"]}, "periodSeconds": 1},
        livenessProbe={"exec": {"command": ["true"]}},
        readinessProbe=probe,
    )
    await node.until(lambda: node.status("http").get("phase") == "Running")
    await node.until(lambda: node.status("http")["containerStatuses"][0]["started"])
    await node.until(lambda: node.status("http")["containerStatuses"][0]["ready"])
    await node.delete("http")


async def test_logs(node):
    await node.finish("log", "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2")
    # The two streams are written by the runtime independently.
    text = await node.logged("log", lambda text: text.count("\n") >= 6)
    assert sorted(text.split("\n")) == ["", "err", *(f"line {i}" for i in range(1, 6))]
    assert len((await node.logs("log", "tailLines=2")).splitlines()) == 2
    assert await node.logs("log", "stream=Stderr") == "err\n"
    assert await node.logs("log", "limitBytes=6&stream=Stdout") == "line 1"
    stamped = await node.logs("log", "timestamps=true&tailLines=1")
    assert stamped.split(" ")[0].endswith("Z")


async def test_endpoint_refuses_strangers(node):
    stranger = ssl.create_default_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    assert (await node.request("/pods", context=stranger))[0] == 401
    assert (await node.request("/healthz", context=stranger))[0] == 401
    assert (await node.request("/healthz")) == (200, "ok")


async def test_statistics(node):
    await node.create("st", "sleep 100")
    await node.until(lambda: node.status("st").get("phase") == "Running")
    status, text = await node.request("/stats/summary")
    assert status == 200, text
    pods = {item["podRef"]["name"]: item for item in json.loads(text)["pods"]}
    assert pods["st"]["containers"][0]["memory"]["workingSetBytes"] > 0
    assert pods["st"]["process_stats"]["process_count"] >= 2
    assert pods["st"]["network"]["name"] == "eth0"
    assert pods["st"]["ephemeral-storage"]["capacityBytes"] > 0
    status, text = await node.request("/metrics/cadvisor")
    for family in ("cpu_cfs_periods_total", "memory_cache", "processes", "spec_memory_limit_bytes"):
        assert f'container_{family}{{container="c"' in text, family
    assert 'interface="eth0",name="",namespace="default",pod="st"' in text
    status, text = await node.request("/metrics/resource")
    assert 'container_memory_working_set_bytes{container="c",namespace="default",pod="st"}' in text
    await node.delete("st")


async def test_restarts_of_kubelet_and_containerd_disturb_nothing(machine, node):
    await node.create("stay", "sleep 1000")
    await node.until(lambda: node.status("stay").get("phase") == "Running")
    before = node.status("stay")["containerStatuses"][0]
    machine.stop_containerd()
    machine.start_containerd()
    await node.create("after", "echo there")
    await node.until(lambda: node.status("after").get("phase") == "Succeeded")
    assert node.status("stay")["containerStatuses"][0]["containerID"] == before["containerID"]
    assert node.status("stay")["containerStatuses"][0]["restartCount"] == 0
    await node.delete("stay")


async def test_exec_through_the_endpoint(node):
    await node.create("ex", "sleep 1000")
    await node.until(lambda: node.status("ex").get("phase") == "Running")
    query = "command=sh&command=-c&command=echo+out;echo+err+>%262;cat&input=1&output=1&error=1"
    url = f"wss://127.0.0.1:{node.kubelet.server_port}/exec/default/ex/c?{query}"
    received = {1: b"", 2: b"", 3: b""}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=node.context, protocols=["v4.channel.k8s.io"]) as socket,
    ):
        await socket.send_bytes(b"\x00hello\n")
        while b"hello" not in received[1] or not received[2]:  # streams come in any order
            message = await socket.receive(timeout=10)
            received[message.data[0]] += message.data[1:]
    assert received[1] == b"out\nhello\n"
    assert received[2] == b"err\n"
    await node.delete("ex")


async def test_commands_of_newer_clients_and_of_none(node):
    """In v5 the client ends its input, and the runtime, which has SPDY only, ends all."""
    await node.create("v5", "sleep 1000")
    await node.until(lambda: node.status("v5").get("phase") == "Running")
    query = "command=sh&command=-c&command=echo+err+>%262;cat;exit+3&input=1&output=1&error=1"
    url = f"wss://127.0.0.1:{node.kubelet.server_port}/exec/default/v5/c?{query}"
    received = {1: b"", 2: b"", 3: b""}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=node.context, protocols=["v5.channel.k8s.io"]) as socket,
    ):
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"\x00hello\n")
        await socket.send_bytes(b"\xff\x00")
        while (message := await socket.receive(timeout=10)).type is aiohttp.WSMsgType.BINARY:
            received[message.data[0]] += message.data[1:]
    assert (received[1], received[2]) == (b"hello\n", b"err\n")
    assert json.loads(received[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    answer = await node.request("/run/default/v5/c?cmd=cat+/none", method="POST")
    text = "command 'cat /none' exited with 1: cat: can't open '/none': No such file or directory\n"
    assert answer == (500, text)
    await node.delete("v5")


async def test_all_starts_anew_in_place(node):
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    script = "[ -f /state/again ] && sleep 1000; touch /state/again; sleep 1; exit 42"
    mount = {"volumeMounts": [{"name": "state", "mountPath": "/state"}]}
    main = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", "sleep 1000"]}
    watch = {
        "name": "c", "image": BUSYBOX, "command": ["sh", "-c", script], "restartPolicy": "Never",
        "restartPolicyRules": [rule], **mount,
    }  # fmt: skip
    setup = {"name": "setup", "image": BUSYBOX, "command": ["sh", "-c", "echo run >> /state/runs"], **mount}
    volumes = [{"name": "state", "emptyDir": {}}]
    spec = {"containers": [main, watch], "initContainers": [setup], "volumes": volumes}
    pod = await node.create("anew", "", spec=spec)
    await node.until(lambda: node.status("anew").get("podIP"))
    before = node.status("anew")["podIP"]

    def restarts():
        status = node.status("anew")
        found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return {item["name"]: item["restartCount"] for item in found}

    await node.until(lambda: restarts() == {"setup": 1, "c": 1, "main": 1}, 60)
    await node.until(lambda: all(one["ready"] for one in node.status("anew")["containerStatuses"]))
    state = node.options.root_dir / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~empty-dir/state"
    assert (state / "runs").read_text() == "run\nrun\n"
    assert node.status("anew")["podIP"] == before
    found = {item["type"]: item["status"] for item in node.status("anew")["conditions"]}
    assert found["AllContainersRestarting"] == "False"
    await node.delete("anew")


async def test_a_device_of_a_plugin(node):
    plugin = Plugin(node.options.root_dir / "device-plugins", "/dev/null")
    plugin.mounts, plugin.cdi = [], []
    await node.until(lambda: (plugin.folder / "kubelet.sock").exists())
    await plugin.start()
    try:
        plugin.devices.put_nowait({"g0": "Healthy"})
        await plugin.register()
        await node.until(lambda: GPU in node.api.get(NODES, "n1")["status"]["allocatable"])
        script = "test -c /dev/g && echo x > /dev/g && echo has $GPUS"
        text = await node.told("gpu", script, resources={"limits": {GPU: "1"}})
        assert text.rstrip().endswith("has g0")
        await node.delete("gpu")
    finally:
        await plugin.server.stop(None)


async def test_a_user_namespace_is_not_left_out(node):
    await node.create("users", "sleep 1", spec={"hostUsers": False})
    await node.until(lambda: any("user namespaces" in e["message"] for e in node.api.all(EVENTS)))
    assert node.status("users")["phase"] == "Pending"
    await node.delete("users")


async def test_memory_in_use_stays(node):
    """A limit below what is used is not set: the container would be killed."""
    script = "dd if=/dev/zero of=/mem/big bs=1M count=40; echo full; sleep 1000"
    volumes = [{"name": "mem", "emptyDir": {"medium": "Memory"}}]
    limits = {"memory": "128Mi", "cpu": "100m"}
    await node.create(
        "full", script, resources={"limits": limits}, volumeMounts=[{"name": "mem", "mountPath": "/mem"}],
        spec={"volumes": volumes},
    )  # fmt: skip
    await node.until(lambda: node.status("full").get("phase") == "Running")
    async with asyncio.timeout(20):
        while "full" not in await node.logs("full"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    pod = json.loads(json.dumps(node.api.get(PODS, "full", "default")))
    pod["spec"]["containers"][0]["resources"] = {"limits": {**limits, "memory": "16Mi"}}
    node.api.put(PODS, pod)

    def fault():
        found = [c for c in node.status("full")["conditions"] if c["type"] == "PodResizeInProgress"]
        return found[0].get("message", "") if found else ""

    await node.until(lambda: "below current usage" in fault())
    assert fault().startswith("cannot decrease memory limits: ")
    container_id = node.status("full")["containerStatuses"][0]["containerID"].rpartition("/")[2]
    assert memory_limit(container_id) == 128 * 2**20
    await node.delete("full")


async def test_resize_in_place(node):
    await node.create("size", "sleep 1000", resources={"limits": {"memory": "64Mi", "cpu": "100m"}})
    await node.until(lambda: node.status("size").get("phase") == "Running")
    pod = json.loads(json.dumps(node.api.get(PODS, "size", "default")))
    bigger = {"memory": "128Mi", "cpu": "200m"}
    pod["spec"]["containers"][0]["resources"] = {"limits": bigger}
    node.api.put(PODS, pod)
    await node.until(lambda: node.status("size")["containerStatuses"][0]["resources"] == {"limits": bigger})
    container_id = node.status("size")["containerStatuses"][0]["containerID"].rpartition("/")[2]
    assert memory_limit(container_id) == 128 * 2**20
    await node.delete("size")


async def test_resize_of_a_whole_pod(node):
    """The kernel holds the pod to its new limit, and the container, which has none but that."""

    def amounts(memory):
        return {"requests": {"memory": memory}, "limits": {"memory": memory}}

    await node.create("whole", "sleep 1000", spec={"resources": amounts("64Mi")})
    await node.until(lambda: node.status("whole").get("phase") == "Running")
    container_id = node.status("whole")["containerStatuses"][0]["containerID"].rpartition("/")[2]
    assert memory_limit(container_id) == 64 * 2**20
    pod = json.loads(json.dumps(node.api.get(PODS, "whole", "default")))
    pod["spec"]["resources"] = amounts("128Mi")
    node.api.put(PODS, pod)
    await node.until(lambda: node.status("whole").get("resources") == amounts("128Mi"))
    assert node.status("whole")["allocatedResources"] == {"memory": "128Mi"}
    assert memory_limit(container_id) == memory_limit(f"pod{pod['metadata']['uid']}") == 128 * 2**20
    await node.delete("whole")
