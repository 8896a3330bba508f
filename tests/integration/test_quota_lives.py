"""One quota for everything, and what it says while objects of each kind come, are refused, change and go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Refused, Typed, condition, eventually

DONGLE = "example.com/dongle"
GOLD = "gold.storageclass.storage.k8s.io"
HARD = {
    "pods": "5", "services": "10", "services.nodeports": "1", "services.loadbalancers": "1",
    "replicationcontrollers": "10", "resourcequotas": "1", "cpu": "1", "memory": "500Mi", "configmaps": "10",
    "secrets": "10", "persistentvolumeclaims": "10", "requests.storage": "10Gi", "ephemeral-storage": "50Gi",
    f"{GOLD}/persistentvolumeclaims": "10", f"{GOLD}/requests.storage": "10Gi", "count/replicasets.apps": "5",
    f"requests.{DONGLE}": "3",
}  # fmt: skip
NOWHERE = {"x-test.k8s.io/unsatisfiable": "not-schedulable"}


class Quota:
    """The quota of a namespace, and clients of what it counts."""

    def __init__(self, api: Any, namespace: str, **hard: str) -> None:
        self.client = Typed(api, "v1", "resourcequotas", namespace)
        self.core = {
            kind: Typed(api, "v1", kind, namespace)
            for kind in ("pods", "services", "configmaps", "secrets", "replicationcontrollers")
        } | {"replicasets": Typed(api, "apps/v1", "replicasets", namespace)}
        assert self.client.list()["items"] == []
        self.client.create({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "test-quota"},
            "spec": {"hard": HARD | hard},
        })  # fmt: skip
        self.says(resourcequotas="1")

    def says(self, **amounts: str) -> None:
        self.uses(amounts)

    def uses(self, amounts: Object) -> None:
        """Wait until it tells of all that it limits, and of these as given."""

        def look() -> bool:
            status = self.client.get("test-quota").get("status", {})
            used = status.get("used", {})
            return used.keys() == status.get("hard", {}).keys() and amounts.items() <= used.items()

        eventually(look)


def _pod(name: str, requests: Object, **limits: str) -> Object:
    resources = {"requests": requests, "limits": {DONGLE: limits["dongle"]} if limits else {}}
    container = {"name": "pause", "image": "e2e/pause", "resources": resources}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeSelector": NOWHERE, "containers": [container]},
    }  # fmt: skip


def _amounts(cpu: str, memory: str, disk: str = "", dongles: str = "") -> Object:
    found = {"cpu": cpu, "memory": memory, "ephemeral-storage": disk, DONGLE: dongles}
    return {key: value for key, value in found.items() if value}


def test_a_pod(api: Any, namespace: str) -> None:
    quota = Quota(api, namespace)
    pods = quota.core["pods"]
    fits = _amounts("500m", "252Mi", "30Gi", "2")
    pods.create(_pod("test-pod", fits, dongle="2"))
    counted = {
        "resourcequotas": "1", "pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi",
        f"requests.{DONGLE}": "2",
    }  # fmt: skip
    quota.uses(counted)
    for name, requests, limits in (
        ("fail-pod", _amounts("600m", "100Mi"), {}),
        ("fail-pod-for-extended-resource", _amounts("500m", "100Mi", "30Gi", "2"), {"dongle": "2"}),
    ):
        with pytest.raises(Refused) as told:
            pods.create(_pod(name, requests, **limits))
        assert told.value.reason == "Forbidden"
    # Whoever says that it fits nowhere has done so, and the version stays.
    made = pods.until("test-pod", lambda pod: condition(pod, "PodScheduled"))
    made["spec"]["containers"][0]["resources"]["requests"] = _amounts("100m", "100Mi", "10Gi")
    with pytest.raises(Refused) as told:
        pods.update(made)
    assert told.value.reason == "Invalid"
    quota.uses(counted)
    pods.delete("test-pod", gracePeriodSeconds=0)
    quota.uses(dict.fromkeys(counted, "0") | {"resourcequotas": "1"})


def _service(name: str, kind: str, **spec: Any) -> Object:
    body = {"type": kind, "ports": [{"port": 80, "targetPort": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def test_services(api: Any, namespace: str) -> None:
    """A balancer that would take a second port of nodes is refused, and takes nothing."""
    quota = Quota(api, namespace)
    services = quota.core["services"]
    services.create(_service("test-service", "ClusterIP"))
    services.create(_service("test-service-np", "NodePort"))
    with pytest.raises(Refused) as told:
        services.create(_service("test-service-lb", "LoadBalancer", allocateLoadBalancerNodePorts=True))
    assert told.value.reason == "Forbidden"
    used = {"services": "2", "services.nodeports": "1", "services.loadbalancers": "0"}
    quota.uses(used)
    services.delete("test-service")
    services.delete("test-service-np")
    quota.uses(dict.fromkeys(used, "0"))


def _replicas(kind: str, version: str) -> Object:
    labels = {"name": "test"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "test", "image": "pause"}]}}
    selector = labels if version == "v1" else {"matchLabels": labels}
    spec = {"replicas": 0, "selector": selector, "template": template}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "test"}, "spec": spec}


@pytest.mark.parametrize(
    ("resource", "counted", "body"),
    [
        ("configmaps", "configmaps", {"kind": "ConfigMap", "data": {"a": "b"}}),
        ("secrets", "secrets", {"kind": "Secret", "data": {"data-1": "dmFsdWUtMQo="}}),
        (
            "replicationcontrollers",
            "replicationcontrollers",
            _replicas("ReplicationController", "v1"),
        ),
        ("replicasets", "count/replicasets.apps", _replicas("ReplicaSet", "apps/v1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_objects(api: Any, namespace: str, resource: str, counted: str, body: Object) -> None:
    """The last one that may be."""
    authority = Typed(api, "v1", "configmaps", namespace)
    eventually(lambda: not authority.gone("kube-root-ca.crt"))
    there = len(Typed(api, "v1", resource, namespace).list()["items"]) if resource == "configmaps" else 0
    quota = Quota(api, namespace, **{counted: str(there + 1)})
    quota.uses({counted: str(there)})
    client = quota.core[resource]
    made = {"apiVersion": "v1", "metadata": {"name": "test"}, **body}
    client.create(made)
    quota.uses({counted: str(there + 1)})
    with pytest.raises(Refused) as told:
        client.create({**made, "metadata": {"name": "another"}})
    assert told.value.reason == "Forbidden"
    client.delete("test", propagationPolicy="Background")
    quota.uses({counted: str(there)})


def test_the_quota_itself(api: Any, namespace: str) -> None:
    """Changed by a client that sends what it had created, gone for those who ask after its deletion."""
    client = Typed(api, "v1", "resourcequotas", namespace)
    body: Object = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "test-quota"},
        "spec": {"hard": {"cpu": "1", "memory": "500Mi"}},
    }  # fmt: skip
    client.create(body)
    assert client.get("test-quota")["spec"] == body["spec"]
    body["spec"] = {"hard": {"cpu": "2", "memory": "1Gi"}}
    assert client.update(body)["spec"] == client.get("test-quota")["spec"] == body["spec"]
    client.delete("test-quota")
    assert client.gone("test-quota")
