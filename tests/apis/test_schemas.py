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
