"""Joining OpenAPI v2 documents: which paths count, what is shared, what is renamed."""

from __future__ import annotations

from typing import Any

from tiphys.apis.openapi.merge import KINDS, RemoteSpec, additions

LOCAL: dict[str, Any] = {
    "swagger": "2.0",
    "paths": {"/api/v1/pods": {"get": {}}},
    "definitions": {"Meta": {"type": "object"}, "Pod": {"type": "object", "description": "ours"}},
}
GV = "/apis/x.io/v1"


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/definitions/{name}"}


def remote(paths: dict[str, Any], definitions: dict[str, Any]) -> RemoteSpec:
    return RemoteSpec(GV, {"paths": paths, "definitions": definitions}, "")


def merge(local: dict[str, Any], remotes: list[RemoteSpec]) -> dict[str, Any]:
    joined = additions(local["paths"].__contains__, local["definitions"], remotes)
    assert not joined.definitions.keys() & local["definitions"].keys()
    return {
        "paths": {**local["paths"], **joined.paths},
        "definitions": {**local["definitions"], **joined.definitions},
    }


def test_only_paths_of_the_group_version_come_over() -> None:
    paths: dict[str, Any] = {f"{GV}/": {"get": 1}, f"{GV}/as": {"get": 2}, GV: {}, "/api/v1/pods": {}}
    paths |= {"/apis/x.io/v1beta1/as": {}, "/apis/x.io/": {}}
    merged = merge(LOCAL, [remote(paths, {})])
    assert list(merged["paths"]) == ["/api/v1/pods", f"{GV}/", f"{GV}/as"]
    assert merged["paths"]["/api/v1/pods"] == {"get": {}}
    assert list(LOCAL["paths"]) == ["/api/v1/pods"]


def test_definitions_come_with_what_they_refer_to() -> None:
    definitions = {"A": {"properties": {"b": ref("B")}}, "B": {"items": ref("A")}, "C": {}}
    merged = merge(LOCAL, [remote({f"{GV}/as": {"get": {"schema": ref("A")}}}, definitions)])
    assert sorted(merged["definitions"]) == ["A", "B", "Meta", "Pod"]


def test_equal_definitions_are_shared_and_others_renamed() -> None:
    definitions = {
        "Meta": {"type": "object"},
        "Pod": {"type": "object", "properties": {"m": ref("Meta"), "p": ref("Pod")}},
    }
    merged = merge(LOCAL, [remote({f"{GV}/as": {"get": {"schema": ref("Pod")}}}, definitions)])
    assert merged["definitions"]["Pod"] == LOCAL["definitions"]["Pod"]
    assert merged["definitions"]["Pod_v2"]["properties"] == {"m": ref("Meta"), "p": ref("Pod_v2")}
    assert merged["paths"][f"{GV}/as"] == {"get": {"schema": ref("Pod_v2")}}


def test_own_descriptions_make_no_difference_those_of_others_do() -> None:
    fields: dict[str, Any] = {"description": {"type": "string", "description": "ours"}}
    local = {"paths": {}, "definitions": {"Meta": {"description": "ours", "properties": fields}}}
    theirs = {"description": "theirs", "properties": {"description": {"type": "string"}}}
    more = {"description": "theirs", "properties": {"description": {"type": "string"}, "more": {}}}
    changed, other = {**more, "description": "changed"}, "/apis/y.io/v1"
    found: list[RemoteSpec] = [
        remote({f"{GV}/as": ref("Meta")}, {"Meta": theirs}),
        RemoteSpec(other, {"paths": {f"{other}/bs": ref("Meta")}, "definitions": {"Meta": more}}),
        RemoteSpec(
            "/apis/z.io/v1", {"paths": {"/apis/z.io/v1/cs": ref("Meta")}, "definitions": {"Meta": changed}}
        ),
    ]
    merged = merge(local, found)
    assert merged["definitions"] == {**local["definitions"], "Meta_v2": more, "Meta_v3": changed}
    assert merged["paths"] == {
        f"{GV}/as": ref("Meta"), f"{other}/bs": ref("Meta_v2"), "/apis/z.io/v1/cs": ref("Meta_v3"),
    }  # fmt: skip


def test_of_which_kinds_a_definition_is_makes_no_difference() -> None:
    kinds = "x-kubernetes-group-version-kind"
    local = {"paths": {}, "definitions": {"Options": {"type": "object", kinds: [{"group": "a"}]}}}
    options = {"type": "object", kinds: [{"group": "b"}]}
    merged = merge(local, [remote({f"{GV}/as": ref("Options")}, {"Options": options})])
    assert merged["definitions"] == local["definitions"]


def kind(group: str, name: str = "Options") -> dict[str, str]:
    return {"group": group, "kind": name, "version": "v1"}


def test_of_which_kinds_a_shared_definition_is_is_told_together() -> None:
    """Of each once, by group, version and kind."""
    ours: dict[str, Any] = {"Options": {"type": "object", KINDS: [kind("b")]}, "Plain": {"type": "object"}}
    theirs: dict[str, Any] = {
        "Options": {"type": "object", KINDS: [kind("b"), kind("x.io"), kind("a")]},
        "Plain": {"type": "object", KINDS: [kind("x.io", "Plain")]},
        "Own": {"type": "object", KINDS: [kind("x.io", "Own")]},
    }
    paths = {f"{GV}/{name}": ref(name) for name in theirs}
    other = "/apis/y.io/v1"
    second = {**theirs, "Options": {"type": "object", KINDS: [kind("y.io")]}}
    second["Own"] = {"type": "object", KINDS: [kind("a", "Own")]}
    others = RemoteSpec(
        other, {"paths": {f"{other}/{name}": ref(name) for name in theirs}, "definitions": second}
    )
    joined = additions(lambda _path: False, ours, [remote(paths, theirs), others])
    assert joined.kinds == {
        "Options": [kind("a"), kind("b"), kind("x.io"), kind("y.io")],
        "Plain": [kind("x.io", "Plain")],
    }
    assert joined.definitions == {"Own": {"type": "object", KINDS: [kind("a", "Own"), kind("x.io", "Own")]}}


def test_new_names_are_nobody_elses() -> None:
    theirs = {"Pod": {"a": 1}, "Pod_v2": {"b": ref("Pod")}}
    merged = merge(LOCAL, [remote({f"{GV}/as": ref("Pod_v2")}, theirs)])
    assert merged["definitions"]["Pod_v2"] == {"b": ref("Pod_v3")}
    assert merged["definitions"]["Pod_v3"] == {"a": 1}


def test_parameters_that_paths_share_come_over_in_place() -> None:
    shared = {"pretty-1": {"in": "query", "name": "pretty", "type": "string"}}
    operation = {"parameters": [{"$ref": "#/parameters/pretty-1"}, {"$ref": "#/parameters/gone"}]}
    document = {"paths": {f"{GV}/as": {"get": operation}}, "parameters": shared}
    merged = merge(LOCAL, [RemoteSpec(GV, document)])
    parameters = merged["paths"][f"{GV}/as"]["get"]["parameters"]
    assert parameters == [shared["pretty-1"], {"$ref": "#/parameters/gone"}]


def test_documents_that_make_no_sense_add_nothing() -> None:
    broken: list[Any] = [{}, {"paths": [], "definitions": 3}, {"paths": {f"{GV}/a": ref("Gone")}}]
    for document in broken:
        merged = merge(LOCAL, [RemoteSpec(GV, document, "")])
        assert merged["definitions"] == LOCAL["definitions"]
