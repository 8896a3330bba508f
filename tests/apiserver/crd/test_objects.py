"""Custom objects: pruning, defaults, validation, patches, apply, subresources, tables."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.protobuf import codec
from tiphys.apiserver.crd import kind

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


async def test_crud_and_generation(api: Any, crds: Any) -> None:
    await crds.make(crds.version(subresources={"status": {}}))
    made = await api.create(crds.foos, {**crds.foo(), "status": {"replicas": 9}})
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    path = f"{crds.foos}/a"
    made["spec"]["image"] = "y"
    made = await api.put(path, made)
    assert made["metadata"]["generation"] == 2
    status = await api.put(f"{path}/status", {**made, "status": {"replicas": 1}, "spec": {"image": "no"}})
    assert (status["spec"]["image"], status["status"]) == ("y", {"replicas": 1})
    assert status["metadata"]["generation"] == 2
    answer = await api("DELETE", path)
    assert answer.json["status"] == "Success"


async def test_generation_without_status_subresource(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, {**crds.foo(), "status": {"replicas": 1}})
    changed = await api.patch(f"{crds.foos}/a", {"status": {"replicas": 2}})
    assert changed.json["metadata"]["generation"] == 2
    labelled = await api.patch(f"{crds.foos}/a", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.json["metadata"]["generation"] == 2
    assert (await api("GET", f"{crds.foos}/a/status")).status == 404


async def test_pruning_and_nulls(api: Any, crds: Any) -> None:
    await crds.make()
    body = crds.foo(junk=1, free={"a": 1}, size="1", note=None, replicas=None)
    made = await api.create(f"{crds.foos}?fieldValidation=Ignore", body)
    assert made["spec"] == {"image": "x", "free": {"a": 1}, "size": "1", "note": None}


async def test_field_validation(api: Any, crds: Any) -> None:
    await crds.make()
    embedded = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "odd": 1}}
    body = crds.foo(junk=1, template=embedded)
    body["metadata"]["strange"] = 1
    strict = await api("POST", f"{crds.foos}?fieldValidation=Strict", body)
    assert strict.status == 400
    for field in ("spec.junk", "metadata.strange", "spec.template.metadata.odd"):
        assert f'unknown field "{field}"' in strict.message
    warned = await api("POST", f"{crds.foos}?fieldValidation=Warn", body)
    assert warned.status == 201
    assert "unknown field" in warned.headers["warning"]
    twice = orjson.dumps(crds.foo("b")).replace(b'"image":', b'"image":"y","image":')
    assert (
        'duplicate field "spec.image"'
        in (await api("POST", f"{crds.foos}?fieldValidation=Strict", twice)).message
    )


@pytest.mark.parametrize("kind", ["merge", "json"])
async def test_refused_patches_show_the_object_with_its_keys_sorted(api: Any, crds: Any, kind: str) -> None:
    await crds.make()
    made = await api.create(crds.foos, crds.foo(size="1"))
    made["spec"]["first"] = 1
    operation = {"op": "add", "path": "/spec/first", "value": 1}
    patch: object = {"spec": {"first": 1}} if kind == "merge" else [operation]
    refused = await api.patch(f"{crds.foos}/a?fieldValidation=Strict", patch, kind)
    assert refused.status == 422
    shown = orjson.dumps(made, option=orjson.OPT_SORT_KEYS).decode()
    (cause,) = refused.json["details"]["causes"]
    assert cause["message"].startswith("Invalid value: " + orjson.dumps(shown).decode())
    assert cause["message"].endswith(': strict decoding error: unknown field "spec.first"')


async def test_validation_and_ratcheting(api: Any, crds: Any) -> None:
    await crds.make()
    refused = await api("POST", crds.foos, crds.foo(image="", replicas=-1))
    assert refused.status == 422
    assert "spec.image in body should be at least 1 chars long" in refused.message
    assert "should be greater than or equal to 0" in refused.message
    await api.create(crds.foos, crds.foo(replicas=1))
    tighter = crds.version()
    tighter["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["minimum"] = 5
    await crds.change({"spec": {"versions": [tighter]}})
    assert (await api.patch(f"{crds.foos}/a", {"spec": {"image": "z"}})).status == 200
    assert (await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})).status == 422


async def test_defaulting_for_requests_and_from_storage(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    with_default = crds.version()
    spec = with_default["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["replicas"]["default"] = 3
    await crds.change({"spec": {"versions": [with_default]}})
    assert (await api.get(f"{crds.foos}/a"))["spec"]["replicas"] == 3
    assert (await api.get(crds.foos))["items"][0]["spec"]["replicas"] == 3
    assert (await api.create(crds.foos, crds.foo("b")))["spec"]["replicas"] == 3
    del spec["replicas"]["default"]
    spec["note"]["default"] = "n"
    await crds.change({"spec": {"versions": [with_default]}})
    assert "replicas" not in (await api.get(f"{crds.foos}/a"))["spec"]
    assert (await api.get(f"{crds.foos}/b"))["spec"] == {"image": "x", "replicas": 3, "note": "n"}


async def test_patches(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    path = f"{crds.foos}/a"
    refused = await api.patch(path, {}, "strategic")
    assert refused.status == 415
    answer = await api.patch(path, [{"op": "replace", "path": "/spec/image", "value": "j"}], "json")
    assert answer.json["spec"]["image"] == "j"


async def test_apply_merges_lists_by_their_keys(api: Any, crds: Any) -> None:
    await crds.make()
    path = f"{crds.foos}/a"
    one = crds.foo(ports=[{"name": "a", "port": 1}])
    two = {**crds.foo(), "spec": {"ports": [{"name": "b", "port": 2}]}}
    first = await api.patch(f"{path}?fieldManager=one", orjson.dumps(one), "apply")
    assert first.status == 201
    second = await api.patch(f"{path}?fieldManager=two", orjson.dumps(two), "apply")
    assert [port["name"] for port in second.json["spec"]["ports"]] == ["a", "b"]
    stolen = await api.patch(f"{path}?fieldManager=two", orjson.dumps(crds.foo(image="t")), "apply")
    assert stolen.status == 409


async def test_apply_does_not_own_defaults(api: Any, crds: Any) -> None:
    made = crds.version()
    made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["default"] = 3
    await crds.make(made)
    answer = await api.patch(f"{crds.foos}/a?fieldManager=one", orjson.dumps(crds.foo()), "apply")
    assert answer.json["spec"]["replicas"] == 3
    assert "f:replicas" not in orjson.dumps(answer.json["metadata"]["managedFields"]).decode()


async def test_scale(api: Any, crds: Any) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await crds.make(crds.version(subresources={"status": {}, "scale": paths}))
    await api.create(crds.foos, crds.foo(replicas=2))
    scale = await api.get(f"{crds.foos}/a/scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    await api.patch(f"{crds.foos}/a/scale", {"spec": {"replicas": 5}})
    found = await api.get(f"{crds.foos}/a")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)


async def test_a_scale_is_a_kind_like_any_other(api: Any, crds: Any) -> None:
    """Autoscalers write it in protobuf; it is not read so, as nothing of a custom kind is."""
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await crds.make(crds.version(subresources={"scale": paths}))
    await api.create(crds.foos, crds.foo(replicas=2))
    path = f"{crds.foos}/a/scale"
    scale = await api.get(path)
    assert list(scale) == ["kind", "apiVersion", "metadata", "spec", "status"]
    body = codec.encode({**scale, "spec": {"replicas": 5}})
    refused = await api("PUT", path, body, content_type=PROTOBUF, accept=PROTOBUF)
    assert (refused.status, (await api.get(path))["spec"]) == (406, {"replicas": 2})
    answer = await api("PUT", path, body, content_type=PROTOBUF, accept=f"{PROTOBUF},application/json")
    assert (answer.status, answer.json["spec"]) == (200, {"replicas": 5})
    answer = await api(
        "PUT", path, codec.encode(crds.foo() | {"kind": "Pod", "apiVersion": "v1"}), content_type=PROTOBUF
    )
    assert (answer.status, answer.message[:45]) == (400, 'Pod in version "v1" cannot be handled as a Sc')


async def test_a_scale_of_nothing(api: Any, crds: Any) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await crds.make(crds.version(subresources={"scale": paths}))
    await api.create(crds.foos, crds.foo())
    refused = await api("GET", f"{crds.foos}/a/scale")
    assert (refused.status, refused.json["reason"]) == (500, "InternalError")
    assert refused.message.endswith('the spec replicas field ".spec.replicas" does not exist')
    answer = await api.patch(f"{crds.foos}/a/scale", {"spec": {"replicas": 5}})
    assert answer.json["spec"] == {"replicas": 5}
    assert (await api.get(f"{crds.foos}/a/scale"))["spec"] == {"replicas": 5}


async def test_tables(api: Any, crds: Any) -> None:
    columns = [
        {"name": "Image", "type": "string", "jsonPath": ".spec.image"},
        {"name": "Port", "type": "integer", "jsonPath": '.spec.ports[?(@.name=="b")].port'},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "None", "type": "string", "jsonPath": ".spec.absent"},
    ]
    await crds.make(crds.version(additionalPrinterColumns=columns))
    await api.create(crds.foos, crds.foo(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}]))
    table = await api.get(crds.foos, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name", "Image", "Port", "Since", "None",
    ]  # fmt: skip
    assert table["rows"][0]["cells"] == ["a", "x", 2, "0s", None]


async def test_whole_numbers_are_shown_whole(api: Any, crds: Any) -> None:
    made = crds.version()
    fields = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["free"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await crds.make(made)
    written = orjson.dumps(crds.foo(replicas=7)).replace(b":7", b':3.0,"free":{"l":[1e2,1.5,-2.0]}')
    made = await api.create(crds.foos, written)
    assert orjson.dumps(made["spec"]) == b'{"free":{"l":[100,1.5,-2]},"image":"x","replicas":3}'
    raw = (await api("GET", f"{crds.foos}/a")).raw
    assert b'"free":{"l":[100,1.5,-2]}' in raw
    patched = await api.patch(f"{crds.foos}/a", b'{"spec":{"replicas":4.0}}')
    assert b'"replicas":4' in patched.raw
    assert b"4.0" not in patched.raw


async def test_custom_objects_are_maps_with_their_keys_in_order(api: Any, crds: Any) -> None:
    made = crds.version()
    fields = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["free"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await crds.make(made)
    foo = crds.foo(replicas=7, free={"b": [{"z": 1, "a": 2}], "a": 1})
    foo["metadata"]["annotations"] = {"z": "", "resourceVersion": ""}
    for path in (crds.foos, f"{crds.foos}?dryRun=All"):
        foo["metadata"]["name"] = "dry" if "?" in path else "a"
        raw = (await api("POST", path, foo)).raw
        assert b'"spec":{"free":{"a":1,"b":[{"a":2,"z":1}]},"image":"x","replicas":7}' in raw
        assert b'"annotations":{"resourceVersion":"","z":""}' in raw
    shown = await api.get(f"{crds.foos}/a")
    assert int(shown["metadata"]["resourceVersion"]) > 0


async def test_selectable_fields(api: Any, crds: Any) -> None:
    await crds.make(crds.version(selectableFields=[{"jsonPath": ".spec.image"}]))
    await api.create(crds.foos, crds.foo("a"))
    await api.create(crds.foos, crds.foo("b", image="y"))
    found = await api.get(f"{crds.foos}?fieldSelector=spec.image=y")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    assert (await api("GET", f"{crds.foos}?fieldSelector=spec.note=y")).status == 400


async def test_what_the_schema_dropped_is_not_shown(api: Any, crds: Any) -> None:
    crd = await crds.make()
    await api.create(crds.foos, crds.foo(replicas=2, note="n"))
    stored = (await api.get(f"{crds.foos}/a"))["metadata"]["resourceVersion"]
    version = crd["spec"]["versions"][0]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["note"]
    await crds.change({"spec": {"versions": [version]}})
    (listed,) = (await api.get(crds.foos))["items"]
    response = await api.send("GET", f"{crds.foos}?watch=true")
    watched = orjson.loads((await anext(response.stream)).splitlines()[0])["object"]
    await response.stream.aclose()
    for seen in (await api.get(f"{crds.foos}/a"), listed, watched):
        assert seen["spec"] == {"image": "x", "replicas": 2}
        assert seen["metadata"]["resourceVersion"] == stored


async def test_what_is_known_to_be_clean_is_not_looked_at_again(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    before = await api.get(f"{crds.foos}/a")
    monkeypatch.setattr(kind, "prune", None)
    assert await api.get(f"{crds.foos}/a") == before
    assert (await api.get(crds.foos))["items"] == [before]


OTHER_KINDS = {
    "no kind": ({"kind": ""}, 400, "Object 'Kind' is missing in 'object has no kind field '"),
    "no version": (
        {"apiVersion": ""}, 400, "Object 'apiVersion' is missing in 'object has no apiVersion field'",
    ),
    "another version": (
        {"apiVersion": "example.com/v2"}, 400,
        "the API version in the data (example.com/v2) does not match "
        "the expected API version (example.com/v1)",
    ),
    "another kind": (
        {"kind": "Bar"}, 422,
        'Bar.example.com "a" is invalid: kind: Invalid value: "Bar": must be Foo',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_KINDS)
async def test_objects_say_what_they_are(api: Any, crds: Any, name: str) -> None:
    await crds.make()
    changes, status, message = OTHER_KINDS[name]
    answer = await api("POST", crds.foos, {**crds.foo(), **changes})
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize("changes", [{"kind": "Bar"}, {"apiVersion": "example.com/v2"}])
async def test_what_is_applied_says_what_it_is(api: Any, crds: Any, changes: dict[str, str]) -> None:
    await crds.make()
    body = {**crds.foo(), **changes}
    answer = await api.patch(f"{crds.foos}/a?fieldManager=m", body, "apply")
    said = f"invalid object type: {body['apiVersion']}, Kind={body['kind']}"
    assert (answer.status, answer.message) == (400, said)


async def test_an_update_names_its_version(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo())
    answer = await api("PUT", f"{crds.foos}/a", crds.foo())
    assert answer.message == (
        'foos.example.com "a" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )


async def test_int_or_string(api: Any, crds: Any) -> None:
    await crds.make()
    answer = await api("POST", crds.foos, crds.foo(size=1.5))
    text = 'spec.size: Invalid value: "number": spec.size in body must be of type integer,string: "number"'
    assert answer.message == f'Foo.example.com "a" is invalid: {text}'


async def test_embedded_objects_are_published_whole(api: Any, crds: Any) -> None:
    await crds.make()
    v3 = await api.get("/openapi/v3/apis/example.com/v1")
    foo = v3["components"]["schemas"]["com.example.v1.Foo"]
    template = foo["properties"]["spec"]["properties"]["template"]
    assert sorted(template["properties"]) == ["apiVersion", "kind", "metadata"]
    assert template["required"] == ["kind", "apiVersion"]
    v2 = (await api.get("/openapi/v2"))["definitions"]["com.example.v1.Foo"]
    assert "properties" not in v2["properties"]["spec"]["properties"]["template"]


FIELDS = {
    "color": ("string", "blue", "blue"),
    "quantity": ("integer", 2, "2"),
    "branded": ("boolean", False, "false"),
    "hostNetwork": ("boolean", None, ""),  # a pod's is false where nothing is said
    "source": ("string", None, ""),  # an event's comes from elsewhere
}


async def test_selectable_fields_mean_what_they_say(api: Any, crds: Any) -> None:
    version = crds.version(selectableFields=[{"jsonPath": f".spec.{name}"} for name in FIELDS])
    properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties |= {name: {"type": kind} for name, (kind, _, _) in FIELDS.items()}
    await crds.make(version, scope="Cluster")
    foos = "/apis/example.com/v1/foos"
    spec = {name: value for name, (_, value, _) in FIELDS.items() if value is not None}
    await api.create(foos, crds.foo(**spec))
    for name, (_, _, text) in FIELDS.items():
        found = await api.get(f"{foos}?fieldSelector=spec.{name}%3D{text}")
        assert len(found["items"]) == 1, name
        assert not (await api.get(f"{foos}?fieldSelector=spec.{name}!%3D{text}"))["items"], name
    for method in ("GET", "DELETE"):
        for path in ("metadata.namespace", "spec.nosuchfield"):
            refused = await api(method, f"{foos}?fieldSelector={path}%3Dx")
            assert (refused.status, refused.message) == (400, f"field label not supported: {path}")


async def test_kinds_without_selectable_fields_name_the_field_that_is_none(api: Any, crds: Any) -> None:
    await crds.make()
    refused = await api("GET", f"{crds.foos}?fieldSelector=spec.image%3Dx")
    assert (refused.status, refused.message) == (400, "field label not supported: spec.image")
    assert await api.get(f"{crds.foos}?fieldSelector=metadata.namespace%3Ddefault")


async def test_numbers_are_kept_in_64_bits(api: Any, crds: Any) -> None:
    await crds.make()
    numbers = (
        b'{"a":9223372036854775807,"b":9223372036854775808,"c":-9223372036854775809,"d":18446744073709551615,'
        b'"e":1.0,"f":2e3,"g":-0,"h":-0.0,"i":1.5,"j":1e-7,"k":[123456789012345678901234567890]}'
    )
    body = orjson.dumps(crds.foo(free={"numbers": 1})).replace(b'{"numbers":1}', numbers)
    answer = await api("POST", crds.foos, body)
    assert answer.status == 201
    kept = answer.json["spec"]["free"]
    assert kept == {
        "a": 2**63 - 1, "b": 9223372036854776000, "c": -(2.0**63), "d": 2.0**64, "e": 1, "f": 2000, "g": 0,
        "h": 0, "i": 1.5, "j": 1e-7, "k": [1.2345678901234568e29],
    }  # fmt: skip
    assert [type(value) for value in kept.values()][:8] == [int, int, float, float, int, int, int, int]
    answer = await api("POST", crds.foos, body.replace(b"-0.0", b"-1e999"))
    assert (answer.status, answer.message) == (
        400,
        'Foo in version "v1" cannot be handled as a Foo: '
        "json: cannot unmarshal number -1e999 into Go value of type float64",
    )


async def test_the_last_of_doubled_keys_counts(api: Any, crds: Any) -> None:
    await crds.make()
    body = orjson.dumps(crds.foo(free={"numbers": 1})).replace(
        b'{"numbers":1}', b'{"a":1},"free":{"b":1,"b":2}'
    )
    answer = await api("POST", crds.foos, body)
    assert (answer.status, answer.json["spec"]["free"]) == (201, {"b": 2})
    assert answer.headers["warning"] == (
        '299 - "duplicate field \\"spec.free\\"", 299 - "duplicate field \\"spec.free.b\\""'
    )


async def test_lists_have_the_keys_of_a_map_in_order(api: Any, crds: Any) -> None:
    await crds.make()
    for name in ("a", "b"):
        await api.create(crds.foos, {**crds.foo(), "metadata": {"name": name}})
    plain, laid_out = await api("GET", crds.foos), await api("GET", f"{crds.foos}?pretty=true")
    for answer in (plain, laid_out):
        assert list(answer.json) == ["apiVersion", "items", "kind", "metadata"]
        assert list(answer.json["metadata"]) == ["continue", "resourceVersion"]
        assert answer.json["metadata"]["continue"] == ""
        assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "b"]
    part = (await api("GET", f"{crds.foos}?limit=1")).json["metadata"]
    assert list(part) == ["continue", "remainingItemCount", "resourceVersion"]
    assert part["continue"]


NO_MESSAGE = (
    " cannot be handled as a Foo: object *unstructured.Unstructured does not implement the protobuf "
    "marshalling interface and cannot be encoded to a protobuf message"
)
PACKED: dict[str, tuple[bytes, str]] = {
    "its kind": (codec.wrap(b"", GVK("example.com", "v1", "Foo")), 'Foo in version "v1"' + NO_MESSAGE),
    "no kind": (codec.wrap(b"", GVK("", "", "")), 'Foo in version "v1"' + NO_MESSAGE),
    "another kind": (codec.wrap(b"", GVK("", "v1", "Pod")), 'Pod in version "v1"' + NO_MESSAGE),
    "nothing": (b"", "the object provided is unrecognized (must be of type Foo): empty data (<empty>)"),
}


@pytest.mark.parametrize(("body", "said"), PACKED.values(), ids=PACKED)
async def test_there_is_no_protobuf_of_them(api: Any, crds: Any, body: bytes, said: str) -> None:
    await crds.make()
    answer = await api("POST", crds.foos, body, content_type=PROTOBUF)
    assert (answer.status, answer.message) == (400, said)


async def test_forms_that_they_are_not_served_in(api: Any, crds: Any) -> None:
    """What is accepted is told as of all kinds: their metadata has the other form."""
    await crds.make()
    await api.create(crds.foos, crds.foo())
    for path, accept in (("/a", PROTOBUF), ("", PROTOBUF), ("?watch=1", PROTOBUF), ("/a", "text/html")):
        answer = await api("GET", crds.foos + path, accept=accept)
        assert answer.status == 406
        told = answer.json or codec.decode(answer.raw)
        assert told["message"] == (
            "only the following media types are accepted: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    answer = await api("GET", crds.foos + "?watch=1", accept="application/yaml,application/json")
    assert b"application/vnd.kubernetes.protobuf;stream=watch" in answer.raw
    answer = await api("POST", crds.foos, b"x", content_type="application/cbor")
    assert (answer.status, answer.message.rpartition(", ")[2]) == (415, PROTOBUF)


async def test_markup_is_escaped_as_go_does(api: Any, crds: Any) -> None:
    await crds.make(crds.version("v1"), crds.version("v2", storage=False))
    obj = crds.foo(free={"a": "<b>&"})
    raws = [(await api("POST", crds.foos, obj)).raw]
    for path in (crds.foos, crds.foos.replace("/v1/", "/v2/")):
        raws.append((await api("GET", path)).raw)
        told = await api.send("GET", f"{path}?watch=1")
        raws.append(await anext(told.stream))
        await told.stream.aclose()
    for raw in raws:
        assert b'{"a":"\\u003cb\\u003e\\u0026"}' in raw
