"""What is stored and what is shown of it: what others stored, later defaults, lists gone bad."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import orjson
import pytest

from tiphys.apiserver.crd import store as custom_store
from tiphys.storage.base import Put

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


BAD = {"foo": 42, "bar": "abc"}
FOREIGN: dict[str, Any] = {
    "apiVersion": "example.com/v1",
    "kind": "Foo",
    "metadata": {
        "name": "a", "namespace": "default", "unknown": 42, "generation": None, "annotations": BAD,
        "labels": {"invalid": "x y"},
    },
    "spec": {
        "image": "x",
        "template": {
            "apiVersion": 1, "kind": "Pod",
            "metadata": {"unknown": 42, "annotations": BAD, "labels": {"invalid": "x y"}},
        },
    },
}  # fmt: skip


async def store(api: Any, obj: Any) -> None:
    """Write past the server, as another one does."""
    await api.store.commit([Put("/registry/example.com/foos/default/a", orjson.dumps(obj))])
    await api.settle()


async def test_metadata_that_others_stored_is_brought_into_shape(api: Any, crds: Any) -> None:
    await crds.make()
    await store(api, FOREIGN)
    seen = await api.get(f"{crds.foos}/a")
    assert (await api.get(crds.foos))["items"] == [seen]
    version = seen["metadata"].pop("resourceVersion")
    assert seen["metadata"] == {
        "name": "a", "namespace": "default", "labels": {"invalid": "x y"}, "generation": 1,
    }  # fmt: skip
    assert seen["spec"]["template"] == {"kind": "Pod", "metadata": {"labels": {"invalid": "x y"}}}
    seen["metadata"] |= {"resourceVersion": version}
    seen["spec"]["template"]["apiVersion"] = "v1"
    path = "metadata.labels", "spec.template.metadata.labels"
    for place, meta in zip(path, (seen["metadata"], seen["spec"]["template"]["metadata"]), strict=True):
        refused = await api("PUT", f"{crds.foos}/a", seen)
        assert refused.status == 422
        assert f'{place}: Invalid value: "x y"' in refused.message
        meta["labels"] = {"valid": "xy"}
    await api.put(f"{crds.foos}/a", seen)


async def test_what_others_stored_without_an_id_can_be_deleted(api: Any, crds: Any) -> None:
    await crds.make()
    await store(api, FOREIGN)
    other = await api("DELETE", f"{crds.foos}/a", {"preconditions": {"uid": "u"}})
    assert (other.status, "UID in record ()" in other.message) == (409, True)
    gone = await api("DELETE", f"{crds.foos}/a")
    assert gone.json["details"] == {"name": "a", "group": "example.com", "kind": "foos"}


async def test_an_embedded_kind_of_another_type_is_not_taken(api: Any, crds: Any) -> None:
    await crds.make()
    refused = await api("POST", crds.foos, crds.foo(template={"apiVersion": "v1", "kind": 5}))
    assert refused.status == 400
    assert (
        "cannot be handled as a Foo: spec.template.kind: Invalid value: 5: must be a string"
        in refused.message
    )


async def test_a_write_keeps_defaults_that_came_later(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    bare, with_default = crds.version(), crds.version()
    fields = with_default["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["note"]["default"] = "n"
    await crds.change({"spec": {"versions": [with_default]}})
    shown = await api.get(f"{crds.foos}/a")
    written = await api.put(f"{crds.foos}/a", shown)
    assert written["metadata"]["resourceVersion"] != shown["metadata"]["resourceVersion"]
    await crds.change({"spec": {"versions": [bare]}})
    assert (await api.get(f"{crds.foos}/a"))["spec"] == {"image": "x", "note": "n"}
    again = await api.put(f"{crds.foos}/a", written)
    assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


async def test_schemas_that_are_not_structural_are_told_of(api: Any, crds: Any) -> None:
    """Nobody can make one here: an old version's server stored it."""
    await crds.make()
    name, key = (
        "foos.example.com",
        "/registry/apiextensions.k8s.io/customresourcedefinitions/foos.example.com",
    )
    crd = await api.get(f"{crds.path}/{name}")
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["image"]["type"]
    fields["replicas"].pop("type")
    crd["spec"]["preserveUnknownFields"] = True
    crd["metadata"]["generation"] = 2
    await api.store.commit([Put(key, orjson.dumps(crd))])
    told = (await crds.wait(name, "NonStructuralSchema"))["status"]["conditions"][-1]
    path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties"
    why = "type: Required value: must not be empty for specified object fields"
    assert (told["reason"], told["message"]) == (
        "Violations", f"[{path}[image].{why}, {path}[replicas].{why}]",
    )  # fmt: skip
    for document in ("/openapi/v2", "/openapi/v3/apis/example.com/v1"):
        assert (await published(api, document)).keys() == BARE
    await crds.change({"spec": {"preserveUnknownFields": False, "versions": [crds.version()]}})
    types: list[str] = ["NonStructuralSchema"]
    while "NonStructuralSchema" in types:
        await api.settle()
        mended = await api.get(f"{crds.path}/{name}")
        types = [one["type"] for one in mended["status"]["conditions"]]
    assert types == ["NamesAccepted", "Established"]


