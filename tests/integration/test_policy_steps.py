"""Admission policies as typed clients bring them, bound to one namespace by its label."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Refused, Typed, eventually

GROUP = "admissionregistration.k8s.io/v1"
DEPLOYMENTS = {
    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
    "resources": ["deployments"],
}  # fmt: skip
ANNOTATES = """
							Object{
								metadata: Object.metadata{
									annotations: {
										"mutated-by": "admission-policy"
									}
								}
							}"""


def _workload(kind: str, name: str, replicas: int, **meta: Any) -> Object:
    labels = {"app": "nginx"}
    pods = {"containers": [{"name": "nginx", "image": "nginx:latest"}]}
    return {
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels, **meta},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods},
        },
    }  # fmt: skip


class Policies:
    """Policies of one kind and their bindings, for a namespace that bears its own name as label."""

    def __init__(self, api: Any, namespace: str, kind: str) -> None:
        self.kind, self.namespace = kind, namespace
        plural = kind.lower()
        self.policies = Typed(api, GROUP, f"{plural[:-1]}ies")
        self.bindings = Typed(api, GROUP, f"{plural}bindings")
        self.deployments = Typed(api, "apps/v1", "deployments", namespace)
        self.sets = Typed(api, "apps/v1", "replicasets", namespace)
        self.selector = {"matchLabels": {namespace: "true"}}
        self.made: list[str] = []
        label = {"metadata": {"labels": {namespace: "true"}}}
        Typed(api, "v1", "namespaces").patch(namespace, label, STRATEGIC)

    def bind(self, spec: Object, **binding: Any) -> None:
        match = {"resourceRules": [DEPLOYMENTS], "namespaceSelector": self.selector}
        policy, name = f"{self.namespace}.policy.example.com", f"{self.namespace}.binding.example.com"
        self.policies.create({
            "apiVersion": GROUP, "kind": self.kind, "metadata": {"name": policy},
            "spec": {"matchConstraints": match, **spec},
        })  # fmt: skip
        self.made.append(policy)
        self.bindings.create({
            "apiVersion": GROUP, "kind": f"{self.kind}Binding", "metadata": {"name": name},
            "spec": {
                "policyName": policy, "matchResources": {"namespaceSelector": self.selector}, **binding,
            },
        })  # fmt: skip

    def end(self) -> None:
        for policy in self.made:
            self.bindings.delete(policy.replace("policy", "binding"))
            self.policies.delete(policy)


@pytest.fixture
def mutating(api: Any, namespace: str) -> Iterator[Policies]:
    made = Policies(api, namespace, "MutatingAdmissionPolicy")
    yield made
    made.end()


@pytest.fixture
def validating(api: Any, namespace: str) -> Iterator[Policies]:
    made = Policies(api, namespace, "ValidatingAdmissionPolicy")
    yield made
    made.end()


@pytest.mark.parametrize("there", [None, {"mine": "stays"}], ids=["none there", "one there"])
def test_annotations_are_added(mutating: Policies, there: Object | None) -> None:
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": ANNOTATES}}
    mutating.bind({"mutations": [mutation], "reinvocationPolicy": "Never"})
    made = mutating.deployments.create(
        _workload("Deployment", "test-deployment", 2, **({"annotations": there} if there else {}))
    )
    assert made["metadata"]["annotations"] == {**(there or {}), "mutated-by": "admission-policy"}


def _denied(policies: Policies, obj: Object) -> Refused | None:
    """Try to create a Deployment; return how it was refused, or delete it again."""
    try:
        policies.deployments.create(obj)
    except Refused as refused:
        return refused
    policies.deployments.delete(obj["metadata"]["name"])
    return None


@pytest.mark.parametrize("named", [False, True], ids=["plain", "by a variable"])
def test_a_deployment_needs_replicas(validating: Policies, named: bool) -> None:
    """What is no Deployment is not judged."""
    variables = [{"name": "replicas", "expression": "object.spec.replicas"}]
    words = ("variables.replicas", {"variables": variables}) if named else ("object.spec.replicas", {})
    told = f"'wants replicas > 1, got ' + string({words[0]})"
    validation = {"expression": f"{words[0]} > 1", "messageExpression": told}
    validating.bind({"validations": [validation], **words[1]}, validationActions=["Deny"])
    marker = _workload("Deployment", "marker-deployment", 1)
    refused = eventually(lambda: _denied(validating, marker))
    assert (refused.reason, refused.code) == ("Invalid", 422)
    assert "wants replicas > 1, got 1" in str(refused)
    for client, kind, name, replicas in (
        (validating.deployments, "Deployment", "replicated", 2),
        (validating.sets, "ReplicaSet", "non-replicated", 1),
    ):
        client.create(_workload(kind, name, replicas))
        client.delete(name)


def test_types_are_checked(validating: Policies) -> None:
    """Right ones without a word, confused ones with a warning for each expression."""
    right = {"expression": "object.spec.replicas > 1"}
    validating.bind({"validations": [right]}, validationActions=["Deny"])
    (name,) = validating.made
    found = validating.policies.until(name, lambda live: "typeChecking" in (live.get("status") or {}))
    assert not found["status"]["typeChecking"].get("expressionWarnings")
    confused = {
        "expression": "object.spec.replicas > '1'",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }
    validating.policies.changed(name, lambda live: live["spec"].update(validations=[confused]))

    def warned(live: Object) -> bool:
        checked = (live.get("status") or {}).get("typeChecking") or {}
        return len(checked.get("expressionWarnings") or ()) == 2

    first, second = validating.policies.until(name, warned)["status"]["typeChecking"]["expressionWarnings"]
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert second["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in second["warning"]
