"""The documents as a client reads them; protobuf is read back with a reader written here."""

from typing import Any

import orjson
import pytest
from tests.apis.openapi.references import references

from tiphys.apimachinery.meta import GVK, GVR
from tiphys.apimachinery.resource import Resource
from tiphys.apis.openapi.documents import OpenApi
from tiphys.apis.openapi.merge import RemoteSpec
from tiphys.apis.table import TABLE

WIDGET = Resource(
    group="stable.example.com", version="v1", kind="Widget", plural="widgets", singular="widget",
    namespaced=True,
    verbs=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    storage=GVK("stable.example.com", "v1", "Widget"), storage_prefix="/registry/stable.example.com/widgets/",
    custom=True,
)  # fmt: skip
WIDGET_SCHEMA = {
    "type": "object",
    "description": "A widget.",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 2},
                "port": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
                "maybe": {"type": "string", "nullable": True},
            },
        }
    },
}


@pytest.fixture(scope="module")
def v2() -> dict[str, Any]:
    tree: dict[str, Any] = orjson.loads(OpenApi().v2_json())
    return tree


@pytest.fixture(scope="module")
def core() -> dict[str, Any]:
    tree: dict[str, Any] = orjson.loads(OpenApi().v3_group("api/v1") or b"")
    return tree


OPERATIONS = [
    ("/api/v1/namespaces/{namespace}/pods", "get", "listCoreV1NamespacedPod", "list"),
    ("/api/v1/namespaces/{namespace}/pods", "post", "createCoreV1NamespacedPod", "post"),
    ("/api/v1/namespaces/{namespace}/pods", "delete", "deleteCoreV1CollectionNamespacedPod",
     "deletecollection"),
    ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "list"),
    ("/api/v1/namespaces/{namespace}/pods/{name}", "put", "replaceCoreV1NamespacedPod", "put"),
    ("/api/v1/namespaces/{namespace}/pods/{name}/status", "patch", "patchCoreV1NamespacedPodStatus", "patch"),
    ("/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "readCoreV1NamespacedPodLog", "get"),
    ("/api/v1/namespaces/{namespace}/pods/{name}/exec", "post", "connectCoreV1PostNamespacedPodExec",
     "connect"),
    ("/api/v1/nodes/{name}/proxy/{path}", "get", "connectCoreV1GetNodeProxyWithPath", "connect"),
    ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "get", "listRbacAuthorizationV1ClusterRole", "list"),
    ("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "get",
     "readAppsV1NamespacedDeploymentScale", "get"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "operation_id", "action"), OPERATIONS)
def test_operations(v2: dict[str, Any], path: str, method: str, operation_id: str, action: str) -> None:
    operation = v2["paths"][path][method]
    assert operation["operationId"] == operation_id
    assert operation["x-kubernetes-action"] == action


