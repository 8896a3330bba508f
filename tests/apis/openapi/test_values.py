"""What the documents say that absent fields are worth: v3 tells it of built-in kinds, v2 of none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from tiphys.apis.openapi import values
from tiphys.apis.openapi.definitions import built_in, built_in_v3, custom_definitions, render_v2, render_v3
from tiphys.apis.openapi.documents import OpenApi

from .test_documents import WIDGET

NOTHING: Final = object()
API, META = "io.k8s.api.", "io.k8s.apimachinery.pkg.apis.meta.v1."
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
FIELDS: dict[tuple[str, str], Any] = {
    # parts held by value, given or not
    (API + "core.v1.Pod", "metadata"): {},
    (API + "core.v1.Pod", "spec"): {},
    (API + "core.v1.Pod", "status"): {},
    (API + "core.v1.PodList", "metadata"): {},
    (API + "core.v1.PodTemplate", "template"): {},
    (API + "core.v1.ReplicationControllerSpec", "template"): NOTHING,
    (API + "resource.v1alpha3.ResourcePoolStatusRequest", "status"): NOTHING,
    (CRD + "CustomResourceSubresources", "status"): NOTHING,
    # structures
    (API + "core.v1.Container", "resources"): {},
    (API + "core.v1.Container", "livenessProbe"): NOTHING,
    (API + "core.v1.PodSpec", "securityContext"): NOTHING,
    (API + "apps.v1.DeploymentSpec", "strategy"): {},
    (API + "apps.v1.DeploymentSpec", "selector"): NOTHING,
    (API + "autoscaling.v2.ObjectMetricSource", "target"): {},
    (API + "core.v1.ContainerStatus", "lastState"): {},
    (API + "networking.v1.NetworkPolicySpec", "podSelector"): {},
    (API + "networking.v1beta1.IPAddressSpec", "parentRef"): NOTHING,
    (API + "resource.v1beta2.AllocationResult", "devices"): {},
    (API + "rbac.v1.RoleBinding", "roleRef"): {},
    (CRD + "CustomResourceDefinitionStatus", "acceptedNames"): {},
    # texts, numbers, switches that are always written
    (API + "core.v1.Container", "name"): "",
    (API + "core.v1.Container", "image"): NOTHING,
    (API + "core.v1.ContainerPort", "containerPort"): 0,
    (API + "core.v1.ContainerPort", "protocol"): "TCP",
    (API + "core.v1.ContainerStatus", "ready"): False,
    (API + "core.v1.LocalObjectReference", "name"): "",
    (API + "core.v1.Event", "reportingInstance"): "",
    (API + "apps.v1.StatefulSetSpec", "serviceName"): "",
    (API + "policy.v1.PodDisruptionBudgetStatus", "expectedPods"): 0,
    (API + "flowcontrol.v1.QueuingConfiguration", "handSize"): 0,
    (API + "coordination.v1alpha2.LeaseCandidateSpec", "leaseName"): "",
    (META + "Condition", "message"): "",
    (CRD + "CustomResourceDefinitionVersion", "served"): False,
    # required, but left out when empty, or told from what was not given
    (API + "authentication.v1.TokenReviewSpec", "token"): NOTHING,
    (API + "coordination.v1alpha2.LeaseCandidateSpec", "strategy"): NOTHING,
    (API + "networking.v1.HTTPIngressPath", "pathType"): NOTHING,
    (API + "admissionregistration.v1.ValidatingWebhook", "sideEffects"): NOTHING,
    (API + "apiserverinternal.v1alpha1.ServerStorageVersion", "apiServerID"): NOTHING,
    # bytes, and what reads itself
    (API + "certificates.v1.CertificateSigningRequestSpec", "request"): NOTHING,
    (META + "Condition", "lastTransitionTime"): NOTHING,
    (API + "core.v1.HTTPGetAction", "port"): NOTHING,
    (API + "core.v1.ResourceFieldSelector", "divisor"): NOTHING,
    (META + "WatchEvent", "object"): NOTHING,
    # others
    (API + "core.v1.ReplicationControllerSpec", "replicas"): 1,
    (API + "core.v1.RBDVolumeSource", "keyring"): "/etc/ceph/keyring",
    (API + "resource.v1.DeviceToleration", "operator"): "Equal",
    (API + "certificates.v1beta1.PodCertificateRequestSpec", "maxExpirationSeconds"): 86400,
}
INSIDE: dict[tuple[str, str], Any] = {
    (API + "core.v1.PodSpec", "containers"): {},
    (API + "core.v1.Container", "args"): "",
    (META + "ObjectMeta", "labels"): "",
    (API + "core.v1.PodSecurityContext", "supplementalGroups"): 0,
    (API + "resource.v1.CounterSet", "counters"): {},
    (CRD + "JSONSchemaProps", "properties"): {},
    (CRD + "JSONSchemaProps", "dependencies"): NOTHING,
    (CRD + "JSONSchemaProps", "enum"): NOTHING,
    (API + "core.v1.ResourceRequirements", "limits"): NOTHING,
    (API + "core.v1.Secret", "data"): NOTHING,
    (API + "policy.v1.PodDisruptionBudgetStatus", "disruptedPods"): NOTHING,
    (API + "authentication.v1.UserInfo", "extra"): NOTHING,
}


def field_of(name: str, field: str) -> dict[str, Any]:
    node: dict[str, Any] = render_v3(name, built_in_v3()[name])["properties"][field]
    return node


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_fields(name: str, field: str) -> None:
    assert field_of(name, field).get("default", NOTHING) == FIELDS[name, field]


@pytest.mark.parametrize(("name", "field"), INSIDE)
def test_items_and_values(name: str, field: str) -> None:
    node = field_of(name, field)
    inner = node.get("items") or node["additionalProperties"]
    assert inner.get("default", NOTHING) == INSIDE[name, field]
    assert "default" not in node


def test_values_of_values() -> None:
    extra = field_of(API + "authentication.v1.UserInfo", "extra")
    assert extra["additionalProperties"] == {"type": "array", "items": {"type": "string", "default": ""}}


def test_a_reference_stands_beside_its_default() -> None:
    spec = field_of(API + "core.v1.Pod", "spec")
    assert spec["allOf"] == [{"$ref": f"#/components/schemas/{API}core.v1.PodSpec"}]
    assert "$ref" not in spec
    node = field_of(CRD + "JSONSchemaProps", "items")
    assert node == {"$ref": f"#/components/schemas/{CRD}JSONSchemaPropsOrArray"}


def test_every_exception_is_one() -> None:
    """Whatever ``data/values.txt`` names is a field, and is not what the rules say anyway."""
    plain = built_in()
    for name, field in values.fields():
        definition = plain[name]
        node = definition["properties"][field]
        ruled = field in definition.get("required", ()) or (
            "$ref" in node and field in ("metadata", "spec", "status", "template")
        )
        assert ruled == ("default" not in field_of(name, field)), (name, field)


def defaults(node: Any) -> Iterator[Any]:
    """Yield the defaults of a schema; a field may be called that, too."""
    for key, value in node.items():
        if key in ("properties", "definitions"):
            for child in value.values():
                yield from defaults(child)
        elif key == "default":
            yield value
        elif isinstance(value, dict):
            yield from defaults(value)
        elif isinstance(value, list):
            for child in value:
                if isinstance(child, dict):
                    yield from defaults(child)


def test_v2_tells_none() -> None:
    definitions = orjson.loads(OpenApi().v2_json())["definitions"]
    assert [name for name, one in definitions.items() if list(defaults(one))] == []


def test_custom_kinds_have_their_own_in_v3_alone() -> None:
    inner = {"type": "string", "default": "a"}
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "default": {},
                "properties": {"default": inner, "name": {"type": "string"}},
                "required": ["name"],
            },
            "list": {"type": "array", "items": inner},
            "map": {"type": "object", "additionalProperties": inner},
        },
    }
    name = "com.example.stable.v1.Widget"
    third = render_v3(name, custom_definitions(WIDGET, schema, v3=True)[name])
    second = render_v2(name, custom_definitions(WIDGET, schema, v3=False)[name])
    assert list(defaults(third)) == [{}, "a", "a", "a"], "what nobody said is not told"
    assert list(defaults(second)) == []
    assert "default" in second["properties"]["spec"]["properties"]
