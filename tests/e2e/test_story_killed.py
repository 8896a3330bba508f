"""Whatever is killed comes back by itself, forgets nothing, and leaves running containers alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from manifests import container, deployment, pod, web_container

pytestmark = pytest.mark.e2e

_EACH = (
    "apiserver",
    "scheduler",
    "controller-manager",
    "kubelet-node-1",
    "proxy-node-1",
    "dns-node-1",
    "containerd-node-1",
)


def _containers(cluster: RunningCluster) -> dict[str, tuple[str, str, int]]:
    """Return each container's id, start and restarts."""
    found = {}
    for item in cluster.json("get", "pods")["items"]:
        for status in item["status"].get("containerStatuses") or ():
            began = (status["state"].get("running") or {}).get("startedAt", "")
            key = f"{item['metadata']['name']}/{status['name']}"
            found[key] = (status["containerID"], began, status["restartCount"])
    return found


def _all_ready(cluster: RunningCluster) -> None:
    cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")


@pytest.mark.parametrize("component", _EACH)
def test_component(cluster: RunningCluster, component: str) -> None:
    assert component in cluster.pids()
    cluster.apply(deployment("web", 2, web_container()))
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = _containers(cluster)
    old = cluster.kill(component)
    eventually(lambda: cluster.pids().get(component, 0) not in (0, old))
    eventually(lambda: cluster.try_kubectl("get", "--raw", "/readyz").out == "ok")
    _all_ready(cluster)
    assert cluster.path("configmap/kept", ".data.a") == "b"
    cluster.kubectl("scale", "deployment/web", "--replicas=4")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    after = _containers(cluster)
    assert len(after) == 4
    assert {key: after.get(key) for key in before} == before


def test_all_at_once(cluster: RunningCluster) -> None:
    cluster.apply(deployment("web", 2, web_container()))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = _containers(cluster)
    old = {name: cluster.kill(name) for name in cluster.pids() if name != "supervisor"}
    eventually(lambda: all(cluster.pids().get(name, 0) not in (0, pid) for name, pid in old.items()))
    eventually(lambda: cluster.try_kubectl("get", "--raw", "/readyz").out == "ok")
    _all_ready(cluster)
    cluster.kubectl("scale", "deployment/web", "--replicas=3")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    after = _containers(cluster)
    assert {key: after.get(key) for key in before} == before


def test_a_container(cluster: RunningCluster) -> None:
    cluster.apply(pod("one", container("exec sleep 100000"), nodeName="node-1"))
    cluster.ready("one")
    status = ".status.containerStatuses[0]"
    short = cluster.path("pod/one", f"{status}.containerID").removeprefix("containerd://")
    (process,) = eventually(lambda: _sleepers(short))
    os.kill(process, signal.SIGKILL)
    eventually(lambda: cluster.path("pod/one", f"{status}.restartCount") == "1")
    cluster.ready("one")
    assert cluster.path("pod/one", f"{status}.lastState.terminated.exitCode") == "137"


def _sleepers(container_id: str) -> list[int]:
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit()
        and container_id in _text(folder / "cgroup")
        and _text(folder / "cmdline").startswith("sleep\0")
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("by", ["itself", "up"])
def test_the_supervisor(cluster: RunningCluster, by: str) -> None:
    """With it go its processes, never the containers; the next one brings the same cluster back."""
    cluster.apply(deployment("web", 2, web_container()))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = _containers(cluster)
    old = cluster.kill("supervisor")
    if by == "up":
        cluster.tiphys("up", "--no-install")
    eventually(lambda: cluster.pids()["supervisor"] != old)
    eventually(lambda: cluster.try_kubectl("get", "--raw", "/readyz").out == "ok")
    _all_ready(cluster)
    cluster.kubectl("scale", "deployment/web", "--replicas=3")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    after = _containers(cluster)
    assert {key: after.get(key) for key in before} == before
    assert len(cluster.pids()) == len(set(cluster.pids().values()))