def test_operation_ids_are_unique(v2: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for item in v2["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(ids) == len(set(ids))


def test_every_reference_resolves(v2: dict[str, Any], core: dict[str, Any]) -> None:
    assert references(v2) <= {f"#/definitions/{name}" for name in v2["definitions"]}
    assert references(core) <= {f"#/components/schemas/{name}" for name in core["components"]["schemas"]}


def test_definitions_are_worded_for_their_version(v2: dict[str, Any], core: dict[str, Any]) -> None:
    quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    assert v2["definitions"][quantity]["type"] == "string"
    schemas = core["components"]["schemas"]
    assert schemas[quantity]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert pod["properties"]["kind"]["type"] == "string"
    assert "enum" not in pod["properties"]["kind"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert "io.k8s.api.apps.v1.Deployment" not in schemas


PODS = "/api/v1/namespaces/{namespace}/pods"
PARAMETERS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    # of the path, and of its operations beside them
    PODS + "/{name}": (
        ["name", "namespace", "pretty"],
        {
            "get": [],
            "put": ["dryRun", "fieldManager", "fieldValidation"],
            "patch": ["dryRun", "fieldManager", "fieldValidation", "force"],
            "delete": [
                "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
                "orphanDependents", "propagationPolicy",
            ],
        },
    ),
    PODS + "/{name}/binding": (
        ["dryRun", "fieldManager", "fieldValidation", "name", "namespace", "pretty"], {"post": []},
    ),
    PODS + "/{name}/exec": (
        ["command", "container", "name", "namespace", "stderr", "stdin", "stdout", "tty"],
        {"get": [], "post": []},
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", PARAMETERS)
def test_what_all_operations_of_a_path_take_is_the_paths(
    v2: dict[str, Any], core: dict[str, Any], path: str
) -> None:
    def named(node: dict[str, Any]) -> list[str]:
        return [one["name"] for one in node.get("parameters", ()) if one["in"] != "body"]

    common, own = PARAMETERS[path]
    for document in (v2, core):
        item = document["paths"][path]
        assert named(item) == common
        assert {method: named(item[method]) for method in item if method != "parameters"} == own
    assert {"name": "body", "in": "body"}.items() <= v2["paths"][PODS]["post"]["parameters"][0].items()


def test_media_types(v2: dict[str, Any], core: dict[str, Any]) -> None:
    types = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
    watched = [*types, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
    for method, expected in (("get", watched), ("post", types), ("delete", types)):
        assert v2["paths"][PODS][method]["produces"] == expected
        assert list(core["paths"][PODS][method]["responses"]["200"]["content"]) == expected


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (PODS + "/{name}", "io.k8s.api.core.v1.Pod"),
        (PODS, "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        ("/api/v1/nodes/{name}", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        ("/apis/resource.k8s.io/v1/deviceclasses/{name}", "io.k8s.api.resource.v1.DeviceClass"),
    ],
)
def test_what_deletions_answer(v2: dict[str, Any], path: str, answer: str) -> None:
    responses = v2["paths"][path]["delete"]["responses"]
    assert responses["200"]["schema"] == {"$ref": f"#/definitions/{answer}"}


def test_kubectl_finds_what_it_asks_about(core: dict[str, Any]) -> None:
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


def test_the_index_names_every_group_version() -> None:
    api = OpenApi()
    paths = orjson.loads(api.v3_index())["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/autoscaling/v2"} <= set(paths)
    assert paths["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={api.v3_hash('api/v1')}"
    assert api.v3_group("apis/none/v1") is None
    assert api.v3_hash("apis/none/v1") is None


def test_custom_kinds_come_and_go() -> None:
    table = TABLE.copy()
    api = OpenApi(table, lambda gvk: WIDGET_SCHEMA if gvk.kind == "Widget" else None)
    assert api.v3_group("apis/stable.example.com/v1") is None
    table.add(WIDGET)
    tree = orjson.loads(api.v3_group("apis/stable.example.com/v1") or b"")
    schema = tree["components"]["schemas"]["com.example.stable.v1.Widget"]
    assert schema["properties"]["spec"]["properties"]["size"]["default"] == 2
    assert schema["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
    assert "com.example.stable.v1.WidgetList" in tree["components"]["schemas"]
    base = "/apis/stable.example.com/v1/namespaces/{namespace}/widgets"
    assert tree["paths"][base]["get"]["operationId"] == "listStableExampleComV1NamespacedWidget"
    types = tree["paths"][base + "/{name}"]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in types
    old = orjson.loads(api.v2_json())["definitions"]["com.example.stable.v1.Widget"]["properties"]["spec"]
    assert old["properties"]["port"] == {"x-kubernetes-int-or-string": True}
    assert old["properties"]["maybe"] == {}
    table.remove(GVR("stable.example.com", "v1", "widgets"))
    assert api.v3_group("apis/stable.example.com/v1") is None
    assert b"com.example.stable" not in api.v2_json()


def test_shared_definitions_are_of_the_groups_of_others_too() -> None:
    """While those are there."""
    name, key = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "x-kubernetes-group-version-kind"
    own = OpenApi()
    shared = {**orjson.loads(own.v2_json())["definitions"], name: {}}
    here = orjson.loads(own.v2_json())["definitions"][name]
    kind = {"group": "metrics.x.io", "version": "v1", "kind": "DeleteOptions"}
    theirs = {**here, "description": "in other words", key: [kind]}
    path = "/apis/metrics.x.io/v1"
    paths = {f"{path}/nodes": {"delete": {"schema": {"$ref": f"#/definitions/{name}"}}}}
    remote = RemoteSpec(path, {"paths": paths, "definitions": {**shared, name: theirs}})
    remotes: list[RemoteSpec] = [remote]
    api = OpenApi(remotes=lambda: remotes)
    definitions = orjson.loads(api.v2_json())["definitions"]
    assert definitions == {**shared, name: {**here, key: definitions[name][key]}}
    added = [one for one in definitions[name][key] if one not in here[key]]
    assert (added, len(definitions[name][key])) == ([kind], len(here[key]) + 1)
    assert b"metrics.x.io" in api.v2_protobuf()
    remotes = []
    assert orjson.loads(api.v2_json())["definitions"][name] == here
    assert b"metrics.x.io" not in api.v2_protobuf()


def read(payload: bytes) -> dict[int, list[Any]]:
    """Read one message: field number to its values, undecoded."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = payload[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(payload):
        key = varint()
        value: Any
        if key & 7 == 2:
            size = varint()
            value = payload[at : at + size]
            at += size
        elif key & 7 == 1:
            value = payload[at : at + 8]
            at += 8
        else:
            value = varint()
        fields.setdefault(key >> 3, []).append(value)
    return fields


def named(pairs: list[bytes]) -> dict[str, dict[int, list[Any]]]:
    entries = [read(pair) for pair in pairs]
    return {entry[1][0].decode(): read(entry[2][0]) for entry in entries}


def test_protobuf_holds_the_same_document(v2: dict[str, Any]) -> None:
    document = read(OpenApi().v2_protobuf())
    assert document[1] == [b"2.0"]
    definitions = named(read(document[9][0])[1])
    assert set(definitions) == set(v2["definitions"])
    spec = named(read(definitions["io.k8s.api.core.v1.PodSpec"][25][0])[1])
    containers = spec["containers"]
    assert read(containers[22][0])[1] == [b"array"]
    item = read(read(containers[23][0])[1][0])
    assert item[1] == [b"#/definitions/io.k8s.api.core.v1.Container"]
    extensions = {name: value[2][0] for name, value in named(containers[31]).items()}
    assert extensions["x-kubernetes-list-map-keys"] == b'["name"]'
    paths = named(read(document[8][0])[2])
    assert set(paths) == set(v2["paths"])
    patch = read(paths["/api/v1/namespaces/{namespace}/pods/{name}"][8][0])
    names = set()
    for parameter in patch[8]:
        inner = read(read(parameter)[1][0])
        if 2 in inner:
            names.add(read(read(inner[2][0])[3][0])[4][0])
    assert b"dryRun" in names
