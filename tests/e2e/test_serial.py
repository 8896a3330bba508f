"""What disturbs a whole cluster, one after the other: taints, preemption, daemons that follow nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from manifests import Object, container, pod

pytestmark = pytest.mark.e2e
NODES = ("node-1", "node-2")
RESOURCE = "scheduling.k8s.io/foo"
TAINT = "kubernetes.io/e2e-evict-taint-key"
COLOR = "daemonset-color"


def _one(it: RunningCluster, what: str) -> Object:
    """Return an object, empty where it is gone."""
    said = it.try_kubectl("get", what, "-o", "json")
    return json.loads(said.out) if said.code == 0 else {}


def _leaving(it: RunningCluster, name: str) -> bool:
    """Tell whether a pod is gone or about to go."""
    found = _one(it, f"pod/{name}")
    return not found or "deletionTimestamp" in found["metadata"]


def _on(node: str) -> Object:
    """Affinity to one node by its name, as tests have it that must not rely on labels."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _patch_status(it: RunningCluster, node: str, amount: str | None) -> None:
    told = {RESOURCE: amount}
    patch = json.dumps({"status": {"capacity": told, "allocatable": told}})
    it.kubectl("patch", "node", node, "--subresource=status", "--type=strategic", "-p", patch)


@pytest.fixture
def scarce(newest: RunningCluster) -> Iterator[RunningCluster]:
    """Both nodes have five of a resource that no kubelet knows, and there are three priorities."""
    it = newest
    for node in NODES:
        _patch_status(it, node, "5")
    for name, value in (("low", 1), ("medium", 100), ("high", 1000)):
        it.kubectl("create", "priorityclass", f"sched-{name}", f"--value={value}")
    yield it
    for node in NODES:
        _patch_status(it, node, None)
    it.kubectl("delete", "priorityclass", "sched-low", "sched-medium", "sched-high")


def _hungry(name: str, priority: str, node: str = "", amount: str = "2", **meta: Any) -> Object:
    amounts = {RESOURCE: amount}
    resources = {"requests": amounts, "limits": amounts}
    spec: Object = {"priorityClassName": priority, "terminationGracePeriodSeconds": 1}
    if node:
        spec["affinity"] = _on(node)
    made = pod(name, container(resources=resources), **spec)
    made["metadata"] |= meta
    return made


def _fill(it: RunningCluster) -> list[str]:
    """Two pods on each node take four of five; the first of them is the least important."""
    pods = []
    for node in NODES:
        for number in range(2):
            priority = "sched-medium" if pods else "sched-low"
            pods.append(_hungry(f"{node}-{number}", priority, node))
    it.apply(*pods)
    names = [one["metadata"]["name"] for one in pods]
    it.ready(*names)
    return names


def test_the_least_important_pod_makes_room(scarce: RunningCluster) -> None:
    """For an important pod, and then for one that the cluster itself needs."""
    it = scarce
    first, *others = _fill(it)
    it.apply(_hungry("preemptor", "sched-high"))
    it.ready("preemptor")
    assert _leaving(it, first)
    assert not any(_leaving(it, name) for name in others)
    it.kubectl("delete", "pod/preemptor", "--wait=true")
    assert _fill(it)[0] == first
    system = replace(it, namespace="kube-system")
    try:
        system.apply(_hungry("critical-pod", "system-cluster-critical"))
        system.ready("critical-pod")
        assert _leaving(it, first)
        assert not any(_leaving(it, name) for name in others)
    finally:
        system.kubectl("delete", "pod/critical-pod", "--now")
    capacities = {
        one["metadata"]["name"]: one["status"]["capacity"] for one in it.json("get", "nodes")["items"]
    }
    assert [capacities[node][RESOURCE] for node in NODES] == ["5", "5"], "kubelets leave it alone"


def test_who_makes_room_says_why(scarce: RunningCluster) -> None:
    """A pod that a finalizer holds has ended, and tells that it was a disruption."""
    it = scarce
    it.apply(_hungry("victim", "sched-low", "node-1", "5", finalizers=["example.com/test-finalizer"]))
    it.ready("victim")
    try:
        it.apply(_hungry("preemptor", "sched-high", "node-1", "5"))
        eventually(lambda: _leaving(it, "victim"), 30)
        conditions = {one["type"]: one for one in _one(it, "pod/victim")["status"]["conditions"]}
        assert conditions["DisruptionTarget"]["reason"] == "PreemptionByScheduler"
    finally:
        it.kubectl("patch", "pod/victim", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    it.ready("preemptor")


def _tolerating(name: str, seconds: int | None) -> Object:
    toleration: Object = {"key": TAINT, "value": "evictTaintVal", "effect": "NoExecute"}
    if seconds is not None:
        toleration["tolerationSeconds"] = seconds
    spec = {"nodeName": "node-2", "terminationGracePeriodSeconds": 1, "tolerations": [toleration]}
    return pod(name, container(), **spec)


def test_taints_evict_when_the_time_has_come(newest: RunningCluster) -> None:
    """Who bears a taint for a while goes then, unless it was taken away before."""
    it = newest
    bears = {"none": 0, "short": 2, "longer": 4, "long": 8}
    it.apply(*(_tolerating(name, seconds) for name, seconds in bears.items()), _tolerating("ever", None))
    it.ready(*bears, "ever")
    it.kubectl("taint", "node", "node-2", f"{TAINT}=evictTaintVal:NoExecute")
    began = time.monotonic()
    try:
        went = {}
        for name in ("none", "short", "longer"):
            eventually(lambda name=name: _leaving(it, name), 30)  # type: ignore[misc]
            went[name] = time.monotonic() - began
    finally:
        it.kubectl("taint", "node", "node-2", f"{TAINT}-")
    assert went["short"] >= bears["short"] - 1
    assert went["longer"] >= bears["longer"] - 1
    spared = time.monotonic() - began < bears["long"]
    time.sleep(max(0.0, bears["long"] + 2 - (time.monotonic() - began)))
    assert not _leaving(it, "ever")
    assert not spared or not _leaving(it, "long")


def _daemons(image: str = "tiphys.test/busybox:1", **spec: Any) -> Object:
    labels = {"daemonset-name": "daemon-set"}
    template = pod("d", container(image=image))["spec"] | {"terminationGracePeriodSeconds": 1}
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "daemon-set"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**template, **spec}},
        },
    }  # fmt: skip


