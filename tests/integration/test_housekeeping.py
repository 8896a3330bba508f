"""What keeps order in a cluster: endpoints and their mirrors, namespaces, owners, room by priority."""

import asyncio

import pytest

from tiphys.apimachinery.meta import controller_of, get_condition
from tiphys.client.kinds import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    LIMIT_RANGES,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow
LABELS = {"app": "x"}


def make(kind, name, version="v1", namespace="default", **body):
    meta = {"name": name, "labels": LABELS}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": meta, **body}


def pod(name, namespace="default", requests=None, **spec):
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    if requests:
        container["resources"] = {"requests": requests}
    return make("Pod", name, namespace=namespace, spec={"containers": [container], **spec})


def controller(replicas=2):
    template = {"metadata": {"labels": LABELS}, "spec": pod("p")["spec"]}
    spec = {"replicas": replicas, "selector": LABELS, "template": template}
    return make("ReplicationController", "x", spec=spec)


def running(item):
    return bool(item) and item["status"].get("phase") == "Running"


def gone(item):
    return item is None


async def until_slices(cluster, name, holds):
    """Poll until the slices of a service, whose names nobody knows beforehand, are as asked."""
    async with asyncio.timeout(20):
        while True:
            found = await cluster.client.list(
                ENDPOINT_SLICES, "default", label_selector=f"kubernetes.io/service-name={name}"
            )
            if holds(found["items"]):
                return found["items"]
            await asyncio.sleep(0.02)


async def test_endpoints_made_by_hand_are_mirrored():
    async with Cluster(nodes=0, scheduler=False) as cluster:
        client = cluster.client
        await client.create(SERVICES, make("Service", "s", spec={"ports": [{"port": 80}]}))
        subset = {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}
        await client.create(ENDPOINTS, make("Endpoints", "s", subsets=[subset]))
        (first,) = await until_slices(cluster, "s", lambda items: len(items) == 1)
        assert first["endpoints"][0]["addresses"] == ["10.1.2.3"]
        subset["addresses"] = [{"ip": "10.2.3.4"}]
        await client.patch(ENDPOINTS, "s", "default", {"subsets": [subset]})
        await until_slices(
            cluster,
            "s",
            lambda items: [e["addresses"] for item in items for e in item["endpoints"]] == [["10.2.3.4"]],
        )
        await client.delete(ENDPOINTS, "s", "default")
        await until_slices(cluster, "s", lambda items: not items)


async def test_services_get_endpoints_and_slices():
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        spec = {"selector": LABELS, "ports": [{"port": 80}]}
        await client.create(SERVICES, make("Service", "s", spec=spec))
        (empty,) = await until_slices(cluster, "s", lambda items: len(items) == 1)
        assert not empty["endpoints"]
        await client.create(PODS, pod("p"))
        await cluster.wait_for(PODS, "p", "default", running)
        await cluster.wait_for(
            ENDPOINTS,
            "s",
            "default",
            lambda item: bool(item and (item.get("subsets") or [{}])[0].get("addresses")),
        )
        await until_slices(cluster, "s", lambda items: any(item["endpoints"] for item in items))
        await client.delete(SERVICES, "s", "default")
        await cluster.wait_for(ENDPOINTS, "s", "default", gone)
        await until_slices(cluster, "s", lambda items: not items)


async def test_a_namespace_goes_with_all_its_pods_first():
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        await client.create(NAMESPACES, make("Namespace", "n", namespace=""))
        await cluster.wait_for(SERVICE_ACCOUNTS, "default", "n")
        held = pod("p", "n")
        held["metadata"]["finalizers"] = ["boats.example/hold"]
        await client.create(PODS, held)
        await client.create(SERVICES, make("Service", "s", namespace="n", spec={"ports": [{"port": 80}]}))
        await client.create(CONFIG_MAPS, make("ConfigMap", "m", namespace="n"))
        await cluster.wait_for(PODS, "p", "n", running)
        await client.delete(NAMESPACES, "n")
        await cluster.wait_for(
            NAMESPACES, "n", "", lambda item: bool(get_condition(item, "NamespaceContentRemaining"))
        )
        assert await client.get(CONFIG_MAPS, "m", "n")
        await client.patch(PODS, "p", "n", {"metadata": {"finalizers": None}})
        await cluster.wait_for(NAMESPACES, "n", "", gone)


@pytest.mark.parametrize("propagation", ["Background", "Orphan", "Foreground"])
async def test_owners_and_what_becomes_of_theirs(propagation):
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        await client.create(REPLICATION_CONTROLLERS, controller())
        await cluster.wait_for(
            REPLICATION_CONTROLLERS, "x", "default", lambda item: item["status"].get("readyReplicas") == 2
        )
        pods = (await client.list(PODS, "default"))["items"]
        await client.delete(REPLICATION_CONTROLLERS, "x", "default", propagation=propagation)
        await cluster.wait_for(REPLICATION_CONTROLLERS, "x", "default", gone)
        for item in pods:
            name = item["metadata"]["name"]
            if propagation == "Orphan":
                await cluster.wait_for(PODS, name, "default", lambda found: not controller_of(found))
            else:
                await cluster.wait_for(PODS, name, "default", gone)


async def test_important_pods_take_the_room_of_others():
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        important = make("PriorityClass", "high", "scheduling.k8s.io/v1", namespace="", value=1000)
        await client.create(PRIORITY_CLASSES, important)
        keep = pod("low", requests={"cpu": "6"})
        keep["metadata"]["finalizers"] = ["boats.example/hold"]
        await client.create(PODS, keep)
        await cluster.wait_for(PODS, "low", "default", running)
        await client.create(PODS, pod("high", requests={"cpu": "6"}, priorityClassName="high"))
        victim = await cluster.wait_for(
            PODS, "low", "default", lambda item: bool(get_condition(item, "DisruptionTarget"))
        )
        assert get_condition(victim, "DisruptionTarget")["reason"] == "PreemptionByScheduler"
        await client.patch(PODS, "low", "default", {"metadata": {"finalizers": None}})
        await cluster.wait_for(PODS, "high", "default", running)


async def test_limit_ranges_fill_in_and_refuse():
    async with Cluster(nodes=0, scheduler=False) as cluster:
        item = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
        await cluster.client.create(LIMIT_RANGES, make("LimitRange", "l", spec={"limits": [item]}))
        stored = await cluster.client.create(PODS, pod("p"))
        assert stored["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "500m"},
            "requests": {"cpu": "100m"},
        }
        await cluster.client.delete_collection(LIMIT_RANGES, "default", label_selector="app=x")
        assert not (await cluster.client.list(LIMIT_RANGES, "default"))["items"]
