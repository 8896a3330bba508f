"""What controllers count: families as upstream has them, and that each count follows what was done."""

import pytest
from tests.samples import Since

from tiphys.client.kinds import (
    CONFIG_MAPS,
    CRON_JOBS,
    ENDPOINT_SLICES,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
)
from tiphys.controllers import metrics
from tiphys.controllers.cronjob.controller import CronJobController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.job import tally
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.job.plan import Plan
from tiphys.controllers.nodeipam.controller import NodeIpamController
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.podgc.controller import PodGarbageCollector
from tiphys.controllers.rootca.controller import CONFIG_MAP, RootCaController
from tiphys.controllers.statefulset.controller import StatefulSetController
from tiphys.controllers.tainteviction.controller import TaintEvictionController
from tiphys.controllers.ttlafterfinished.controller import TtlAfterFinishedController

FAMILIES = [
    ("job_controller_job_sync_duration_seconds", "completion_mode result action",
     "0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 16.384 32.768 65.536"),
    ("job_controller_job_syncs", "completion_mode result action", ""),
    ("job_controller_jobs_finished", "completion_mode result reason", ""),
    ("job_controller_job_pods_finished", "completion_mode result", ""),
    ("job_controller_pod_failures_handled_by_failure_policy", "action", ""),
    ("job_controller_terminated_pods_tracking_finalizer", "event", ""),
    ("cronjob_controller_job_creation_skew_duration_seconds", "",
     "1.0 2.0 4.0 8.0 16.0 32.0 64.0 128.0 256.0 512.0"),
    ("node_collector_evictions", "zone", ""),
    ("statefulset_controller_statefulset_max_unavailable",
     "statefulset_namespace statefulset_name pod_management_policy", ""),
    ("statefulset_controller_statefulset_unavailable_replicas",
     "statefulset_namespace statefulset_name pod_management_policy", ""),
    ("ttl_after_finished_controller_job_deletion_duration_seconds", "",
     "0.1 0.2 0.4 0.8 1.6 3.2 6.4 12.8 25.6 51.2 102.4 204.8 409.6 819.2"),
    ("node_collector_update_node_health_duration_seconds", "",
     "0.001 0.004 0.016 0.064 0.256 1.024 4.096 16.384"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "labels", "buckets"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_families_are_upstreams(name, labels, buckets):
    family = next(one for one in vars(metrics).values() if getattr(one, "name", "") == name)
    assert list(family.label_names) == labels.split()
    bounds = [float(bound) for bound in buckets.split()]
    assert [round(bound, 9) for bound in getattr(family, "bounds", ())] == bounds


def job(**spec):
    labels = {"job": "x"}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "d"},
        "spec": {
            "selector": {"matchLabels": labels}, "parallelism": 1, "completions": 1, "backoffLimit": 6,
            "template": {"metadata": {"labels": labels},
                         "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}},
            **spec,
        },
    }  # fmt: skip


async def end(world, phase, code=0):
    for pod in world.api.all(PODS):
        if not (pod.get("status") or {}).get("phase"):
            terminated = {"name": "c", "state": {"terminated": {"exitCode": code}}}
            world.api.put(PODS, {**pod, "status": {"phase": phase, "containerStatuses": [terminated]}})
    await world.settle()


async def test_a_job_to_its_end(world):
    since = Since(metrics.REGISTRY)
    world.api.put(JOBS, job(parallelism=2, completions=2))
    async with world.running(JobController):
        made = {"completion_mode": "NonIndexed", "result": "success", "action": "pods_created"}
        assert since("job_controller_job_syncs_total", **made) == 1
        assert since("job_controller_job_sync_duration_seconds_count", **made) == 1
        assert since("job_controller_job_pods_creation_total", reason="new", status="succeeded") == 2
        await end(world, "Succeeded")
    plain = {"completion_mode": "NonIndexed", "result": "succeeded"}
    assert since("job_controller_job_pods_finished_total", **plain) == 2
    assert since("job_controller_jobs_finished_total", **plain, reason="CompletionsReached") == 1
    assert since("job_controller_terminated_pods_tracking_finalizer_total", event="add") == 2
    assert since("job_controller_terminated_pods_tracking_finalizer_total", event="delete") == 2
    assert since("job_controller_job_syncs_total", **{**made, "action": "tracking"}) >= 1


async def test_a_job_that_fails(world):
    since = Since(metrics.REGISTRY)
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
    world.api.put(JOBS, job(podFailurePolicy={"rules": rules}, completionMode="Indexed"))
    async with world.running(JobController):
        await end(world, "Failed", 42)
    assert since("job_controller_pod_failures_handled_by_failure_policy_total", action="FailJob") == 1
    failed = {"completion_mode": "Indexed", "result": "failed"}
    assert since("job_controller_jobs_finished_total", **failed, reason="PodFailurePolicy") == 1
    assert since("job_controller_job_pods_finished_total", **failed) == 1


async def test_pods_after_failed_ones_and_indexes(world):
    since = Since(metrics.REGISTRY)
    world.api.put(JOBS, job(completionMode="Indexed", completions=2, parallelism=2))
    async with world.running(JobController):
        await end(world, "Failed", 1)
        await world.advance(60)
        again = {"reason": "recreate_terminating_or_failed", "status": "succeeded"}
        assert since("job_controller_job_pods_creation_total", **again) == 2
        await end(world, "Succeeded")
    done = {"status": "succeeded", "backoffLimit": "global"}
    assert since("job_controller_job_finished_indexes_total", **done) == 2


async def test_a_job_of_another_controller(world):
    since = Since(metrics.REGISTRY)
    world.api.put(JOBS, job(managedBy="example.com/other"))
    async with world.running(JobController):
        await world.advance(1)
    other = {"controller_name": "example.com/other"}
    assert since("job_controller_jobs_by_external_controller_total", **other) == 1


async def test_a_failed_look_is_an_error(world):
    since = Since(metrics.REGISTRY)
    world.api.put(JOBS, job())

    async def refuse(*_, **__):
        raise RuntimeError("refused")

    async with world.running(JobController):
        world.controllers[0]._claim = refuse
        world.controllers[0].queue.add("d/x")
        await world.settle()
    labels = {"completion_mode": "NonIndexed", "result": "error", "action": "tracking"}
    assert since("job_controller_job_syncs_total", **labels) >= 1


ACTIONS = [
    (Plan(), "tracking"),
    (Plan(create=[None], delete=[{}]), "pods_created"),
    (Plan(delete=[{}]), "pods_deleted"),
    (Plan(discard=[{}]), "pods_deleted"),
]


@pytest.mark.parametrize(("planned", "action"), ACTIONS)
def test_actions(planned, action):
    assert tally.action_of(planned) == action


async def test_lateness_of_a_cronjob(world):
    since = Since(metrics.REGISTRY)
    cron = {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "d"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {}}}}},
    }  # fmt: skip
    world.api.put(CRON_JOBS, cron)
    async with world.running(CronJobController):
        await world.advance(63)
    name = "cronjob_controller_job_creation_skew_duration_seconds"
    assert since(f"{name}_count") == 1
    assert since(f"{name}_sum") == 3


