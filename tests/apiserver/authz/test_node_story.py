"""What nodes may do, told as stories: with their pods coming and going, they may and may not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.options import TokenEntry
from tiphys.storage.memory import MemoryStore

NODES = ("system:nodes",)
TOKENS = (
    TokenEntry("admin", "admin", "1", ("system:masters",)),
    TokenEntry("nobody", "unknown", "2", NODES),
    TokenEntry("node1", "system:node:node1", "3", NODES),
    TokenEntry("node2", "system:node:node2", "4", NODES),
)
NS, PODS = "/api/v1/namespaces/ns", "/api/v1/namespaces/ns/pods"
SLICES, ATTACHMENTS = "/apis/resource.k8s.io/v1/resourceslices", "/apis/storage.k8s.io/v1/volumeattachments"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
ALLOWED, FORBIDDEN, NOT_FOUND = "allowed", "forbidden", "not found"
WHO = ("nobody", "node1", "node2")
Deed = Callable[[Any, str], Awaitable[Any]]


def named(name: str, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **rest}


def get(path: str) -> Deed:
    return lambda api, who: api("GET", path, user=who)


def post(path: str, body: dict[str, Any]) -> Deed:
    return lambda api, who: api("POST", path, body, user=who)


def patch(path: str, body: dict[str, Any], kind: str = "merge") -> Deed:
    return lambda api, who: api.patch(path, body, kind, user=who)


def delete(path: str) -> Deed:
    return lambda api, who: api("DELETE", path, {"gracePeriodSeconds": 0}, user=who)


def evict(pod: str) -> Deed:
    body = named(pod, apiVersion="policy/v1", kind="Eviction", deleteOptions={"gracePeriodSeconds": 0})
    return post(f"{PODS}/{pod}/eviction", body)


def replace(path: str, change: dict[str, Any]) -> Deed:
    async def update(api: Any, who: str) -> Any:
        found = await api("GET", path, user=who)
        if found.status != 200:
            return found
        return await api("PUT", path, {**found.json, **change}, user=who)

    return update


def update_status(path: str, body: dict[str, Any]) -> Deed:
    """Write a status whatever else there is: as old clients do, without a version."""
    return lambda api, who: api("PUT", f"{path}/status", body, user=who)


POD = named(
    "normal",
    spec={
        "nodeName": "node2",
        "containers": [{"name": "c", "image": "busybox"}],
        "volumes": [
            {"name": "secret", "secret": {"secretName": "secret"}},
            {"name": "map", "configMap": {"name": "map"}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
        ],
        "resourceClaims": [
            {"name": "named", "resourceClaimName": "named"},
            {"name": "template", "resourceClaimTemplateName": "template"},
        ],
    },
)


async def create_mirror(api: Any, who: str) -> Any:
    node = await api("GET", "/api/v1/nodes/node2", user=who)
    if node.status != 200:
        return node
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node2", "controller": True}
    owner["uid"] = node.json["metadata"]["uid"]
    meta = {
        "name": "mirror",
        "annotations": {"kubernetes.io/config.mirror": "true"},
        "ownerReferences": [owner],
    }
    spec = {"nodeName": "node2", "containers": [{"name": "c", "image": "busybox"}]}
    return await api("POST", PODS, {"metadata": meta, "spec": spec}, user=who)


RELATED = {
    "secret": get(f"{NS}/secrets/secret"),
    "volume's secret": get(f"{NS}/secrets/volume-secret"),
    "map": get(f"{NS}/configmaps/map"),
    "claim": get(f"{NS}/persistentvolumeclaims/claim"),
    "volume": get("/api/v1/persistentvolumes/volume"),
    "named devices": get(f"{CLAIMS}/named"),
}
TEMPLATED = get(f"{CLAIMS}/templated")
STATUSES = {"resourceClaimStatuses": [{"name": "template", "resourceClaimName": "templated"}]}
OTHERS = {
    "create node": post("/api/v1/nodes", named("node2")),
    "node status": update_status("/api/v1/nodes/node2", named("node2", status={})),
    "delete node": delete("/api/v1/nodes/node2"),
    "create pod": post(PODS, POD),
    "pod status": update_status(f"{PODS}/normal", {**POD, "status": {"startTime": "2026-01-01T00:00:00Z"}}),
    "delete pod": delete(f"{PODS}/normal"),
    "evict pod": evict("normal"),
    "create mirror": create_mirror,
    "delete mirror": delete(f"{PODS}/mirror"),
    "evict mirror": evict("mirror"),
}


async def furnish(api: Any) -> None:
    """Make what the story is about."""
    await api.create("/api/v1/namespaces", named("ns"))
    for name in ("secret", "volume-secret"):
        await api.create(f"{NS}/secrets", named(name))
    await api.create(f"{NS}/configmaps", named("map"))
    for name in ("named", "templated"):
        await api.create(CLAIMS, named(name, spec={}))
    for node in ("node1", "node2"):
        pool = {"name": node, "resourceSliceCount": 1, "generation": 1}
        spec = {"nodeName": node, "driver": "dra.example.com", "pool": pool}
        await api.create(SLICES, named(f"slice-{node}", spec=spec))
    attached = {"attacher": "a", "source": {"persistentVolumeName": "volume"}, "nodeName": "node2"}
    await api.create(ATTACHMENTS, named("attachment", spec=attached))
    storage = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1"}}}
    await api.create(f"{NS}/persistentvolumeclaims", named("claim", spec=storage))
    volume = {
        "accessModes": ["ReadOnlyMany"],
        "capacity": {"storage": "1"},
        "claimRef": {"namespace": "ns", "name": "claim"},
        "azureFile": {"shareName": "default", "secretName": "volume-secret"},
    }
    await api.create("/api/v1/persistentvolumes", named("volume", spec=volume))
    await api.settle()


class Story:
    """Checks one deed after the other; all faults are told at the end."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.faults: list[str] = []

    async def __call__(self, outcome: str, who: str, deed: str | Deed) -> None:
        do = (OTHERS | RELATED)[deed] if isinstance(deed, str) else deed
        answer = await do(self._api, who)
        got = {403: FORBIDDEN, 404: NOT_FOUND}.get(answer.status, ALLOWED if answer.status < 300 else "")
        if got != outcome:
            self.faults.append(f"{who}, {deed}: {answer.status} {answer.message}, wanted {outcome}")
        await self._api.settle()


