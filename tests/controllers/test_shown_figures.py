"""What controllers show of what there is, and of single steps: slices, ranges, claims, ages, stale looks."""

from datetime import timedelta

from tests.samples import Since

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import (
    ENDPOINTS,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    SERVICES,
    STATEFUL_SETS,
)
from tiphys.controllers import metrics
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.nodeipam.controller import NodeIpamController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.resourceclaim.controller import ResourceClaimController
from tiphys.controllers.statefulset.controller import StatefulSetController


async def test_how_full_the_ranges_are(make_world):
    since = Since(metrics.REGISTRY)
    name, cidr = "node_ipam_controller_", {"clusterCIDR": "10.12.0.0/22"}
    world = make_world(cluster_cidr=cidr["clusterCIDR"])
    taken = {"metadata": {"name": "before"}, "spec": {"podCIDR": "10.12.0.0/24"}}
    world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", **taken})
    async with world.running(NodeIpamController):
        world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}})
        await world.settle()
        assert since(f"{name}cirdset_max_cidrs", **cidr) == 4
        assert since(f"{name}cidrset_usage_cidrs", **cidr) == 0.5
        assert since(f"{name}cidrset_allocation_tries_per_request_count", **cidr) == 1
        assert since(f"{name}cidrset_allocation_tries_per_request_sum", **cidr) == 1
        world.api.remove(NODES, "a")
        await world.settle()
        assert since(f"{name}cidrset_usage_cidrs", **cidr) == 0.25


def service(name, **spec):
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "d"},
        "spec": {"selector": {"app": name}, "clusterIP": "10.0.0.1", "ports": [{"port": 80}], **spec},
    }  # fmt: skip


def backend(name, index):
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"{name}-{index}", "namespace": "d", "labels": {"app": name}},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "podIP": f"10.1.0.{index}",
                   "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


async def test_how_full_slices_are(world):
    """Services without endpoints have a slice as well."""
    since = Since(metrics.REGISTRY, "endpoint_slice_controller_")

    def fill():
        return [
            since(name) for name in ("endpoints_desired", "desired_endpoint_slices", "num_endpoint_slices")
        ]

    world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    world.api.put(SERVICES, service("empty"))
    for index in range(1, 102):
        world.api.put(PODS, backend("web", index))
    async with world.running(EndpointSliceController):
        world.api.put(SERVICES, service("web"))
        await world.settle()
        assert fill() == [101, 3, 3]
        for index in range(1, 3):
            world.api.remove(PODS, f"web-{index}", "d")
        await world.settle()
        assert fill()[:2] == [99, 2]
        for name in ("web", "empty"):
            world.api.remove(SERVICES, name, "d")
        await world.settle()
        assert fill() == [0, 0, 0]


async def test_which_endpoints_services_prefer(world):
    since = Since(metrics.REGISTRY, "endpoint_slice_controller_")

    def count(said):
        return since("services_count_by_traffic_distribution", traffic_distribution=said)

    def changes(topology, said=""):
        labels = {"topology": topology, "traffic_distribution": said}
        return since("endpointslices_changed_per_sync_sum", **labels)

    async with world.running(EndpointSliceController):
        world.api.put(SERVICES, service("near", trafficDistribution="PreferClose"))
        world.api.put(SERVICES, service("own", trafficDistribution="example.com/own"))
        world.api.put(SERVICES, service("any"))
        shares = service("shares", trafficDistribution="PreferClose")
        shares["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
        world.api.put(SERVICES, shares)
        await world.settle()
        assert (count("PreferClose"), count("ImplementationSpecific")) == (1, 1)
        assert (changes("Disabled", "PreferClose"), changes("Disabled"), changes("Auto")) == (1, 2, 1)
        world.api.put(SERVICES, service("near"))
        world.api.remove(SERVICES, "own", "d")
        await world.settle()
        assert (count("PreferClose"), count("ImplementationSpecific")) == (0, 0)


async def test_what_is_mirrored(world):
    since = Since(metrics.REGISTRY, "endpoint_slice_mirroring_controller_")

    def endpoints(*addresses, host=""):
        shown = [{"ip": one, **({"hostname": host} if host else {})} for one in addresses]
        return {
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": "d"},
            "subsets": [{"addresses": shown, "ports": [{"port": 1}]}],
        }  # fmt: skip

    def moved():
        return [since(f"endpoints_{what}_per_sync_sum") for what in ("added", "updated", "removed")]

    external = service("db")
    del external["spec"]["selector"]
    world.api.put(SERVICES, external)
    many = [f"10.2.{index // 250}.{index % 250}" for index in range(1003)]
    async with world.running(EndpointSliceMirroringController):
        world.api.put(ENDPOINTS, endpoints("10.1.0.1", "10.1.0.2"))
        await world.settle()
        assert moved() == [2, 0, 0]
        world.api.put(ENDPOINTS, endpoints("10.1.0.2", "10.1.0.3", host="h"))
        await world.settle()
        assert moved() == [3, 1, 1]
        assert [since(name) for name in ("endpoints_desired", "num_endpoint_slices")] == [2, 1]
        assert since("addresses_skipped_per_sync_sum") == 0
        world.api.put(ENDPOINTS, endpoints(*many))
        await world.settle()
        assert since("addresses_skipped_per_sync_sum") >= 3
        assert [since(name) for name in ("endpoints_desired", "desired_endpoint_slices")] == [1000, 10]
        world.api.remove(ENDPOINTS, "db", "d")
        await world.settle()
    assert [since(name) for name in ("endpoints_desired", "num_endpoint_slices")] == [0, 0]


async def test_pods_chosen_to_go_by_their_age(world):
    """Of ready ones alone, and only where others stay."""
    since = Since(metrics.REGISTRY, "replicaset_controller_sorting_deletion_age_ratio_")
    now = world.clock.now()
    owner = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "rs", "namespace": "d", "uid": "u"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "rs"}},
                 "template": {"metadata": {"labels": {"app": "rs"}}, "spec": {"containers": []}}},
    }  # fmt: skip
    world.api.put(REPLICA_SETS, owner)
    for index, hours in enumerate((1, 3, 9)):
        pod = backend("rs", index)
        pod["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
        ]
        pod["metadata"]["creationTimestamp"] = rfc3339(now - timedelta(hours=hours))
        world.api.put(PODS, pod)
    async with world.running(ReplicaSetController):
        await world.settle()
    left = world.api.all(PODS)
    assert len(left) == 1
    assert since("count") == 2
    assert since("bucket", le="2") == 1


