"""Whole rows in the states that upstream's own tables go through, one named case each."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.printers.test_registry import NOW, T0

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import table_for

_NET = "networking.k8s.io"
_DEVICES = "resource.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_CERTIFICATES = "certificates.k8s.io"

Row = tuple[str, str, dict[str, Any], list[Any]]


def _service(kind: str, cells: list[Any], *ingress: Any, **spec: Any) -> Row:
    fields = {"spec": {"type": kind, **spec}, "status": {"loadBalancer": {"ingress": list(ingress)}}}
    return "", "Service", fields, [kind, *cells]


_PORTS = {
    "clusterIPs": ["1.5.6.7"],
    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 90, "protocol": "UDP"}],
}
_TWO = [{"ip": "2.3.4.5", "hostname": "a.b"}, {"ip": "3.4.5.6", "hostname": "c.d"}]

SERVICES: dict[str, Row] = {
    "a protocol as it is spelled": _service(
        "NodePort", ["10.9.8.7", "<none>", "8888:9999/tcp", "60m", "<none>"],
        clusterIPs=["10.9.8.7"], ports=[{"port": 8888, "nodePort": 9999, "protocol": "tcp"}],
    ),
    "addresses of a balancer": _service(
        "LoadBalancer", ["1.5.6.7", "2.3.4.5,3.4.5.6", "80/TCP,90/UDP", "60m", "foo=bar"],
        *_TWO, **_PORTS, selector={"foo": "bar"},
    ),
    "no balancer yet": _service(
        "LoadBalancer", ["1.5.6.7", "<pending>", "80/TCP,90/UDP", "60m", "<none>"], **_PORTS
    ),
    "no balancer yet, but an address": _service(
        "LoadBalancer", ["1.5.6.7", "80.11.12.10", "80/TCP,90/UDP", "60m", "<none>"],
        **_PORTS, externalIPs=["80.11.12.10"],
    ),
    "a balancer and addresses": _service(
        "LoadBalancer",
        ["1.5.6.7", "2.3.4.5,3.4.5.6,80.11.12.10,80.11.12.11", "80/TCP,90/UDP", "60m", "<none>"],
        *_TWO, **_PORTS, externalIPs=["80.11.12.10", "80.11.12.11"],
    ),
    "a long list of addresses": _service(
        "LoadBalancer", ["1.5.6.7", "2.3.4.5,3.4.5.6,5.6.7.8", "80/TCP,90/UDP", "60m", "<none>"],
        *_TWO, {"ip": "5.6.7.8"}, **_PORTS,
    ),
}  # fmt: skip


def _autoscaler(targets: str, metrics: list[Any], current: list[Any] | None = None) -> Row:
    fields = {
        "spec": {
            "scaleTargetRef": {"kind": "ReplicationController", "name": "rc"},
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": metrics,
        },
        "status": {"currentReplicas": 4, "desiredReplicas": 5, "currentMetrics": current or []},
    }
    return "autoscaling", "HorizontalPodAutoscaler", fields, [
        "ReplicationController/rc", targets, "2", 10, 4, "60m"
    ]  # fmt: skip


def _of(kind: str, key: str, **values: Any) -> dict[str, Any]:
    """Return a metric, or what it is at (``key``: target, current)."""
    source = kind[0].lower() + kind[1:]
    return {"type": kind, source: {"name": "cpu", "metric": {"name": "m"}, key: values}}


def _both(kind: str, targets: tuple[str, str], wanted: dict[str, Any], now: dict[str, Any]) -> dict[str, Row]:
    metric = [_of(kind, "target", **wanted)]
    return {
        f"{kind} to come, {'/'.join(wanted)}": _autoscaler(targets[0], metric),
        f"{kind}, {'/'.join(wanted)}": _autoscaler(targets[1], metric, [_of(kind, "current", **now)]),
    }


_USE, _IN_USE = {"averageUtilization": 80}, {"averageUtilization": 50, "averageValue": "40m"}
_AVERAGE, _HALF = {"averageValue": "100m"}, {"averageValue": "50m"}
AUTOSCALERS: dict[str, Row] = {
    **_both("External", ("<unknown>/100m (avg)", "50m/100m (avg)"), _AVERAGE, _HALF),
    **_both("External", ("<unknown>/100m", "50m/100m"), {"value": "100m"}, {"value": "50m"}),
    **_both("Pods", ("<unknown>/100m", "50m/100m"), _AVERAGE, _HALF),
    **_both("Object", ("<unknown>/100m", "50m/100m"), {"value": "100m"}, {"value": "50m"}),
    **_both("Resource", ("cpu: <unknown>/100m", "cpu: 50m/100m"), _AVERAGE, _HALF),
    **_both("Resource", ("cpu: <unknown>/80%", "cpu: 50%/80%"), _USE, _IN_USE),
    **_both("ContainerResource", ("cpu: <unknown>/100m", "cpu: 50m/100m"), _AVERAGE, _HALF),
    **_both("ContainerResource", ("cpu: <unknown>/80%", "cpu: 50%/80%"), _USE, _IN_USE),
    "three metrics of which two are known": _autoscaler(
        "50m/100m, cpu: 50%/80% + 1 more...",
        [
            _of("Pods", "target", **_AVERAGE),
            _of("Resource", "target", **_USE),
            _of("Pods", "target", averageValue="400m"),
        ],
        [_of("Pods", "current", **_HALF), _of("Resource", "current", **_IN_USE)],
    ),
}


def _volume(phase: str, mode: str, cells: list[Any], **spec: Any) -> Row:
    fields = {
        "spec": {
            "claimRef": {"name": "test", "namespace": "default"},
            "accessModes": [mode],
            "capacity": {"storage": "4Gi"},
            **spec,
        },
        "status": {"phase": phase},
    }
    return "", "PersistentVolume", fields, ["4Gi", cells[0], "", phase, "default/test", *cells[1:]]


def _claim(phase: str, cells: list[Any], **spec: Any) -> Row:
    status = {"phase": phase, "accessModes": ["ReadWriteMany"], "capacity": {"storage": "10Gi"}}
    return "", "PersistentVolumeClaim", {"spec": spec, "status": status}, [phase, *cells]


VOLUMES: dict[str, Row] = {
    "a failed volume": _volume(
        "Failed", "ReadOnlyMany", ["ROX", "", "<unset>", "", "60m", "<unset>"]
    ),
    "a volume of a class": _volume(
        "Released", "ReadWriteMany", ["RWX", "c", "<unset>", "", "60m", "<unset>"], storageClassName="c"
    ),
    "a volume with attributes": _volume(
        "Available", "ReadWriteOnce", ["RWO", "c", "v", "", "60m", "<unset>"],
        storageClassName="c", volumeAttributesClassName="v",
    ),
    "a claim whose volume is lost": _claim(
        "Lost", ["", "", "", "", "<unset>", "60m", "Filesystem"], volumeMode="Filesystem"
    ),
    "a claim that waits for its volume": _claim(
        "Pending", ["v", "10Gi", "RWX", "", "<unset>", "60m", "Filesystem"],
        volumeName="v", volumeMode="Filesystem",
    ),
    "a claim with attributes": _claim(
        "Pending", ["v", "10Gi", "RWX", "c", "a", "60m", "<unset>"],
        volumeName="v", storageClassName="c", volumeAttributesClassName="a",
    ),
    "a class that keeps volumes": (
        "storage.k8s.io", "StorageClass",
        {"provisioner": "p", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer",
         "allowVolumeExpansion": True},
        ["p", "Retain", "WaitForFirstConsumer", True, "60m"],
    ),
    "a class of attributes": (
        "storage.k8s.io", "VolumeAttributesClass",
        {"driverName": "fake", "parameters": {"iops": "500"}}, ["fake", "60m"],
    ),
}  # fmt: skip


def _slice(ports: int, cells: list[Any]) -> Row:
    numbers = [80, 443, 3000, 3001][:ports]
    fields = {
        "addressType": "IPv4",
        "ports": [{"name": f"p{number}", "port": number, "protocol": "TCP"} for number in numbers],
        "endpoints": [{"addresses": ["10.1.2.3", "10.1.2.4"]}, {"addresses": ["10.2.3.4", "10.2.3.5"]}],
    }
    return "discovery.k8s.io", "EndpointSlice", fields, ["IPv4", *cells, "60m"]


def _storage_version(common: str | None, *encodings: str) -> Row:
    found = [
        {"apiServerID": str(number), "encodingVersion": text, "decodableVersions": [text]}
        for number, text in enumerate(encodings, 1)
    ]
    status = {"storageVersions": found, **({} if common is None else {"commonEncodingVersion": common})}
    shown = ",".join(f"{entry['apiServerID']}={entry['encodingVersion']}" for entry in found[:3])
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    cells = ["<unset>" if common is None else common, shown + more, "60m"]
    return "internal.apiserver.k8s.io", "StorageVersion", {"status": status}, cells


def _level(limited: dict[str, Any] | None, *cells: Any) -> Row:
    spec: dict[str, Any] = {"type": "Exempt"} if limited is None else {"type": "Limited", "limited": limited}
    return _FLOW, "PriorityLevelConfiguration", {"spec": spec}, [spec["type"], *cells, "60m"]


_EXPRESSION = [{"expression": "true"}]


def _node(status: dict[str, Any], shown: str, roles: str, *wide: str, **more: Any) -> Row:
    unset = ("<none>", "<none>", *["<unknown>"] * 3)
    return "", "Node", {"status": status, **more}, [shown, roles, "60m", "", *(wide or unset)]


def _roles(*names: str, role: str = "") -> dict[str, Any]:
    labels = {f"node-role.kubernetes.io/{name}": "" for name in names}
    return {"labels": {**labels, **({"kubernetes.io/role": role} if role else {})}}


_READY = {"conditions": [{"type": "Ready", "status": "True"}] * 2}
_ADDRESSES = [("ExternalIP", "2.2.2.2"), ("InternalIP", "3.3.3.3"), ("ExternalIP", "4.4.4.4")]
NODES: dict[str, Row] = {
    "ready twice": _node(_READY, "Ready", "<none>"),
    "not ready, and to be left alone": _node(
        {"conditions": [{"type": "Ready", "status": "False"}]}, "NotReady,SchedulingDisabled", "<none>",
        spec={"unschedulable": True},
    ),
    "of another condition": _node({"conditions": [{"type": "Odd", "status": "True"}]}, "Unknown", "<none>"),
    "of an empty condition, and to be left alone": _node(
        {"conditions": [{}]}, "Unknown,SchedulingDisabled", "<none>", spec={"unschedulable": True}
    ),
    "of many roles": _node(
        {}, "Unknown", "control-plane,master,node,proxy",
        metadata=_roles("master", "control-plane", "proxy", role="node"),
    ),
    "the first address of each kind": _node(
        {"addresses": [{"type": kind, "address": address} for kind, address in _ADDRESSES],
         "nodeInfo": {"kernelVersion": "k", "containerRuntimeVersion": "foo://1.2.3"}},
        "Unknown", "<none>", "3.3.3.3", "2.2.2.2", "<unknown>", "k", "foo://1.2.3",
    ),
}  # fmt: skip


def _event(last: str, first: str, times: int, **fields: Any) -> Row:
    about = {"kind": "Deployment", "name": "d", "fieldPath": "spec.containers{foo}"}
    said = {"type": "Warning", "reason": "R", "message": "M", "involvedObject": about}
    by = {"source": {"component": "kubelet", "host": "n"}}
    cells = [last, "Warning", "R", "deployment/d", about["fieldPath"], "kubelet, n", "M", first, times]
    return "", "Event", {**said, **by, **fields}, cells


_LATER = "2026-01-01T00:30:00Z"
EVENTS: dict[str, Row] = {
    "both times": _event("30m", "60m", 6, firstTimestamp=T0, lastTimestamp=_LATER, count=6),
    "no first time": _event("30m", "60m", 1, eventTime=T0, lastTimestamp=_LATER, count=1),
    "no last time": _event("60m", "60m", 1, eventTime=T0, firstTimestamp=T0, count=1),
    "neither": _event("60m", "60m", 1, eventTime=T0, count=1),
    "a series": _event(
        "30m", "60m", 2, eventTime=T0, series={"count": 2, "lastObservedTime": "2026-01-01T00:30:00.000000Z"}
    ),
    "neither, and no count": _event("60m", "60m", 1, eventTime=T0),
    "told by a controller": _event(
        "30m", "60m", 6, firstTimestamp=T0, lastTimestamp=_LATER, count=6,
        source={}, reportingComponent="kubelet", reportingInstance="n",
    ),
}  # fmt: skip

OTHERS: dict[str, Row] = {
    "two ports": _slice(2, ["80,443", "10.1.2.3,10.1.2.4,10.2.3.4 + 1 more..."]),
    "four ports": _slice(4, ["80,443,3000 + 1 more...", "10.1.2.3,10.1.2.4,10.2.3.4 + 1 more..."]),
    "an address, with an age beyond its columns": (
        _NET, "IPAddress",
        {"spec": {"parentRef": {"group": "g", "resource": "r", "namespace": "ns", "name": "n"}}},
        ["r.g/ns/n", "60m"],
    ),
    "ranges of both families": (
        _NET, "ServiceCIDR", {"spec": {"cidrs": ["10.1.0.0/16", "fd00:1:1::/64"]}},
        ["10.1.0.0/16,fd00:1:1::/64", "60m"],
    ),
    "an ingress with nothing but a default": (
        _NET, "Ingress",
        {"spec": {"ingressClassName": "foo", "defaultBackend": {"service": {"name": "d"}}},
         "status": {"loadBalancer": {"ingress": [{"ip": "2.3.4.5", "hostname": "l.d"}]}}},
        ["foo", "*", "2.3.4.5", "80", "60m"],
    ),
    "an ingress class without parameters": (
        _NET, "IngressClass", {"spec": {"controller": "e.c/c"}}, ["e.c/c", "<none>", "60m"]
    ),
    "a policy for pods": (
        _NET, "NetworkPolicy", {"spec": {"podSelector": {"matchLabels": {"foo": "bar"}}}}, ["foo=bar", "60m"]
    ),
    "a budget of the unavailable": (
        "policy", "PodDisruptionBudget",
        {"spec": {"maxUnavailable": 11}, "status": {"disruptionsAllowed": 5}}, ["N/A", "11", 5, "60m"],
    ),
    "a revision of an owner that controls nothing": (
        "apps", "ControllerRevision",
        {"revision": 2,
         "metadata": {"ownerReferences": [{"kind": "ABC", "name": "foo", "controller": False}]}},
        ["<none>", 2, "60m"],
    ),
    "a cron job in its own time": (
        "batch", "CronJob",
        {"spec": {"schedule": "0/5 * * * ?", "timeZone": "LOCAL", "suspend": False}},
        ["0/5 * * * ?", "LOCAL", "False", 0, "<none>", "60m", "", "", "<none>"],
    ),
    "a pod template": (
        "", "PodTemplate",
        {"template": {"metadata": {"labels": {"foo": "bar"}},
                      "spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}}},
        ["a,b", "i,j", "foo=bar"],
    ),
    "a pod template of nothing": ("", "PodTemplate", {"template": {"spec": {}}}, ["", "", "<none>"]),
    "a quota of many": (
        "", "ResourceQuota",
        {"status": {
            "hard": {"cpu": "9", "memory": "4Gi", "pods": "10", "limits.cpu": "20", "limits.memory": "8Gi"},
            "used": {"cpu": "1", "memory": "1Gi", "pods": "1", "limits.cpu": "2", "limits.memory": "2Gi"},
        }},
        ["cpu: 1/9, memory: 1Gi/4Gi, pods: 1/10", "limits.cpu: 2/20, limits.memory: 2Gi/8Gi", "60m"],
    ),
    "a component that tells all": (
        "", "ComponentStatus",
        {"conditions": [{"type": "Healthy", "status": "False", "message": "m", "error": "e"}]},
        ["Unhealthy", "m", "e"],
    ),
    "a scale": (
        "autoscaling", "Scale", {"spec": {"replicas": 2}, "status": {"replicas": 1}}, [2, 1, "60m"]
    ),
    "a request of a bit more than a week": (
        _CERTIFICATES, "CertificateSigningRequest",
        {"spec": {"username": "u", "signerName": "e.c/s", "expirationSeconds": 608400},
         "status": {"conditions": [{"type": "Approved"}]}},
        ["60m", "e.c/s", "u", "7d1h", "Approved"],
    ),
    "a bundle": (_CERTIFICATES, "ClusterTrustBundle", {"spec": {"signerName": "s"}}, ["s"]),
    "a candidate": (
        "coordination.k8s.io", "LeaseCandidate",
        {"spec": {"leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0"}},
        ["l", "1.36.0", "1.35.0", "60m"],
    ),
    "a priority that is everybody's": (
        "scheduling.k8s.io", "PriorityClass", {"value": 1000000000, "globalDefault": True},
        [1000000000, True, "60m", ""],
    ),
    "a workload": ("scheduling.k8s.io", "Workload", {"spec": {}}, ["60m"]),
    "a class of devices": (_DEVICES, "DeviceClass", {"spec": {}}, ["60m"]),
    "a template of claims": (_DEVICES, "ResourceClaimTemplate", {"spec": {"spec": {}}}, ["60m"]),
    "a slice of a node": (
        _DEVICES, "ResourceSlice", {"spec": {"nodeName": "n", "driver": "d", "pool": {"name": "p"}}},
        ["n", "d", "p", "60m"],
    ),
    "a policy's binding": (
        _ADMISSION, "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "p", "paramRef": {"name": "s", "parameterNotFoundAction": "Deny"}}},
        ["p", "*/s", "60m"],
    ),
    "a policy with parameters": (
        _ADMISSION, "MutatingAdmissionPolicy",
        {"spec": {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "mutations": _EXPRESSION}},
        [1, "v1/ConfigMap", "60m"],
    ),
    "a schema of users whose level is missing": (
        _FLOW, "FlowSchema",
        {"spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 2147483647,
                  "distinguisherMethod": {"type": "ByUser"}},
         "status": {"conditions": [{"type": "Dangling", "status": "True"}]}},
        ["l", 2147483647, "ByUser", "60m", "True"],
    ),
    "a level of no limits": _level(None, *["<none>"] * 4),
    "a level that rejects": _level(
        {"nominalConcurrencyShares": 47, "limitResponse": {"type": "Reject"}}, 47, *["<none>"] * 3
    ),
    "a level that queues": _level(
        {"nominalConcurrencyShares": 42, "limitResponse": {
            "type": "Queue", "queuing": {"queues": 8, "handSize": 3, "queueLengthLimit": 4}}},
        42, 8, 3, 4,
    ),
    "servers that agree": _storage_version("v1", "v1", "v1"),
    "servers that do not": _storage_version(None, "v1", "v1", "v2"),
    "four servers": _storage_version("v1", "v1", "v1", "v1", "v1"),
}  # fmt: skip

ROWS = {**SERVICES, **AUTOSCALERS, **VOLUMES, **NODES, **OTHERS}


@pytest.mark.parametrize(("group", "kind", "fields", "cells"), ROWS.values(), ids=ROWS)
def test_rows(group: str, kind: str, fields: dict[str, Any], cells: list[Any]) -> None:
    meta = {"name": "x", "creationTimestamp": T0, **fields.get("metadata", {})}
    assert table_for(GVK(group, "v1", kind)).row({**fields, "metadata": meta}, NOW) == ["x", *cells]


@pytest.mark.parametrize(("group", "kind", "fields", "cells"), EVENTS.values(), ids=EVENTS)
def test_events(group: str, kind: str, fields: dict[str, Any], cells: list[Any]) -> None:
    """Of events the name comes last."""
    row = table_for(GVK(group, "v1", kind)).row({"metadata": {"name": "x"}, **fields}, NOW)
    assert row == [*cells, "x"]