_furnished: list[MemoryStore] = []
"""A store with the objects of all stories, made once."""


@pytest.fixture
async def story(serving: Any) -> Any:
    options = {
        "tokens": TOKENS,
        "disabled_admission": ("ServiceAccount", "TaintNodesByCondition"),
        "enabled_admission": ("NodeRestriction",),
    }
    if not _furnished:
        store = MemoryStore(clock=FakeClock())
        async with serving(store, **options) as api:
            await furnish(api)
            _furnished.append(store.copy())
    async with serving(_furnished[0].copy(), **options) as api:
        told = Story(api)
        yield told
        assert not told.faults, "\n".join(told.faults)


async def test_before_there_are_pods(story: Story) -> None:
    for who in WHO:
        for deed in RELATED:
            await story(FORBIDDEN, who, deed)
        await story(FORBIDDEN, who, TEMPLATED)
        await story(FORBIDDEN, who, "create pod")
    for deed in ("delete pod", "evict mirror", "create node", "node status", "delete node"):
        await story(FORBIDDEN, "nobody", deed)
    await story(NOT_FOUND, "node1", "evict mirror")
    await story(FORBIDDEN, "node1", "create node")
    await story(NOT_FOUND, "node1", "node status")
    await story(FORBIDDEN, "node1", "delete node")


async def test_a_node_looks_after_itself_and_its_mirror_pods(story: Story) -> None:
    await story(ALLOWED, "node2", "create node")
    await story(ALLOWED, "node2", "node status")
    for who, outcome in (("nobody", FORBIDDEN), ("node1", NOT_FOUND)):
        await story(FORBIDDEN, who, "create mirror")
        await story(outcome, who, "delete mirror")
    for deed in ("create mirror", "delete mirror", "create mirror", "evict mirror"):
        await story(ALLOWED, "node2", deed)
    await story(FORBIDDEN, "node2", "delete node")
    await story(FORBIDDEN, "node1", "node status")
    await story(ALLOWED, "admin", "delete node")
    await story(ALLOWED, "node2", "create node")