def _pods(it: RunningCluster) -> dict[str, Object]:
    """Return the daemons that are not leaving, by node."""
    items = it.json("get", "pods", "-l", "daemonset-name=daemon-set")["items"]
    return {
        one["spec"].get("nodeName", ""): one for one in items if "deletionTimestamp" not in one["metadata"]
    }


def _run_on(it: RunningCluster, *nodes: str) -> None:
    """Wait until just these nodes run one each, and the status says so."""

    def look() -> bool:
        running = {node for node, one in _pods(it).items() if one["status"].get("phase") == "Running"}
        status = _one(it, "daemonset/daemon-set").get("status", {})
        counts = [
            status.get(f"{name}Scheduled", 0) if name != "numberReady" else status.get(name, 0)
            for name in ("desiredNumber", "currentNumber", "numberReady")
        ]
        return running == set(nodes) and counts == [len(nodes)] * 3 and not status.get("numberMisscheduled")

    eventually(look, 60)


def test_daemons_come_back(newest: RunningCluster) -> None:
    """One that is deleted, and one that somebody says has failed."""
    it = newest
    it.apply(_daemons())
    _run_on(it, *NODES)
    name = _pods(it)["node-1"]["metadata"]["name"]
    it.kubectl("delete", f"pod/{name}")
    _run_on(it, *NODES)
    victim = _pods(it)["node-2"]["metadata"]["name"]
    failed = '{"status":{"phase":"Failed"}}'
    it.kubectl("patch", f"pod/{victim}", "--subresource=status", "--type=merge", "-p", failed)
    eventually(lambda: not _one(it, f"pod/{victim}"), 30)
    _run_on(it, *NODES)


def test_daemons_follow_the_labels_of_nodes(newest: RunningCluster) -> None:
    it = newest
    it.apply(_daemons(nodeSelector={COLOR: "blue"}))
    _run_on(it)
    try:
        it.kubectl("label", "node", "node-2", f"{COLOR}=blue")
        _run_on(it, "node-2")
        it.kubectl("label", "node", "node-2", f"{COLOR}=green", "--overwrite")
        _run_on(it)
        template = {"spec": {"nodeSelector": {COLOR: "green"}}}
        spec = {"template": template, "updateStrategy": {"type": "RollingUpdate"}}
        it.kubectl("patch", "daemonset/daemon-set", "--type=strategic", "-p", json.dumps({"spec": spec}))
        _run_on(it, "node-2")
    finally:
        it.kubectl("label", "node", "node-2", f"{COLOR}-")


def test_daemons_roll_and_roll_back(newest: RunningCluster) -> None:
    """History and hashes grow with the template; a way back restarts nobody who never went."""
    it = newest
    it.apply(_daemons())
    _run_on(it, *NODES)

    def hashes(revision: int) -> set[str]:
        """Wait for a revision; return the hashes that pods have, which must be its own."""
        items = it.json("get", "controllerrevisions", "-l", "daemonset-name=daemon-set")["items"]
        found = {one["revision"]: one["metadata"]["labels"]["controller-revision-hash"] for one in items}
        assert max(found, default=0) == revision
        worn = {one["metadata"]["labels"]["controller-revision-hash"] for one in _pods(it).values()}
        assert worn == {found[revision]}
        return worn

    first = eventually(lambda: hashes(1))
    image = "tiphys.test/web:1"
    it.kubectl("set", "image", "daemonset/daemon-set", f"main={image}")
    it.kubectl("rollout", "status", "daemonset/daemon-set", "--timeout=60s")
    assert eventually(lambda: hashes(2)) != first
    _run_on(it, *NODES)
    assert {one["spec"]["containers"][0]["image"] for one in _pods(it).values()} == {image}
    it.kubectl("set", "image", "daemonset/daemon-set", "main=foo:non-existent")

    def started() -> list[str] | None:
        by_image = {
            one["metadata"]["name"]: one["spec"]["containers"][0]["image"] for one in _pods(it).values()
        }
        return (
            [name for name, has in by_image.items() if has == image]
            if "foo:non-existent" in by_image.values()
            else None
        )

    kept = eventually(started, 30)
    assert len(kept) == 1
    it.kubectl("set", "image", "daemonset/daemon-set", f"main={image}")
    it.kubectl("rollout", "status", "daemonset/daemon-set", "--timeout=60s")
    _run_on(it, *NODES)
    assert kept[0] in [one["metadata"]["name"] for one in _pods(it).values()]
