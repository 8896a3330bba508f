"""The OpenAPI documents of ``metrics.k8s.io``: by themselves, and among those of the whole server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.openapi.references import references

from tiphys.apiserver.usage import openapi

in_one_loop = pytest.mark.asyncio(loop_scope="module")
PATH = "apis/metrics.k8s.io/v1beta1"
PACKAGE = "io.k8s.metrics.pkg.apis.metrics.v1beta1."


@pytest.fixture
def api(module_api: Any) -> Any:
    """Documents are made once for all."""
    return module_api


def test_every_reference_resolves() -> None:
    spec = openapi.spec()
    assert references(spec.document) <= {f"#/definitions/{name}" for name in spec.document["definitions"]}
    assert spec.document_v3 is not None
    schemas = spec.document_v3["components"]["schemas"]
    assert references(spec.document_v3) <= {f"#/components/schemas/{name}" for name in schemas}


OPERATIONS = [
    (f"/{PATH}/nodes", "listMetricsV1beta1NodeMetrics", "NodeMetricsList"),
    (f"/{PATH}/nodes/{{name}}", "readMetricsV1beta1NodeMetrics", "NodeMetrics"),
    (f"/{PATH}/pods", "listMetricsV1beta1PodMetricsForAllNamespaces", "PodMetricsList"),
    (f"/{PATH}/namespaces/{{namespace}}/pods", "listMetricsV1beta1NamespacedPodMetrics", "PodMetricsList"),
    (f"/{PATH}/namespaces/{{namespace}}/pods/{{name}}", "readMetricsV1beta1NamespacedPodMetrics",
     "PodMetrics"),
]  # fmt: skip


@in_one_loop
@pytest.mark.parametrize(("path", "operation_id", "answer"), OPERATIONS)
async def test_operations(api: Any, path: str, operation_id: str, answer: str) -> None:
    v3 = await api.get(f"/openapi/v3/{PATH}")
    assert set(v3["paths"]) == {f"/{PATH}/", *(known for known, _, _ in OPERATIONS)}
    operation = v3["paths"][path]["get"]
    assert operation["operationId"] == operation_id
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": f"#/components/schemas/{PACKAGE}{answer}"}


def test_v3_tells_what_is_absent() -> None:
    spec = openapi.spec()
    assert spec.document_v3 is not None
    schemas = spec.document_v3["components"]["schemas"]
    assert schemas[f"{PACKAGE}NodeMetrics"]["properties"]["metadata"]["default"] == {}
    assert schemas[f"{PACKAGE}ContainerMetrics"]["properties"]["name"]["default"] == ""
    assert "default" not in schemas[f"{PACKAGE}NodeMetrics"]["properties"]["window"]
    node = spec.document["definitions"][f"{PACKAGE}NodeMetrics"]
    assert "default" not in node["properties"]["metadata"]


@in_one_loop
async def test_the_merged_document_has_its_kinds(api: Any) -> None:
    v2 = await api.get("/openapi/v2")
    node = v2["definitions"][f"{PACKAGE}NodeMetrics"]
    assert node["required"] == ["timestamp", "window", "usage"]
    assert node["x-kubernetes-group-version-kind"] == [
        {"group": "metrics.k8s.io", "version": "v1beta1", "kind": "NodeMetrics"}
    ]
    assert f"/{PATH}/nodes" in v2["paths"]
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta_v2" not in v2["definitions"]
    proto = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert f"{PACKAGE}PodMetricsList".encode() in (await api("GET", "/openapi/v2", accept=proto)).raw


@in_one_loop
async def test_who_walks_the_index_finds_it(api: Any) -> None:
    url = (await api.get("/openapi/v3"))["paths"][PATH]["serverRelativeURL"]
    answer = await api("GET", url)
    assert answer.headers["etag"] == f'"{url.partition("hash=")[2]}"'
    schemas = answer.json["components"]["schemas"]
    containers = schemas[f"{PACKAGE}PodMetrics"]["properties"]["containers"]
    assert containers["items"]["allOf"] == [{"$ref": f"#/components/schemas/{PACKAGE}ContainerMetrics"}]
    old = await api("GET", f"/openapi/v3/{PATH}?hash=OLD")
    assert (old.status, old.headers["location"]) == (301, url)


async def test_another_server_for_the_group_version_takes_its_place(serving: Any) -> None:
    async with serving() as api:
        service = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
        await api.get("/openapi/v3")
        where = {"namespace": "kube-system", "name": "metrics"}
        answer = await api.patch(service, {"spec": {"service": where, "insecureSkipTLSVerify": True}})
        assert answer.status == 200
        await api.settle()
        assert PATH not in (await api.get("/openapi/v3"))["paths"]
        assert (await api("GET", f"/openapi/v3/{PATH}")).status == 503
