"""Rows of every kind that has a printer, one named case each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import Printer, table_for
from tiphys.apis.printers.registry import PRINTERS

NOW = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
T0 = "2026-01-01T00:00:00Z"
TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}}
SELECTOR = {"matchLabels": {"b": "2", "a": "1"}}

CASES: dict[str, tuple[str, str, dict[str, Any], list[Any]]] = {
    "generic": ("x.y", "Foo", {}, ["60m"]),
    "deployment": (
        "apps",
        "Deployment",
        {
            "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
        },
        ["1/3", 2, 1, "60m", "a,b", "i,j", "a=1,b=2"],
    ),
    "deployment without status": (
        "apps",
        "Deployment",
        {"spec": {"replicas": 0, "template": TEMPLATE}},
        ["0/0", 0, 0, "60m", "a,b", "i,j", ""],
    ),
    "replica set": (
        "apps",
        "ReplicaSet",
        {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 2}},
        [3, 2, 0, "60m", "a,b", "i,j", "a=1,b=2"],
    ),
    "replication controller": (
        "",
        "ReplicationController",
        {"spec": {"replicas": 1, "selector": {"x": "y"}, "template": TEMPLATE}},
        [1, 0, 0, "60m", "a,b", "i,j", "x=y"],
    ),
    "stateful set": (
        "apps",
        "StatefulSet",
        {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 2}},
        ["2/2", "60m", "a,b", "i,j"],
    ),
    "daemon set": (
        "apps",
        "DaemonSet",
        {
            "spec": {"selector": SELECTOR, "template": {"spec": {"nodeSelector": {"z": "1"}}}},
            "status": {
                "desiredNumberScheduled": 5,
                "currentNumberScheduled": 4,
                "numberReady": 3,
                "updatedNumberScheduled": 2,
                "numberAvailable": 1,
            },
        },
        [5, 4, 3, 2, 1, "z=1", "60m", "", "", "a=1,b=2"],
    ),
    "revision": (
        "apps",
        "ControllerRevision",
        {
            "revision": 4,
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}
                ]
            },
        },
        ["daemonset.apps/d", 4, "60m"],
    ),
    "job": (
        "batch",
        "Job",
        {
            "spec": {"completions": 3, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"succeeded": 1, "startTime": "2026-01-01T00:59:00Z"},
        },
        ["Running", "1/3", "60s", "60m", "a,b", "i,j", "a=1,b=2"],
    ),
    "job complete": (
        "batch",
        "Job",
        {
            "spec": {"parallelism": 2},
            "status": {
                "succeeded": 2,
                "startTime": T0,
                "completionTime": "2026-01-01T00:00:05Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        },
        ["Complete", "2/1 of 2", "5s", "60m", "", "", "<none>"],
    ),
    "job suspended": (
        "batch",
        "Job",
        {"spec": {"parallelism": 1}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}},
        ["Suspended", "0/1", "", "60m", "", "", "<none>"],
    ),
    "cron job": (
        "batch",
        "CronJob",
        {
            "spec": {
                "schedule": "* * * * *",
                "suspend": False,
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            },
            "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:59:30Z"},
        },
        ["* * * * *", "<none>", "False", 1, "30s", "60m", "a,b", "i,j", "<none>"],
    ),
    "budget": (
        "policy",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
        ["50%", "N/A", 1, "60m"],
    ),
    "hpa": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
            },
            "status": {
                "currentReplicas": 2,
                "currentMetrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 3}}}
                ],
            },
        },
        ["Deployment/d", "cpu: 3%/80%", "1", 5, 2, "60m"],
    ),
    "hpa unknown": (
        "autoscaling",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "maxReplicas": 5,
                "metrics": [{"type": "Pods", "pods": {"target": {"averageValue": "10"}}}],
            }
        },
        ["Deployment/d", "<unknown>/10", "<unset>", 5, 0, "60m"],
    ),
    "service": (
        "",
        "Service",
        {
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "10.0.0.1",
                "ports": [{"port": 80, "protocol": "TCP"}],
                "selector": {"a": "b"},
            }
        },
        ["ClusterIP", "10.0.0.1", "<none>", "80/TCP", "60m", "a=b"],
    ),
    "service node port": (
        "",
        "Service",
        {
            "spec": {
                "type": "NodePort",
                "clusterIPs": ["10.0.0.1", "fd00::1"],
                "externalIPs": ["1.2.3.4"],
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "protocol": "UDP"},
                ],
            }
        },
        ["NodePort", "10.0.0.1", "1.2.3.4", "80:30080/TCP,53/UDP", "60m", "<none>"],
    ),
    "service load balancer pending": (
        "",
        "Service",
        {"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}},
        ["LoadBalancer", "10.0.0.1", "<pending>", "<none>", "60m", "<none>"],
    ),
    "service load balancer": (
        "",
        "Service",
        {
            "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["9.9.9.9"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}]}},
        },
        ["LoadBalancer", "10.0.0.1", "5.6.7.8,9.9.9.9", "<none>", "60m", "<none>"],
    ),
    "service external name": (
        "",
        "Service",
        {"spec": {"type": "ExternalName", "externalName": "a.b"}},
        ["ExternalName", "<none>", "a.b", "<none>", "60m", "<none>"],
    ),
    "endpoints": (
        "",
        "Endpoints",
        {
            "subsets": [
                {"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 80}, {"port": 443}]},
            ]
        },
        ["1.1.1.1:80,[::1]:80,1.1.1.1:443 + 1 more...", "60m"],
    ),
    "endpoints none": ("", "Endpoints", {}, ["<none>", "60m"]),
    "endpoint slice": (
        "discovery.k8s.io",
        "EndpointSlice",
        {
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [{"addresses": [f"10.0.0.{i}"]} for i in range(5)],
        },
        ["IPv4", "80", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...", "60m"],
    ),
    "endpoint slice empty": (
        "discovery.k8s.io",
        "EndpointSlice",
        {"addressType": "IPv4", "ports": None, "endpoints": None},
        ["IPv4", "<unset>", "<unset>", "60m"],
    ),
    "ingress": (
        "networking.k8s.io",
        "Ingress",
        {
            "spec": {"ingressClassName": "nginx", "tls": [{}], "rules": [{"host": "a"}, {"host": "b"}]},
            "status": {"loadBalancer": {"ingress": [{"hostname": "lb"}]}},
        },
        ["nginx", "a,b", "lb", "80, 443", "60m"],
    ),
    "ingress default": ("networking.k8s.io", "Ingress", {"spec": {}}, ["<none>", "*", "", "80", "60m"]),
    "ingress class": (
        "networking.k8s.io",
        "IngressClass",
        {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
        ["c", "K.g/n", "60m"],
    ),
    "network policy": (
        "networking.k8s.io",
        "NetworkPolicy",
        {"spec": {"podSelector": {}}},
        ["<none>", "60m"],
    ),
    "node": (
        "",
        "Node",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "x"}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
                "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"},
            },
        },
        [
            "Ready,SchedulingDisabled",
            "control-plane,x",
            "60m",
            "v1.36.0",
            "1.2.3.4",
            "<none>",
            "Debian",
            "<unknown>",
            "<unknown>",
        ],
    ),
    "node unknown": (
        "",
        "Node",
        {},
        ["Unknown", "<none>", "60m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"],
    ),
    "namespace": ("", "Namespace", {"status": {"phase": "Active"}}, ["Active", "60m"]),
    "config map": ("", "ConfigMap", {"data": {"a": "b"}, "binaryData": {"c": "d"}}, [2, "60m"]),
    "secret": ("", "Secret", {"type": "Opaque", "data": {"a": "b"}}, ["Opaque", 1, "60m"]),
    "service account": ("", "ServiceAccount", {"secrets": [{"name": "s"}]}, ["60m"]),
    "limit range": ("", "LimitRange", {}, [T0]),
    "quota": (
        "",
        "ResourceQuota",
        {"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}}},
        ["pods: 1/4", "limits.cpu: 0/2", "60m"],
    ),
    "volume": (
        "",
        "PersistentVolume",
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": "n", "name": "c"},
                "volumeMode": "Block",
            },
            "status": {"phase": "Bound"},
        },
        ["1Gi", "RWO,ROX", "Retain", "Bound", "n/c", "", "<unset>", "", "60m", "Block"],
    ),
    "claim": (
        "",
        "PersistentVolumeClaim",
        {
            "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]},
        },
        ["Bound", "v", "1Gi", "RWOP", "s", "<unset>", "60m", "Filesystem"],
    ),
    "claim pending": (
        "",
        "PersistentVolumeClaim",
        {"spec": {}, "status": {"phase": "Pending"}},
        ["Pending", "", "", "", "", "<unset>", "60m", "<unset>"],
    ),
    "priority class": (
        "scheduling.k8s.io",
        "PriorityClass",
        {"value": 7, "preemptionPolicy": "Never"},
        [7, False, "60m", "Never"],
    ),
    "role": ("rbac.authorization.k8s.io", "Role", {}, [T0]),
    "role binding": (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        {
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "User", "name": "v"},
                {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
            ],
        },
        ["ClusterRole/view", "60m", "u, v", "", "n/s"],
    ),
    "csr": (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        {
            "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
            "status": {"certificate": "x", "conditions": [{"type": "Approved"}]},
        },
        ["60m", "s", "u", "60m", "Approved,Issued"],
    ),
    "csr pending": (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        {"spec": {"signerName": "s", "username": "u"}},
        ["60m", "s", "u", "<none>", "Pending"],
    ),
    "lease": ("coordination.k8s.io", "Lease", {"spec": {"holderIdentity": "h"}}, ["h", "60m"]),
    "runtime class": ("node.k8s.io", "RuntimeClass", {"handler": "runc"}, ["runc", "60m"]),
    "crd": ("apiextensions.k8s.io", "CustomResourceDefinition", {}, [T0]),
    "api service": (
        "apiregistration.k8s.io",
        "APIService",
        {"status": {"conditions": [{"type": "Available", "status": "True"}]}},
        ["Local", "True", "60m"],
    ),
    "api service down": (
        "apiregistration.k8s.io",
        "APIService",
        {
            "spec": {"service": {"namespace": "n", "name": "s"}},
            "status": {
                "conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]
            },
        },
        ["n/s", "False (MissingEndpoints)", "60m"],
    ),
    "webhooks": (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        {"webhooks": [{}]},
        [1, "60m"],
    ),
    "admission policy": (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        {"spec": {"validations": [{}, {}]}},
        [2, "<unset>", "60m"],
    ),
    "flow schema": (
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        {
            "spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 5},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]},
        },
        ["p", 5, "<none>", "60m", "False"],
    ),
    "priority level": (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        {"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}},
        ["Exempt", "<none>", "<none>", "<none>", "<none>", "60m"],
    ),
    "device claim": (
        "resource.k8s.io",
        "ResourceClaim",
        {"status": {"allocation": {"devices": {}}, "reservedFor": [{}]}},
        ["allocated,reserved", "60m"],
    ),
    "device taint": (
        "resource.k8s.io",
        "DeviceTaintRule",
        {"spec": {"taint": {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": T0}}},
        ["k", "v", "NoExecute", "60m", "60m"],
    ),
    "device taint of no time": (
        "resource.k8s.io",
        "DeviceTaintRule",
        {"spec": {"taint": {"key": "k", "effect": "None"}}},
        ["k", "", "None", "", "60m"],
    ),
}


@pytest.mark.parametrize(("group", "kind", "fields", "cells"), CASES.values(), ids=CASES)
def test_rows(group: str, kind: str, fields: dict[str, Any], cells: list[Any]) -> None:
    meta = {"name": "x", "creationTimestamp": T0, **fields.get("metadata", {})}
    row = table_for(GVK(group, "v1", kind)).row({**fields, "metadata": meta}, NOW)
    assert row == ["x", *cells]


def test_default_storage_class() -> None:
    meta = {"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    row = table_for(GVK("storage.k8s.io", "v1", "StorageClass")).row(
        {"metadata": meta, "provisioner": "p"}, NOW
    )
    assert row == ["x (default)", "p", "Delete", "Immediate", False, "<unknown>"]


_ONE_MORE_CELL = {("networking.k8s.io", "IPAddress")}


@pytest.mark.parametrize(("key", "printer"), PRINTERS.items(), ids=["/".join(key) for key in PRINTERS])
def test_every_row_fits_its_columns(key: tuple[str, str], printer: Printer) -> None:
    for obj in ({"metadata": {"name": "x"}}, {"metadata": {"name": "x"}, "spec": {}, "status": {}}):
        assert len(printer.row(obj, NOW)) == len(printer.columns) + (key in _ONE_MORE_CELL)
    for column in printer.columns:
        assert set(column) == {"name", "type", "format", "description", "priority"}
        assert column["description"]