async def test_what_a_pod_gives_its_node(story: Story) -> None:
    await story(ALLOWED, "node2", "create node")
    await story(ALLOWED, "admin", "create pod")
    for who in ("nobody", "node1"):
        for deed in (*RELATED, "create pod", "pod status", "delete pod", "evict pod", "create mirror"):
            await story(FORBIDDEN, who, deed)
        await story(FORBIDDEN, who, TEMPLATED)
        for deed in ("delete mirror", "evict mirror"):
            await story(FORBIDDEN if who == "nobody" else NOT_FOUND, who, deed)
    for deed in RELATED:
        await story(ALLOWED, "node2", deed)
    await story(FORBIDDEN, "node2", TEMPLATED)
    await story(FORBIDDEN, "node1", get(f"{ATTACHMENTS}/attachment"))
    await story(ALLOWED, "node2", get(f"{ATTACHMENTS}/attachment"))

    refer = patch(f"{PODS}/normal/status", {"status": STATUSES})
    forget = patch(f"{PODS}/normal/status", {"status": {"resourceClaimStatuses": None}})
    await story(FORBIDDEN, "node2", refer)
    await story(ALLOWED, "admin", refer)
    await story(ALLOWED, "node2", TEMPLATED)
    await story(FORBIDDEN, "node2", forget)
    await story(ALLOWED, "admin", forget)
    await story(ALLOWED, "node2", "named devices")
    await story(FORBIDDEN, "node2", TEMPLATED)

    await story(FORBIDDEN, "node2", "create pod")
    for deed in ("pod status", "delete pod"):
        await story(ALLOWED, "node2", deed)
    for deed in RELATED:
        await story(FORBIDDEN, "node2", deed)
    for deed in ("create pod", "create mirror"):
        await story(ALLOWED, "admin", deed)
    for deed in ("evict pod", "evict mirror"):
        await story(ALLOWED, "node2", deed)


async def test_the_capacity_of_a_claim(story: Story) -> None:
    path = f"{NS}/persistentvolumeclaims/claim/status"
    await story(ALLOWED, "admin", "create pod")
    capacity = {"status": {"capacity": {"storage": "51G"}}}
    await story(FORBIDDEN, "node1", patch(path, capacity, "strategic"))
    await story(ALLOWED, "node2", patch(path, capacity, "strategic"))
    await story(FORBIDDEN, "node2", patch(path, {"status": {"phase": "Bound"}}, "strategic"))


OWN = {
    "lease": (
        LEASES,
        named("node1", spec={"holderIdentity": "node1", "leaseDurationSeconds": 40}),
        {"spec": {"holderIdentity": "node1", "leaseDurationSeconds": 41}},
    ),
    "CSI drivers": (
        CSI_NODES,
        named("node1", spec={"drivers": [{"name": "a.example.com", "nodeID": "n", "topologyKeys": ["a/b"]}]}),
        {"spec": {"drivers": [{"name": "b.example.com", "nodeID": "n", "topologyKeys": ["a/c"]}]}},
    ),
}


@pytest.mark.parametrize(("path", "body", "change"), OWN.values(), ids=OWN)
async def test_what_is_a_nodes_own(
    story: Story, path: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    one = f"{path}/node1"
    deeds = (
        post(path, body),
        get(one),
        replace(one, change),
        patch(one, {"metadata": {"labels": {"a": "b"}}}),
    )
    for deed in (*deeds, delete(one)):
        await story(ALLOWED, "node1", deed)
    await story(ALLOWED, "node1", deeds[0])
    for deed in (*deeds, delete(one)):
        await story(FORBIDDEN, "node2", deed)


async def test_devices_of_a_node(story: Story) -> None:
    await story(ALLOWED, "node1", delete(f"{SLICES}?fieldSelector=spec.nodeName%3Dnode1"))
    left = await get(SLICES)(story._api, "admin")
    assert [one["spec"]["nodeName"] for one in left.json["items"]] == ["node2"]
    await story(FORBIDDEN, "node1", delete(SLICES))
    await story(ALLOWED, "admin", delete(SLICES))
    assert not (await get(SLICES)(story._api, "admin")).json["items"]
