"""Claims and volumes: bound, used, protected, released; by hand and by the scheduler's choice."""

import pytest

from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow


def volume(name="v", **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/tmp/v"},
            **spec,
        },
    }


def claim(name="c", **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


def pod(name="p", claim_name="c"):
    source = {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [source]},
    }


def in_phase(phase):
    return lambda item: bool(item) and (item.get("status") or {}).get("phase") == phase


async def test_lifecycle_of_a_volume_and_a_claim():
    async with Cluster() as cluster:
        client = cluster.client
        await client.create(PERSISTENT_VOLUMES, volume())
        await cluster.wait_for(PERSISTENT_VOLUMES, "v", "", in_phase("Available"))
        await client.create(PERSISTENT_VOLUME_CLAIMS, claim())
        bound = await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "c", "default", in_phase("Bound"))
        assert bound["spec"]["volumeName"] == "v"
        assert bound["status"]["capacity"] == {"storage": "2Gi"}
        await cluster.wait_for(PERSISTENT_VOLUMES, "v", "", in_phase("Bound"))
        await client.create(PODS, pod())
        await cluster.wait_for(PODS, "p", "default", in_phase("Running"))
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await client.delete(PERSISTENT_VOLUMES, "v")
        held = await client.get(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        assert held["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        await client.delete(PODS, "p", "default", grace_period_s=0)
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "c", "default", lambda item: item is None)
        await cluster.wait_for(PERSISTENT_VOLUMES, "v", "", lambda item: item is None)


async def test_a_volume_is_released_with_its_claim():
    async with Cluster(nodes=0) as cluster:
        await cluster.client.create(PERSISTENT_VOLUMES, volume())
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim(volumeName="v"))
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "c", "default", in_phase("Bound"))
        await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await cluster.wait_for(PERSISTENT_VOLUMES, "v", "", in_phase("Released"))


async def test_the_scheduler_chooses_where_a_class_waits():
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "late"},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}
    reach = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    async with Cluster(nodes=2) as cluster:
        await cluster.client.create(STORAGE_CLASSES, storage_class)
        await cluster.client.create(PERSISTENT_VOLUMES, volume(storageClassName="late", nodeAffinity=reach))
        await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim(storageClassName="late"))
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "c", "default", in_phase("Pending"))
        await cluster.client.create(PODS, pod())
        running = await cluster.wait_for(PODS, "p", "default", in_phase("Running"))
        assert running["spec"]["nodeName"] == "node-2"
        await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, "c", "default", in_phase("Bound"))
