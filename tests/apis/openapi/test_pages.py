"""What the documents say of paths that concern no kind, and of the deprecated paths that watch."""

from typing import Any

import orjson
import pytest

from tiphys.apis.openapi.documents import OpenApi
from tiphys.apis.openapi.pages import server_pages
from tiphys.apis.table import TABLE

from .test_documents import WIDGET

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
PAGES = [
    # document of v3, path, operation, tag, definition of the answer
    ("version", "/version/", "getCodeVersion", "version", "io.k8s.apimachinery.pkg.version.Info"),
    ("api", "/api/", "getCoreAPIVersions", "core", f"{META}APIVersions"),
    ("api/v1", "/api/v1/", "getCoreV1APIResources", "core_v1", f"{META}APIResourceList"),
    ("apis", "/apis/", "getAPIVersions", "apis", f"{META}APIGroupList"),
    ("apis/apps", "/apis/apps/", "getAppsAPIGroup", "apps", f"{META}APIGroup"),
    ("apis/apps/v1", "/apis/apps/v1/", "getAppsV1APIResources", "apps_v1", f"{META}APIResourceList"),
    ("apis/internal.apiserver.k8s.io", "/apis/internal.apiserver.k8s.io/", "getInternalApiserverAPIGroup",
     "internalApiserver", f"{META}APIGroup"),
    (".well-known/openid-configuration", "/.well-known/openid-configuration/",
     "getServiceAccountIssuerOpenIDConfiguration", "WellKnown", ""),
    ("openid/v1/jwks", "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset", "openid", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def api() -> OpenApi:
    return OpenApi()


@pytest.fixture(scope="module")
def v2(api: OpenApi) -> dict[str, Any]:
    tree: dict[str, Any] = orjson.loads(api.v2_json())
    return tree


@pytest.mark.parametrize(("document", "path", "operation_id", "tag", "answer"), PAGES)
def test_both_documents_tell(
    api: OpenApi, v2: dict[str, Any], document: str, path: str, operation_id: str, tag: str, answer: str
) -> None:
    tree = orjson.loads(api.v3_group(document) or b"{}")
    operation = tree["paths"][path]["get"]
    assert (operation["operationId"], operation["tags"]) == (operation_id, [tag])
    (schema, *others) = [media["schema"] for media in operation["responses"]["200"]["content"].values()]
    assert schema == ({"$ref": f"#/components/schemas/{answer}"} if answer else {"type": "string"})
    assert all(other == schema for other in others)
    assert (answer in tree["components"].get("schemas", {})) == bool(answer)

    older = v2["paths"][path]["get"]
    assert (older["operationId"], older["tags"]) == (operation_id, [tag])
    assert older["produces"] == list(operation["responses"]["200"]["content"])
    expected = {"$ref": f"#/definitions/{answer}"} if answer else {"type": "string"}
    assert older["responses"]["200"]["schema"] == expected


@pytest.mark.parametrize("document", [page[0] for page in PAGES])
def test_the_index_has_it_by_its_hash(api: OpenApi, document: str) -> None:
    entry = orjson.loads(api.v3_index())["paths"][document]
    assert entry["serverRelativeURL"] == f"/openapi/v3/{document}?hash={api.v3_hash(document)}"
    assert api.v3_protobuf(document)


def test_media_types_are_those_of_the_answers(v2: dict[str, Any]) -> None:
    def of(path: str) -> tuple[list[str] | None, list[str]]:
        operation = v2["paths"][path]["get"]
        return operation.get("consumes"), operation["produces"]

    objects = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
    assert of("/apis/apps/") == (objects, objects)
    assert of("/version/") == (["application/json"], ["application/json"])
    assert of("/openid/v1/jwks/") == (None, ["application/jwk-set+json"])


LOGS = {
    "/logs/": "logFileListHandler",
    "/logs/{logpath}": "logFileHandler",
}


def test_log_files_have_only_refusals_described(api: OpenApi, v2: dict[str, Any]) -> None:
    refused = {"401": {"description": "Unauthorized"}}
    tree = orjson.loads(api.v3_group("logs") or b"{}")
    assert tree["paths"].keys() == LOGS.keys()
    for path, operation_id in LOGS.items():
        operation = {"tags": ["logs"], "operationId": operation_id, "responses": refused}
        assert tree["paths"][path]["get"] == operation
        assert v2["paths"][path]["get"] == {**operation, "schemes": ["https"]}
    described = {"name": "logpath", "in": "path", "description": "path to the log", "required": True}
    schema = {"type": "string", "uniqueItems": True}
    assert tree["paths"]["/logs/{logpath}"]["parameters"] == [{**described, "schema": schema}]
    assert v2["paths"]["/logs/{logpath}"]["parameters"] == [{**described, **schema}]
    assert api.v3_protobuf("logs")


def test_log_files_not_shown_are_not_described() -> None:
    api = OpenApi(pages=server_pages(logs=False))
    assert "logs" not in orjson.loads(api.v3_index())["paths"]
    assert not [path for path in orjson.loads(api.v2_json())["paths"] if path.startswith("/logs")]


def test_custom_groups_have_only_their_kinds() -> None:
    table = TABLE.copy()
    table.add(WIDGET)
    api = OpenApi(table)
    assert {path for path in orjson.loads(api.v3_index())["paths"] if "stable" in path} == {
        "apis/stable.example.com/v1"
    }
    paths = orjson.loads(api.v3_group("apis/stable.example.com/v1") or b"{}")["paths"]
    assert "/apis/stable.example.com/v1/" not in paths
    assert not [path for path in paths if "/watch/" in path]


WATCHES = [
    ("/api/v1/watch/namespaces/{namespace}/pods", "watchCoreV1NamespacedPodList", "watchlist", ["namespace"]),
    ("/api/v1/watch/namespaces/{namespace}/pods/{name}", "watchCoreV1NamespacedPod", "watch",
     ["name", "namespace"]),
    ("/api/v1/watch/pods", "watchCoreV1PodListForAllNamespaces", "watchlist", []),
    ("/api/v1/watch/nodes", "watchCoreV1NodeList", "watchlist", []),
    ("/api/v1/watch/nodes/{name}", "watchCoreV1Node", "watch", ["name"]),
    ("/apis/apps/v1/watch/deployments", "watchAppsV1DeploymentListForAllNamespaces", "watchlist", []),
]  # fmt: skip


@pytest.mark.parametrize(("path", "operation_id", "action", "parameters"), WATCHES)
def test_deprecated_watches(
    v2: dict[str, Any], path: str, operation_id: str, action: str, parameters: list[str]
) -> None:
    item = v2["paths"][path]
    operation = item["get"]
    assert (operation["operationId"], operation["x-kubernetes-action"]) == (operation_id, action)
    assert operation["responses"]["200"]["schema"] == {"$ref": f"#/definitions/{META}WatchEvent"}
    assert "application/json;stream=watch" in operation["produces"]
    named = [parameter["name"] for parameter in item["parameters"] if parameter["in"] == "path"]
    assert named == parameters
    assert "parameters" not in operation
    assert ". deprecated: use the 'watch' parameter with a list operation instead" in operation["description"]


SENTENCES = {
    ("/api/v1/nodes", "get"): "list or watch objects of kind Node",
    ("/api/v1/namespaces/{namespace}/endpoints", "post"): "create Endpoints",
    ("/api/v1/namespaces/{namespace}/endpoints", "delete"): "delete collection of Endpoints",
    ("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses", "post"): "create an Ingress",
    ("/apis/networking.k8s.io/v1/ingressclasses/{name}", "delete"): "delete an IngressClass",
    ("/api/v1/namespaces/{namespace}/pods/{name}", "get"): "read the specified Pod",
    ("/api/v1/namespaces/{namespace}/pods/{name}/status", "put"): "replace status of the specified Pod",
    ("/api/v1/namespaces/{namespace}/pods/{name}/status", "patch"): (
        "partially update status of the specified Pod"
    ),
    ("/api/v1/namespaces/{namespace}/pods/{name}/log", "get"): "read log of the specified Pod",
    ("/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post"): "create eviction of a Pod",
    ("/api/v1/nodes/{name}/proxy/{path}", "put"): "connect PUT requests to proxy of Node",
    ("/api/v1/watch/nodes/{name}", "get"): (
        "watch changes to an object of kind Node. deprecated: use the 'watch' parameter with a list "
        "operation instead, filtered to a single item with the 'fieldSelector' parameter."
    ),
    ("/version/", "get"): "get the version information for this server",
}
"""Client generators write these into their documentation (``installer.go``)."""


@pytest.mark.parametrize(("where", "sentence"), SENTENCES.items(), ids=map("-".join, SENTENCES))
def test_sentences(v2: dict[str, Any], where: tuple[str, str], sentence: str) -> None:
    assert v2["paths"][where[0]][where[1]]["description"] == sentence


def test_what_cannot_be_watched_has_no_such_path(v2: dict[str, Any]) -> None:
    assert "/api/v1/watch/componentstatuses" not in v2["paths"]
    assert not [path for path in v2["paths"] if "/watch/" in path and "subjectaccessreviews" in path]
