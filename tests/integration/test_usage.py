"""``kubectl top`` and ``metrics.k8s.io`` over simulated nodes."""

import asyncio
import shutil
import subprocess

import pytest

from tiphys.apimachinery.meta import GVR
from tiphys.client.kinds import NODES, PODS
from tiphys.testing import Cluster
from tiphys.testing.usage import CPU_USAGE, MEMORY_USAGE, Meters, wanted

KUBECTL = shutil.which("kubectl") or ""
NODE_METRICS = GVR("metrics.k8s.io", "v1beta1", "nodes")
POD_METRICS = GVR("metrics.k8s.io", "v1beta1", "pods")
pytestmark = pytest.mark.slow


def pod(name, **annotations):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "i"}, {"name": "side", "image": "i"}]},
    }


async def measured(cluster, gvr, namespace, count):
    """Wait until the API shows so many objects."""
    async with asyncio.timeout(20):
        while True:
            items = (await cluster.client.list(gvr, namespace))["items"]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.05)


@pytest.mark.kubectl
async def test_kubectl_top():
    async with Cluster(nodes=2, listen=True, options={"metric_resolution_s": 0.1}) as cluster:
        await cluster.client.create(
            PODS, pod("busy", **{CPU_USAGE: "web=250m,side=50m", MEMORY_USAGE: "64Mi"})
        )
        await measured(cluster, POD_METRICS, "default", 1)
        await measured(cluster, NODE_METRICS, "", 2)

        async def run(*words):
            command = [KUBECTL, f"--kubeconfig={cluster.kubeconfig}", *words]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return [line.split() for line in done.stdout.splitlines()]

        header, row = await run("top", "pods")
        assert header == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
        assert row[0] == "busy"
        assert 295 <= int(row[1].rstrip("m")) <= 305
        assert row[2] == "128Mi"
        rows = await run("top", "pods", "--containers")
        assert {line[1] for line in rows[1:]} == {"web", "side"}
        rows = await run("top", "nodes")
        assert rows[0][:2] == ["NAME", "CPU(cores)"]
        assert [line[0] for line in rows[1:]] == ["node-1", "node-2"]
        rows = await run("get", "nodes.metrics.k8s.io")
        assert [line[0] for line in rows[1:]] == ["node-1", "node-2"]


def test_a_pod_uses_what_it_says_or_what_it_requests():
    container = {"name": "web", "resources": {"requests": {"cpu": "70m"}}}
    assert str(wanted(pod("p"), container, "cpu")) == "70m"
    assert str(wanted(pod("p"), container, "memory")) == "16Mi"
    assert str(wanted(pod("p", **{CPU_USAGE: "1"}), container, "cpu")) == "1"
    assert str(wanted(pod("p", **{CPU_USAGE: "side=1"}), container, "cpu")) == "70m"


def test_meters_never_go_back():
    meters, busy = Meters(), pod("p", **{CPU_USAGE: "web=2"})
    busy["metadata"]["uid"] = "u"

    def web(now_s):
        lines = meters.read([busy], now_s).splitlines()
        return float(next(line for line in lines if "cpu" in line and '"web"' in line).split()[1])

    assert web(100.0) == 0.0
    assert web(110.0) == 20.0
    busy["metadata"]["annotations"][CPU_USAGE] = "web=1"
    assert web(111.0) == 21.0


async def test_two_untainted_nodes_take_pods():
    async with Cluster(nodes=2) as cluster:
        nodes = (await cluster.client.list(NODES))["items"]
        assert len([node for node in nodes if not node["spec"].get("taints")]) == 2
