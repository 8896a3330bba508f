"""What definitions publish: discovery and OpenAPI of several groups, versions and kinds, live."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def regenerated(api: Any) -> dict[str, float]:
    """Return how often the document was made anew for the definition of foos, by reason."""
    name = "apiextensions_openapi_v2_regeneration_count"
    (family,) = (one for one in api.server.backend.metrics._registry.collect() if one.name == name)
    assert all(set(one.labels) == {"crd", "reason"} for one in family.samples)
    return {
        one.labels["reason"]: one.value for one in family.samples if one.labels["crd"] == "foos.example.com"
    }


async def versions_regenerated(api: Any) -> dict[tuple[str, str], float]:
    """Return how often documents of v3 were made anew for the definition of foos, by version and reason."""
    name = "apiextensions_openapi_v3_regeneration_count"
    (family,) = (one for one in api.server.backend.metrics._registry.collect() if one.name == name)
    assert all(one.labels["crd"] == "foos.example.com" for one in family.samples)
    assert all(one.labels["group"] == "example.com" for one in family.samples)
    return {(one.labels["version"], one.labels["reason"]): one.value for one in family.samples}


async def test_changes_of_versions_are_counted_by_version(api: Any, crds: Any) -> None:
    v1, v2 = crds.version(), crds.version("v2", storage=False)
    await crds.make(v1, v2)
    assert await versions_regenerated(api) == {("v1", "add"): 1, ("v2", "add"): 1}
    v2["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] = "changed"
    await crds.change({"spec": {"versions": [v1, v2]}})
    await crds.change({"metadata": {"labels": {"a": "b"}}})
    assert await versions_regenerated(api) == {("v1", "add"): 1, ("v2", "add"): 1, ("v2", "update"): 1}
    await crds.change({"spec": {"versions": [v1, {**v2, "served": False}]}})
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.gone("foos.example.com")
    await api.settle()
    assert await versions_regenerated(api) == {
        ("v1", "add"): 1, ("v2", "add"): 1, ("v2", "update"): 1, ("v2", "remove"): 1, ("v1", "remove"): 1,
    }  # fmt: skip


async def compared(api: Any) -> tuple[float, str]:
    """Return how often an object was compared with what it was, and the bounds of the times."""
    name = "apiextensions_apiserver_validation_ratcheting_seconds"
    (family,) = (one for one in api.server.backend.metrics._registry.collect() if one.name == name)
    bounds = [one.labels["le"] for one in family.samples if "le" in one.labels]
    return next(one.value for one in family.samples if one.name == f"{name}_count"), " ".join(bounds)


async def test_updates_are_compared_with_what_was_before(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    bounds = "1e-05 4e-05 0.00016 0.00064 0.00256 0.01024 0.04096 0.16384 0.65536 2.62144 +Inf"
    assert await compared(api) == (0, bounds)
    await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})
    assert await compared(api) == (1, bounds)


async def published(api: Any) -> set[str]:
    """Return the names of the custom kinds in OpenAPI v2, and check that v3 has the same."""
    definitions = (await api.get("/openapi/v2"))["definitions"]
    names = {name for name in definitions if name.startswith("com.") and not name.endswith("List")}
    index = (await api.get("/openapi/v3"))["paths"]
    found: set[str] = set()
    for path in index:
        if ".com/" in path:
            found |= set((await api.get(f"/openapi/v3/{path}"))["components"]["schemas"])
    assert {name for name in found if name.startswith("com.") and not name.endswith("List")} == names
    return names


async def test_kinds_of_one_group_version(api: Any, crds: Any) -> None:
    await crds.make()
    await crds.make(plural="bars", kind="Bar")
    assert await published(api) == {"com.example.v1.Foo", "com.example.v1.Bar"}


async def test_versions_of_one_group(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    assert await published(api) == {"com.example.v1.Foo", "com.example.v2.Foo"}
    await crds.make(crds.version("v3"), plural="bars", kind="Bar")
    assert await published(api) == {"com.example.v1.Foo", "com.example.v2.Foo", "com.example.v3.Bar"}


async def test_groups(api: Any, crds: Any) -> None:
    await crds.make()
    other = crds.definition()
    other["metadata"]["name"], other["spec"]["group"] = "foos.other.com", "other.com"
    await api.create(crds.path, other)
    await crds.wait("foos.other.com", "Established")
    assert await published(api) == {"com.example.v1.Foo", "com.other.v1.Foo"}


async def test_a_version_that_is_served_no_more(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    off = {**crds.version("v2", storage=False), "served": False}
    await crds.change({"spec": {"versions": [crds.version(), off]}})
    assert await published(api) == {"com.example.v1.Foo"}


async def test_a_version_that_is_renamed(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    await crds.change({"spec": {"versions": [crds.version(), crds.version("v4", storage=False)]}})
    assert await published(api) == {"com.example.v1.Foo", "com.example.v4.Foo"}


async def test_unknown_fields_are_kept_at_the_root(api: Any, crds: Any) -> None:
    version = crds.version()
    version["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await crds.make(version)
    schema = (await api.get("/openapi/v2"))["definitions"]["com.example.v1.Foo"]
    assert schema.keys() == {"type", "x-kubernetes-group-version-kind"}, (
        "it would forbid what it does not list"
    )
    third = await api.get("/openapi/v3/apis/example.com/v1")
    assert (
        third["components"]["schemas"]["com.example.v1.Foo"]["x-kubernetes-preserve-unknown-fields"] is True
    )
    made = await api.create(f"{crds.foos}?fieldValidation=Strict", {**crds.foo(), "anything": {"goes": 1}})
    assert made["anything"] == {"goes": 1}
    (kind,) = schema["x-kubernetes-group-version-kind"]
    assert kind == {"group": "example.com", "version": "v1", "kind": "Foo"}


async def test_unknown_fields_are_kept_in_a_field(api: Any, crds: Any) -> None:
    await crds.make()
    v3 = (await api.get("/openapi/v3/apis/example.com/v1"))["components"]["schemas"]["com.example.v1.Foo"]
    free = v3["properties"]["spec"]["properties"]["free"]
    assert free["x-kubernetes-preserve-unknown-fields"] is True
    made = await api.create(f"{crds.foos}?fieldValidation=Strict", crds.foo(free={"x": {"y": 1}}))
    assert made["spec"]["free"] == {"x": {"y": 1}}


async def test_what_v2_cannot_say_takes_anything(api: Any, crds: Any) -> None:
    """No client of v2 refuses what the server takes, nor stumbles over lists without items."""
    version = crds.version()
    fields = {
        "none": {"type": "array", "nullable": True, "items": {"type": "string"}},
        "any": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"a": {"type": "string"}},
        },
        "named": {"type": "string"},
    }
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        "type": "object", "required": ["none", "named"], "properties": fields,
    }  # fmt: skip
    await crds.make(version)
    spec = (await api.get("/openapi/v2"))["definitions"]["com.example.v1.Foo"]["properties"]["spec"]
    assert spec["required"] == ["named"]
    assert spec["properties"] == {
        "none": {}, "any": {"x-kubernetes-preserve-unknown-fields": True}, "named": {"type": "string"},
    }  # fmt: skip
    only = {**fields["none"]}
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        "type": "object", "required": ["none"], "properties": {"none": only},
    }  # fmt: skip
    await crds.change({"spec": {"versions": [version]}})
    spec = (await api.get("/openapi/v2"))["definitions"]["com.example.v1.Foo"]["properties"]["spec"]
    assert spec == {"type": "object", "properties": {"none": {}}}


async def test_discovery_of_a_definition(api: Any, crds: Any) -> None:
    before = await api("GET", "/apis", accept=V2)
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await crds.make(crds.version(subresources={"scale": scale, "status": {}}), names={"categories": ["all"]})
    after = await api("GET", "/apis", accept=V2, if_none_match=before.headers["etag"])
    assert after.status == 200
    (group,) = (one for one in after.json["items"] if one["metadata"]["name"] == "example.com")
    (version,) = group["versions"]
    (foos,) = version["resources"]
    assert (foos["resource"], foos["scope"], foos["categories"]) == ("foos", "Namespaced", ["all"])
    assert foos["responseKind"] == {"group": "example.com", "version": "v1", "kind": "Foo"}
    assert [one["subresource"] for one in foos["subresources"]] == ["status", "scale"]
    listed = (await api.get("/apis/example.com/v1"))["resources"]
    assert [one["name"] for one in listed] == ["foos", "foos/status", "foos/scale"]


async def test_definitions_are_listed_watched_and_deleted_together(api: Any, crds: Any) -> None:
    response = await api.send("GET", f"{crds.path}?watch=true&labelSelector=set=mine")
    for index in range(3):
        crd = crds.definition(plural=f"foo{index}s", kind=f"Foo{index}")
        crd["metadata"]["labels"] = {"set": "mine"}
        await api.create(crds.path, crd)
    await crds.make()
    await api.patch(f"{crds.path}/foo0s.example.com", {"metadata": {"annotations": {"a": "b"}}})
    listed = await api.get(f"{crds.path}?labelSelector=set=mine")
    assert len(listed["items"]) == 3
    await api("DELETE", f"{crds.path}?labelSelector=set=mine")
    seen: dict[str, list[str]] = {}
    async for chunk in response.stream:
        for line in chunk.splitlines():
            event = orjson.loads(line)
            seen.setdefault(event["object"]["metadata"]["name"], []).append(event["type"])
        if sum(types[-1] == "DELETED" for types in seen.values()) == 3:
            break
    await response.stream.aclose()
    for types in seen.values():
        assert (types[0], types[1], types[-1]) == ("ADDED", "MODIFIED", "DELETED")
    assert [one["metadata"]["name"] for one in (await api.get(crds.path))["items"]] == ["foos.example.com"]


FIELD_VALIDATION = {
    "unknown": ('"spec":{"image":"x","no":1}', 'unknown field "spec.no"'),
    "duplicate": ('"spec":{"image":"x","image":"y"}', 'duplicate field "spec.image"'),
    "in metadata": ('"metadata":{"name":"a","no":1},"spec":{"image":"x"}', 'unknown field "metadata.no"'),
    "in an embedded object": (
        '"spec":{"image":"x","template":{"apiVersion":"v1","kind":"X","metadata":{"name":"y","no":1}}}',
        'unknown field "spec.template.metadata.no"',
    ),
    "doubled where all is kept": (
        '"spec":{"image":"x","free":{"a":1,"a":2}}', 'duplicate field "spec.free.a"'
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELD_VALIDATION)
async def test_strict_field_validation(api: Any, crds: Any, name: str) -> None:
    await crds.make()
    fields, fault = FIELD_VALIDATION[name]
    head = '"apiVersion":"example.com/v1","kind":"Foo",'
    meta = "" if "metadata" in fields.split(":")[0] else '"metadata":{"name":"a"},'
    body = f"{{{head}{meta}{fields}}}".encode()
    answer = await api("POST", f"{crds.foos}?fieldValidation=Strict", body)
    assert answer.status == 400
    assert f"strict decoding error: {fault}" in answer.message
    warned = await api("POST", f"{crds.foos}?fieldValidation=Warn", body)
    assert warned.status == 201
    assert "299" in warned.headers["warning"]


async def test_valid_objects_are_applied(api: Any, crds: Any) -> None:
    await crds.make()
    answer = await api.patch(
        f"{crds.foos}/a?fieldManager=m&fieldValidation=Strict", orjson.dumps(crds.foo(replicas=2)), "apply"
    )
    assert (answer.status, answer.json["spec"]) == (201, {"image": "x", "replicas": 2})


async def test_documents_made_anew_are_counted_by_reason(api: Any, crds: Any) -> None:
    before = await regenerated(api)

    async def added() -> dict[str, float]:
        return {key: value - before.get(key, 0) for key, value in (await regenerated(api)).items()
                if value != before.get(key, 0)}  # fmt: skip

    await crds.make()
    assert await added() == {"add": 1}
    await crds.change({"metadata": {"labels": {"a": "b"}}})
    assert await added() == {"add": 1}
    changed = crds.version()
    changed["schema"]["openAPIV3Schema"]["properties"]["more"] = {"type": "string"}
    await crds.change({"spec": {"versions": [changed]}})
    assert await added() == {"add": 1, "update": 1}
    assert (await api("DELETE", f"{crds.path}/foos.example.com")).status == 200
    async with asyncio.timeout(20):
        while (await api("GET", f"{crds.path}/foos.example.com")).status == 200:
            await api.settle()
    await api.settle()
    assert await added() == {"add": 1, "update": 1, "remove": 1}
