import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis import schemas
from tiphys.apis.table import TABLE


def test_every_resource_has_a_schema() -> None:
    missing = [row.gvk for row in TABLE if not schemas.has_schema(row.gvk)]
    assert missing == []


def test_names() -> None:
    assert schemas.definition_name(GVK("apps", "v1", "Deployment")) == "io.k8s.api.apps.v1.Deployment"
    assert schemas.definition_name(GVK("x", "v1", "Y")) is None
    with pytest.raises(KeyError):
        schemas.schema_for(GVK("x", "v1", "Y"))


def test_merge_keys_and_strategies() -> None:
    spec = schemas.definition("io.k8s.api.core.v1.PodSpec")
    containers = spec.properties["containers"]
    assert (containers.list_type, containers.patch_merge_key) == ("map", "name")
    assert spec.properties["volumes"].patch_strategies == ("merge", "retainKeys")
    ports = schemas.definition("io.k8s.api.core.v1.Container").properties["ports"]
    assert ports.list_map_keys == ("containerPort", "protocol")
    assert ports.items is not None
    assert ports.items.properties["protocol"].default == "TCP"
    strategy = schemas.definition("io.k8s.api.apps.v1.DeploymentSpec").properties["strategy"]
    assert strategy.patch_strategies == ("retainKeys",)
    assert "rollingUpdate" in strategy.properties
    selector = schemas.definition("io.k8s.api.apps.v1.DeploymentSpec").properties["selector"]
    assert selector.map_type == "atomic"


def test_nodes_are_shared_between_kinds() -> None:
    pod = schemas.schema_for(GVK("", "v1", "Pod"))
    assert pod.properties["spec"] is schemas.definition("io.k8s.api.core.v1.PodSpec")
    assert pod.properties["metadata"] is schemas.object_meta()


WRITTEN = [
    # A pointer, or a field that Go always writes, keeps its zero; any other has none.
    ("EndpointPort", "name", False),
    ("EndpointPort", "protocol", False),
    ("EndpointPort", "port", True),
    ("EndpointPort", "appProtocol", True),
    ("ContainerRestartRule", "action", False),
    ("ContainerRestartRuleOnExitCodes", "operator", False),
    ("ImageVolumeStatus", "imageRef", False),
    ("PodCertificateProjection", "signerName", False),
    ("PodCertificateProjection", "maxExpirationSeconds", True),
    ("ResourceHealth", "message", True),
    ("ResourceHealth", "health", False),
]


@pytest.mark.parametrize(("kind", "key", "kept"), WRITTEN)
def test_zeros_that_mean_nothing(kind: str, key: str, *, kept: bool) -> None:
    node = schemas.definition(f"io.k8s.api.core.v1.{kind}")
    assert key in node.properties
    assert (key not in node.omitted) is kept
    assert kept or key not in node.shown


def test_a_required_token_is_not_shown_when_it_is_empty() -> None:
    spec = schemas.definition("io.k8s.api.authentication.v1.TokenReviewSpec")
    assert "token" in spec.omitted
    assert "token" not in spec.shown
