"""Which fields are behind which feature gates, and when an object had them in use already. Data, mostly.

Paths are of the storage version: ``[]`` stands for each item of a list, ``{}`` for each value of a map. Read
by ``apis.field_gates``. A gate that is locked has no row: its fields are there for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each

Places = Mapping[tuple[str, str], str]
"""(group, kind) -> where in its objects the paths of a row begin; empty: at the top."""

_POD: Final = ("", "Pod")
_PODS: Final[Places] = {_POD: "status"}
_POD_SPECS: Final[Places] = {
    _POD: "spec",
    ("", "PodTemplate"): "template.spec",
    ("", "ReplicationController"): "spec.template.spec",
    ("apps", "Deployment"): "spec.template.spec",
    ("apps", "ReplicaSet"): "spec.template.spec",
    ("apps", "StatefulSet"): "spec.template.spec",
    ("apps", "DaemonSet"): "spec.template.spec",
    ("batch", "Job"): "spec.template.spec",
    ("batch", "CronJob"): "spec.jobTemplate.spec.template.spec",
}
_CLAIM: Final = ("resource.k8s.io", "ResourceClaim")
_CLAIM_SPECS: Final[Places] = {
    _CLAIM: "spec.devices",
    ("resource.k8s.io", "ResourceClaimTemplate"): "spec.spec.devices",
}
_SLICE: Final[Places] = {("resource.k8s.io", "ResourceSlice"): "spec"}
_GROUPS: Final[Places] = {
    ("scheduling.k8s.io", "PodGroup"): "spec",
    ("scheduling.k8s.io", "Workload"): "spec.podGroupTemplates[]",
}
_CSI_DRIVER: Final[Places] = {("storage.k8s.io", "CSIDriver"): "spec"}

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Row:
    """Fields that an object has only while all of these gates are on, or while the object before had one."""

    gates: str
    """Names, parted by spaces."""
    places: Places
    fields: tuple[str, ...]
    in_use: tuple[str, ...] | Callable[[Object], bool] = ()
    """Which fields, or what, of the object before mean that they stay. Empty: any of ``fields``."""
    always: bool = False
    """They go whatever the object had before."""
    remove: Callable[[Object], None] | None = None
    """How they go, given what is at the place, where that is not by leaving them out."""


def _in_containers(path: str, kinds: tuple[str, ...] = _CONTAINERS) -> tuple[str, ...]:
    return tuple(f"{kind}[].{path}" for kind in kinds)


def _in_statuses(path: str) -> tuple[str, ...]:
    return _in_containers(path, tuple(f"{kind[:-1]}Statuses" for kind in _CONTAINERS))


def _all_containers(spec: Object) -> list[Object]:
    return [container for kind in _CONTAINERS for container in each(spec, kind)]


def _remove_signals(spec: Object) -> None:
    """A lifecycle that says nothing else goes along."""
    for container in _all_containers(spec):
        lifecycle = container.get("lifecycle")
        if isinstance(lifecycle, dict) and lifecycle.pop("stopSignal", None) is not None and not lifecycle:
            container.pop("lifecycle")


def _remove_restart_rules(spec: Object) -> None:
    """Sidecars stay what they are."""
    for kind in _CONTAINERS:
        for container in each(spec, kind):
            container.pop("restartPolicyRules", None)
            if kind != "initContainers" or container.get("restartPolicy") != "Always":
                container.pop("restartPolicy", None)


def _has_restart_rules(spec: Object) -> bool:
    used = [
        (kind, container.get("restartPolicy"), container.get("restartPolicyRules"))
        for kind in _CONTAINERS
        for container in each(spec, kind)
    ]
    sidecar = ("initContainers", "Always")
    return any(rules or (policy and (kind, policy) != sidecar) for kind, policy, rules in used)


def _remove_foreign_source(spec: Object) -> None:
    spec.pop("dataSourceRef", None)


_REQUESTS: Final = ("requests[]", "requests[].exactly", "requests[].firstAvailable[]")
"""Requests of devices; v1beta1 has no ``exactly``."""
_DEVICES: Final = ("devices[]", "devices[].basic")
"""Devices; v1beta1 has what is of them in ``basic``."""


def _of(owners: tuple[str, ...], *fields: str) -> tuple[str, ...]:
    return tuple(f"{owner}.{field}" for owner in owners for field in fields)


_RESULTS: Final = ("allocation.devices.results[]",)
_CAPACITIES: Final = ("constraints[].distinctAttribute", *_of(_REQUESTS, "capacity"))
_SHARES: Final = (*_of(_RESULTS, "shareID", "consumedCapacity"), "devices[].shareID")

ROWS: Final[tuple[Row, ...]] = (
    Row("GenericWorkload", _POD_SPECS, ("schedulingGroup",)),
    Row("ContainerStopSignals", _POD_SPECS, _in_containers("lifecycle.stopSignal"), remove=_remove_signals),
    Row("PodCertificateRequest", _POD_SPECS, ("volumes[].projected.sources[].podCertificate",)),
    Row("ClusterTrustBundleProjection", _POD_SPECS, ("volumes[].projected.sources[].clusterTrustBundle",)),
    Row("PodLevelResources", _POD_SPECS, ("resources",), ("resources.requests", "resources.limits")),
    Row("HostnameOverride", _POD_SPECS, ("hostnameOverride",)),
    Row("EnvFiles", _POD_SPECS, _in_containers("env[].valueFrom.fileKeyRef")),
    Row("MatchLabelKeysInPodTopologySpread", _POD_SPECS, ("topologySpreadConstraints[].matchLabelKeys",)),
    Row("ContainerRestartRules", _POD_SPECS,
        (*_in_containers("restartPolicy"), *_in_containers("restartPolicyRules")),
        _has_restart_rules, remove=_remove_restart_rules),
    Row("InPlacePodLevelResourcesVerticalScaling", _PODS, ("resources", "allocatedResources")),
    Row("DRAExtendedResource", _PODS, ("extendedResourceClaimStatus",)),
    Row("DRANodeAllocatableResources", _PODS, ("nodeAllocatableResourceClaimStatuses",)),
    Row("ResourceHealthStatus", _PODS, _in_statuses("allocatedResourcesStatus"), always=True),
    Row("ResourceHealthStatusMessage", _PODS, _in_statuses("allocatedResourcesStatus[].resources[].message")),
    Row("ImageVolumeWithDigest", _PODS, _in_statuses("volumeMounts[].volumeStatus")),
    Row("NodeDeclaredFeatures", {("", "Node"): "status"}, ("declaredFeatures",)),
    Row("CrossNamespaceVolumeDataSource", {("", "PersistentVolumeClaim"): "spec"},
        ("dataSourceRef.namespace",), ("dataSourceRef",), remove=_remove_foreign_source),
    Row("MaxUnavailableStatefulSet", {("apps", "StatefulSet"): "spec.updateStrategy.rollingUpdate"},
        ("maxUnavailable",)),
    Row("DeploymentReplicaSetTerminatingReplicas",
        {("apps", "Deployment"): "status", ("apps", "ReplicaSet"): "status"}, ("terminatingReplicas",)),
    Row("HPAConfigurableTolerance", {("autoscaling", "HorizontalPodAutoscaler"): "spec.behavior"},
        ("scaleUp.tolerance", "scaleDown.tolerance")),
    Row("CoordinatedLeaderElection", {("coordination.k8s.io", "Lease"): "spec"}, ("strategy",)),
    Row("CoordinatedLeaderElection", {("coordination.k8s.io", "Lease"): "spec"}, ("preferredHolder",)),
    Row("VolumeLimitScaling", _CSI_DRIVER, ("preventPodSchedulingIfMissing",)),
    Row("DRADeviceTaints", _SLICE, _of(_DEVICES, "taints")),
    Row("DRADeviceTaints", _CLAIM_SPECS, _of(_REQUESTS, "tolerations")),
    Row("DRAPartitionableDevices", _SLICE,
        ("sharedCounters", "perDeviceNodeSelection",
         *_of(_DEVICES, "consumesCounters", "nodeName", "nodeSelector", "allNodes"))),
    Row("DRADeviceBindingConditions DRAResourceClaimDeviceStatus", _SLICE,
        _of(_DEVICES, "bindsToNode", "bindingConditions", "bindingFailureConditions")),
    Row("DRADeviceBindingConditions", {_CLAIM: "status"},
        _of(_RESULTS, "bindingConditions", "bindingFailureConditions")),
    Row("DRAConsumableCapacity", _SLICE,
        _of(_DEVICES, "allowMultipleAllocations", "capacity{}.requestPolicy")),
    Row("DRAConsumableCapacity", _CLAIM_SPECS, _CAPACITIES),
    Row("DRAConsumableCapacity", {_CLAIM: ""}, tuple(f"status.{path}" for path in _SHARES),
        (*(f"status.{path}" for path in _SHARES), *(f"spec.devices.{path}" for path in _CAPACITIES))),
    Row("DRAListTypeAttributes", _SLICE,
        _of(_DEVICES, *(f"attributes{{}}.{kind}" for kind in ("bools", "ints", "strings", "versions")))),
    Row("DRANodeAllocatableResources", _SLICE, _of(_DEVICES, "nodeAllocatableResourceMappings")),
    Row("DRAPrioritizedList", _CLAIM_SPECS, ("requests[].firstAvailable",)),
    Row("DRAResourceClaimDeviceStatus", {_CLAIM: "status"}, ("devices",)),
    Row("DRAExtendedResource", {("resource.k8s.io", "DeviceClass"): "spec"}, ("extendedResourceName",)),
    Row("TopologyAwareWorkloadScheduling", _GROUPS, ("schedulingConstraints",)),
    Row("DRAWorkloadResourceClaims", _GROUPS, ("resourceClaims",)),
    Row("DRAWorkloadResourceClaims", {("scheduling.k8s.io", "PodGroup"): ""},
        ("status.resourceClaimStatuses",), ("spec.resourceClaims",)),
    *(Row("WorkloadAwarePreemption", _GROUPS, (key,))
      for key in ("disruptionMode", "priorityClassName", "priority")),
)  # fmt: skip
