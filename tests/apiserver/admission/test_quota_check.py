"""What writes cost, and when they may not have it: upstream's cases of quota admission, as values."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.admission.quota_check import Refused, Uncovered, Write, charges
from tiphys.apiserver.admission.resource_quota import ResourceQuota
from tiphys.apiserver.config_files import BadConfiguration


def pod(cpu: str = "", memory: str = "", limits: str = "", **spec: Any) -> dict[str, Any]:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    resources: dict[str, Any] = {"requests": requests} if requests else {}
    if limits:
        resources["limits"] = {"cpu": limits, "memory": limits}
    return {"spec": {"containers": [{"name": "c", "resources": resources}], **spec}}


def quota(
    name: str = "quota", hard: Any = None, used: Any = None, *scopes: str, match: Any = ()
) -> dict[str, Any]:
    spec: dict[str, Any] = {"hard": hard}
    if scopes:
        spec["scopes"] = list(scopes)
    if match:
        spec["scopeSelector"] = {"matchExpressions": list(match)}
    status = {"hard": hard or {}, "used": dict.fromkeys(hard or {}, "0") if used is None else used}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def priority(operator: str, *values: str) -> dict[str, Any]:
    return {
        "scopeName": "PriorityClass",
        "operator": operator,
        **({"values": list(values)} if values else {}),
    }


def service(kind: str = "", *ports: int, **rest: Any) -> dict[str, Any]:
    return {"spec": {**({"type": kind} if kind else {}), "ports": [{"port": port} for port in ports], **rest}}


def claim(storage: str = "1Gi", **rest: Any) -> dict[str, Any]:
    return {"spec": {"resources": {"requests": {"storage": storage}}, **rest.pop("spec", {})}, **rest}


PODS, SERVICES, CLAIMS = ("", "pods"), ("", "services"), ("", "persistentvolumeclaims")
DEVICES = ("resource.k8s.io", "resourceclaims")
GOLD = "gold.storageclass.storage.k8s.io/requests.storage"
GPU = "gpu.deviceclass.resource.k8s.io/devices"
FIVE = {"cpu": "3", "memory": "100Gi", "pods": "5"}


def device(count: int | None = None, mode: str = "", name: str = "gpu") -> dict[str, Any]:
    made: dict[str, Any] = {"deviceClassName": name}
    if count is not None:
        made["count"] = count
    return {**made, **({"allocationMode": mode} if mode else {})}


def devices(*requests: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": list(requests)}}}


CHARGED: dict[str, tuple[Any, ...]] = {
    "a pod within": (
        Write(*PODS, pod("100m", "2Gi")),
        [quota(hard=FIVE, used={"cpu": "1", "memory": "50Gi", "pods": "3"})],
        {0: {"cpu": "1100m", "memory": "52Gi", "pods": "4"}},
    ),
    "only quotas that are about it": (
        Write(*PODS, pod("100m", "2Gi")),
        [quota("a", {"secrets": "0"}), quota("b", {"pods": "5"}), quota("c", {"services": "1"})],
        {1: {"pods": "1"}},
    ),
    "a quota nobody has counted yet": (
        Write(*PODS, pod()),
        [{"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}],
        {},
    ),
    "a resize by what it adds": (
        Write(*PODS, pod("600m", "1Gi"), pod("100m", "2Gi"), "resize"),
        [quota(hard=FIVE, used={"cpu": "1", "memory": "2Gi", "pods": "1"})],
        {0: {"cpu": "1500m", "memory": "2Gi", "pods": "1"}},
    ),
    "what shrinks is free": (
        Write(*PODS, pod("100m", "1Gi"), pod("1", "1Gi"), "resize"),
        [quota(hard=FIVE, used={"cpu": "9", "memory": "900Gi", "pods": "9"})],
        {},
    ),
    "a pod with a deadline": (
        Write(*PODS, pod("1", activeDeadlineSeconds=30)),
        [
            quota("all", {"cpu": "3"}, None),
            quota("late", {"cpu": "3"}, None, "Terminating"),
            quota("lasting", {"cpu": "3"}, None, "NotTerminating"),
        ],
        {0: {"cpu": "1"}, 1: {"cpu": "1"}},
    ),
    "a pod that asks for nothing": (
        Write(*PODS, pod()),
        [
            quota("best", {"pods": "5"}, None, "BestEffort"),
            quota("other", {"pods": "5"}, None, "NotBestEffort"),
        ],
        {0: {"pods": "1"}},
    ),
    "extended resources": (
        Write(
            *PODS,
            {
                "spec": {
                    "containers": [
                        {
                            "name": "c",
                            "resources": {
                                "requests": {"nvidia.com/gpu": "2"},
                                "limits": {"nvidia.com/gpu": "2"},
                            },
                        }
                    ]
                }
            },
        ),
        [quota(hard={"requests.nvidia.com/gpu": "3", "requests.storage": "1"})],
        {0: {"requests.nvidia.com/gpu": "2", "requests.storage": "0"}},
    ),
    "a service that becomes a load balancer": (
        Write(*SERVICES, service("LoadBalancer", 80), service("ClusterIP", 80)),
        [
            quota(
                hard={"services": "1", "services.loadbalancers": "1", "services.nodeports": "1"},
                used={"services": "1", "services.loadbalancers": "0", "services.nodeports": "0"},
            )
        ],
        {0: {"services": "1", "services.loadbalancers": "1", "services.nodeports": "1"}},
    ),
    "a load balancer without node ports": (
        Write(*SERVICES, service("LoadBalancer", 80, allocateLoadBalancerNodePorts=False)),
        [quota(hard={"services.nodeports": "0", "services.loadbalancers": "1"})],
        {0: {"services.nodeports": "0", "services.loadbalancers": "1"}},
    ),
    "a claim of a class": (
        Write(*CLAIMS, claim(spec={"storageClassName": "gold"})),
        [quota(hard={GOLD: "10Gi", "requests.storage": "10Gi"})],
        {0: {GOLD: "1Gi", "requests.storage": "1Gi"}},
    ),
    "a claim of a class in the old way": (
        Write(*CLAIMS, claim(metadata={"annotations": {"volume.beta.kubernetes.io/storage-class": "gold"}})),
        [quota(hard={GOLD: "10Gi"})],
        {0: {GOLD: "1Gi"}},
    ),
    "a claim grows": (
        Write(*CLAIMS, claim("3Gi"), claim("1Gi")),
        [quota(hard={"requests.storage": "10Gi"}, used={"requests.storage": "1Gi"})],
        {0: {"requests.storage": "3Gi"}},
    ),
    "a claim that is being expanded keeps what it has": (
        Write(
            *CLAIMS, claim("1Gi", status={"allocatedResources": {"storage": "3Gi"}}), claim("1Gi"), "status"
        ),
        [quota(hard={"requests.storage": "1Gi"}, used={"requests.storage": "1Gi"})],
        {0: {"requests.storage": "3Gi"}},
    ),
    "half a byte is a byte": (
        Write(*CLAIMS, claim("1500m")),
        [quota(hard={"requests.storage": "2"})],
        {0: {"requests.storage": "2"}},
    ),
    "claims by their attributes": (
        Write(*CLAIMS, claim(spec={"volumeAttributesClassName": "fast"})),
        [
            quota(
                "fast",
                {"requests.storage": "2Gi"},
                match=[{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}],
            ),
            quota(
                "slow",
                {"requests.storage": "2Gi"},
                match=[{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["slow"]}],
            ),
        ],
        {0: {"requests.storage": "1Gi"}},
    ),
    "devices": (
        Write(
            *DEVICES,
            devices(
                {"exactly": device(2)},
                {"exactly": device(mode="All")},
                {"firstAvailable": [device(4), device(1), device(3, name="fpga")]},
            ),
        ),
        [quota(hard={GPU: "99", "count/resourceclaims.resource.k8s.io": "1"})],
        {0: {GPU: "38", "count/resourceclaims.resource.k8s.io": "1"}},
    ),
    "objects of any kind": (
        Write("apps", "deployments", {}),
        [quota(hard={"count/deployments.apps": "2", "pods": "0"})],
        {0: {"count/deployments.apps": "1", "pods": "0"}},
    ),
}


@pytest.mark.parametrize("case", CHARGED)
def test_what_is_charged(case: str) -> None:
    write, quotas, want = CHARGED[case]
    found = charges(write, quotas)
    shown = {index: {name: str(amount) for name, amount in usage.items()} for index, usage in found.items()}
    assert shown == want


LIMITED_CPU = [{"resource": "pods", "matchContains": ["cpu"]}]
LIMITED_ALL = [{"resource": "pods", "matchContains": ["cpu", "memory"]}]
LIMITED_GOLD = [{"resource": "persistentvolumeclaims", "matchContains": [".storageclass.storage.k8s.io/"]}]
LIMITED_HIGH = [{"resource": "pods", "matchScopes": [priority("In", "cluster-services")]}]
HIGH = pod("1", priorityClassName="cluster-services")

REFUSED: dict[str, tuple[Any, ...]] = {
    "no room": (
        Write(*PODS, pod("1100m", "1Gi")),
        [quota(hard={"cpu": "3", "memory": "4Gi"}, used={"cpu": "2", "memory": "1Gi"})],
        [],
        "exceeded quota: quota, requested: cpu=1100m, used: cpu=2, limited: cpu=3",
    ),
    "no room for several": (
        Write(*PODS, pod("2", "5Gi")),
        [quota(hard={"cpu": "1", "memory": "4Gi", "pods": "1"})],
        [],
        "exceeded quota: quota, requested: cpu=2,memory=5Gi, used: cpu=0,memory=0, limited: cpu=1,memory=4Gi",
    ),
    "not said": (
        Write(*PODS, pod()),
        [quota(hard={"limits.cpu": "1", "memory": "1Gi", "pods": "1"})],
        [],
        "failed quota: quota: must specify limits.cpu for: c; memory for: c",
    ),
    "not counted": (
        Write(*PODS, pod("1")),
        [quota(hard={"cpu": "3", "pods": "5", "services": "1"}, used={"cpu": "1"})],
        [],
        "status unknown for quota: quota, resources: cpu,pods",
    ),
    "a second load balancer": (
        Write(*SERVICES, service("LoadBalancer", 80), service("", 80)),
        [quota(hard={"services.loadbalancers": "1"}, used={"services.loadbalancers": "1"})],
        [],
        "exceeded quota: quota, requested: services.loadbalancers=1, used: services.loadbalancers=1, "
        "limited: services.loadbalancers=1",
    ),
    "a class of pods changes quotas as a whole": (
        Write(*PODS, pod("2"), pod(), "resize"),
        [quota("named", {"pods": "0"}, None, "NotBestEffort")],
        [],
        "exceeded quota: named, requested: pods=1, used: pods=0, limited: pods=0",
    ),
    "limited, and no quota": (
        Write(*PODS, pod("1")),
        [],
        LIMITED_CPU,
        "insufficient quota to consume: cpu,requests.cpu",
    ),
    "limited, and a quota of something else": (
        Write(*PODS, pod("1", "1Gi")),
        [quota(hard={"cpu": "3", "requests.cpu": "3"})],
        LIMITED_ALL,
        "insufficient quota to consume: memory,requests.memory",
    ),
    "limited by a class of storage": (
        Write(*CLAIMS, claim(spec={"storageClassName": "gold"})),
        [quota(hard={"requests.storage": "9Gi"})],
        LIMITED_GOLD,
        "insufficient quota to consume: gold.storageclass.storage.k8s.io/persistentvolumeclaims," + GOLD,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    write, quotas, limited, text = REFUSED[case]
    with pytest.raises(Refused) as caught:
        charges(write, quotas, limited)
    assert str(caught.value) == text


ONLY_HIGH = quota("high", {"cpu": "9"}, match=[priority("In", "cluster-services")])
COVERED: dict[str, tuple[Any, ...]] = {
    "a quota for it": (Write(*PODS, HIGH), [ONLY_HIGH], LIMITED_HIGH),
    "a quota for any class": (
        Write(*PODS, HIGH),
        [quota(hard={"cpu": "9"}, match=[priority("Exists")])],
        LIMITED_HIGH,
    ),
    "another class": (Write(*PODS, pod("1", priorityClassName="low")), [], LIMITED_HIGH),
    "no class": (Write(*PODS, pod("1")), [], LIMITED_HIGH),
    "another resource": (Write(*PODS, pod("1")), [], LIMITED_GOLD),
    "nothing of what is limited": (Write(*PODS, pod()), [], LIMITED_CPU),
    "another group's pods": (
        Write(*PODS, pod("1")),
        [],
        [{"apiGroup": "example.com", "resource": "pods", "matchContains": ["cpu"]}],
    ),
    "no more than before": (Write(*PODS, HIGH, HIGH, "resize"), [], LIMITED_HIGH),
    "services have no scopes": (Write(*SERVICES, service("", 80)), [], LIMITED_HIGH),
}


@pytest.mark.parametrize("case", COVERED)
def test_what_is_limited_and_covered(case: str) -> None:
    write, quotas, limited = COVERED[case]
    charges(write, quotas, limited)


UNCOVERED: dict[str, tuple[Any, ...]] = {
    "no quota": ([], LIMITED_HIGH, "{PriorityClass In [cluster-services]}"),
    "a quota without scopes": (
        [quota(hard={"cpu": "9"})],
        LIMITED_HIGH,
        "{PriorityClass In [cluster-services]}",
    ),
    "a quota of another class": (
        [quota(hard={"cpu": "9"}, match=[priority("In", "other")])],
        LIMITED_HIGH,
        "{PriorityClass In [cluster-services]}",
    ),
    "any class is limited": (
        [],
        [{"resource": "pods", "matchScopes": [priority("Exists"), priority("NotIn", "a", "b")]}],
        "{PriorityClass Exists []} {PriorityClass NotIn [a b]}",
    ),
}


@pytest.mark.parametrize("case", UNCOVERED)
def test_what_is_limited_and_nobodys(case: str) -> None:
    quotas, limited, shown = UNCOVERED[case]
    with pytest.raises(Uncovered) as caught:
        charges(Write(*PODS, HIGH), quotas, limited)
    assert str(caught.value) == f"insufficient quota to match these scopes: [{shown}]"


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("ResourceQuotaConfiguration", "apiserver.config.k8s.io/v1"),
        ("Configuration", "resourcequota.admission.k8s.io/v1alpha1"),
        ("Configuration", "resourcequota.admission.k8s.io/v1beta1"),
    ],
)
def test_configuration(kind: str, version: str) -> None:
    document = {"kind": kind, "apiVersion": version, "limitedResources": [{"resource": "pods"}]}
    assert isinstance(ResourceQuota.configured(document), ResourceQuota)
    with pytest.raises(BadConfiguration) as caught:
        ResourceQuota.configured({**document, "limitedResources": [{"resource": "pods"}, {}]})
    assert "limitedResources[1].resource: Required value" in str(caught.value)


def test_configurations_of_another_kind() -> None:
    with pytest.raises(BadConfiguration):
        ResourceQuota.configured({"kind": "Configuration", "apiVersion": "apiserver.config.k8s.io/v1"})
    assert isinstance(ResourceQuota.configured(None), ResourceQuota)
