"""Extended resources that devices serve: on nodes without a device plugin a pod gets a claim for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from scheduler_builders import columns, info, node, pod

from tiphys.apimachinery.errors import InternalError, NotFound
from tiphys.apimachinery.meta import GVR, Object, get_condition, object_key
from tiphys.client.kinds import DEVICE_CLASSES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from tiphys.client.rest import Client
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.devices.extended import UNMADE, classes_by_resource, requests_and_mappings
from tiphys.scheduler.framework import decide
from tiphys.scheduler.metrics import REGISTRY
from tiphys.scheduler.plugins.dynamic import choose_devices
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile
from tiphys.scheduler.scheduler import Scheduler, SchedulerOptions
from tiphys.testing import Cluster

GPU, DRIVER = "example.com/gpu", "gpu.example.com"


def device_class(name: str = "gpu", resource: str = GPU, created: str = "") -> Object:
    spec = {"extendedResourceName": resource} if resource else {}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": spec}


def slice_(on: str, *devices: str) -> Object:
    return {
        "metadata": {"name": f"slice-{on}"},
        "spec": {
            "driver": DRIVER, "nodeName": on, "pool": {"name": on, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": one} for one in devices],
        },
    }  # fmt: skip


def asking(name: str = "p", count: int = 1, resource: str = GPU, **spec: Any) -> Object:
    made = pod(name, **spec)
    amounts = {resource: str(count), "cpu": "1"}
    made["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    return made


def cluster_of(*nodes: Object, classes: tuple[Object, ...] = (device_class(),)) -> Columns:
    made = columns(*nodes)
    for one in classes:
        made.devices.set_class(None, one)
    return made


def test_the_newest_class_serves_a_resource_and_every_class_its_own_name() -> None:
    classes = {
        "old": device_class("old", created="2026-01-01T00:00:00Z"),
        "b": device_class("b", created="2026-01-02T00:00:00Z"),
        "a": device_class("a", created="2026-01-02T00:00:00Z"),
        "none": device_class("none", ""),
    }
    found = classes_by_resource(classes)
    assert found.pop(GPU) == "a"
    assert found == {f"deviceclass.resource.kubernetes.io/{name}": name for name in classes}


def container(name: str, count: int = 0, *, always: bool = False, **more: int) -> Object:
    requests: dict[str, Any] = {"cpu": "1", **({GPU: str(count)} if count else {}), **more}
    return {
        "name": name,
        "resources": {"requests": requests},
        **({"restartPolicy": "Always"} if always else {}),
    }


Case = tuple[list[Object], list[Object], dict[str, int], dict[str, list[str]]]
REQUESTS: dict[str, Case] = {
    "one": ([], [container("a", 2)], {"container-0-request-1": 2}, {"a": ["container-0-request-1"]}),
    "some ask for none": (
        [], [container("a"), container("b", 1)],
        {"container-1-request-1": 1}, {"b": ["container-1-request-1"]},
    ),
    "what comes first uses what comes later": (
        [container("init", 3)], [container("a", 2), container("b", 2)],
        {"container-1-request-1": 2, "container-2-request-1": 2},
        {
            "init": ["container-1-request-1", "container-2-request-1"],
            "a": ["container-1-request-1"], "b": ["container-2-request-1"],
        },
    ),
    "the largest of those that end is shared": (
        [container("one", 1), container("two", 4), container("side", 1, always=True), container("late", 2)],
        [],
        {"container-1-request-1": 3, "container-2-request-1": 1},
        {
            "one": ["container-2-request-1"], "two": ["container-2-request-1", "container-1-request-1"],
            "side": ["container-2-request-1"], "late": ["container-1-request-1"],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS.keys())
def test_what_is_asked_of_devices_and_who_has_it(case: Case) -> None:
    starting, running, counts, has = case
    requests, mappings = requests_and_mappings(
        {"initContainers": starting, "containers": running}, {GPU: "gpu"}
    )
    assert {one["name"]: one["exactly"]["count"] for one in requests} == counts
    assert all(one["exactly"]["deviceClassName"] == "gpu" for one in requests)
    found: dict[str, list[str]] = {}
    for one in mappings:
        assert one["resourceName"] == GPU
        found.setdefault(one["containerName"], []).append(one["requestName"])
    assert found == has


def decided(asked: PodInfo, cluster: Columns) -> str:
    made = decide(asked, cluster, default_profile())
    return made.node or made.message()


def test_devices_serve_what_no_device_plugin_offers() -> None:
    cluster = cluster_of(node("plugin", extended={GPU: "1"}), node("bare"), node("drawn"))
    cluster.devices.set_slice(None, slice_("drawn", "d0"))
    first = pod_info(asking())
    assert decided(first, cluster) in ("plugin", "drawn")
    cluster.add_pod(first, "plugin")
    assert choose_devices(first, cluster, "plugin").extended is None, "the plugin's own need no claim"
    second = pod_info(asking())
    assert decided(second, cluster) == "drawn"
    made = choose_devices(second, cluster, "drawn").extended
    assert made is not None
    assert [one["device"] for one in made.allocation["devices"]["results"]] == ["d0"]
    assert made.claim["metadata"]["name"] == UNMADE
    cluster.devices.assume("any", made.allocation)
    cluster.add_pod(second, "drawn")
    assert decided(pod_info(asking()), cluster) == (
        f"0/3 nodes are available: 1 Insufficient {GPU}, 2 cannot allocate all claims."
    )


def test_both_are_asked_of_together() -> None:
    cluster = cluster_of(node("small", cpu="500m"), node("drawn"))
    for name in ("small", "drawn"):
        cluster.devices.set_slice(None, slice_(name, "d0"))
    assert decided(pod_info(asking(count=2)), cluster) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 cannot allocate all claims."
    )
    assert decided(pod_info(asking(resource="deviceclass.resource.kubernetes.io/gpu")), cluster) == "drawn"
    assert decided(pod_info(asking(resource="example.com/other")), cluster) == (
        "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient example.com/other."
    )


def test_a_class_that_comes_and_goes_is_noticed() -> None:
    cluster = cluster_of(node("drawn"), classes=())
    cluster.devices.set_slice(None, slice_("drawn", "d0"))
    waiting = pod_info(asking())
    profile = default_profile()
    assert decide(waiting, cluster, profile).message() == f"0/1 nodes are available: 1 Insufficient {GPU}."
    cluster.devices.set_class(None, device_class())
    assert decide(waiting, cluster, profile).node == "drawn"
    cluster.devices.set_class(device_class(), None)
    assert not decide(waiting, cluster, profile).node


def test_a_claim_of_an_earlier_try_is_in_the_way() -> None:
    cluster = cluster_of(node("drawn"))
    cluster.devices.set_slice(None, slice_("drawn", "d0", "d1"))
    waiting = pod_info(asking())
    made = choose_devices(waiting, cluster, "drawn").extended
    assert made is not None
    cluster.devices.set_claim(None, made.claim)
    text = "0/1 nodes are available: 1 cannot schedule extended resource claim."
    assert decided(waiting, cluster) == text
    assert cluster.devices.made_for(waiting.pod) == made.claim
    assert decided(info(), cluster) == "drawn"
    assert decided(pod_info(asking("other")), cluster) == "drawn"


# -- against an API server


class Failing(Client):
    """Its first Bindings are refused."""

    refuse = 0

    async def post(self, gvr: GVR, name: str, namespace: str, subresource: str, body: Object) -> Object:
        if self.refuse and subresource == "binding":
            self.refuse -= 1
            raise InternalError("try again")
        return await super().post(gvr, name, namespace, subresource, body)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=1, scheduler=False) as made:
        version = "resource.k8s.io/v1"
        for gvr, kind, one in (
            (DEVICE_CLASSES, "DeviceClass", device_class()),
            (RESOURCE_SLICES, "ResourceSlice", slice_("node-1", "d0")),
        ):  # fmt: skip
            one["metadata"].pop("creationTimestamp", None)
            await made.client.create(gvr, {"apiVersion": version, "kind": kind, **one})
        await made.wait_for(GVR("", "v1", "serviceaccounts"), "default", "default")
        client = made.client_for("system:kube-scheduler")
        client.__class__ = Failing
        made.scheduler_client = client  # type: ignore[attr-defined]
        running = asyncio.create_task(Scheduler(client, SchedulerOptions(binders=4)).run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def create(cluster: Cluster, made: Object) -> None:
    del made["metadata"]["uid"]
    await cluster.client.create(PODS, made)


def bound(found: Object | None) -> bool:
    return bool((found or {}).get("spec", {}).get("nodeName"))


async def test_a_pod_gets_its_claim_and_it_ends_with_the_pod(cluster: Cluster) -> None:
    made = ("scheduler_resourceclaim_creates_total", {"status": "success"})
    before = REGISTRY.sample_value(*made) or 0.0
    await create(cluster, asking())
    found = await cluster.wait_for(PODS, "p", "default", bound)
    assert found is not None
    assert REGISTRY.sample_value(*made) == before + 1
    said = found["status"]["extendedResourceClaimStatus"]
    request = "container-0-request-1"
    assert said["requestMappings"] == [{"containerName": "c", "resourceName": GPU, "requestName": request}]
    claim = await cluster.client.get(RESOURCE_CLAIMS, said["resourceClaimName"], "default")
    meta, status = claim["metadata"], claim["status"]
    assert meta["name"].startswith("p-extended-resources-")
    assert meta["annotations"] == {"resource.kubernetes.io/extended-resource-claim": "true"}
    assert [one["uid"] for one in meta["ownerReferences"]] == [found["metadata"]["uid"]]
    assert meta["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert [one["uid"] for one in status["reservedFor"]] == [found["metadata"]["uid"]]
    (result,) = status["allocation"]["devices"]["results"]
    assert (result["request"], result["device"]) == (request, "d0")
    assert status["allocation"]["allocationTimestamp"].endswith("Z")
    await create(cluster, asking("q"))
    full = await cluster.wait_for(PODS, "q", "default", refused)
    assert full is not None
    assert "1 cannot allocate all claims" in (get_condition(full, "PodScheduled") or {})["message"]
    await cluster.client.delete(PODS, "p", "default", grace_period_s=0)
    await cluster.wait_for(PODS, "q", "default", bound)


def refused(found: Object | None) -> bool:
    return (get_condition(found or {}, "PodScheduled") or {}).get("status") == "False"


async def test_a_claim_goes_with_a_binding_that_failed(cluster: Cluster) -> None:
    client = cluster.scheduler_client  # type: ignore[attr-defined]
    client.refuse = 1
    seen: set[str] = set()
    async with cluster.client.watch(RESOURCE_CLAIMS, "default") as events:
        await create(cluster, asking())
        async for event in events:
            if event.type == "DELETED":
                break
            if event.type != "BOOKMARK":
                seen.add(object_key(event.object))
    found = await cluster.wait_for(PODS, "p", "default", bound)
    assert found is not None
    name = found["status"]["extendedResourceClaimStatus"]["resourceClaimName"]
    assert f"default/{name}" not in seen
    for key in seen:
        with pytest.raises(NotFound):
            await cluster.client.get(RESOURCE_CLAIMS, key.partition("/")[2], "default")
