"""The cluster in one process, as those who use it see it."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import get_condition
from tiphys.client.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from tiphys.testing import Cluster
from tiphys.testing.nodes import is_doubted

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


def pod(name: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def is_ready(found: dict[str, Any] | None) -> bool:
    return (get_condition(found or {}, "Ready") or {}).get("status") == "True"


async def test_a_node_that_lives_takes_back_what_is_said_of_a_silent_one() -> None:
    """The controller manager may hear late that a node is back, and says so of its new pods."""
    async with Cluster(nodes=1) as cluster:
        await cluster.client.create(PODS, pod("p"))
        first = await cluster.wait_for(PODS, "p", "default", is_ready)
        assert first is not None
        assert not is_doubted(first)
        told = []
        for manager, status in (("a-test", "False"), ("a-test", "True"), (MANAGER, "False")):
            patch = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
            said = {"type": "strategic", "subresource": "status", "field_manager": manager}
            told.append(await cluster.client.patch(PODS, "p", "default", patch, **said))
        assert [(is_ready(one), is_doubted(one)) for one in told] == [
            (False, False), (True, False), (False, True),
        ]  # fmt: skip
        await cluster.wait_for(PODS, "p", "default", is_ready)