async def test_how_long_a_finished_job_outlived_its_time(world):
    since = Since(metrics.REGISTRY)
    done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    world.api.put(JOBS, {**job(ttlSecondsAfterFinished=10), "status": {"conditions": [done]}})
    async with world.running(TtlAfterFinishedController):
        await world.advance(12)
    name = "ttl_after_finished_controller_job_deletion_duration_seconds"
    assert since(f"{name}_count") == 1
    assert since(f"{name}_sum") == 2


def node(name, zone="z", ready="True"):
    return {
        "apiVersion": "v1", "kind": "Node", "spec": {},
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }  # fmt: skip


def lease(name, beat):
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": str(beat)},
        "metadata": {"name": name, "namespace": "kube-node-lease"},
    }  # fmt: skip


async def test_zones_and_the_nodes_that_are_given_up(world):
    zone = {"zone": ":\0:metered"}
    since = Since(metrics.REGISTRY)
    for name in ("up", "down"):
        world.api.put(NODES, node(name, "metered"))
        world.api.put(LEASES, lease(name, 0))
    async with world.running(NodeLifecycleController):
        assert since("node_collector_zone_size", **zone) == 2
        assert since("node_collector_zone_health", **zone) == 100
        for beat in range(12):
            world.api.put(LEASES, lease("up", beat + 1))
            await world.advance(5)
        assert since("node_collector_unhealthy_nodes_in_zone", **zone) == 1
        assert since("node_collector_zone_health", **zone) == 50
        assert since("node_collector_evictions_total", **zone) == 1
        assert since("node_collector_update_node_health_duration_seconds_count") > 2
        for name in ("up", "down"):
            world.api.remove(NODES, name)
        await world.settle()
        assert metrics.REGISTRY.sample_value("node_collector_zone_size", zone) is None


