"""The cluster in one process, as those who use it see it."""

from __future__ import annotations

from typing import Any

from tiphys.client.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from tiphys.testing import Cluster

LABELS = {"app": "web"}
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}  # fmt: skip
MANAGER = "kube-controller-manager"


def writers(obj: dict[str, Any]) -> set[tuple[str, str]]:
    return {(entry["manager"], entry.get("subresource", "")) for entry in obj["metadata"]["managedFields"]}


async def test_what_components_write_is_theirs_by_upstreams_names() -> None:
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(DEPLOYMENTS, DEPLOYMENT)
        deployment = await cluster.wait_for(
            DEPLOYMENTS, "web", "default", lambda web: bool(web) and "readyReplicas" in web.get("status", {})
        )
        assert deployment is not None
        (pod,) = (await cluster.client.list(PODS, "default"))["items"]
        (replica_set,) = (await cluster.client.list(REPLICA_SETS, "default"))["items"]
    assert writers(deployment) == {("tiphys:admin", ""), (MANAGER, "status")}
    assert writers(replica_set) == {(MANAGER, ""), (MANAGER, "status")}
    assert writers(pod) == {(MANAGER, ""), ("kubelet", "status")}
