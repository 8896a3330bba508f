"""Faults of kinds other than pods and workloads: what creating and replacing them must refuse, with the API's texts."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import copy_object, gvk_of
from tiphys.apis.strategies import strategy_for


def kind(api_version: str, name: str, **fields: Any) -> dict[str, Any]:
    meta = {"name": "x", "namespace": "ns", "uid": "u"}
    return {"apiVersion": api_version, "kind": name, "metadata": meta, **fields}


def service(**spec: Any) -> dict[str, Any]:
    return kind("v1", "Service", spec={"ports": [{"port": 80}], **spec})


def binding(**fields: Any) -> dict[str, Any]:
    return kind(
        "rbac.authorization.k8s.io/v1", "RoleBinding", **{"roleRef": {"kind": "Role", "name": "r"}, **fields}
    )


def ingress(**path: Any) -> dict[str, Any]:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    item = {"path": "/", "pathType": "Prefix", "backend": backend, **path}
    return kind("networking.k8s.io/v1", "Ingress", spec={"rules": [{"http": {"paths": [item]}}]})


def hpa(**spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return kind(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        spec={"scaleTargetRef": reference, "maxReplicas": 3, **spec},
    )


def claim(**spec: Any) -> dict[str, Any]:
    inner = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return kind("v1", "PersistentVolumeClaim", spec=inner)


def volume(**spec: Any) -> dict[str, Any]:
    inner = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/x"},
        **spec,
    }
    return kind("v1", "PersistentVolume", spec=inner)


def created(obj: dict[str, Any]) -> dict[str, Any]:
    copy = copy_object(obj)
    strategy = strategy_for(gvk_of(obj))
    strategy.default(copy)
    strategy.prepare_create(copy)
    return copy


CREATE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "service": (service(), []),
    "service without ports": (service(ports=[]), ["spec.ports: Required value"]),
    "headless without ports": (service(ports=[], clusterIP="None", clusterIPs=["None"]), []),
    "service port names": (
        service(ports=[{"port": 80}, {"port": 81, "name": "b"}]),
        ["spec.ports[0].name: Required value"],
    ),
    "service same port": (
        service(ports=[{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]),
        [
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,'
            '"TargetPort":0,"NodePort":0}'
        ],
    ),
    "service type": (
        service(type="X"),
        [
            'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", '
            '"LoadBalancer", '
            '"NodePort"'
        ],
    ),
    "node port on cluster ip": (
        service(ports=[{"port": 80, "nodePort": 30000}]),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    "external name": (service(type="ExternalName"), ["spec.externalName: Required value"]),
    "affinity timeout": (
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 0}}),
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 "
            "and "
            "less than 86400"
        ],
    ),
    "source ranges": (
        service(loadBalancerSourceRanges=["10.0.0.0/8"]),
        [
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ],
    ),
    "config map key": (
        kind("v1", "ConfigMap", data={"..": "x"}),
        ["data[..]: Invalid value: \"..\": must not be '..'"],
    ),
    "config map twice": (
        kind("v1", "ConfigMap", data={"a": "x"}, binaryData={"a": "eA=="}),
        ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
    ),
    "config map size": (
        kind("v1", "ConfigMap", data={"a": "x" * 1048577}),
        [": Too long: may not be more than 1048576 bytes"],
    ),
    "tls secret": (
        kind("v1", "Secret", type="kubernetes.io/tls"),
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    ),
    "docker secret": (
        kind("v1", "Secret", type="kubernetes.io/dockerconfigjson"),
        ["data[.dockerconfigjson]: Required value"],
    ),
    "token secret": (
        kind("v1", "Secret", type="kubernetes.io/service-account-token"),
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ),
    "claim": (claim(), []),
    "claim modes": (
        claim(accessModes=[]),
        ["spec.accessModes: Required value: at least 1 access mode is required"],
    ),
    "claim size": (claim(resources={}), ["spec.resources[storage]: Required value"]),
    "volume": (volume(), []),
    "volume source": (volume(hostPath=None), ["spec: Required value: must specify a volume type"]),
    "volume two sources": (
        volume(nfs={"server": "s", "path": "/"}),
        ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
    ),
    "quota": (
        kind("v1", "ResourceQuota", spec={"hard": {"pods": "-1"}}),
        ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    "limits out of order": (
        kind(
            "v1", "LimitRange", spec={"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}
        ),
        ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
    ),
    "taints": (
        kind("v1", "Node", spec={"taints": [{"key": "a", "effect": "X"}]}),
        [
            'metadata.taints[0].effect: Unsupported value: "X": supported values: "NoSchedule", '
            '"PreferNoSchedule", "NoExecute"'
        ],
    ),
    "event namespace": (
        kind("v1", "Event", involvedObject={"namespace": "other"}),
        ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    ),
    "role": (
        kind("rbac.authorization.k8s.io/v1", "Role", rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
        [
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource '
            "URLs"
        ],
    ),
    "role rule": (
        kind("rbac.authorization.k8s.io/v1", "ClusterRole", rules=[{}]),
        [
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ],
    ),
    "role of roles": (
        kind(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            aggregationRule={"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "X"}]}]},
        ),
        [
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: "
            'Invalid value: "X": not a valid selector operator',
            "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
        ],
    ),
    "binding": (binding(subjects=[{"kind": "User", "name": "u"}]), []),
    "binding account": (binding(subjects=[{"kind": "ServiceAccount", "name": "u"}]), []),
    "cluster binding account": (
        kind(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            roleRef={"kind": "ClusterRole", "name": "r"},
            subjects=[{"kind": "ServiceAccount", "name": "u"}],
        ),
        ["subjects[0].namespace: Required value"],
    ),
    "binding nobody": (
        binding(subjects=[{"kind": "User"}, {"kind": "Group"}]),
        [
            "subjects[0].name: Required value",
            "subjects[1].name: Required value",
        ],
    ),
    "binding kind": (
        binding(subjects=[{"kind": "X", "name": "u"}]),
        ['subjects[0].kind: Unsupported value: "X": supported values: "ServiceAccount", "User", "Group"'],
    ),
    "ingress": (ingress(), []),
    "ingress path type": (
        ingress(pathType=None),
        ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    ),
    "ingress path": (
        ingress(path="x"),
        ['spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'],
    ),
    "ingress empty": (
        kind("networking.k8s.io/v1", "Ingress", spec={}),
        ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    ),
    "policy peer": (
        kind("networking.k8s.io/v1", "NetworkPolicy", spec={"ingress": [{"from": [{}]}]}),
        ["spec.ingress[0].from[0]: Required value: must specify a peer"],
    ),
    "policy block": (
        kind(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            spec={"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
        ),
        [
            'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'
        ],
    ),
    "hpa": (hpa(), []),
    "hpa bounds": (
        hpa(minReplicas=5),
        ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
    ),
    "budget": (
        kind("policy/v1", "PodDisruptionBudget", spec={"minAvailable": 1, "maxUnavailable": 1}),
        [
            'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
            '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
        ],
    ),
    "storage class": (kind("storage.k8s.io/v1", "StorageClass"), ["provisioner: Required value"]),
    "priority": (
        kind("scheduling.k8s.io/v1", "PriorityClass", value=1000000001),
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ),
    "lease": (
        kind("coordination.k8s.io/v1", "Lease", spec={"leaseDurationSeconds": 0}),
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ),
    "endpoint slice": (
        kind("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=[{"addresses": ["::1"]}]),
        [
            'endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address',
            'endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ],
    ),
    "endpoints": (
        kind("v1", "Endpoints", subsets=[{"addresses": [{"ip": "x"}], "ports": [{"port": 1}]}]),
        [
            'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
            "2001:db8::ffff)",
            'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address',
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CREATE.values(), ids=CREATE)
def test_create(obj: dict[str, Any], expected: list[str]) -> None:
    new = created(obj)
    assert [str(fault) for fault in strategy_for(gvk_of(obj)).validate(new)] == expected


FROZEN = "field is immutable when `immutable` is set"
REPLACE: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "service address": (
        service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"]),
        service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"]),
        ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
    ),
    "frozen config map": (
        kind("v1", "ConfigMap", immutable=True, data={"a": "1"}),
        kind("v1", "ConfigMap", data={"a": "2"}),
        [f"immutable: Forbidden: {FROZEN}", f"data: Forbidden: {FROZEN}"],
    ),
    "secret type": (
        kind("v1", "Secret"),
        kind("v1", "Secret", type="other"),
        ['type: Invalid value: "other": field is immutable'],
    ),
    "role, told twice": (
        kind("rbac.authorization.k8s.io/v1", "Role"),
        kind("rbac.authorization.k8s.io/v1", "Role", rules=[{"verbs": [], "nonResourceURLs": []}]),
        [
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ]
        * 2,
    ),
    "binding, told twice but for its role": (
        binding(),
        binding(roleRef={"kind": "X", "name": "other"}),
        [
            *['roleRef.kind: Unsupported value: "X": supported values: "Role", "ClusterRole"'] * 2,
            'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"X","Name":"other"}: '
            "cannot change roleRef",
        ],
    ),
    "role of a binding": (
        binding(),
        binding(roleRef={"kind": "Role", "name": "other"}),
        [
            'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: '
            "cannot change roleRef"
        ],
    ),
    "claim rebound": (
        claim(volumeName="a"),
        claim(volumeName="b"),
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims\n"
            '@@ -9,7 +9,7 @@\n    "storage": "1Gi"\n   }\n  },\n- "VolumeName": "a",\n+ "VolumeName": "b",\n'
            '  "StorageClassName": null,\n  "VolumeMode": "Filesystem",\n  "DataSource": null,\n'
        ],
    ),
    "claim bound": (claim(), claim(volumeName="b"), []),
    "volume moved": (
        volume(),
        volume(hostPath={"path": "/y"}),
        [
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
            '@@ -2,7 +2,7 @@\n  "GCEPersistentDisk": null,\n  "AWSElasticBlockStore": null,\n  "HostPath": {\n'
            '-  "Path": "/x",\n+  "Path": "/y",\n   "Type": ""\n  },\n  "Glusterfs": null,\n'
        ],
    ),
    "class parameters": (
        kind("storage.k8s.io/v1", "StorageClass", provisioner="p"),
        kind("storage.k8s.io/v1", "StorageClass", provisioner="p", parameters={"a": "b"}),
        ['parameters: Invalid value: {"a":"b"}: field is immutable'],
    ),
    "priority value": (
        kind("scheduling.k8s.io/v1", "PriorityClass", value=1),
        kind("scheduling.k8s.io/v1", "PriorityClass", value=2),
        ["value: Forbidden: may not be changed in an update."],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), REPLACE.values(), ids=REPLACE)
def test_replace(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    found = strategy_for(gvk_of(new)).validate_update(created(new), created(old))
    assert [str(fault) for fault in found] == expected
