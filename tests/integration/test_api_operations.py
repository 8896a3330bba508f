"""The operations of kinds that have no work of their own, step by step as upstream's tests do them.

Three objects are made with generated names; one is read, patched, updated and watched; its status is read,
patched and updated where it has one. One is deleted, and the others together.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Typed, condition, eventually

RULES = [
    {
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
]  # fmt: skip
FLOW = "flowcontrol.apiserver.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"
TARGET = {"apiGroup": "example.com", "kind": "IngressParams", "name": "external-lb"}


@dataclass(frozen=True)
class Case:
    """A kind, an object of it, and what is changed of its spec."""

    version: str
    plural: str
    kind: str
    body: Object
    patch: Object = field(default_factory=dict)
    update: Object = field(default_factory=dict)
    status: Object | None = None
    """What is patched into the status; a second field of the kind's own stands for conditions."""
    namespaced: bool = False
    names: tuple[str, ...] = ()
    """Names where they mean something, in place of generated ones."""


SINCE = {"lastTransitionTime": "2026-01-01T00:00:00Z"}


def conditions(kind: str) -> Object:
    told = {"type": kind, "status": "False", "reason": "e2e", "message": "Set by a test"}
    return {"conditions": [{**told, **SINCE}]}


PATCHED = conditions("Patched")
CASES = [
    Case(FLOW, "flowschemas", "FlowSchema", {"spec": {
        "matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                   "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}],
    }}, {"spec": {"matchingPrecedence": 9999}}, {"spec": {"matchingPrecedence": 9000}}, PATCHED),
    Case(FLOW, "prioritylevelconfigurations", "PriorityLevelConfiguration", {"spec": {
        "type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
    }}, {"spec": {"limited": {"nominalConcurrencyShares": 4}}},
        {"spec": {"limited": {"nominalConcurrencyShares": 6}}}, PATCHED),
    Case(ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", {"spec": {
        "matchConstraints": {"resourceRules": RULES, "namespaceSelector": {"matchLabels": {"no": "such"}}},
        "validations": [{"expression": "object.spec.replicas <= 100"}],
    }}, {"spec": {"failurePolicy": "Ignore"}}, {"spec": {"failurePolicy": "Fail"}}, PATCHED),
    Case(ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", {"spec": {
        "policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"],
    }}, {"spec": {"validationActions": ["Warn"]}}, {"spec": {"validationActions": ["Audit"]}}),
    Case(ADMISSION, "mutatingadmissionpolicies", "MutatingAdmissionPolicy", {"spec": {
        "matchConstraints": {"resourceRules": RULES, "namespaceSelector": {"matchLabels": {"no": "such"}}},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": 'Object{metadata: Object.metadata{labels: {"a": "b"}}}'}}],
    }}, {"spec": {"failurePolicy": "Ignore"}}, {"spec": {"failurePolicy": "Fail"}}),
    Case(ADMISSION, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", {"spec": {
        "policyName": "replicalimit-policy.example.com",
    }}, {"spec": {"policyName": "other.example.com"}}, {"spec": {"policyName": "third.example.com"}}),
    Case("networking.k8s.io/v1", "ingresses", "Ingress", {"spec": {
        "defaultBackend": {"service": {"name": "default-backend", "port": {"number": 8080}}},
        "rules": [{"host": "foo.bar.com", "http": {"paths": [{
            "path": "/", "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "test-backend", "port": {"number": 8080}}}}]}}],
    }}, {}, {"spec": {"ingressClassName": "none"}},
        {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}, namespaced=True),
    Case("networking.k8s.io/v1", "ingressclasses", "IngressClass", {"spec": {
        "controller": "example.com/controller", "parameters": TARGET,
    }}),
    Case("networking.k8s.io/v1", "ipaddresses", "IPAddress", {"spec": {"parentRef": {
        "group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar",
    }}}, names=("255.255.255.255", "fe80::42:1dff:fe84:f9e2", "192.0.2.7")),
    Case("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}, {"addresses": ["2.2.3.4", "6.6.7.8"]}],
    }, namespaced=True),
    Case("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", {"handler": "runc"}),
    Case("storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity", {
        "storageClassName": "example", "capacity": "1Gi",
    }, {"capacity": "2Gi"}, {"maximumVolumeSize": "1Gi"}, namespaced=True),
    Case("storage.k8s.io/v1", "volumeattributesclasses", "VolumeAttributesClass", {
        "driverName": "e2e-fake-csi-driver", "parameters": {"iops": "100"},
    }),
    Case("storage.k8s.io/v1", "storageclasses", "StorageClass", {
        "provisioner": "e2e-fake-provisioner", "reclaimPolicy": "Delete",
    }, {}, {"allowVolumeExpansion": True}),
    Case("storage.k8s.io/v1", "csidrivers", "CSIDriver", {"spec": {
        "volumeLifecycleModes": ["Persistent", "Ephemeral"],
    }}, {"spec": {"requiresRepublish": True}}, {"spec": {"storageCapacity": True}}),
    Case("storage.k8s.io/v1", "csinodes", "CSINode", {"spec": {"drivers": []}}),
    Case("storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", {"spec": {
        "attacher": "e2e-fake-csi-driver", "nodeName": "none", "source": {"persistentVolumeName": "none"},
    }}, status={"attached": False, "attachmentMetadata": {"patched": "true"}}),
    Case("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", {"value": 9}, {}, {"description": "a"}),
    Case("v1", "podtemplates", "PodTemplate", {"template": {"spec": {
        "containers": [{"name": "nginx", "image": "nginx"}]}}}, namespaced=True),
    Case("v1", "configmaps", "ConfigMap", {"data": {"a": "b"}}, {"data": {"a": "c"}}, {"data": {"a": "d"}},
         namespaced=True),
    Case("v1", "secrets", "Secret", {"data": {"a": "Yg=="}}, {"data": {"a": "Yw=="}}, {"data": {"a": "ZA=="}},
         namespaced=True),
    Case("v1", "serviceaccounts", "ServiceAccount", {"automountServiceAccountToken": False}, {},
         {"automountServiceAccountToken": True}, namespaced=True),
    Case("v1", "limitranges", "LimitRange", {"spec": {"limits": [
        {"type": "Container", "max": {"cpu": "4"}}]}}, {"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "5"}}]}}, {}, namespaced=True),
    Case("v1", "endpoints", "Endpoints", {"subsets": [
        {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}]},
         {"subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}]},
         namespaced=True),
    Case("coordination.k8s.io/v1", "leases", "Lease", {"spec": {
        "holderIdentity": "holder", "leaseDurationSeconds": 30, "leaseTransitions": 0,
    }}, {"spec": {"leaseDurationSeconds": 60}}, {"spec": {"holderIdentity": "other"}}, namespaced=True),
    Case("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", {"spec": {
        "minAvailable": "1%", "selector": {"matchLabels": {"no": "such"}},
    }}, {"spec": {"minAvailable": "2%"}}, {"spec": {"minAvailable": "3%"}}, namespaced=True),
    Case("apps/v1", "controllerrevisions", "ControllerRevision", {"revision": 1, "data": {"a": "b"}},
         {"revision": 2}, {"revision": 3}, namespaced=True),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])
def test_operations(api: Any, namespace: str, case: Case) -> None:
    Steps(api, namespace, case).run()


class Steps:
    """The steps for one kind."""

    def __init__(self, api: Any, namespace: str, case: Case) -> None:
        self.case, self.namespace = case, namespace if case.namespaced else ""
        self.client = Typed(api, case.version, case.plural, self.namespace)
        self.everywhere = self.client.within("")
        self.label = f"example-e2e-label={namespace}"
        self.api = api

    def run(self) -> None:
        self.discovered()
        made = [self.client.create(self._object(number)) for number in range(3)]
        self.name, self.uid = made[2]["metadata"]["name"], made[2]["metadata"]["uid"]
        self.version = int(made[2]["metadata"]["resourceVersion"])
        assert self.client.get(self.name)["metadata"]["uid"] == self.uid
        listed = self.everywhere.list(labelSelector=self.label)
        assert len(listed["items"]) == 3
        start = listed["metadata"]["resourceVersion"]
        with (
            self.everywhere.watch(start, labelSelector=self.label) as events,
            self.client.watch(start, labelSelector=self.label) as own,
        ):
            self.changed()
            for seen_by in (events, own):
                for kind, seen in seen_by:
                    assert (kind, seen["metadata"]["name"]) == ("MODIFIED", self.name)
                    if seen["metadata"].get("annotations", {}).get("patched") == "true":
                        break
            if self.case.status is not None:
                self.status()
            self.deleted(events)

    def discovered(self) -> None:
        group, _, version = self.case.version.rpartition("/")
        if group:
            groups = self.api("GET", "/apis").json["groups"]
            (found,) = (one for one in groups if one["name"] == group)
            assert self.case.version in [one["groupVersion"] for one in found["versions"]]
            alone = self.api("GET", f"/apis/{group}").json
            assert version in [one["version"] for one in alone["versions"]]
        path = f"/apis/{self.case.version}" if group else f"/api/{version}"
        names = [one["name"] for one in self.api("GET", path).json["resources"]]
        assert self.case.plural in names
        assert self.case.status is None or f"{self.case.plural}/status" in names

    def _object(self, number: int) -> Object:
        key, _, value = self.label.partition("=")
        meta: Object = {"labels": {key: value}}
        names = self.case.names
        meta |= {"name": names[number]} if names else {"generateName": "e2e-example-"}
        if self.namespace:
            meta["namespace"] = self.namespace
        return {"apiVersion": self.case.version, "kind": self.case.kind, "metadata": meta, **self.case.body}

    def changed(self) -> None:
        patch = {"metadata": {"annotations": {"patched": "true"}}, **self.case.patch}
        patched = self.client.patch(self.name, patch)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert _holds(patched, self.case.patch)
        assert int(patched["metadata"]["resourceVersion"]) > self.version

        def update(live: Object) -> None:
            live["metadata"]["annotations"]["updated"] = "true"
            _lay(live, self.case.update)

        updated = self.client.changed(self.name, update)
        assert updated["metadata"]["annotations"]["updated"] == "true"
        assert _holds(updated, self.case.update)

    def status(self) -> None:
        """What is not the status is left alone, and the other way round."""
        case, dynamic = self.case, self.client.as_json()
        read = dynamic.get(self.name, "status")
        assert (read["apiVersion"], read["kind"], read["metadata"]["uid"]) == (
            case.version, case.kind, self.uid,
        )  # fmt: skip
        spec = read.get("spec")
        annotations = {"annotations": {"patchedstatus": "true"}}
        patch = {"metadata": annotations, "status": case.status, "spec": None}
        patched = self.client.patch(self.name, patch, subresource="status")
        assert _holds(patched, {"status": case.status})
        kept = (patched["metadata"].get("annotations") or {}).get("patchedstatus")
        assert (kept == "true") == (case.kind in _STATUS_WRITES_METADATA)

        def update(live: Object) -> None:
            if "conditions" in (case.status or {}):
                live["status"]["conditions"].append(
                    {"type": "StatusUpdateFailed", "status": "False", "reason": "E2E", **SINCE}
                )
            else:
                live["metadata"].setdefault("annotations", {})["updatedstatus"] = "true"
            for address in (live["status"].get("loadBalancer") or {}).get("ingress") or ():
                address["ip"] = "169.1.1.2"

        updated = self.client.changed(self.name, update, "status")
        if "conditions" in (case.status or {}):
            assert condition(updated, "StatusUpdateFailed")["reason"] == "E2E"
            assert condition(updated, "Patched")["reason"] == "e2e"
        else:
            found = (updated["metadata"].get("annotations") or {}).get("updatedstatus")
            assert (found == "true") == (case.kind in _STATUS_WRITES_METADATA)
        if case.kind == "Ingress":
            assert updated["status"] == {"loadBalancer": {"ingress": [{"ip": "169.1.1.2"}]}}
        last = dynamic.get(self.name, "status")
        assert (last["metadata"]["uid"], last.get("spec")) == (self.uid, spec)

    def deleted(self, events: Any) -> None:
        """Some wait for their protection to be lifted."""
        self.client.delete(self.name)
        eventually(lambda: self.client.gone(self.name))
        assert any((kind, seen["metadata"]["name"]) == ("DELETED", self.name) for kind, seen in events)
        assert len(self.everywhere.list(labelSelector=self.label)["items"]) == 2
        self.client.delete_collection(labelSelector=self.label)
        eventually(lambda: self.everywhere.list(labelSelector=self.label)["items"] == [])


_STATUS_WRITES_METADATA = {"Ingress", "PodDisruptionBudget"}
"""Of the kinds here those that are old enough."""


def _holds(obj: Any, part: Any) -> bool:
    """Tell whether an object has all that a merge patch says."""
    if isinstance(part, dict) and isinstance(obj, dict):
        return all(_holds(obj.get(key), value) for key, value in part.items())
    if isinstance(part, list) and isinstance(obj, list):
        return len(part) == len(obj) and all(_holds(one, two) for one, two in zip(obj, part, strict=True))
    return bool(obj == part or (not obj and not part))


def _lay(obj: Object, part: Object) -> None:
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(obj.get(key), dict):
            _lay(obj[key], value)
        else:
            obj[key] = value


def test_the_range_of_services(api: Any) -> None:
    """It is there, with its status, listed and watched; nobody takes it away."""
    ranges = Typed(api, "networking.k8s.io/v1", "servicecidrs")
    found = ranges.get("kubernetes")
    status = ranges.as_json().get("kubernetes", "status")
    assert (status["apiVersion"], status["kind"]) == ("networking.k8s.io/v1", "ServiceCIDR")
    assert status["metadata"]["uid"] == found["metadata"]["uid"]
    assert "kubernetes" in [one["metadata"]["name"] for one in ranges.list()["items"]]
    with ranges.watch("") as events:
        assert any((kind, seen["metadata"]["name"]) == ("ADDED", "kubernetes") for kind, seen in events)


def test_a_nodes_life(api: Any) -> None:
    """A label named after the node, by a patch and an update; a status from the start, and by a patch."""
    nodes, name = Typed(api, "v1", "nodes"), "e2e-fake-node"
    ready = {"type": "Ready", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    status = {"phase": "Running", "conditions": [ready], "capacity": {"cpu": "10"}}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": True}}
    made = nodes.create({**body, "status": status})
    assert made["metadata"]["name"] == name
    assert ready.items() <= condition(made, "Ready").items()
    assert nodes.get(name)["metadata"]["uid"] == made["metadata"]["uid"]
    patched = nodes.patch(name, {"metadata": {"labels": {name: "patched"}}}, STRATEGIC)
    assert patched["metadata"]["labels"][name] == "patched"
    assert len(nodes.list(labelSelector=f"{name}=patched")["items"]) == 1
    updated = nodes.changed(name, lambda live: live["metadata"]["labels"].update({name: "updated"}))
    assert updated["metadata"]["labels"][name] == "updated"
    (found,) = nodes.list(labelSelector=f"{name}=updated")["items"]
    assert (found["spec"]["unschedulable"], found["status"]["capacity"]) == (True, {"cpu": "10"})
    nodes.patch(name, {"status": {"phase": "Pending"}}, STRATEGIC, "status")
    assert nodes.get(name)["status"]["phase"] == "Pending"
    nodes.delete(name)
    eventually(lambda: nodes.gone(name))


def test_a_quotas_life(api: Any, namespace: str) -> None:
    """As a client has it that gives amounts in its own words."""
    quotas = Typed(api, "v1", "resourcequotas", namespace)
    label = {"e2e-rq-label": namespace}
    hard = {"cpu": "1", "memory": "500Mi"}
    quotas.create({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "life", "labels": label},
        "spec": {"hard": hard},
    })  # fmt: skip
    selector = f"e2e-rq-label={namespace}"
    (listed,) = quotas.within("").list(labelSelector=selector)["items"]
    assert listed["spec"]["hard"] == hard
    patch = {"metadata": {"labels": {"life": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = quotas.patch("life", patch, STRATEGIC)
    assert patched["metadata"]["labels"]["life"] == "patched"
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    unconditional = {"name": "life", "namespace": namespace, "labels": label}
    wider = {"cpu": "2", "memory": "1Gi"}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": unconditional, "spec": {"hard": wider}}
    assert quotas.update(body)["spec"]["hard"] == wider
    quotas.delete_collection(labelSelector=selector)
    assert quotas.gone("life")


def test_a_leases_life(api: Any, namespace: str) -> None:
    """Its times are of the year one: the client's clock starts at zero."""
    leases = Typed(api, "coordination.k8s.io/v1", "leases", namespace)

    def spec(holder: str, seconds: int, changes: int, *times: str) -> Object:
        acquired, renewed = (f"0001-01-01T00:{time}.000000Z" for time in times)
        return {
            "holderIdentity": holder, "leaseDurationSeconds": seconds, "acquireTime": acquired,
            "renewTime": renewed, "leaseTransitions": changes,
        }  # fmt: skip

    first = spec("holder", 30, 0, "00:02", "00:05")
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    leases.create({**head, "metadata": {"name": "lease"}, "spec": first})
    found = leases.get("lease")
    assert found["spec"] == first
    second = spec("holder2", 60, 1, "00:20", "00:50")
    leases.update({**found, "spec": second})
    assert leases.get("lease")["spec"] == second
    third = spec("holder3", 120, 0, "00:30", "01:10")
    patch = {"spec": {key: value for key, value in third.items() if key != "leaseTransitions"}}
    leases.patch("lease", patch, STRATEGIC)
    assert leases.get("lease")["spec"] == third | {"leaseTransitions": 1}
    labels = {"deletecollection": "true"}
    leases.create({**head, "metadata": {"name": "lease2", "labels": labels}, "spec": first})
    assert len(leases.list(labelSelector="deletecollection=true")["items"]) == 1
    leases.delete_collection(labelSelector="deletecollection=true")
    assert leases.gone("lease2")
    leases.delete("lease")
    assert leases.gone("lease")
