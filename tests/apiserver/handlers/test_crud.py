"""Creating, reading, changing and deleting objects through the whole chain."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def config(name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str = "d", replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }  # fmt: skip


async def test_create_fills_in_metadata(api: Any) -> None:
    made = await api.create(CMS, config(x="1"))
    meta = made["metadata"]
    assert made["data"] == {"x": "1"}
    assert meta["namespace"] == "default"
    assert len(meta["uid"]) == 36
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert int(meta["resourceVersion"]) > 0
    assert meta["managedFields"][0]["manager"] == "test"
    assert await api.get(CMS + "/a") == made


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"metadata": {"name": "a", "namespace": "other"}}, 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ({"metadata": {"name": "a", "resourceVersion": "5"}}, 400,
         "resourceVersion should not be set on objects to be created"),
        ({"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, 400,
         'ConfigMap in version "v1" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for '
         'version "apps/v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'),
        ({"metadata": {}}, 422,
         'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        ({"metadata": {"name": "default"}, "data": {"a b": ""}}, 422, None),
    ],
)  # fmt: skip
async def test_create_refusals(api: Any, body: dict[str, Any], status: int, message: str | None) -> None:
    answer = await api("POST", CMS, body)
    assert answer.status == status
    assert message is None or answer.message == message


async def test_already_exists(api: Any) -> None:
    await api.create(CMS, config())
    answer = await api("POST", CMS, config())
    assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "a" already exists'


async def test_generate_name(api: Any) -> None:
    body = {"metadata": {"generateName": "x-"}}
    first, second = await api.create(CMS, body), await api.create(CMS, body)
    assert first["metadata"]["name"].startswith("x-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_dry_run_stores_nothing(api: Any) -> None:
    made = await api.create(CMS + "?dryRun=All", config())
    assert made["metadata"]["uid"]
    assert (await api("GET", CMS + "/a")).status == 404
    answer = await api("POST", CMS + "?dryRun=Some", config())
    assert answer.status == 422
    assert answer.message.startswith('CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value')


@pytest.mark.parametrize(
    ("validation", "status", "warning"),
    [
        ("Strict", 400, ""),
        ("Warn", 201, '299 - "unknown field \\"bogus\\""'),
        ("Ignore", 201, ""),
        ("", 201, "299 - "),
    ],
)
async def test_field_validation(api: Any, validation: str, status: int, warning: str) -> None:
    query = f"?fieldValidation={validation}" if validation else ""
    answer = await api("POST", CMS + query, {**config(), "bogus": 1})
    assert answer.status == status
    assert warning in answer.headers.get("warning", "")
    if status == 400:
        assert answer.message == (
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
            'strict decoding error: unknown field "bogus"'
        )


async def test_update_conflict_and_mismatch(api: Any) -> None:
    made = await api.create(CMS, config())
    changed = await api.put(CMS + "/a", {**made, "data": {"x": "2"}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    answer = await api("PUT", CMS + "/a", {**made, "data": {"x": "3"}})
    assert (answer.status, answer.message) == (
        409,
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )
    answer = await api("PUT", CMS + "/b", made)
    assert answer.message == "the name of the object (a) does not match the name on the URL (b)"
    assert (await api("PUT", CMS + "/b", config("b"))).status == 404


async def test_an_update_that_changes_nothing_keeps_the_version(api: Any) -> None:
    made = await api.create(CMS, config(x="1"))
    assert await api.put(CMS + "/a", made) == made


async def test_generation_counts_spec_and_status_is_apart(api: Any) -> None:
    made = await api.create(DEPLOYMENTS, {**deployment(), "status": {"replicas": 7}})
    assert made["metadata"]["generation"] == 1
    assert not made.get("status", {}).get("replicas")
    changed = await api.put(DEPLOYMENTS + "/d", {**made, "spec": {**made["spec"], "replicas": 2}})
    assert changed["metadata"]["generation"] == 2
    status = {**changed, "spec": {**changed["spec"], "replicas": 9}, "status": {"replicas": 2}}
    after = await api.put(DEPLOYMENTS + "/d/status", status)
    assert (after["spec"]["replicas"], after["status"]["replicas"]) == (2, 2)
    assert after["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"x": "2"}}),
        ("strategic", {"data": {"x": "2"}}),
        ("json", [{"op": "replace", "path": "/data/x", "value": "2"}]),
    ],
)
async def test_patches(api: Any, kind: str, patch: Any) -> None:
    await api.create(CMS, config(x="1", y="1"))
    answer = await api.patch(CMS + "/a", patch, kind)
    assert answer.status == 200
    assert answer.json["data"] == {"x": "2", "y": "1"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("strategic", 'patch: Invalid value: "map[data:x]": cannot restore map from string'),
        (
            "merge",
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
    ],
)
async def test_a_patch_of_the_wrong_type(api: Any, kind: str, text: str) -> None:
    await api.create(CMS, config(x="1"))
    answer = await api.patch(CMS + "/a", {"data": "x"}, kind)
    assert answer.status == 422
    assert text in answer.message


@pytest.mark.parametrize(
    ("kind", "patch", "text"),
    [
        (
            "merge",
            {"spec": {"template": {"zone": 1, "area": "<b>"}, "replicas": "x"}},
            '"spec":{"progressDeadlineSeconds":600,"replicas":"x","revisionHistoryLimit":10,"selector":{"matchLabels"',
        ),
        (
            "merge",
            {"spec": {"template": {"b": {"d": 1, "c": "<"}}, "replicas": []}},
            '"template":{"b":{"c":"\\u003c","d":1},',
        ),
        (
            "json",
            [{"op": "add", "path": "/spec/template", "value": {"spec": [], "metadata": {}}}],
            '"template":{"spec":[],"metadata":{}}},"status":{}}',
        ),
    ],
)
async def test_a_refused_patch_shows_the_keys_that_it_looked_into_in_order(
    api: Any, kind: str, patch: Any, text: str
) -> None:
    await api.create(DEPLOYMENTS, deployment())
    answer = await api.patch(DEPLOYMENTS + "/d", patch, kind)
    assert answer.status == 422
    (cause,) = answer.json["details"]["causes"]
    value = orjson.loads(cause["message"].removeprefix("Invalid value: ").rpartition(": json")[0])
    assert value.startswith('{"apiVersion":"apps/v1","kind":"Deployment","metadata":{')
    assert text in value


async def test_patches_of_one_object_all_land(api: Any) -> None:
    await api.create(CMS, config())
    patches = [api.patch(CMS + "/a", {"data": {f"k{n}": "v"}}) for n in range(30)]
    assert {answer.status for answer in await asyncio.gather(*patches)} == {200}
    assert len((await api.get(CMS + "/a"))["data"]) == 30


async def test_apply_creates_then_conflicts(api: Any) -> None:
    body = config(x="1")
    answer = await api.patch(CMS + "/a?fieldManager=one", body, "apply")
    assert answer.status == 201
    answer = await api.patch(CMS + "/a?fieldManager=two", config(x="2"), "apply")
    assert answer.status == 409
    assert 'conflict with "one"' in answer.message
    answer = await api.patch(CMS + "/a?fieldManager=two&force=true", config(x="2"), "apply")
    assert (answer.status, answer.json["data"]) == (200, {"x": "2"})
    assert (await api.patch(CMS + "/a", body, "apply")).status == 422


async def test_put_creates_where_the_kind_allows_it(api: Any) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    answer = await api("PUT", path, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
    assert answer.status == 201


MANY = "dryRun=&fieldValidation=x&fieldManager=%01"
DRY = 'dryRun: Unsupported value: [""]: supported values: "All"'
REST = (
    'fieldManager: Invalid value: "\\x01": invalid character U+0001 (at position 0), '
    f'{DRY}, fieldValidation: Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"'
)
WRITE_FAULTS = {
    "create": ("POST", CMS, MANY, None, f"CreateOptions.{REST}"),
    "update": ("PUT", f"{CMS}/a", MANY, None, f"UpdateOptions.{REST}"),
    "merge": (
        "PATCH", f"{CMS}/a", f"{MANY}&force=true", "merge-patch+json",
        f"PatchOptions.force: Forbidden: may not be specified for non-apply patch, {REST}",
    ),
    "apply": (
        "PATCH", f"{CMS}/a", "dryRun=", "apply-patch+yaml",
        f"PatchOptions.fieldManager: Required value: is required for apply patch, {DRY}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITE_FAULTS)
async def test_faults_of_options_are_told_at_once(api: Any, name: str) -> None:
    method, path, query, kind, faults = WRITE_FAULTS[name]
    body, sent = {"metadata": {"name": "a"}}, f"application/{kind or 'json'}"
    answer = await api(method, f"{path}?{query}", body, content_type=sent)
    options, _, texts = faults.partition(".")
    assert (answer.status, answer.message) == (422, f'{options}.meta.k8s.io "" is invalid: [{texts}]')


STRICT = {
    "unknown and duplicate": (
        b'{"metadata":{"name":"a"},"data":{"x":"1","x":"2"},"bogus":1}',
        'duplicate field "data.x", unknown field "bogus"',
    ),
    "as they come": (
        b'{"metadata":{"name":"a","bogus":1},"bogus":1,"data":{"x":"1","x":"2"}}',
        'unknown field "metadata.bogus", unknown field "bogus", duplicate field "data.x"',
    ),
    "unknown ones are not told twice": (
        b'{"metadata":{"name":"a"},"bogus":{"x":1,"x":2},"bogus":2,"data":{"x":"1","x":"2"}}',
        'unknown field "bogus", duplicate field "data.x"',
    ),
    "in metadata": (b'{"metadata":{"name":"a","bogus":1}}', 'unknown field "metadata.bogus"'),
}


@pytest.mark.parametrize("name", STRICT)
async def test_strict_field_validation(api: Any, name: str) -> None:
    body, faults = STRICT[name]
    answer = await api("POST", f"{CMS}?fieldValidation=Strict", body)
    assert answer.status == 400
    assert answer.message == (
        f'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: {faults}'
    )


APPLIED = {
    "unknown": (
        b"data: {x: z}\nbogus: 1", 500,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .bogus: field not declared in schema",
    ),
    "several unknown": (
        b"metadata: {name: a, bogus: 1}\nbogus: 1", 500,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): errors:\n"
        "  .metadata.bogus: field not declared in schema\n  .bogus: field not declared in schema",
    ),
    "of another type": (
        b"data: {x: 5, w: [a, 1000000], z: {b: true}}\nimmutable: x\nbinaryData: [1]", 500,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): errors:\n"
        "  .data.x: expected string, got &value.valueUnstructured{Value:5}\n"
        '  .data.w: expected string, got &value.valueUnstructured{Value:[]interface {}{"a", 1e+06}}\n'
        '  .data.z: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"b":true}}\n'
        "  .immutable: expected boolean, got &{x}\n"
        "  .binaryData: expected map, got &{[1]}",
    ),
    "metadata of another type": (
        b"metadata: x", 500,
        "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata: expected map, got &{x}",
    ),
    "right for the schema, wrong for its type": (
        b"binaryData: {x: '&'}", 500,
        "failed to convert new object (/a; /v1, Kind=ConfigMap) to proper version: unable to convert "
        "unstructured object to /v1, Kind=ConfigMap: "
        "error decoding from json: illegal base64 data at input byte 0",
    ),
    "doubled": (
        b"data:\n  x: a\n  x: z\n", 400,
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 7: key "x" already set in map',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APPLIED)
async def test_what_cannot_be_applied(api: Any, name: str) -> None:
    body, status, message = APPLIED[name]
    head = b"\napiVersion: v1\nkind: ConfigMap\n" + (b"" if b"metadata" in body else b"metadata: {name: a}\n")
    path = f"{CMS}/a?fieldManager=m&fieldValidation="
    strict = await api.patch(path + "Strict", head + body, "apply")
    assert (strict.status, strict.message) == (status, message)
    ignored = await api.patch(path + "Ignore", head + body, "apply")
    assert ignored.status == (500 if status == 500 else 201)


SETS = "/apis/apps/v1/namespaces/default/replicasets"


@pytest.mark.parametrize(
    ("held", "options", "status"),
    [
        (False, None, 200),
        (True, None, 200),
        (False, {"orphanDependents": False}, 200),
        (True, {"orphanDependents": False}, 202),
        (True, {"orphanDependents": True}, 200),
        (True, {"propagationPolicy": "Background"}, 200),
    ],
    ids=["gone", "held", "gone, cascading", "held, cascading", "held, orphaning", "held, in the background"],
)
async def test_accepted_is_answered_to_those_who_once_asked_to_cascade(
    api: Any, held: bool, options: Any, status: int
) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    meta = {"name": "s", **({"finalizers": ["example.com/held"]} if held else {})}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create(SETS, {"metadata": meta, "spec": spec})
    answer = await api("DELETE", f"{SETS}/s", options)
    assert answer.status == status
    assert answer.json["kind"] == ("ReplicaSet" if held else "Status")


async def test_the_policy_of_an_earlier_deletion_stays(api: Any) -> None:
    """Without a policy of its own a deletion changes nothing of it, whatever the kind's default."""
    path = "/api/v1/namespaces/default/replicationcontrollers"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "r"}, "spec": {"selector": {"a": "b"}, "template": template}}
    await api.create(path, body)
    await api("DELETE", f"{path}/r", {"propagationPolicy": "Foreground"})
    await api("DELETE", f"{path}/r")
    assert (await api.get(f"{path}/r"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await api("DELETE", f"{path}/r", {"propagationPolicy": "Orphan"})
    assert (await api.get(f"{path}/r"))["metadata"]["finalizers"] == ["orphan"]
    assert (await api("DELETE", f"{path}/r", {"propagationPolicy": "Background"})).status == 200
    assert (await api("GET", f"{path}/r")).status == 404


async def test_a_namespace_is_deleted_as_often_as_anybody_likes(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    first = (await api("DELETE", "/api/v1/namespaces/n")).json
    again = await api("DELETE", "/api/v1/namespaces/n")
    assert (again.status, again.json["status"]["phase"]) == (200, "Terminating")
    assert again.json["metadata"] == first["metadata"]


async def test_what_is_empty_in_go_is_owned_and_not_kept(api: Any) -> None:
    """Plain fields that are zero are not stored, and are their manager's all the same."""
    wanted = deployment() | {"apiVersion": "apps/v1", "kind": "Deployment"}
    wanted["spec"] |= {"minReadySeconds": 0, "paused": False}
    made = await api.patch(f"{DEPLOYMENTS}/d?fieldManager=one", wanted, "apply")
    assert made.status == 201, made.raw
    assert not {"minReadySeconds", "paused"} & made.json["spec"].keys()
    (entry,) = made.json["metadata"]["managedFields"]
    assert {"f:minReadySeconds", "f:paused"} <= entry["fieldsV1"]["f:spec"].keys()
    other = {key: wanted[key] for key in ("apiVersion", "kind")} | {"spec": {"paused": True}}
    refused = await api.patch(f"{DEPLOYMENTS}/d?fieldManager=two", other, "apply")
    assert refused.status == 409
    again = await api.patch(f"{DEPLOYMENTS}/d?fieldManager=one", wanted, "apply")
    assert again.json["metadata"]["resourceVersion"] == made.json["metadata"]["resourceVersion"]
