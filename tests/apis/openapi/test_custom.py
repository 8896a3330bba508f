"""What the documents say of custom kinds, and that a changed kind makes only its own part anew."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Subresource
from tiphys.apis.openapi import v2
from tiphys.apis.openapi.definitions import built_in, custom_definitions, render_v2, render_v3
from tiphys.apis.openapi.documents import OpenApi
from tiphys.apis.table import TABLE

from .test_documents import WIDGET

EITHER = [{"type": "integer"}, {"type": "string"}]
LEAST = {"minimum": 42.0}
NUMBER = {"x-kubernetes-int-or-string": True}
KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True}
MAYBE = {"type": "string", "nullable": True}
WHOLE = {"required": ["kind", "apiVersion"], "properties": {"apiVersion", "kind", "metadata"}}
WITH_SPEC = {**EMBEDDED, **WHOLE, "properties": {"apiVersion", "kind", "metadata", "spec"}}

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # the schema of a field, what v2 says of it, what v3 says
    "says it": ({**NUMBER, "anyOf": EITHER}, NUMBER, {**NUMBER, "anyOf": EITHER}),
    "says it first": (
        {**NUMBER, "allOf": [{"anyOf": EITHER}, {"anyOf": [LEAST]}]},
        NUMBER,
        {**NUMBER, "allOf": [{"anyOf": EITHER}, {"anyOf": [LEAST]}]},
    ),
    "says it beside others": (
        {**NUMBER, "anyOf": EITHER, "allOf": [{"anyOf": [LEAST]}]},
        NUMBER,
        {**NUMBER, "anyOf": EITHER, "allOf": [{"anyOf": [LEAST]}]},
    ),
    "alternatives of its own": (
        {**NUMBER, "anyOf": [LEAST]},
        NUMBER,
        {**NUMBER, "anyOf": [LEAST], "allOf": [{"anyOf": EITHER}]},
    ),
    "alternatives and demands of its own": (
        {**NUMBER, "anyOf": [LEAST], "allOf": [LEAST]},
        NUMBER,
        {**NUMBER, "anyOf": [LEAST], "allOf": [{"anyOf": EITHER}, LEAST]},
    ),
    "number or text": (NUMBER, NUMBER, {**NUMBER, "anyOf": EITHER}),
    "anything": (KEEPS, KEEPS, KEEPS),
    "a list of anything": (
        {"type": "array", **KEEPS, "items": {"type": "string"}},
        KEEPS,
        {"type": "array", **KEEPS, "items": {"type": "string"}},
    ),
    "maybe null": (
        {"type": "object", "nullable": True, "required": ["a"], "properties": {"a": MAYBE}},
        {"required": ["a"]},
        {"type": "object", "nullable": True, "required": ["a"], "properties": {"a": MAYBE}},
    ),
    "required, maybe null": (
        {"type": "object", "required": ["a", "b"], "properties": {"a": MAYBE, "b": {"type": "string"}}},
        {"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}},
        {"type": "object", "required": ["a", "b"], "properties": {"a": MAYBE, "b": {"type": "string"}}},
    ),
    "a map whose values may be null": (
        {"type": "object", "required": ["a"], "additionalProperties": MAYBE},
        {"type": "object", "additionalProperties": {}},
        {"type": "object", "required": ["a"], "additionalProperties": MAYBE},
    ),
    "an embedded object that keeps anything": (
        {**EMBEDDED, **KEEPS},
        {"x-kubernetes-embedded-resource": True, **KEEPS},
        {**EMBEDDED, **KEEPS, **WHOLE},
    ),
    "examples": (
        {"type": "string", "title": "t", "example": "x", "externalDocs": {"url": "u"}},
        {"type": "string", "title": "t"},
        {"type": "string", "title": "t"},
    ),
    "an embedded object": (
        {**EMBEDDED, "required": ["kind"], "properties": {"spec": {"type": "object"}}},
        WITH_SPEC,
        WITH_SPEC,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    field, second, third = FIELDS[name]
    schema = {"type": "object", "properties": {"field": field}}
    for v3, render, expected in ((False, render_v2, second), (True, render_v3, third)):
        made = custom_definitions(WIDGET, schema, v3=v3)
        shown = render("w", made["com.example.stable.v1.Widget"])["properties"]["field"]
        if isinstance(expected.get("properties"), set):
            shown = {**shown, "properties": set(shown["properties"])}
        assert shown == expected, v3


@pytest.mark.parametrize("v3", [False, True])
def test_embedded_objects_are_described_in_words_of_their_own(v3: bool) -> None:
    schema = {"type": "object", "properties": {"field": EMBEDDED}}
    made = custom_definitions(WIDGET, schema, v3=v3)["com.example.stable.v1.Widget"]["properties"]
    inner, more = made["field"]["properties"], "More info: https://git.k8s.io/community/"
    described = {key: inner[key]["description"].partition(more)[0] for key in ("apiVersion", "kind")}
    assert described == {
        "apiVersion": "apiVersion defines the versioned schema of this representation of an object. ",
        "kind": "kind is a string value representing the type of this object. In CamelCase. ",
    }
    assert inner["metadata"] == made["metadata"]
    assert made["kind"]["description"].startswith("Kind is a string value representing the REST resource")


def test_lists_are_called_as_definitions_say() -> None:
    row = replace(WIDGET, definition=SimpleNamespace(list_kind="Widgets"))
    made = custom_definitions(row, None, v3=True)
    assert set(made) == {"com.example.stable.v1.Widget", "com.example.stable.v1.Widgets"}
    table = TABLE.copy()
    table.add(row)
    tree = orjson.loads(OpenApi(table).v3_group("apis/stable.example.com/v1") or b"")
    listed = tree["paths"]["/apis/stable.example.com/v1/widgets"]["get"]["responses"]["200"]["content"]
    ref = listed["application/json"]["schema"]["$ref"]
    assert ref == "#/components/schemas/com.example.stable.v1.Widgets"
    (kind,) = tree["components"]["schemas"]["com.example.stable.v1.Widgets"][
        "x-kubernetes-group-version-kind"
    ]
    assert kind["kind"] == "Widgets"


PLAIN = ["application/json", "application/yaml"]
LIST = [
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch",
]  # fmt: skip
WRITE = ["dryRun", "fieldManager", "fieldValidation"]
PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
COLLECTION = "/apis/stable.example.com/v1/namespaces/{namespace}/widgets"
OPERATIONS: dict[tuple[str, str], tuple[list[str], list[str], list[str] | None]] = {
    # parameters, codes, media types of the body
    ("", "get"): (LIST, ["200", "401"], None),
    ("", "post"): (WRITE, ["200", "201", "202", "401"], PLAIN),
    ("", "delete"): (LIST, ["200", "401"], None),
    ("/{name}", "get"): (["resourceVersion"], ["200", "401"], None),
    ("/{name}", "put"): (WRITE, ["200", "201", "401"], PLAIN),
    ("/{name}", "patch"): ([*WRITE, "force"], ["200", "401"], PATCHES),
    ("/{name}/scale", "patch"): ([*WRITE, "force"], ["200", "401"], PATCHES),
}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_operations(path: str, method: str) -> None:
    """They take and answer JSON and YAML, and what is done to a scale is told of the kind itself."""
    scale = Subresource("scale", ("get", "patch", "update"), GVK("autoscaling", "v1", "Scale"))
    table = TABLE.copy()
    table.add(replace(WIDGET, subresources=(scale,)))
    tree = orjson.loads(OpenApi(table).v3_group("apis/stable.example.com/v1") or b"")
    operation = tree["paths"][COLLECTION + path][method]
    named, codes, types = OPERATIONS[path, method]
    assert [one["name"] for one in operation.get("parameters", ())] == named
    assert list(operation["responses"]) == codes
    assert list(operation["responses"]["200"]["content"]) == PLAIN
    assert (list(operation["requestBody"]["content"]) if "requestBody" in operation else None) == types
    assert operation["x-kubernetes-group-version-kind"]["kind"] == "Widget"


def test_a_document_of_custom_kinds_tells_nothing_of_the_server() -> None:
    table = TABLE.copy()
    table.add(WIDGET)
    tree = orjson.loads(OpenApi(table).v3_group("apis/stable.example.com/v1") or b"")
    assert tree["info"] == {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
    assert set(tree["components"]) == {"schemas"}
    listed = tree["components"]["schemas"]["com.example.stable.v1.WidgetList"]["properties"]
    assert listed["items"]["description"].startswith("List of widgets. More info: https://")
    assert listed["metadata"]["description"].startswith("Standard list metadata. More info: https://")


@pytest.mark.parametrize("v3", [False, True])
def test_a_kind_without_a_schema_lists_no_fields(v3: bool) -> None:
    made = custom_definitions(WIDGET, None, v3=v3)["com.example.stable.v1.Widget"]
    assert made.keys() == {"type", "x-kubernetes-group-version-kind"}


@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "object", **KEEPS}])
def test_selectable_fields_are_told(schema: dict[str, Any]) -> None:
    row = replace(WIDGET, selectable_fields=("spec.color", "spec.size"))
    expected = [{"fieldPath": "spec.color"}, {"fieldPath": "spec.size"}]
    for v3, render in ((False, render_v2), (True, render_v3)):
        made = render("w", custom_definitions(row, schema, v3=v3)["com.example.stable.v1.Widget"])
        assert made["x-kubernetes-selectable-fields"] == expected


class World:
    """A table with some custom groups, and how often each kind's schema was read."""

    def __init__(self) -> None:
        self.table = TABLE.copy()
        self.reads: list[str] = []
        self.states = {"Cat": b"1", "Dog": b"1"}
        for kind in self.states:
            self.change(kind)
        self.api = OpenApi(self.table, self.schema)

    def change(self, kind: str, state: bytes = b"1") -> None:
        self.states[kind] = state
        group, plural = f"{kind.lower()}.example.com", f"{kind.lower()}s"
        gvk = GVK(group, "v1", kind)
        self.table.add(
            replace(
                WIDGET,
                group=group,
                kind=kind,
                plural=plural,
                storage=gvk,
                definition=SimpleNamespace(digest=state),
            )
        )

    def schema(self, gvk: GVK) -> dict[str, Any]:
        self.reads.append(gvk.kind)
        return {"type": "object", "description": f"{gvk.kind} {self.states[gvk.kind].decode()}"}

    def take(self) -> list[str]:
        found, self.reads = self.reads, []
        return found