BARE = {"type", "x-kubernetes-group-version-kind"}


async def published(api: Any, document: str) -> Any:
    """Return what a document says of the kind."""
    found = await api.get(document)
    return (found.get("definitions") or found["components"]["schemas"])["com.example.v1.Foo"]


async def test_kinds_that_keep_what_their_schema_does_not_have(api: Any, crds: Any) -> None:
    """As definitions once could: clients of v2, which take listed fields for the only ones, are told none."""
    await crds.make()
    crd = await api.get(f"{crds.path}/foos.example.com")
    crd["spec"]["preserveUnknownFields"] = True
    key = "/registry/apiextensions.k8s.io/customresourcedefinitions/foos.example.com"
    await api.store.commit([Put(key, orjson.dumps(crd))])
    await api.settle()
    assert (await published(api, "/openapi/v2")).keys() == BARE
    assert "spec" in (await published(api, "/openapi/v3/apis/example.com/v1"))["properties"]


async def test_lists_that_became_invalid_may_stay_so(api: Any, crds: Any) -> None:
    lists = crds.version()
    fields = lists["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["pairs"] = copy.deepcopy(fields["ports"])
    fields["pairs"]["items"]["required"].append("port")
    fields["pairs"]["x-kubernetes-list-map-keys"].append("port")
    await crds.make(lists)
    one, two = {"name": "a", "port": 1}, {"name": "a", "port": 2}
    made = await api.create(crds.foos, crds.foo(pairs=[one, two], ports=[one]))
    made["spec"]["ports"] = [one, one]
    refused = await api("PUT", f"{crds.foos}/a", made)
    assert "spec.ports[1]: Duplicate value" in refused.message
    fields["pairs"]["x-kubernetes-list-map-keys"] = ["name"]
    await crds.change({"spec": {"versions": [lists]}})
    await api.put(f"{crds.foos}/a", made)
    assert (await api("POST", crds.foos, crds.foo("b", pairs=[one, two]))).status == 422


async def test_what_a_schema_says_of_names_holds(api: Any, crds: Any) -> None:
    named = crds.version()
    name = {"type": "string", "pattern": "^ok", "maxLength": 5}
    named["schema"]["openAPIV3Schema"]["properties"]["metadata"] = {
        "type": "object", "properties": {"name": name},
    }  # fmt: skip
    await crds.make(named)
    await api.create(crds.foos, crds.foo("okay"))
    refused = await api("POST", crds.foos, crds.foo("other"))
    assert "metadata.name in body should match '^ok'" in refused.message
    assert "metadata.name: Too long" in (await api("POST", crds.foos, crds.foo("ok-too-long"))).message


async def test_others_are_let_in_while_many_are_looked_through(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a schema that has changed makes of objects is found out when they are listed."""
    await crds.make()
    for number in range(8):
        await api.create(crds.foos, crds.foo(f"a{number}", note="x" * 20_000))
    version = crds.version()
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["new"] = {"type": "string", "default": "d"}
    await crds.change({"spec": {"versions": [version]}})
    custom = api.server.backend.custom.store
    shown, views = custom_store._shown, custom._views
    turns: list[int] = []
    meanwhile: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        asyncio.get_running_loop().call_soon(turns.append, 1)
        return shown(*args, **options)

    async def watched(*args: Any) -> Any:
        found = await views(*args)
        meanwhile.append(len(turns))
        return found

    monkeypatch.setattr(custom_store, "_PART_BYTES", 50_000)
    monkeypatch.setattr(custom_store, "_shown", counted)
    monkeypatch.setattr(custom, "_views", watched)
    items = (await api.get(crds.foos))["items"]
    assert [item["spec"]["new"] for item in items] == ["d"] * 8
    assert meanwhile[0] > 0
