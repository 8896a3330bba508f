"""Defaults and resets of every kind, one named case each."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object, gvk_of
from tiphys.apis.strategies import STRATEGIES, strategy_for, validate_create
from tiphys.apis.strategy import Strategy


def defaulted(obj: dict[str, Any]) -> dict[str, Any]:
    copy = copy_object(obj)
    strategy_for(gvk_of(obj)).default(copy)
    return copy


def kind(api_version: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": name, "metadata": {"name": "x", "namespace": "ns"}, **fields}


TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}

POD_SPEC_DEFAULTS = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "securityContext": {},
    "enableServiceLinks": True,
}

WORKLOADS = {
    "deployment": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE}),
        {
            "replicas": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
    ),
    "deployment recreate": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE, "strategy": {"type": "Recreate"}}),
        {"strategy": {"type": "Recreate"}},
    ),
    "deployment of zero": (
        kind("apps/v1", "Deployment", spec={"template": TEMPLATE, "replicas": 0}),
        {"replicas": 0},
    ),
    "deployment surge kept": (
        kind(
            "apps/v1",
            "Deployment",
            spec={"template": TEMPLATE, "strategy": {"rollingUpdate": {"maxSurge": 0}}},
        ),
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}},
    ),
    "replica set": (kind("apps/v1", "ReplicaSet", spec={"template": TEMPLATE}), {"replicas": 1}),
    "daemon set": (
        kind("apps/v1", "DaemonSet", spec={"template": TEMPLATE}),
        {
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
        },
    ),
    "stateful set": (
        kind("apps/v1", "StatefulSet", spec={"template": TEMPLATE}),
        {
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": 0, "maxUnavailable": 1},
            },
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "replicas": 1,
            "revisionHistoryLimit": 10,
        },
    ),
    "job": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE}),
        {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
    ),
    "job work queue": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "parallelism": 3}),
        {"parallelism": 3},
    ),
    "job indexed retries": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "completions": 2, "backoffLimitPerIndex": 1}),
        {"completions": 2, "parallelism": 1, "backoffLimit": 2147483647},
    ),
    "job failure policy": (
        kind("batch/v1", "Job", spec={"template": TEMPLATE, "podFailurePolicy": {"rules": []}}),
        {"podReplacementPolicy": "Failed"},
    ),
    "cron job": (
        kind("batch/v1", "CronJob", spec={"jobTemplate": {"spec": {"template": TEMPLATE}}}),
        {
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
        },
    ),
    "replication controller": (
        kind("v1", "ReplicationController", spec={"template": TEMPLATE}),
        {"replicas": 1, "selector": {"app": "x"}},
    ),
}


@pytest.mark.parametrize(("obj", "expected"), WORKLOADS.values(), ids=WORKLOADS)
def test_workload_specs(obj: dict[str, Any], expected: dict[str, Any]) -> None:
    spec = defaulted(obj)["spec"]
    assert {key: spec.get(key) for key in expected} == expected
    template = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
    pod = template["spec"]
    assert {key: pod.get(key) for key in POD_SPEC_DEFAULTS} == POD_SPEC_DEFAULTS
    assert pod["containers"] == [
        {
            "name": "c",
            "image": "nginx",
            "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "resources": {},
        }
    ]


@pytest.mark.parametrize(("obj", "_expected"), WORKLOADS.values(), ids=WORKLOADS)
def test_defaulting_settles(obj: dict[str, Any], _expected: dict[str, Any]) -> None:
    once = defaulted(obj)
    assert defaulted(once) == once


def test_work_queue_job_has_no_completions() -> None:
    assert "completions" not in defaulted(WORKLOADS["job work queue"][0])["spec"]


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
    "node": (
        kind("v1", "Node", status={"capacity": {"cpu": "1"}}),
        {"status": {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}}},
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


CREATED = {
    "deployment": (kind("apps/v1", "Deployment", spec={}), {}),
    "stateful set": (kind("apps/v1", "StatefulSet", spec={}), {"replicas": 0, "availableReplicas": 0}),
    "claim": (kind("v1", "PersistentVolumeClaim", spec={}), {"phase": "Pending"}),
    "namespace": (kind("v1", "Namespace"), {"phase": "Active"}),
    "budget": (
        kind("policy/v1", "PodDisruptionBudget", spec={}),
        {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    ),
    "pod": (kind("v1", "Pod", spec={}), {"phase": "Pending", "qosClass": "BestEffort"}),
    "crd": (
        kind(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            spec={"versions": [{"name": "v1", "storage": True}, {"name": "v2"}]},
        ),
        {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]},
    ),
}


@pytest.mark.parametrize(("obj", "status"), CREATED.values(), ids=CREATED)
def test_status_of_new_objects(obj: dict[str, Any], status: dict[str, Any]) -> None:
    copy = copy_object({**obj, "status": {"phase": "Bogus"}})
    strategy_for(gvk_of(obj)).prepare_create(copy)
    assert copy["status"] == status


def test_new_namespace_has_its_finalizer() -> None:
    namespace = kind("v1", "Namespace")
    strategy_for(gvk_of(namespace)).prepare_create(namespace)
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}


def test_job_selects_its_own_pods() -> None:
    job = kind("batch/v1", "Job", spec={"template": copy_object(TEMPLATE)})
    job["metadata"]["uid"] = "u1"
    strategy_for(gvk_of(job)).prepare_create(job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "app": "x",
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": "u1",
        "job-name": "x",
    }


def test_every_strategy_is_listed_once() -> None:
    gvks = [strategy.gvk for strategy in STRATEGIES]
    assert len(gvks) == len(set(gvks))


def test_versions_of_a_kind_share_rules() -> None:
    shared = strategy_for(GVK("networking.k8s.io", "v1beta1", "IPAddress"))
    assert shared.gvk.version == "v1beta1"
    assert shared.has_generation


def test_unknown_kinds_get_the_generic_strategy() -> None:
    generic = strategy_for(GVK("example.com", "v1", "Foo"))
    assert generic.has_generation
    assert not generic.unconditional_update


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: "/".join(s.gvk))
def test_rules_survive_empty_objects(strategy: Any) -> None:
    obj = {"apiVersion": strategy.gvk.api_version, "kind": strategy.gvk.kind, "metadata": {"name": "a"}}
    strategy.default(obj)
    strategy.prepare_create(obj)
    old = copy_object(obj)
    strategy.prepare_update(obj, old)
    strategy.warnings(obj, None)
    assert isinstance(validate_create(strategy, obj, namespaced=False), list)
    assert isinstance(strategy.validate_update(obj, old), list)
    assert isinstance(strategy.validate_status_update(obj, old), list)


STATUSES: list[dict[str, Any]] = [
    {}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    {"capacity": {"cpu": "4"}}, {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3"}},
    {"replicas": 2, "readyReplicas": 1},
]  # fmt: skip
SPECS: list[dict[str, Any]] = [
    {}, {"template": TEMPLATE}, TEMPLATE["spec"], {"template": TEMPLATE, "selector": {}, "strategy": {}},
    {"volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}], "template": TEMPLATE},
]  # fmt: skip


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s.default_status], ids=lambda s: s.gvk.kind)
@pytest.mark.parametrize("labels", [None, {"a": "b"}])
def test_the_default_of_a_status_is_all_that_defaults_do_to_it(strategy: Strategy, labels: Any) -> None:
    for status in STATUSES:
        for spec in SPECS:
            meta = {"name": "x"} | ({"labels": labels} if labels else {})
            obj = {"metadata": meta, "spec": copy_object(spec), "status": status}
            whole = copy_object(obj)
            strategy.default(whole)
            own = {**obj, "metadata": dict(meta), "status": dict(status)}
            assert strategy.default_status is not None
            before = copy_object([meta, spec, status])
            strategy.default_status(own)
            assert (own["metadata"], own["status"]) == (whole["metadata"], whole["status"])
            assert own["spec"] is obj["spec"]
            assert [meta, obj["spec"], status] == before


def test_kinds_without_defaults_have_none_of_their_status() -> None:
    plain = strategy_for(GVK("", "v1", "ServiceAccount"))
    status_default = plain.status_default()
    assert status_default is not None
    obj: dict[str, Any] = {}
    status_default(obj)
    assert obj == {}
    assert strategy_for(GVK("", "v1", "PersistentVolume")).status_default() is None