def test_only_what_changed_is_made_anew() -> None:
    world = World()
    body = world.api.v2_json()
    assert world.take() == ["Cat", "Dog"]
    assert world.api.v2_json() is body
    world.change("Dog", b"2")
    assert world.take() == []
    changed = orjson.loads(world.api.v2_json())
    assert world.take() == ["Dog"]
    before = orjson.loads(body)
    name = "com.example.dog.v1.Dog"
    texts = [tree["definitions"].pop(name)["description"] for tree in (before, changed)]
    assert texts == ["Dog 1", "Dog 2"]
    assert changed == before


def test_the_index_reads_no_schema() -> None:
    world = World()
    before = orjson.loads(world.api.v3_index())["paths"]
    world.change("Cat", b"2")
    after = orjson.loads(world.api.v3_index())["paths"]
    assert [path for path in before if before[path] != after[path]] == ["apis/cat.example.com/v1"]
    assert world.take() == []
    assert b"Cat 2" in (world.api.v3_group("apis/cat.example.com/v1") or b"")
    assert world.take() == ["Cat"]
    again = World()
    again.change("Cat", b"2")
    assert orjson.loads(again.api.v3_index())["paths"] == after


def test_what_goes_is_gone_from_all() -> None:
    world = World()
    world.api.v2_json()
    world.table.remove(world.table.resources("cat.example.com", "v1")[0].gvr)
    assert b"Cat" not in world.api.v2_json()
    assert b"Cat" not in world.api.v2_protobuf()
    assert b"cat.example.com" not in world.api.v3_index()
    assert world.api.v3_group("apis/cat.example.com/v1") is None


