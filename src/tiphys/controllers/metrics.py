"""What the controllers count of their work, with upstream's names, labels and buckets.

Owns: the families, in their process' registry; several managers in one process add up. Controllers count
where they act. Families about nodes and StatefulSets lose what is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from weakref import WeakSet

from tiphys.apimachinery.families import Collector, Metric
from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.client.metrics import registry_of

REGISTRY: Final = registry_of("kube-controller-manager")


class _Held:
    """What controllers have of objects: families that are made when somebody scrapes."""

    def __init__(self) -> None:
        self._holders: WeakSet[Collector] = WeakSet()

    def add(self, holder: Collector) -> None:
        """Show what a controller has, as long as there is such a controller."""
        self._holders.add(holder)

    def collect(self) -> Iterator[Metric]:
        """Yield the families of each."""
        for holder in self._holders:
            yield from holder.collect()


HELD: Final = _Held()
REGISTRY.register(HELD)


def _powers(first: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(first * factor**power for power in range(count))


def _counter(name: str, text: str, *labels: str) -> Counts:
    return Counts(name, text, labels, REGISTRY)


def _bare(name: str, text: str, *labels: str) -> Counts:
    """Return a counter that upstream named before ``_total`` was the rule."""
    return Counts(name, text, labels, REGISTRY, bare=True)


def _gauge(name: str, text: str, *labels: str) -> Levels:
    return Levels(name, text, labels, REGISTRY)


def _histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Spreads:
    return Spreads(name, text, labels, buckets, REGISTRY)


_LOOKS: Final = ("completion_mode", "result", "action")
_ENDPOINTS: Final = _powers(2.0, 2, 15)
_STATEFUL: Final = ("statefulset_namespace", "statefulset_name", "pod_management_policy")

RUNNING = _gauge("running_managed_controllers", "[BETA] 1 for each controller that runs.", "name", "manager")

JOB_SYNC_SECONDS = _histogram(
    "job_controller_job_sync_duration_seconds", "[STABLE] The time it took to look after a job.",
    _powers(0.004, 2, 15), *_LOOKS,
)  # fmt: skip
JOB_SYNCS = _counter("job_controller_job_syncs", "[STABLE] How often jobs were looked after.", *_LOOKS)
JOBS_FINISHED = _counter(
    "job_controller_jobs_finished",
    "[STABLE] Jobs that came to an end.",
    "completion_mode",
    "result",
    "reason",
)
JOB_PODS_FINISHED = _counter(
    "job_controller_job_pods_finished", "[STABLE] Finished pods that are counted for good.",
    "completion_mode", "result",
)  # fmt: skip
JOB_PODS_CREATED = _counter(
    "job_controller_job_pods_creation",
    "[ALPHA] Pods made for jobs: new, recreate_terminating_or_failed or recreate_failed.", "reason", "status",
)  # fmt: skip
JOB_INDEXES_FINISHED = _counter(
    "job_controller_job_finished_indexes",
    "[ALPHA] Completion indexes that came to an end, by kind of limit: global or perIndex.",
    "status", "backoffLimit",
)  # fmt: skip
JOB_POLICY_FAILURES = _counter(
    "job_controller_pod_failures_handled_by_failure_policy",
    "[BETA] Failed pods that a rule of a pod failure policy matched, by its action.", "action",
)  # fmt: skip
JOB_TRACKED_PODS = _counter(
    "job_controller_terminated_pods_tracking_finalizer",
    "[BETA] Ended pods that came to bear the tracking finalizer (add), or bear it no more (delete).", "event",
)  # fmt: skip
JOBS_ELSEWHERE = _counter(
    "job_controller_jobs_by_external_controller", "[ALPHA] Jobs that another controller runs.",
    "controller_name",
)  # fmt: skip
CRONJOB_SKEW = _histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "[STABLE] From the time that a job was scheduled for until it was made.", _powers(1.0, 2, 10),
)  # fmt: skip
JOB_DELETION_SECONDS = _histogram(
    "ttl_after_finished_controller_job_deletion_duration_seconds",
    "[ALPHA] From when a job could go until it was deleted.", _powers(0.1, 2, 14),
)  # fmt: skip

SLICE_ADDED = _histogram(
    "endpoint_slice_controller_endpoints_added_per_sync", "[ALPHA] Endpoints added for a service at once.",
    _ENDPOINTS,
)  # fmt: skip
SLICE_REMOVED = _histogram(
    "endpoint_slice_controller_endpoints_removed_per_sync",
    "[ALPHA] Endpoints removed for a service at once.", _ENDPOINTS,
)  # fmt: skip
SLICES_CHANGED = _histogram(
    "endpoint_slice_controller_endpointslices_changed_per_sync", "[ALPHA] Slices changed at once.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0), "topology", "traffic_distribution",
)  # fmt: skip
SERVICES_BY_DISTRIBUTION = _gauge(
    "endpoint_slice_controller_services_count_by_traffic_distribution",
    "[ALPHA] Services that say which endpoints are to be preferred.", "traffic_distribution",
)  # fmt: skip
SLICE_SYNCS = _bare("endpoint_slice_controller_syncs", "[ALPHA] Looks at services.", "result")
SLICE_CHANGES = _bare("endpoint_slice_controller_changes", "[ALPHA] Changes of slices.", "operation")


def _fill(controller: str) -> tuple[Levels, Levels, Levels]:
    """Return what tells how full slices are: endpoints, slices as few as they could be, slices."""
    return (
        _gauge(f"{controller}_endpoints_desired", "[ALPHA] Endpoints that there should be."),
        _gauge(f"{controller}_desired_endpoint_slices", "[ALPHA] Slices, were all of them full."),
        _gauge(f"{controller}_num_endpoint_slices", "[ALPHA] Slices."),
    )


SLICE_FILL = _fill("endpoint_slice_controller")
MIRROR_FILL = _fill("endpoint_slice_mirroring_controller")
MIRROR_ADDED, MIRROR_UPDATED, MIRROR_REMOVED = (
    _histogram(
        f"endpoint_slice_mirroring_controller_endpoints_{what}_per_sync",
        f"[ALPHA] Endpoints {what} for an Endpoints object at once.", _ENDPOINTS,
    )
    for what in ("added", "updated", "removed")
)  # fmt: skip
MIRROR_SKIPPED = _histogram(
    "endpoint_slice_mirroring_controller_addresses_skipped_per_sync",
    "[ALPHA] Addresses of an Endpoints object that are too many.", _ENDPOINTS,
)  # fmt: skip
MIRROR_CHANGES = _bare(
    "endpoint_slice_mirroring_controller_changes", "[ALPHA] Changes of slices.", "operation"
)
MIRROR_SECONDS = _histogram(
    "endpoint_slice_mirroring_controller_endpoints_sync_duration",
    "[ALPHA] The time it took to mirror one Endpoints object.", _powers(0.001, 2, 15),
)  # fmt: skip

GC_SYNC_ERRORS = _counter(
    "garbagecollector_controller_resources_sync_error", "[ALPHA] Failures to learn which resources there are."
)
ROOT_CA_SYNCS = _counter("root_ca_cert_publisher_sync", "[ALPHA] Namespaces looked after.", "code")
ROOT_CA_SECONDS = _histogram(
    "root_ca_cert_publisher_sync_duration_seconds", "[ALPHA] The time that took.", _powers(0.001, 2, 15),
    "code",
)  # fmt: skip
TRUST_BUNDLE_SYNCS = _counter(
    "clustertrustbundle_publisher_sync",
    "[ALPHA] Rounds of publishing the API server's CA as a bundle.",
    "code",
)
TRUST_BUNDLE_SECONDS = _histogram(
    "clustertrustbundle_publisher_sync_duration_seconds", "[ALPHA] The time that took.",
    _powers(0.001, 2, 15), "code",
)  # fmt: skip

NODE_EVICTIONS = _counter(
    "node_collector_evictions", "[STABLE] Nodes whose pods were given up since this controller runs.", "zone"
)
ZONE_SIZE = _gauge("node_collector_zone_size", "[ALPHA] Nodes of a zone.", "zone")
ZONE_HEALTH = _gauge(
    "node_collector_zone_health", "[ALPHA] Percents of a zone's nodes that are well.", "zone"
)
ZONE_UNHEALTHY = _gauge(
    "node_collector_unhealthy_nodes_in_zone", "[ALPHA] Nodes of a zone that are not ready.", "zone"
)
NODE_HEALTH_SECONDS = _histogram(
    "node_collector_update_node_health_duration_seconds", "[ALPHA] The time it took to judge one node.",
    _powers(0.001, 4, 8),
)  # fmt: skip
TAINT_DELETIONS = _counter(
    "taint_eviction_controller_pod_deletions", "[ALPHA] Pods deleted for a taint that they do not tolerate."
)
TAINT_DELETION_SECONDS = _histogram(
    "taint_eviction_controller_pod_deletion_duration_seconds",
    "[ALPHA] From when a pod's time was up until it was deleted.",
    (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)  # fmt: skip
DEVICE_TAINT_DELETIONS = _counter(
    "device_taint_eviction_controller_pod_deletions", "[ALPHA] Pods deleted for a taint of their devices."
)
DEVICE_TAINT_DELETION_SECONDS = _histogram(
    "device_taint_eviction_controller_pod_deletion_duration_seconds",
    "[ALPHA] From when a pod's time with its devices was up until it was deleted.",
    (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)  # fmt: skip
RANGES_ALLOCATED = _counter(
    "node_ipam_controller_cidrset_cidrs_allocations", "[ALPHA] Ranges given to nodes.", "clusterCIDR"
)
RANGES_RELEASED = _counter(
    "node_ipam_controller_cidrset_cidrs_releases", "[ALPHA] Ranges that came back.", "clusterCIDR"
)

RANGES_TRIED = _histogram(
    "node_ipam_controller_cidrset_allocation_tries_per_request",
    "[ALPHA] Ranges in use that were passed over for a free one.", _powers(1.0, 5, 5), "clusterCIDR",
)  # fmt: skip
RANGES_USED = _gauge(
    "node_ipam_controller_cidrset_usage_cidrs",
    "[ALPHA] The part of all ranges that is in use.",
    "clusterCIDR",
)
RANGES_IN_ALL = _gauge(
    "node_ipam_controller_cirdset_max_cidrs", "[ALPHA] Ranges that there are in all.", "clusterCIDR"
)
CLAIMS_MADE = _counter(
    "resourceclaim_controller_creates", "[ALPHA] Claims asked for.", "status", "admin_access"
)
DELETION_AGES = _histogram(
    "replicaset_controller_sorting_deletion_age_ratio",
    "[ALPHA] Ages of ready pods that were chosen to go, by that of the youngest.", _powers(0.25, 2, 6),
)  # fmt: skip
STALE_SKIPS = {
    kind: _counter(
        f"{kind.lower()}_controller_stale_sync_skips",
        f"[ALPHA] Looks at a {kind} put off until the cache shows what was written.", "group", "resource",
    )
    for kind in ("DaemonSet", "Job", "ReplicaSet", "StatefulSet")
}  # fmt: skip

FORCED_DETACHES = _bare(
    "attach_detach_controller_attachdetach_controller_forced_detaches",
    "[ALPHA] Volumes taken from nodes that had them mounted.", "reason",
)  # fmt: skip
CLASSES_GIVEN = _counter(
    "retroactive_storageclass", "[ALPHA] Claims given the default class that came later."
)
CLASSES_NOT_GIVEN = _counter(
    "retroactive_storageclass_errors", "[ALPHA] Such claims that could not be written."
)

POD_GC_DELETIONS = _counter(
    "pod_gc_collector_force_delete_pods", "[ALPHA] Pods deleted by force.", "namespace", "reason"
)
POD_GC_ERRORS = _counter(
    "pod_gc_collector_force_delete_pod_errors", "[ALPHA] Pods that could not be deleted by force.",
    "namespace", "reason",
)  # fmt: skip
EPHEMERAL_CLAIMS = _counter("ephemeral_volume_controller_create", "[ALPHA] Claims asked for.")
EPHEMERAL_FAILURES = _counter(
    "ephemeral_volume_controller_create_failures", "[ALPHA] Claims that could not be made."
)
STATEFULSET_ALLOWED = _gauge(
    "statefulset_controller_statefulset_max_unavailable",
    "[BETA] Pods that may be missing while a StatefulSet is updated.", *_STATEFUL,
)  # fmt: skip
STATEFULSET_MISSING = _gauge(
    "statefulset_controller_statefulset_unavailable_replicas",
    "[BETA] Pods of a StatefulSet that are not available.", *_STATEFUL,
)  # fmt: skip
