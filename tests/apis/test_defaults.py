"""Defaults of every kind that is no workload, one named case each."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.test_strategies import TEMPLATE, kind

from tiphys.apimachinery.meta import copy_object, gvk_of
from tiphys.apis.strategies import strategy_for


def defaulted(obj: dict[str, Any]) -> dict[str, Any]:
    copy = copy_object(obj)
    strategy_for(gvk_of(obj)).default(copy)
    return copy


OTHERS = {
    "service": (
        kind("v1", "Service", spec={"ports": [{"port": 80}]}),
        {
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            }
        },
    ),
    "service load balancer": (
        kind("v1", "Service", spec={"type": "LoadBalancer", "sessionAffinity": "ClientIP"}),
        {
            "spec": {
                "type": "LoadBalancer",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "internalTrafficPolicy": "Cluster",
                "externalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
            }
        },
    ),
    "service external name": (
        kind("v1", "Service", spec={"type": "ExternalName", "externalName": "a.b"}),
        {"spec": {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}},
    ),
    "secret": (kind("v1", "Secret", stringData={"a": "b"}), {"type": "Opaque", "data": {"a": "Yg=="}}),
    "secret string data wins": (
        kind("v1", "Secret", data={"a": "eA==", "c": "eQ=="}, stringData={"a": "b"}),
        {"data": {"a": "Yg==", "c": "eQ=="}},
    ),
    "namespace": (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}},
        {"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}}},
    ),
    "endpoints": (
        kind("v1", "Endpoints", subsets=[{"ports": [{"port": 1}]}]),
        {"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]},
    ),
    "persistent volume": (
        kind("v1", "PersistentVolume", spec={"hostPath": {"path": "/x"}}),
        {
            "spec": {
                "hostPath": {"path": "/x", "type": ""},
                "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem",
            }
        },
    ),
    "amounts": (
        kind("v1", "ResourceQuota", spec={"hard": {"cpu": "100u"}}, status={"used": {"cpu": "1500000n"}}),
        {"spec": {"hard": {"cpu": "1m"}}, "status": {"used": {"cpu": "2m"}}},
    ),
    "amounts of a runtime class": (
        kind("node.k8s.io/v1", "RuntimeClass", overhead={"podFixed": {"cpu": "1u", "memory": "1"}}),
        {"overhead": {"podFixed": {"cpu": "1m", "memory": "1"}}},
    ),
    "claim": (
        kind("v1", "PersistentVolumeClaim", spec={}),
        {"spec": {"volumeMode": "Filesystem", "resources": {}}},
    ),
    "limit range": (
        kind(
            "v1",
            "LimitRange",
            spec={"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}}]},
        ),
        {
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "2"},
                        "min": {"memory": "1"},
                        "default": {"cpu": "2"},
                        "defaultRequest": {"cpu": "2", "memory": "1"},
                    }
                ]
            }
        },
    ),
    "role binding": (
        kind(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            roleRef={"kind": "Role", "name": "r"},
            subjects=[{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
        ),
        {
            "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [
                {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "ServiceAccount", "name": "s"},
            ],
        },
    ),
    "network policy": (
        kind("networking.k8s.io/v1", "NetworkPolicy", spec={"egress": [{"ports": [{"port": 1}]}]}),
        {
            "spec": {
                "podSelector": {},
                "egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress", "Egress"],
            }
        },
    ),
    "network policy ingress": (
        kind("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}}),
        {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    ),
    "storage class": (
        kind("storage.k8s.io/v1", "StorageClass", provisioner="p"),
        {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    ),
    "csi driver": (
        kind("storage.k8s.io/v1", "CSIDriver", spec={"podInfoOnMount": True}),
        {
            "spec": {
                "podInfoOnMount": True,
                "attachRequired": True,
                "storageCapacity": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"],
                "requiresRepublish": False,
                "seLinuxMount": False,
            }
        },
    ),
    "priority class": (
        kind("scheduling.k8s.io/v1", "PriorityClass", value=5),
        {"value": 5, "preemptionPolicy": "PreemptLowerPriority"},
    ),
    "endpoint slice": (
        kind("discovery.k8s.io/v1", "EndpointSlice", ports=[{"port": 1}]),
        {"ports": [{"port": 1, "name": "", "protocol": "TCP"}], "endpoints": None},
    ),
    "hpa v1": (kind("autoscaling/v1", "HorizontalPodAutoscaler", spec={}), {"spec": {"minReplicas": 1}}),
    "hpa v2": (
        kind(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            spec={"behavior": {"scaleDown": {"selectPolicy": "Min"}}},
        ),
        {
            "spec": {
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 0,
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Pods", "value": 4, "periodSeconds": 15},
                            {"type": "Percent", "value": 100, "periodSeconds": 15},
                        ],
                    },
                    "scaleDown": {
                        "selectPolicy": "Min",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    },
                },
            }
        },
    ),
    "api service": (
        kind("apiregistration.k8s.io/v1", "APIService", spec={"service": {"name": "a"}}),
        {"spec": {"service": {"name": "a", "port": 443}}},
    ),
    "crd": (
        kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={"names": {"kind": "Foo"}}),
        {
            "spec": {
                "names": {"kind": "Foo", "singular": "foo", "listKind": "FooList"},
                "conversion": {"strategy": "None"},
            }
        },
    ),
    "crd that says nothing of how it converts": (
        kind(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            spec={"conversion": {"webhook": {"clientConfig": {"service": {"name": "a"}}}}},
        ),
        {
            "spec": {
                "names": {},
                "conversion": {"webhook": {"clientConfig": {"service": {"name": "a", "port": 443}}}},
            }
        },
    ),
    "mutating webhook": (
        kind(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            webhooks=[{"clientConfig": {"service": {"name": "a"}}, "rules": [{}]}],
        ),
        {
            "webhooks": [
                {
                    "clientConfig": {"service": {"name": "a", "port": 443}},
                    "rules": [{"scope": "*"}],
                    "failurePolicy": "Fail",
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {},
                    "objectSelector": {},
                    "timeoutSeconds": 10,
                    "reinvocationPolicy": "Never",
                }
            ]
        },
    ),
    "admission policy": (
        kind(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            spec={"matchConstraints": {"resourceRules": [{}]}},
        ),
        {
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [{"scope": "*"}],
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {},
                    "objectSelector": {},
                },
            }
        },
    ),
    "flow schema": (
        kind("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", spec={}),
        {"spec": {"matchingPrecedence": 1000}},
    ),
    "priority level": (
        kind(
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            spec={"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
        ),
        {
            "spec": {
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 30,
                    "lendablePercent": 0,
                    "limitResponse": {
                        "type": "Queue",
                        "queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50},
                    },
                },
            }
        },
    ),
    "resource claim": (
        kind(
            "resource.k8s.io/v1",
            "ResourceClaim",
            spec={"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}},
        ),
        {
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "r",
                            "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1},
                        }
                    ]
                }
            }
        },
    ),
    "allocated claim": (
        kind(
            "resource.k8s.io/v1",
            "ResourceClaim",
            status={"allocation": {"devices": {"results": [{"tolerations": [{"key": "a"}]}]}}},
        ),
        {
            "spec": {"devices": {"requests": None}},
            "status": {
                "allocation": {"devices": {"results": [{"tolerations": [{"key": "a", "operator": "Equal"}]}]}}
            },
        },
    ),
    "ingress class": (
        kind("networking.k8s.io/v1", "IngressClass", spec={"parameters": {"kind": "K"}}),
        {"spec": {"parameters": {"kind": "K", "scope": "Cluster"}}},
    ),
}


@pytest.mark.parametrize(("obj", "expected"), OTHERS.values(), ids=OTHERS)
def test_other_kinds(obj: dict[str, Any], expected: dict[str, Any]) -> None:
    result = defaulted(obj)
    assert {key: result.get(key) for key in expected} == expected
    assert defaulted(result) == result


def test_links_to_services_are_said_in_pods_only() -> None:
    assert defaulted(kind("v1", "Pod", spec=TEMPLATE["spec"]))["spec"]["enableServiceLinks"] is True
    made = defaulted(kind("apps/v1", "Deployment", spec={"template": TEMPLATE}))
    assert "enableServiceLinks" not in made["spec"]["template"]["spec"]


SHOWN = {
    "what endpoints are": (
        kind("discovery.k8s.io/v1", "EndpointSlice", endpoints=[{"addresses": ["10.0.0.1"]}]),
        {"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}], "ports": None},
    ),
    "no drivers": (kind("storage.k8s.io/v1", "CSINode", spec={"drivers": []}), {"spec": {"drivers": None}}),
    "a driver's keys": (
        kind("storage.k8s.io/v1", "CSINode", spec={"drivers": [{"name": "d", "nodeID": "n"}]}),
        {"spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": None}]}},
    ),
    "no limits": (kind("v1", "LimitRange", spec={"limits": []}), {"spec": {"limits": None}}),
}
"""What Go writes although nobody has said it, and what it writes of lists of nothing."""


@pytest.mark.parametrize(("obj", "expected"), SHOWN.values(), ids=SHOWN)
def test_what_is_always_shown(obj: dict[str, Any], expected: dict[str, Any]) -> None:
    found = defaulted(obj)
    assert {key: found[key] for key in expected} == expected


def test_a_node_always_shows_its_system() -> None:
    given = {"nodeInfo": {"kubeletVersion": "v1.36.0"}, "capacity": {"cpu": "1"}}
    status = defaulted(kind("v1", "Node", status=given))["status"]
    assert status["allocatable"] == {"cpu": "1"}
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert (status["nodeInfo"]["kubeletVersion"], status["nodeInfo"]["osImage"]) == ("v1.36.0", "")


def test_what_has_no_value_and_is_shown_all_the_same() -> None:
    numbered = defaulted(kind("apps/v1", "StatefulSet", spec={"ordinals": {}}))
    assert numbered["spec"]["ordinals"] == {"start": 0}
    empty = defaulted(kind("v1", "Pod", spec={"volumes": [{"name": "v", "projected": {}}]}))
    assert empty["spec"]["volumes"][0]["projected"] == {"sources": None, "defaultMode": 420}
    mapped = {"nodeAllocatableResourceMappings": {"cpu": {}, "memory": {"allocationMultiplier": "2Gi"}}}
    devices = defaulted(kind("resource.k8s.io/v1", "ResourceSlice", spec={"devices": [mapped]}))["spec"][
        "devices"
    ]
    assert devices[0]["nodeAllocatableResourceMappings"]["cpu"] == {"allocationMultiplier": "1"}
    assert devices[0]["nodeAllocatableResourceMappings"]["memory"] == {"allocationMultiplier": "2Gi"}
    share = defaulted(kind("v1", "PersistentVolume", spec={"azureFile": {"secretName": "s"}}))
    assert share["spec"]["azureFile"] == {"secretName": "s", "secretNamespace": None}


def addresses(*found: str) -> list[dict[str, str]]:
    return [{"ip": address} for address in found]


ONE, TWO, SIX = "10.0.1.0/24", "10.0.2.0/24", "fd00::/64"
MIRRORED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "neither": ({}, {}),
    "the first": ({"podCIDR": ONE}, {"podCIDR": ONE, "podCIDRs": [ONE]}),
    "all": ({"podCIDRs": [ONE, SIX]}, {"podCIDR": ONE, "podCIDRs": [ONE, SIX]}),
    "they agree": ({"podCIDR": ONE, "podCIDRs": [ONE, SIX]}, {"podCIDR": ONE, "podCIDRs": [ONE, SIX]}),
    "they differ": ({"podCIDR": TWO, "podCIDRs": [ONE, SIX]}, {"podCIDR": TWO, "podCIDRs": [TWO]}),
}


@pytest.mark.parametrize(("given", "expected"), MIRRORED.values(), ids=MIRRORED)
def test_one_is_the_first_of_many(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert defaulted(kind("v1", "Node", spec=given))["spec"] == expected
    status = {"podIP" if key == "podCIDR" else "podIPs": value for key, value in given.items()}
    if "podIPs" in status:
        status["podIPs"] = addresses(*status["podIPs"])
    pod = defaulted(kind("v1", "Pod", spec=copy_object(TEMPLATE["spec"]), status=status))
    assert [one["ip"] for one in pod["status"].get("podIPs", [])] == expected.get("podCIDRs", [])
    assert pod["status"].get("podIP") == expected.get("podCIDR")


@pytest.mark.parametrize("others", [{}, {"a": "b"}], ids=["alone", "beside others"])
def test_what_v1_keeps_in_annotations_has_no_place_in_v2(others: dict[str, str]) -> None:
    keys = ("metrics", "current-metrics", "conditions", "behavior")
    scaler = kind("autoscaling/v2", "HorizontalPodAutoscaler", spec={"maxReplicas": 2})
    scaler["metadata"]["annotations"] = others | {
        f"autoscaling.alpha.kubernetes.io/{key}": "[]" for key in keys
    }
    assert defaulted(scaler)["metadata"].get("annotations", {}) == others
