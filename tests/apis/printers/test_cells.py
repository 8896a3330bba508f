"""What single cells say in the less common cases, one named case each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import table_for

NOW = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)

_NET = "networking.k8s.io"
_STORAGE = "storage.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"


def _hosts(*hosts: str) -> dict[str, Any]:
    return {"spec": {"rules": [{"host": host} if host else {} for host in hosts]}}


def _metric(kind: str, target: dict[str, Any], current: dict[str, Any] | None = None) -> dict[str, Any]:
    source = kind[0].lower() + kind[1:]
    obj: dict[str, Any] = {
        "spec": {"metrics": [{"type": kind, source: {"name": "cpu", "target": target}}]},
        "status": {},
    }
    if current is not None:
        obj["status"]["currentMetrics"] = [{"type": kind, source: {"current": current}}]
    return obj


def _ref(**reference: Any) -> dict[str, Any]:
    return {"spec": {"paramRef": reference}}


CELLS: dict[str, tuple[str, str, str, dict[str, Any], Any]] = {
    "a deployment's empty selector": ("apps", "Deployment", "Selector", {"spec": {"selector": {}}}, ""),
    "a deployment's bad selector": (
        "apps",
        "Deployment",
        "Selector",
        {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}},
        "<invalid>",
    ),
    "a replica set's empty selector": (
        "apps",
        "ReplicaSet",
        "Selector",
        {"spec": {"selector": {}}},
        "<none>",
    ),
    "endpoints without ports": (
        "",
        "Endpoints",
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}]}]},
        "1.1.1.1,::1",
    ),
    "endpoints of which none is ready": (
        "",
        "Endpoints",
        "Endpoints",
        {"subsets": [{"notReadyAddresses": [{"ip": "1.1.1.1"}], "ports": [{"port": 80}]}]},
        "",
    ),
    "a slice's port by name": (
        "discovery.k8s.io",
        "EndpointSlice",
        "Ports",
        {"ports": [{"name": "http"}, {"port": 80, "name": "x"}, {}]},
        "http,80,*",
    ),
    "a slice's port without number or name": (
        "discovery.k8s.io",
        "EndpointSlice",
        "Ports",
        {"ports": [{"name": ""}]},
        "<unset>",
    ),
    "more slice ports than fit": (
        "discovery.k8s.io",
        "EndpointSlice",
        "Ports",
        {"ports": [{"port": number} for number in range(1, 6)]},
        "1,2,3 + 2 more...",
    ),
    "an ingress's old class annotation": (
        _NET,
        "Ingress",
        "Class",
        {"metadata": {"name": "x", "annotations": {"kubernetes.io/ingress.class": "old"}}},
        "<none>",
    ),
    "three hosts": (_NET, "Ingress", "Hosts", _hosts("a", "b", "c"), "a,b,c"),
    "a fourth rule without a host": (
        _NET,
        "Ingress",
        "Hosts",
        _hosts("a", "b", "c", ""),
        "a,b,c + 1 more...",
    ),
    "rules without hosts come first": (_NET, "Ingress", "Hosts", _hosts("", "a"), "a"),
    "an ingress class's core parameters": (
        _NET,
        "IngressClass",
        "Parameters",
        {"spec": {"parameters": {"kind": "ConfigMap", "name": "c"}}},
        "ConfigMap/c",
    ),
    "an address of a service": (
        _NET,
        "IPAddress",
        "ParentRef",
        {"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}},
        "services/default/kubernetes",
    ),
    "an address of something else": (
        _NET,
        "IPAddress",
        "ParentRef",
        {"spec": {"parentRef": {"group": "A.b", "resource": "Things", "name": "t"}}},
        "things.a.b/t",
    ),
    "an address of nothing": (_NET, "IPAddress", "ParentRef", {}, "<none>"),
    "service ranges": (
        _NET,
        "ServiceCIDR",
        "CIDRs",
        {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/112"]}},
        "10.0.0.0/24,fd00::/112",
    ),
    "a claim's old class annotation": (
        "",
        "PersistentVolumeClaim",
        "StorageClass",
        {
            "metadata": {"name": "x", "annotations": {"volume.beta.kubernetes.io/storage-class": ""}},
            "spec": {"storageClassName": "new"},
        },
        "",
    ),
    "a claim on its way out": (
        "",
        "PersistentVolumeClaim",
        "Status",
        {"metadata": {"name": "x", "deletionTimestamp": "t"}, "status": {"phase": "Bound"}},
        "Terminating",
    ),
    "a claim's attributes": (
        "",
        "PersistentVolumeClaim",
        "VolumeAttributesClass",
        {"spec": {"volumeAttributesClassName": "fast"}},
        "fast",
    ),
    "a driver that asks for the server's own audience": (
        _STORAGE,
        "CSIDriver",
        "TokenRequests",
        {"spec": {"tokenRequests": [{"audience": ""}]}},
        "",
    ),
    "a driver that asks for no token": (_STORAGE, "CSIDriver", "TokenRequests", {}, "<unset>"),
    "a driver's kinds of volumes": (
        _STORAGE,
        "CSIDriver",
        "Modes",
        {"spec": {"volumeLifecycleModes": ["Persistent", "Ephemeral"]}},
        "Persistent,Ephemeral",
    ),
    "a driver that attaches unless it says otherwise": (_STORAGE, "CSIDriver", "AttachRequired", {}, True),
    "unknown capacity": (_STORAGE, "CSIStorageCapacity", "Capacity", {"storageClassName": "s"}, "<unset>"),
    "known capacity": (_STORAGE, "CSIStorageCapacity", "Capacity", {"capacity": "1Gi"}, "1Gi"),
    "drivers of a node": (_STORAGE, "CSINode", "Drivers", {"spec": {"drivers": [{}, {}]}}, 2),
    "an attached volume": (_STORAGE, "VolumeAttachment", "Attached", {"status": {"attached": True}}, True),
    "the kernel of a node": (
        "",
        "Node",
        "Kernel-Version",
        {"status": {"nodeInfo": {"kernelVersion": "6.1.0", "architecture": "amd64"}}},
        "6.1.0 (amd64)",
    ),
    "a kernel of nobody knows what": (
        "",
        "Node",
        "Kernel-Version",
        {"status": {"nodeInfo": {"kernelVersion": "6.1.0"}}},
        "6.1.0",
    ),
    "the class of ingresses that name none": (
        "networking.k8s.io",
        "IngressClass",
        "Name",
        {"metadata": {"name": "c", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}},
        "c (default)",
    ),
    "parameters in a namespace": (
        _ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "ParamRef",
        _ref(name="p", namespace="n"),
        "n/p",
    ),
    "parameters anywhere": (
        _ADMISSION,
        "MutatingAdmissionPolicyBinding",
        "ParamRef",
        _ref(name="p"),
        "*/p",
    ),
    "parameters by labels": (
        _ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "ParamRef",
        _ref(
            selector={
                "matchLabels": {"b": "2", "a": "1"},
                "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
            }
        ),
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement"
        "{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
    ),
    "no parameters": (_ADMISSION, "ValidatingAdmissionPolicyBinding", "ParamRef", {}, "<unset>"),
    "a level's own shares": (
        _FLOW,
        "PriorityLevelConfiguration",
        "NominalConcurrencyShares",
        {"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0}}},
        0,
    ),
    "a level without queues": (
        _FLOW,
        "PriorityLevelConfiguration",
        "Queues",
        {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
        "<none>",
    ),
    "a level with queues": (
        _FLOW,
        "PriorityLevelConfiguration",
        "HandSize",
        {"spec": {"limited": {"limitResponse": {"queuing": {"handSize": 6}}}}},
        6,
    ),
    "a schema nobody has judged": (_FLOW, "FlowSchema", "MissingPL", {}, "?"),
    "a bundle of no signer": ("certificates.k8s.io", "ClusterTrustBundle", "SignerName", {}, "<none>"),
    "a failed request": (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "Condition",
        {"status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}]}},
        "Approved,Failed",
    ),
    "a denied request": (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "Condition",
        {"status": {"conditions": [{"type": "Approved"}, {"type": "Denied"}]}},
        "Denied",
    ),
    "a pod's certificate": (
        "certificates.k8s.io",
        "PodCertificateRequest",
        "State",
        {"status": {"conditions": [{"type": "Issued", "status": "True"}]}},
        "Issued",
    ),
    "what a pod's author tells the signer": (
        "certificates.k8s.io",
        "PodCertificateRequest",
        "UnverifiedUserAnnotations",
        {"spec": {"unverifiedUserAnnotations": {"b/c": "2", "a/b": "1"}}},
        "a/b=1,b/c=2",
    ),
    "a pod's author who tells the signer nothing": (
        "certificates.k8s.io",
        "PodCertificateRequest",
        "UnverifiedUserAnnotations",
        {},
        "<none>",
    ),
    "a pod's certificate still to come": (
        "certificates.k8s.io",
        "PodCertificateRequest",
        "State",
        {},
        "Pending",
    ),
    "devices of one node": ("resource.k8s.io", "ResourceSlice", "Node", {"spec": {"nodeName": "n"}}, "n"),
    "devices of all nodes": ("resource.k8s.io", "ResourceSlice", "Node", {"spec": {"allNodes": True}}, ""),
    "a claim that waits": ("resource.k8s.io", "ResourceClaim", "State", {}, "pending"),
    "a claim that is deleted": (
        "resource.k8s.io",
        "ResourceClaim",
        "State",
        {"metadata": {"name": "x", "deletionTimestamp": "t"}},
        "deleted",
    ),
    "a claim that is deleted in use": (
        "resource.k8s.io",
        "ResourceClaim",
        "State",
        {"metadata": {"name": "x", "deletionTimestamp": "t"}, "status": {"allocation": {"devices": {}}}},
        "deleted,allocated",
    ),
    "what servers store in": (
        "internal.apiserver.k8s.io",
        "StorageVersion",
        "StorageVersions",
        {"status": {"storageVersions": [{"apiServerID": "a", "encodingVersion": "v1"}]}},
        "a=v1",
    ),
    "no common version": (
        "internal.apiserver.k8s.io",
        "StorageVersion",
        "CommonEncodingVersion",
        {},
        "<unset>",
    ),
    "a migration": (
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "Resource",
        {"spec": {"resource": {"group": "apps", "resource": "deployments"}}},
        "deployments.apps",
    ),
    "a migration in the core group": (
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "Resource",
        {"spec": {"resource": {"resource": "secrets"}}},
        "secrets.",
    ),
    "a migration that nobody began": (
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "Status",
        {},
        "Unknown",
    ),
    "a migration that is done": (
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "Status",
        {
            "status": {
                "conditions": [
                    {"type": "Running", "status": "True"},
                    {"type": "Succeeded", "status": "True"},
                    {"type": "Failed", "status": "False"},
                ]
            }
        },
        "Succeeded",
    ),
    "a component that works": (
        "",
        "ComponentStatus",
        "Status",
        {"conditions": [{"type": "Healthy", "status": "True"}]},
        "Healthy",
    ),
    "a component that does not": (
        "",
        "ComponentStatus",
        "Error",
        {"conditions": [{"type": "Healthy", "status": "False", "error": "down"}]},
        "down",
    ),
    "a component nobody asked": ("", "ComponentStatus", "Status", {}, "Unknown"),
    "no metrics": ("autoscaling", "HorizontalPodAutoscaler", "Targets", {}, "<none>"),
    "a new kind of metric": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("Phase", {}),
        "<unknown type>",
    ),
    "an external value": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("External", {"value": "10"}, {"value": "3"}),
        "3/10",
    ),
    "an external average": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("External", {"averageValue": "10"}, {"averageValue": "3"}),
        "3/10 (avg)",
    ),
    "an external average still unknown": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("External", {"averageValue": "10"}, {"value": "3"}),
        "<unknown>/10 (avg)",
    ),
    "an object's value that its status leaves out": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("Object", {"value": "10"}, {}),
        "<nil>/10",
    ),
    "a resource's average": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("Resource", {"averageValue": "100m"}, {"averageValue": "50m"}),
        "cpu: 50m/100m",
    ),
    "a container's use": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("ContainerResource", {"averageUtilization": 80}),
        "cpu: <unknown>/80%",
    ),
    "a use without a target": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        _metric("Resource", {}, {"averageUtilization": 7}),
        "cpu: 7%/<auto>",
    ),
    "more metrics than fit": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        {
            "spec": {
                "metrics": [{"type": "Pods", "pods": {"target": {"averageValue": str(n)}}} for n in "123"]
            }
        },
        "<unknown>/1, <unknown>/2 + 1 more...",
    ),
    "the older version's target": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Targets",
        {
            "apiVersion": "autoscaling/v1",
            "metadata": {
                "name": "x",
                "annotations": {
                    "autoscaling.alpha.kubernetes.io/metrics": (
                        '[{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"5"}}]'
                    )
                },
            },
            "spec": {"targetCPUUtilizationPercentage": 50},
            "status": {"currentCPUUtilizationPercentage": 10},
        },
        "cpu: 10%/50%, <unknown>/5",
    ),
}


@pytest.mark.parametrize(("group", "kind", "name", "fields", "cell"), CELLS.values(), ids=CELLS)
def test_cells(group: str, kind: str, name: str, fields: dict[str, Any], cell: Any) -> None:
    printer = table_for(GVK(group, "v1", kind))
    row = printer.row({"metadata": {"name": "x"}, **fields}, NOW)
    assert dict(zip([column["name"] for column in printer.columns], row, strict=False))[name] == cell
