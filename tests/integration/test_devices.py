"""Devices from slice to pod and back; claims of ephemeral volumes."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.meta import Object, get_condition
from tiphys.client.kinds import (
    DEVICE_CLASSES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow

DRIVER = "gpu.example.com"
CLAIM_SPEC = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}


def made(kind: str, name: str, namespace: str = "default", **body: object) -> Object:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": meta, **body}


def pod(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def running(item: Object | None) -> bool:
    return bool(item) and item["status"].get("phase") == "Running"


def gone(item: Object | None) -> bool:
    return item is None


async def offer(cluster: Cluster) -> None:
    """Let node-2 offer one device."""
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    await cluster.client.create(
        DEVICE_CLASSES, made("DeviceClass", "gpu", "", spec={"selectors": [selector]})
    )
    spec = {
        "driver": DRIVER,
        "pool": {"name": "node-2", "generation": 1, "resourceSliceCount": 1},
        "nodeName": "node-2",
        "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "x"}}}],
    }
    await cluster.client.create(RESOURCE_SLICES, made("ResourceSlice", "node-2-gpu", "", spec=spec))


async def test_a_template_gives_each_pod_a_device_while_there_is_one() -> None:
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await offer(cluster)
        template = made("ResourceClaimTemplate", "t", spec={"spec": CLAIM_SPEC})
        await client.create(RESOURCE_CLAIM_TEMPLATES, template)
        asked = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
        await client.create(PODS, pod("first", resourceClaims=asked))
        first = await cluster.wait_for(PODS, "first", "default", running)
        assert first is not None
        assert first["spec"]["nodeName"] == "node-2"
        (status,) = first["status"]["resourceClaimStatuses"]
        claim = await client.get(RESOURCE_CLAIMS, status["resourceClaimName"], "default")
        assert claim["metadata"]["generateName"] == "first-gpu-"
        assert claim["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
        (result,) = claim["status"]["allocation"]["devices"]["results"]
        assert (result["pool"], result["device"]) == ("node-2", "gpu-0")
        (consumer,) = claim["status"]["reservedFor"]
        assert consumer == {"resource": "pods", "name": "first", "uid": first["metadata"]["uid"]}

        await client.create(PODS, pod("second", resourceClaims=asked))
        second = await cluster.wait_for(
            PODS,
            "second",
            "default",
            lambda item: (
                ((item and get_condition(item, "PodScheduled")) or {}).get("reason") == "Unschedulable"
            ),
        )
        message = (get_condition(second or {}, "PodScheduled") or {})["message"]
        start = "0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, preemption: "
        assert message.startswith(start)
        await client.delete(PODS, "first", "default")
        await cluster.wait_for(RESOURCE_CLAIMS, status["resourceClaimName"], "default", gone)
        await cluster.wait_for(PODS, "second", "default", running)


async def test_a_claim_is_shared_and_given_back_when_it_goes() -> None:
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await offer(cluster)
        await client.create(RESOURCE_CLAIMS, made("ResourceClaim", "shared", spec=CLAIM_SPEC))
        asked = [{"name": "gpu", "resourceClaimName": "shared"}]
        for name in ("a", "b"):
            await client.create(PODS, pod(name, resourceClaims=asked))
        for name in ("a", "b"):
            found = await cluster.wait_for(PODS, name, "default", running)
            assert found is not None
            assert found["spec"]["nodeName"] == "node-2"
        claim = await client.get(RESOURCE_CLAIMS, "shared", "default")
        assert {one["name"] for one in claim["status"]["reservedFor"]} == {"a", "b"}
        await client.delete(RESOURCE_CLAIMS, "shared", "default")
        for name in ("a", "b"):
            assert await client.get(RESOURCE_CLAIMS, "shared", "default"), "a pod uses it still"
            await client.delete(PODS, name, "default")
        await cluster.wait_for(RESOURCE_CLAIMS, "shared", "default", gone)


async def test_an_ephemeral_volume_comes_and_goes_with_its_pod() -> None:
    async with Cluster(nodes=1) as cluster:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        volume = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
        stored = await cluster.client.create(PODS, pod("web", volumes=[volume]))
        claim = await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "web-tmp", "default")
        assert claim is not None
        assert claim["metadata"]["ownerReferences"][0]["uid"] == stored["metadata"]["uid"]
        await cluster.client.delete(PODS, "web", "default", grace_period_s=0)
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "web-tmp", "default", gone)