@pytest.mark.parametrize("form", ["json", "protobuf", "v3"])
def test_steps_leave_nothing_to_do(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    steps = list(world.api.steps(form))
    assert len(steps) > len(world.table.groups())
    assert list(world.api.steps(form)) == []

    def refuse(*_args: Any) -> Any:
        raise AssertionError("made once more")

    monkeypatch.setattr(v2, "version_paths", refuse)
    monkeypatch.setattr(world.api, "_version_document", refuse)
    {"json": world.api.v2_json, "protobuf": world.api.v2_protobuf, "v3": world.api.v3_index}[form]()


def test_few_documents_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.apis.openapi.documents._KEPT_BYTES", 1)
    world = World()
    cat, dog = (f"apis/{name}.example.com/v1" for name in ("cat", "dog"))
    first = world.api.v3_group(cat)
    assert world.api.v3_group(cat) is first
    world.api.v3_group(dog)
    assert world.api.v3_group(cat) is not first
    assert world.api.v3_group(cat) == first


POD, MAP = "io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.ConfigMap"


def with_one_of_its_name(kind: str, schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the v2 document of a server with a custom kind of that name, and of one without."""
    table = TABLE.copy()
    plain = orjson.loads(OpenApi(table).v2_json())
    gvk, plural = GVK("core.api.k8s.io", "v1", kind), f"{kind.lower()}s"
    table.add(replace(WIDGET, group=gvk.group, kind=kind, plural=plural, storage=gvk))
    return orjson.loads(OpenApi(table, lambda _gvk: schema).v2_json()), plain


def test_a_kind_with_the_name_of_another_gets_a_number() -> None:
    made, plain = with_one_of_its_name("Pod", {"type": "object", "description": "mine"})
    definitions = made["definitions"]
    assert {name: definitions[name] for name in plain["definitions"]} == plain["definitions"]
    assert definitions.keys() - plain["definitions"].keys() == {f"{POD}_v2", f"{POD}List_v2"}
    assert definitions[f"{POD}_v2"]["description"] == "mine"
    items = definitions[f"{POD}List_v2"]["properties"]["items"]["items"]
    assert items == {"$ref": f"#/definitions/{POD}_v2"}
    path = "/apis/core.api.k8s.io/v1/namespaces/{namespace}/pods"
    listed = made["paths"][path]["get"]["responses"]["200"]["schema"]
    assert listed == {"$ref": f"#/definitions/{POD}List_v2"}
    ours = "/api/v1/namespaces/{namespace}/pods"
    assert made["paths"][ours] == plain["paths"][ours]


def test_a_kind_that_is_described_as_another_of_its_name_shares_that() -> None:
    described = {key: value for key, value in built_in()[MAP].items() if not key.startswith("x-")}
    made, plain = with_one_of_its_name("ConfigMap", described)
    definitions = made["definitions"]
    assert definitions.keys() - plain["definitions"].keys() == {f"{MAP}List_v2"}
    kinds = [one["group"] for one in definitions[MAP]["x-kubernetes-group-version-kind"]]
    assert kinds == ["", "core.api.k8s.io"]
    assert definitions[f"{MAP}List_v2"]["properties"]["items"]["items"] == {"$ref": f"#/definitions/{MAP}"}
