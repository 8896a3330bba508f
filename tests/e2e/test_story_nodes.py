"""Taking a node out of service and back."""

from __future__ import annotations

import pytest
from cluster import RunningCluster, eventually
from manifests import deployment, pod, web_container

pytestmark = pytest.mark.e2e


def test_cordon_drain_uncordon(cluster: RunningCluster) -> None:
    cluster.apply(deployment("web", 4, web_container()))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

    def nodes() -> set[str]:
        return set(cluster.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split())

    assert nodes() == {"node-1", "node-2"}
    try:
        assert "cordoned" in cluster.kubectl("cordon", "node-2")
        assert "SchedulingDisabled" in cluster.kubectl("get", "node", "node-2")
        cluster.kubectl("drain", "node-2", "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=60s")
        eventually(lambda: nodes() == {"node-1"})
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cluster.apply(pod("nowhere", nodeSelector={"kubernetes.io/hostname": "node-2"}))
        eventually(lambda: "FailedScheduling" in cluster.kubectl("get", "events"))
        assert cluster.path("pod/nowhere", ".status.phase") == "Pending"
    finally:
        cluster.kubectl("uncordon", "node-2")
    cluster.ready("nowhere")