async def test_pods_that_leave_a_tainted_node(world):
    since = Since(metrics.REGISTRY)
    tainted = node("n1")
    tainted["spec"]["taints"] = [{"key": "x", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]
    async with world.running(TaintEvictionController):
        world.api.put(NODES, tainted)
        world.api.put(PODS, {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "d"},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
        })  # fmt: skip
        await world.settle()
    assert since("taint_eviction_controller_pod_deletions_total") == 1
    assert since("taint_eviction_controller_pod_deletion_duration_seconds_count") == 1


async def test_pods_that_nobody_else_cleans_up(world):
    since = Since(metrics.REGISTRY)
    world.api.put(PODS, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "swept"},
        "spec": {"nodeName": "gone"}, "status": {"phase": "Running"},
    })  # fmt: skip
    async with world.running(PodGarbageCollector):
        await world.advance(20)
        await world.advance(21)
    swept = {"namespace": "swept", "reason": "orphaned"}
    assert since("pod_gc_collector_force_delete_pods_total", **swept) == 1
    assert since("pod_gc_collector_force_delete_pod_errors_total", **swept) == 0


async def test_ranges_of_nodes(make_world):
    since = Since(metrics.REGISTRY)
    world = make_world(cluster_cidr="10.8.0.0/22")
    async with world.running(NodeIpamController):
        world.api.put(NODES, node("a"))
        await world.settle()
        world.api.remove(NODES, "a")
        await world.settle()
    cidr = {"clusterCIDR": "10.8.0.0/22"}
    assert since("node_ipam_controller_cidrset_cidrs_allocations_total", **cidr) == 1
    assert since("node_ipam_controller_cidrset_cidrs_releases_total", **cidr) == 1


async def test_slices(world):
    since = Since(metrics.REGISTRY)
    world.api.put(SERVICES, {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "d"},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
    })  # fmt: skip
    world.api.put(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    async with world.running(EndpointSliceController):
        world.api.put(PODS, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "d", "labels": {"app": "web"}}, "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "podIP": "10.1.0.1",
                       "conditions": [{"type": "Ready", "status": "True"}]},
        })  # fmt: skip
        await world.settle()
        assert since("endpoint_slice_controller_endpoints_added_per_sync_sum") == 1
        world.api.remove(PODS, "a", "d")
        await world.settle()
    assert len(world.api.all(ENDPOINT_SLICES)) == 1
    assert since("endpoint_slice_controller_endpoints_removed_per_sync_sum") == 1
    # Without anybody behind it a slice has no ports: the one slice is changed each time.
    assert since("endpoint_slice_controller_changes", operation="create") == 1
    assert since("endpoint_slice_controller_changes", operation="update") == 2
    assert since("endpoint_slice_controller_syncs", result="success") >= 3


async def test_authorities_that_are_published(make_world):
    since = Since(metrics.REGISTRY)
    world = make_world(root_ca_pem="PEM")
    world.api.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}})
    async with world.running(RootCaController):
        await world.settle()
    assert [item["metadata"]["name"] for item in world.api.all(CONFIG_MAPS)] == [CONFIG_MAP]
    assert since("root_ca_cert_publisher_sync_total", code="200") >= 1
    assert since("root_ca_cert_publisher_sync_duration_seconds_count", code="200") >= 1


async def test_what_a_stateful_set_lacks(world):
    labels = {"app": "db"}
    world.api.put(STATEFUL_SETS, {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "metered", "namespace": "d", "generation": 1},
        "spec": {
            "replicas": 3, "serviceName": "db", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": "v1"}]}},
        },
    })  # fmt: skip
    prefix = "statefulset_controller_statefulset_"
    shown = {
        "statefulset_namespace": "d", "statefulset_name": "metered", "pod_management_policy": "Parallel"
    }  # fmt: skip
    async with world.running(StatefulSetController):
        assert metrics.REGISTRY.sample_value(f"{prefix}unavailable_replicas", shown) == 3
        assert metrics.REGISTRY.sample_value(f"{prefix}max_unavailable", shown) == 1
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for pod in world.api.all(PODS)[:2]:
            world.api.put(PODS, {**pod, "status": {"phase": "Running", "conditions": [ready]}})
        await world.settle()
        assert metrics.REGISTRY.sample_value(f"{prefix}unavailable_replicas", shown) == 1
        world.api.remove(STATEFUL_SETS, "metered", "d")
        await world.settle()
    assert metrics.REGISTRY.sample_value(f"{prefix}unavailable_replicas", shown) is None
