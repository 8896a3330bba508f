"""Admission policies in a whole cluster: type checks report, and policies meet the controllers' writes."""

import asyncio
from typing import Any

import pytest

from tiphys.apimachinery.errors import Invalid
from tiphys.client.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    PODS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow
VERSION = "admissionregistration.k8s.io/v1"
BOATS = {
    "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["boats"], "operations": ["CREATE"]
}  # fmt: skip
OF_DEPLOYMENTS = {
    "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]
}  # fmt: skip
OF_PODS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}


def policy(kind: str, name: str, rule: Any, **spec: Any) -> dict[str, Any]:
    whole = {"matchConstraints": {"resourceRules": [rule]}, **spec}
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": whole}


def validating(name: str, rule: Any, *validations: dict[str, str]) -> dict[str, Any]:
    return policy("ValidatingAdmissionPolicy", name, rule, validations=list(validations))


def binding(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    whole = {"policyName": name, **spec}
    return {"apiVersion": VERSION, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": whole}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


async def checked(cluster: Cluster, name: str) -> dict[str, Any]:
    """Wait for the type check and return what it says."""

    def done(item: Any) -> bool:
        return "typeChecking" in ((item or {}).get("status") or {})

    found = await cluster.wait_for(VALIDATING_ADMISSION_POLICIES, name, "", done)
    assert found is not None
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    return dict(found["status"]["typeChecking"])


async def test_types_are_checked() -> None:
    async with Cluster(nodes=0) as cluster:
        good = validating("good", OF_DEPLOYMENTS, {"expression": "object.spec.replicas > 1"})
        await cluster.client.create(VALIDATING_ADMISSION_POLICIES, good)
        assert await checked(cluster, "good") == {}
        confused = validating("confused", OF_DEPLOYMENTS, {
            "expression": "object.spec.replicas > '1'",
            "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
        })  # fmt: skip
        await cluster.client.create(VALIDATING_ADMISSION_POLICIES, confused)
        first, second = (await checked(cluster, "confused"))["expressionWarnings"]
        assert first["fieldRef"] == "spec.validations[0].expression"
        assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
        assert second["fieldRef"] == "spec.validations[0].messageExpression"
        assert "found no matching overload for '_+_' applied to '(string, int)'" in second["warning"]


async def test_types_of_custom_kinds_are_checked() -> None:
    spec = {"type": "object", "properties": {"length": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [version],
        },
    }  # fmt: skip

    def established(item: Any) -> bool:
        conditions = ((item or {}).get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    async with Cluster(nodes=0) as cluster:
        await cluster.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
        await cluster.wait_for(CUSTOM_RESOURCE_DEFINITIONS, "boats.example.com", "", established)
        made = validating(
            "boats", BOATS, {"expression": "object.spec.length > 1"}, {"expression": "object.spec.beam > 1"}
        )
        await cluster.client.create(VALIDATING_ADMISSION_POLICIES, made)
        (warning,) = (await checked(cluster, "boats"))["expressionWarnings"]
        assert warning["fieldRef"] == "spec.validations[1].expression"
        assert warning["warning"].startswith(
            "example.com/v1, Kind=Boat: ERROR: <input>:1:12: undefined field 'beam'"
        )


async def attempt(cluster: Cluster, obj: dict[str, Any]) -> str:
    """Create an object; returns why that was refused, and takes it away where it was not."""
    try:
        await cluster.client.create(DEPLOYMENTS, obj)
    except Invalid as error:
        return str(error)
    await cluster.client.delete(DEPLOYMENTS, obj["metadata"]["name"], "default")
    return ""


async def refusal(cluster: Cluster, obj: dict[str, Any]) -> str:
    """Try until a policy is in force: the server follows policies like anybody else."""
    for _ in range(100):
        why = await attempt(cluster, obj)
        if why:
            return why
        await asyncio.sleep(0)
    raise AssertionError("no policy has refused")


async def test_policies_meet_what_controllers_write() -> None:
    async with Cluster(nodes=1) as cluster:
        client = cluster.client
        expression = 'Object{metadata: Object.metadata{labels: {"painted": "yes"}}}'
        mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        await client.create(
            MUTATING_ADMISSION_POLICIES,
            policy(
                "MutatingAdmissionPolicy", "paint", OF_PODS, mutations=[mutation], reinvocationPolicy="Never"
            ),
        )
        await client.create(MUTATING_ADMISSION_POLICY_BINDINGS, binding("MutatingAdmissionPolicy", "paint"))
        rule = {"expression": "object.spec.replicas > 1", "message": "too few"}
        await client.create(VALIDATING_ADMISSION_POLICIES, validating("few", OF_DEPLOYMENTS, rule))
        await client.create(
            VALIDATING_ADMISSION_POLICY_BINDINGS,
            binding("ValidatingAdmissionPolicy", "few", validationActions=["Deny"]),
        )
        assert (await refusal(cluster, deployment("one", 1))).endswith("denied request: too few")
        await client.create(DEPLOYMENTS, deployment("two", 2))

        def ready(item: Any) -> bool:
            return ((item or {}).get("status") or {}).get("readyReplicas") == 2

        await cluster.wait_for(DEPLOYMENTS, "two", "default", ready)
        pods = await client.list(PODS, "default", label_selector="painted=yes")
        assert len(pods["items"]) == 2