async def test_looks_that_wait_for_the_cache(world):
    labels = {"group": "", "resource": "pods"}
    since = Since(metrics.REGISTRY)
    owner = {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "s", "namespace": "d", "uid": "u"},
        "spec": {"replicas": 1, "serviceName": "s", "selector": {"matchLabels": {"app": "s"}},
                 "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": []}}},
    }  # fmt: skip
    stored = world.api.put(STATEFUL_SETS, owner)
    async with world.running(StatefulSetController):
        await world.settle()
        (controller,) = world.controllers
        before = since("statefulset_controller_stale_sync_skips_total", **labels)
        ahead = {"metadata": {**stored["metadata"], "resourceVersion": "1000000"}}
        controller._writes.wrote("d/s", ahead)
        await controller.reconcile("d/s")
        assert since("statefulset_controller_stale_sync_skips_total", **labels) == before + 1
        controller._writes.forget("d/s")
        controller._own_writes.wrote("d/s", ahead)
        await controller.reconcile("d/s")
    own = {"group": "apps", "resource": "statefulsets"}
    assert since("statefulset_controller_stale_sync_skips_total", **own) >= 1


async def test_claims(world):
    since = Since(metrics.REGISTRY, "resourceclaim_controller_")
    admin = {"devices": {"requests": [{"name": "r", "exactly": {"adminAccess": True}}]}}
    for name, spec in (("plain", {}), ("admin", admin)):
        world.api.put(RESOURCE_CLAIM_TEMPLATES, {
            "metadata": {"name": name, "namespace": "d"}, "spec": {"spec": spec},
        })  # fmt: skip
    world.api.put(RESOURCE_CLAIMS, {
        "metadata": {"name": "own", "namespace": "d",
                     "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"}},
        "spec": {}, "status": {"allocation": {"devices": {}}},
    })  # fmt: skip
    asked = [{"name": one, "resourceClaimTemplateName": one} for one in ("plain", "admin")]
    world.api.put(PODS, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "d"},
        "spec": {"resourceClaims": asked}, "status": {"phase": "Pending"},
    })  # fmt: skip

    def count(allocated, admin, source):
        return since("resource_claims", allocated=allocated, admin_access=admin, source=source)

    async with world.running(ResourceClaimController):
        await world.settle()
        assert since("creates_total", status="success", admin_access="true") == 1
        assert since("creates_total", status="success", admin_access="false") == 1
        made = "resource_claim_template"
        assert (count("false", "true", made), count("false", "false", made)) == (1, 1)
        world.api.reactors.append(
            lambda request: Forbidden("no") if request.method == "POST" and "claims" in request.path else None
        )
        world.api.put(PODS, {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q", "namespace": "d"},
            "spec": {"resourceClaims": asked[:1]}, "status": {"phase": "Pending"},
        })  # fmt: skip
        await world.settle()
        assert since("creates_total", status="failure", admin_access="false") >= 1
