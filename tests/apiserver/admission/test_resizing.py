"""Who may grow: claims whose class lets them, pods within what their node has."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
PODS = "/api/v1/namespaces/default/pods"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
NO_CLASS = (
    "only dynamically provisioned pvc can be resized and "
    "the storageclass that provisions the pvc must support resize"
)


def claim(size: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec},
    }


@pytest.mark.parametrize(
    ("named", "expansion", "size", "want"),
    [
        ("fast", True, "2Gi", ""),
        ("fast", False, "2Gi", NO_CLASS),
        ("fast", None, "2Gi", NO_CLASS),
        ("", True, "2Gi", NO_CLASS),
        ("gone", True, "2Gi", NO_CLASS),
        ("fast", None, "1024Mi", ""),
    ],
    ids=[
        "may",
        "must not",
        "does not say",
        "no class",
        "unknown class",
        "as large as before",
    ],
)
async def test_claims(api: Any, named: str, expansion: bool | None, size: str, want: str) -> None:
    kind = {"metadata": {"name": "fast"}, "provisioner": "example.com/disk"}
    await api.create(CLASSES, kind if expansion is None else {**kind, "allowVolumeExpansion": expansion})
    await api.create(CLAIMS, claim("1Gi", storageClassName=named))
    answer = await api.patch(f"{CLAIMS}/data/status", {"status": {"phase": "Bound"}})
    assert answer.status == 200
    answer = await api.patch(f"{CLAIMS}/data", {"spec": {"resources": {"requests": {"storage": size}}}})
    if want:
        assert answer.status == 403
        assert answer.message == f'persistentvolumeclaims "data" is forbidden: {want}'
    else:
        assert answer.status == 200, answer.message


def node(**labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n1", "labels": labels},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}},
    }


@pytest.mark.parametrize(
    ("labels", "requests", "want"),
    [
        ({"kubernetes.io/os": "linux"}, {"cpu": "2", "memory": "1Gi"}, ""),
        (
            {"kubernetes.io/os": "linux"},
            {"cpu": "2001m", "memory": "2Gi"},
            "Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000; "
            "memory, requested: 2147483648, allocatable: 1073741824",
        ),
        (
            {"kubernetes.io/os": "windows"},
            {"cpu": "1", "memory": "1Gi"},
            'pod resize is only supported on linux nodes, node "n1" is "windows"',
        ),
        (None, {"cpu": "1", "memory": "1Gi"}, 'node "n1" not found'),
    ],
    ids=["all of the node", "more than the node", "another system", "no node"],
)
async def test_pods(
    api: Any, make_pod: Any, labels: dict[str, str] | None, requests: dict[str, str], want: str
) -> None:
    if labels is not None:
        await api.create("/api/v1/nodes", node(**labels))
    small = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    pod = make_pod(nodeName="n1", containers=[{"name": "c", "image": "i", "resources": small}])
    await api.create(PODS, pod)
    change = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}
    answer = await api.patch(f"{PODS}/p/resize", change, "strategic")
    if want:
        assert (answer.status, answer.message) == (403, f'pods "p" is forbidden: {want}')
    else:
        assert answer.status == 200, answer.message


ZONED = {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "other": "no"}


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "made there"])
async def test_pods_learn_their_zone(api: Any, make_pod: Any, bound: bool) -> None:
    await api.create("/api/v1/nodes", node(**ZONED))
    pod = make_pod() if bound else make_pod(nodeName="n1")
    pod["metadata"]["labels"] = {"app": "web", "topology.kubernetes.io/region": "mine"}
    await api.create(PODS, pod)
    if bound:
        target = {"kind": "Node", "name": "n1"}
        meta = {"name": "p", "labels": {"topology.kubernetes.io/zone": "the binding's"}}
        await api.create(f"{PODS}/p/binding", {"metadata": meta, "target": target})
    labels = (await api.get(f"{PODS}/p"))["metadata"]["labels"]
    assert labels["topology.kubernetes.io/zone"] == "z1"
    assert labels["topology.kubernetes.io/region"] == ZONED["topology.kubernetes.io/region"]
    assert (labels["app"], "other" in labels) == ("web", False)


async def test_nodes_without_a_zone_or_not_there_say_nothing(api: Any, make_pod: Any) -> None:
    await api.create("/api/v1/nodes", node())
    for name, where in (("p", "n1"), ("q", "nowhere")):
        await api.create(PODS, make_pod(name))
        target = {"kind": "Node", "name": where}
        await api.create(f"{PODS}/{name}/binding", {"metadata": {"name": name}, "target": target})
        assert (await api.get(f"{PODS}/{name}"))["metadata"]["labels"] == {"app": name}
