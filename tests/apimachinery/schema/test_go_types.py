"""What Go's types are named in faults."""

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.schema import go_types, walk
from tiphys.apimachinery.schema.go_types import named
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apis import schemas

TEXTS = [
    ("core.v1.ResourceHealth", "health", "v1.ResourceHealthStatus"),
    ("core.v1.ResourceHealth", "resourceID", "v1.ResourceID"),
    ("core.v1.ResourceStatus", "name", "v1.ResourceName"),
    ("core.v1.VolumeMountStatus", "recursiveReadOnly", "v1.RecursiveReadOnlyMode"),
    ("core.v1.ConfigMapNodeConfigSource", "uid", "types.UID"),
    ("core.v1.EndpointAddress", "nodeName", "string"),
    ("authentication.v1.BoundObjectReference", "uid", "types.UID"),
    ("authorization.v1.SubjectAccessReviewSpec", "uid", "string"),
    ("meta.v1.FieldSelectorRequirement", "operator", "v1.FieldSelectorOperator"),
    ("apiextensions.v1.JSONSchemaProps", "$schema", "v1.JSONSchemaURL"),
    ("apiregistration.v1.APIServiceCondition", "status", "v1.ConditionStatus"),
    ("apiserverinternal.v1alpha1.StorageVersionCondition", "status", "v1alpha1.ConditionStatus"),
    ("admissionregistration.v1beta1.Mutation", "patchType", "v1beta1.PatchType"),
    ("admissionregistration.v1alpha1.NamedRuleWithOperations", "scope", "v1.ScopeType"),
    ("coordination.v1beta1.LeaseCandidateSpec", "strategy", "v1.CoordinatedLeaseStrategy"),
    ("certificates.v1beta1.PodCertificateRequestSpec", "podUID", "types.UID"),
    ("resource.v1.DeviceConstraint", "matchAttribute", "v1.FullyQualifiedName"),
    ("resource.v1.ExactDeviceRequest", "allocationMode", "v1.DeviceAllocationMode"),
    ("resource.v1beta1.DeviceRequest", "allocationMode", "v1beta1.DeviceAllocationMode"),
    ("resource.v1beta2.ResourceClaimConsumerReference", "uid", "types.UID"),
    ("resource.v1.NodeAllocatableResourceMapping", "capacityKey", "v1.QualifiedName"),
    ("resource.v1alpha3.DeviceTaint", "effect", "v1alpha3.DeviceTaintEffect"),
]


@pytest.mark.parametrize(("definition", "key", "name"), TEXTS)
def test_texts(definition: str, key: str, name: str) -> None:
    assert named(f"io.k8s.api.{definition}", key, "string") == name
    assert named(f"io.k8s.api.{definition}", "unknown", "string") == "string"


REST = [
    # A map with a name, or with named keys; its values have names of their own.
    ("core.v1.PodStatus", "allocatedResources", "map[string]resource.Quantity", "v1.ResourceList"),
    ("node.v1.Overhead", "podFixed", "map[string]resource.Quantity", "v1.ResourceList"),
    ("core.v1.PersistentVolumeClaimStatus", "allocatedResourceStatuses", "map[string]string",
     "map[v1.ResourceName]v1.ClaimResourceStatus"),
    ("core.v1.PersistentVolumeClaimStatus", "allocatedResourceStatuses", "string", "v1.ClaimResourceStatus"),
    ("resource.v1.Device", "capacity", "map[string]v1.DeviceCapacity",
     "map[v1.QualifiedName]v1.DeviceCapacity"),
    ("resource.v1.Device", "capacity", "v1.DeviceCapacity", "v1.DeviceCapacity"),
    ("resource.v1beta1.BasicDevice", "attributes", "map[string]v1beta1.DeviceAttribute",
     "map[v1beta1.QualifiedName]v1beta1.DeviceAttribute"),
    ("authentication.v1.UserInfo", "extra", "map[string][]string", "map[string]v1.ExtraValue"),
    ("authentication.v1.UserInfo", "extra", "[]string", "v1.ExtraValue"),
    ("authorization.v1.SubjectAccessReviewSpec", "extra", "string", "string"),
    # A list with a name is not one of items with a name.
    ("apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", "[]v1.ValidationRule",
     "v1.ValidationRules"),
    ("apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", "v1.ValidationRule",
     "v1.ValidationRule"),
    ("core.v1.Capabilities", "add", "[]string", "[]v1.Capability"),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "key", "plain", "name"), REST)
def test_maps_and_lists(definition: str, key: str, plain: str, name: str) -> None:
    assert named(f"io.k8s.api.{definition}", key, plain) == name


def test_every_name_is_of_a_field_there_is() -> None:
    fields = {
        f"{'.'.join(name.split('.')[-3:])}.{key}"
        for name, found in schemas.full_definitions().items()
        for key in found.get("properties", {})
    }
    assert go_types._by_field().keys() - fields == set()


def test_a_fault_has_the_name() -> None:
    review = {"status": {"user": {"extra": {"scopes": "all"}}}}
    with pytest.raises(DecodeError) as caught:
        walk.decode_check(review, schemas.schema_for(GVK("authentication.k8s.io", "v1", "TokenReview")))
    assert str(caught.value) == (
        "json: cannot unmarshal string into Go struct field UserInfo.status.user.extra of type v1.ExtraValue"
    )
