"""What a PATCH may say, and the words in which another is refused: cases of upstream's patch handler."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
GO_MAP = "json: cannot unmarshal {} into Go value of type map[string]interface {{}}"
OPERATIONS = "error decoding patch: json: cannot unmarshal {} into Go value of type {}"
NO_JSON = "invalid character 'b' looking for beginning of value"
ADD = b'{"op":"add","path":"/data","value":{"a":"b"}'


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("json", b"bad", f"error decoding patch: {NO_JSON}"),
        ("json", {"op": "add"}, OPERATIONS.format("object", "[]handlers.jsonPatchOp")),
        ("json", [1], OPERATIONS.format("number", "handlers.jsonPatchOp")),
        ("json", [{"op": 1}],
         "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op "
         "of type string"),
        ("merge", b"bad", f"error decoding patch: {NO_JSON}"),
        ("merge", [], "error decoding patch: " + GO_MAP.format("array")),
        ("merge", b'"text"', "error decoding patch: " + GO_MAP.format("string")),
        ("merge", b"null", "Invalid JSON Patch"),
        ("strategic", b"bad", NO_JSON),
        ("strategic", [], GO_MAP.format("array")),
    ],
)  # fmt: skip
async def test_bodies_that_are_no_patches(api: Any, kind: str, body: Any, message: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api.patch(f"{CMS}/c", body, kind)
    assert (answer.status, answer.json["reason"], answer.message) == (400, "BadRequest", message)
    assert (await api.patch(f"{CMS}/missing", body, kind)).status == 404


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("json", b"bad", NO_JSON),
        ("json", {"op": "add"}, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        ("merge", b"bad", "Invalid JSON Patch"),
        ("merge", b"1", "Invalid JSON Patch"),
        ("strategic", b"bad", NO_JSON),
    ],
)
async def test_bodies_that_nobody_validates(api: Any, kind: str, body: Any, message: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api.patch(f"{CMS}/c?fieldValidation=Ignore", body, kind)
    assert (answer.status, answer.message) == (400, message)


@pytest.mark.parametrize("kind", ["json", "strategic"])
async def test_a_patch_of_nothing_changes_nothing(api: Any, kind: str) -> None:
    made = await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api.patch(f"{CMS}/c", b"null", kind)
    assert (answer.status, answer.json) == (200, made)


@pytest.mark.parametrize(
    ("kind", "body", "faults"),
    [
        ("json", b"[" + ADD + b',"foo":1}]', ['json patch unknown field "[0].foo"']),
        ("json", b"[" + ADD + b',"op":"add"}]', ['json patch duplicate field "[0].op"']),
        ("json", b"[" + ADD + b',"foo":1,"foo":2},' + ADD + b',"op":"add"}]',
         ['json patch unknown field "[0].foo"', 'json patch duplicate field "[1].op"']),
        ("json", b'[{"op":"add","path":"/zata","value":{},"foo":1}]',
         ['json patch unknown field "[0].foo"', 'unknown field "zata"']),
        ("merge", b'{"data":{"a":"b"},"data":{"a":"c"},"zata":1}',
         ['duplicate field "data"', 'unknown field "zata"']),
        ("strategic", b'{"data":{"a":"b"},"data":{"a":"c"},"zata":1}',
         ['duplicate field "data"', 'unknown field "zata"']),
    ],
)  # fmt: skip
async def test_fields_that_do_not_belong(api: Any, kind: str, body: bytes, faults: list[str]) -> None:
    """Those of the patch and of what it makes are told together; what it makes is shown."""
    await api.create(CMS, {"metadata": {"name": "c"}})
    strict = await api.patch(f"{CMS}/c?fieldValidation=Strict", body, kind)
    cause = strict.json["details"]["causes"][0]["message"]
    assert strict.status == 422
    assert cause.endswith(f": strict decoding error: {', '.join(faults)}")
    shown = "map[data:map[a:c] zata:1]" if kind == "strategic" else '\\"kind\\":\\"ConfigMap\\"'
    assert shown in cause
    warned = await api.patch(f"{CMS}/c", body, kind)
    quoted = [fault.replace('"', '\\"') for fault in faults]
    assert warned.headers["warning"] == ", ".join(f'299 - "{fault}"' for fault in quoted)


@pytest.mark.parametrize("kind", ["merge", "strategic"])
async def test_a_patch_of_another_uid_changes_what_cannot_be(api: Any, kind: str) -> None:
    """Only a PUT says by its uid which object it means."""
    made = await api.create(CMS, {"metadata": {"name": "c"}})
    other = {"metadata": {"uid": "other"}}
    patched = await api.patch(f"{CMS}/c", other, kind)
    assert patched.status == 422
    assert patched.message.endswith('metadata.uid: Invalid value: "other": field is immutable')
    put = await api("PUT", f"{CMS}/c", {"metadata": {**made["metadata"], **other["metadata"]}})
    assert put.status == 409
    assert put.message == (
        'Operation cannot be fulfilled on configmaps "c": StorageError: invalid object, Code: 4, '
        "Key: /registry/configmaps/default/c, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        f"UID in precondition: other, UID in object meta: {made['metadata']['uid']}"
    )


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({"binaryData": 1, "immutable": "x"}, "unrecognized type: bool"),
        ({"data": "x", "immutable": 1, "metadata": {"labels": 1}}, "cannot restore map from int64"),
        ({"binaryData": 1, "data": "x"}, "cannot restore map from string"),
    ],
)
async def test_a_strategic_patch_is_refused_for_what_comes_first_in_go(
    api: Any, patch: dict[str, Any], text: str
) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api.patch(f"{CMS}/c", patch, "strategic")
    assert answer.status == 422
    assert answer.message.endswith(f": {text}")


async def test_patches_of_a_scale_are_read_the_same_way(api: Any) -> None:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/apis/apps/v1/namespaces/default/deployments"
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    answer = await api.patch(f"{path}/d/scale", b"bad")
    assert (answer.status, answer.message) == (400, f"error decoding patch: {NO_JSON}")
    answer = await api.patch(f"{path}/d/scale?fieldValidation=Strict", {"spec": {"replica": 2}})
    assert (answer.status, answer.json["details"]["causes"][0]["field"]) == (422, "patch")
    answer = await api.patch(f"{path}/d/scale", {"metadata": {"uid": "other"}, "spec": {"replicas": 2}})
    assert answer.status == 409
    assert (await api.patch(f"{path}/d/scale", {"spec": {"replicas": 2}})).json["spec"]["replicas"] == 2


DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


@pytest.mark.parametrize("number", [2**31, 4294967299, -(2**31) - 1])
@pytest.mark.parametrize(("kind", "status"), [("strategic", 422), ("apply", 400)])
async def test_numbers_of_32_bits_do_not_wrap_around(api: Any, kind: str, status: int, number: int) -> None:
    """They do upstream, where 4294967299 replicas are 3: nobody can have meant that."""
    made = await api.create(DEPLOYMENTS, DEPLOYMENT)
    wanted = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": number}}
    refused = await api.patch(f"{DEPLOYMENTS}/a?fieldManager=m", wanted, kind)
    said = f"cannot unmarshal number {number} into Go struct field DeploymentSpec.spec.replicas of type int32"
    assert (refused.status, said in refused.message) == (status, True), refused.raw
    assert await api.get(f"{DEPLOYMENTS}/a") == made


NO_OBJECT = "error decoding YAML: error unmarshaling JSON: while decoding JSON: " + GO_MAP
APPLIED: dict[str, tuple[str, Any, str]] = {
    "another kind": (CMS, DEPLOYMENT, "invalid object type: apps/v1, Kind=Deployment"),
    "another kind of the version": (
        CMS,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"managedFields": []}},
        "invalid object type: /v1, Kind=Secret",
    ),
    "another version": (
        CMS, {"apiVersion": "v2", "kind": "ConfigMap"}, "invalid object type: /v2, Kind=ConfigMap",
    ),
    "another group": (
        CMS, {"apiVersion": "apps/v1", "kind": "ConfigMap"}, "invalid object type: apps/v1, Kind=ConfigMap",
    ),
    "no kind": (CMS, {"apiVersion": "v1"}, "invalid object type: /v1, Kind="),
    "no version": (CMS, {"kind": "ConfigMap"}, "invalid object type: /, Kind=ConfigMap"),
    "no text": (CMS, {"apiVersion": 1, "kind": [2]}, "invalid object type: /, Kind="),
    "no version that can be read": (
        CMS, {"apiVersion": "a/b/c", "kind": "ConfigMap"}, "invalid object type: /, Kind=",
    ),
    "nothing": (CMS, b"", "invalid object type: /, Kind="),
    "a list": (CMS, [], NO_OBJECT.format("array")),
    "a text": (CMS, b"text", NO_OBJECT.format("string")),
    "to a status": (
        DEPLOYMENTS, {"apiVersion": "v1", "kind": "Pod"}, "invalid object type: /v1, Kind=Pod",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APPLIED)
async def test_what_is_applied_says_what_it_is(api: Any, name: str) -> None:
    path, body, message = APPLIED[name]
    part = ""
    if path == DEPLOYMENTS:
        await api.create(DEPLOYMENTS, DEPLOYMENT)
        part = "/status"
    refused = await api.patch(f"{path}/a{part}?fieldManager=m", body, "apply")
    assert (refused.status, refused.json["reason"], refused.message) == (400, "BadRequest", message)


async def test_what_is_applied_may_name_no_group_before_its_version(api: Any) -> None:
    body = {"apiVersion": "/v1", "kind": "ConfigMap", "data": {"a": "b"}}
    applied = await api.patch(f"{CMS}/a?fieldManager=m", body, "apply")
    assert (applied.status, applied.json["apiVersion"], applied.json["data"]) == (201, "v1", {"a": "b"})
    assert [entry["apiVersion"] for entry in applied.json["metadata"]["managedFields"]] == ["v1"]


async def test_what_is_applied_to_a_scale_is_one(api: Any) -> None:
    await api.create(DEPLOYMENTS, DEPLOYMENT)
    refused = await api.patch(f"{DEPLOYMENTS}/a/scale?fieldManager=m", DEPLOYMENT, "apply")
    assert (refused.status, refused.message) == (400, "invalid object type: apps/v1, Kind=Deployment")
