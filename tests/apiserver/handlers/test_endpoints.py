"""What paths, names, kinds and managers of a request are answered with: cases of upstream's endpoints' tests."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
NOT_FOUND = (404, "the server could not find the requested resource")
NOT_ALLOWED = (405, "the server does not allow this method on the requested resource")


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/api", NOT_ALLOWED), ("PATCH", "/api/v1", NOT_ALLOWED), ("PATCH", "/api/v1/", NOT_ALLOWED),
        ("PATCH", "/apis/apps/v1/", NOT_ALLOWED), ("POST", "/version", NOT_ALLOWED),
        ("POST", "/openid/v1/jwks", NOT_ALLOWED), ("PUT", "/api/v1/nodes", NOT_ALLOWED),
        ("POST", "/apis/apps/v1/namespaces/ns/deployments/bar?watch=true", NOT_ALLOWED),
        ("POST", "/apis/apps/v1/watch/namespaces/ns/deployments/bar", NOT_ALLOWED),
        ("GET", "/api/v2", NOT_FOUND), ("GET", "/api/v2/pods", NOT_FOUND),
        ("GET", "/api/v1/blah", NOT_FOUND), ("GET", "/api/v1/nodes/bar/baz", NOT_FOUND),
        ("GET", "/apis/apps/v9", NOT_FOUND), ("GET", "/apis/apps/v9/deployments", NOT_FOUND),
    ],
)  # fmt: skip
async def test_what_is_not_there(api: Any, method: str, path: str, wanted: tuple[int, str]) -> None:
    answer = await api(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.json["kind"], answer.json["details"]) == (wanted[0], "Status", {})
    assert answer.message == wanted[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/watch/"), ("GET", "/apis/apps/v1/watch"), ("POST", "/api/v1/proxy/")],
)
async def test_paths_that_end_before_their_kind_are_told_as_text(api: Any, method: str, path: str) -> None:
    answer = await api(method, path, {} if method == "POST" else None)
    assert answer.status == 500
    assert b"unable to determine kind and namespace from url" in answer.raw


@pytest.mark.parametrize("path", ["/apis/none", "/apis/none/v1/x", "/nope", "/version/x", "/apiss/v1"])
async def test_what_nobody_serves_is_no_status(api: Any, path: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.raw) == (404, b"404 page not found\n")


UNNAMED = "the name of the object (c based on URL) was undeterminable: name must be provided"
ELSEWHERE = "the namespace of the object (o) does not match the namespace on the request (default)"


@pytest.mark.parametrize(
    ("meta", "put", "patch"),
    [
        ({"name": None}, UNNAMED, UNNAMED),
        ({"name": "d"},) + ("the name of the object (d) does not match the name on the URL (c)",) * 2,
        ({"name": "d", "namespace": "o"},
         "the namespace of the provided object does not match the namespace sent on the request",
         "the name of the object (d) does not match the name on the URL (c)"),
        ({"namespace": "o"},
         "the namespace of the provided object does not match the namespace sent on the request", ELSEWHERE),
    ],
)  # fmt: skip
async def test_objects_with_another_name(api: Any, meta: dict[str, Any], put: str, patch: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api("PUT", f"{CMS}/c", {"metadata": {"name": "c"} | meta})
    assert (answer.status, answer.message) == (400, put)
    for kind in ("merge", "strategic"):
        answer = await api.patch(f"{CMS}/c", {"metadata": meta}, kind)
        assert (answer.status, answer.message) == (400, patch)
    assert (await api.patch(f"{CMS}/c", {"metadata": {"namespace": None}})).status == 200


async def test_a_part_needs_its_objects_name_too(api: Any) -> None:
    labels = {"app": "c"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/apis/apps/v1/namespaces/default/deployments"
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await api.create(path, {"metadata": {"name": "c"}, "spec": spec})
    for part, body in (("status", {"status": {}}), ("scale", {"spec": {"replicas": 2}})):
        answer = await api("PUT", f"{path}/c/{part}", body)
        assert (answer.status, answer.message) == (400, UNNAMED)


async def test_a_strategic_patch_has_no_say_in_the_kind(api: Any) -> None:
    """What it makes is read as the resource's type; other patches make an object that says what it is."""
    made = await api.create(CMS, {"metadata": {"name": "c"}})
    for patch in ({"kind": "Pod"}, {"apiVersion": "v2"}, {"kind": None, "apiVersion": "apps/v1"}):
        answer = await api.patch(f"{CMS}/c", patch, "strategic")
        assert (answer.status, answer.json) == (200, made)
        assert (await api.patch(f"{CMS}/c", {"kind": "Pod"}, "merge")).status == 422


ENTRY = {
    "manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
    "fieldsV1": {"f:data": {"f:a": {}}},
}  # fmt: skip
AT = "metadata.managedFields[0]"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"manager": "f" * 129}, f"{AT}.manager: Too long: may not be more than 128 bytes"),
        ({"manager": "field\nmanager"},
         f'{AT}.manager: Invalid value: "field\\nmanager": invalid character U+000A (at position 5)'),
        ({"subresource": "s" * 257}, f"{AT}.subresource: Too long: may not be more than 256 bytes"),
    ],
)  # fmt: skip
async def test_managers_that_nobody_can_have(api: Any, change: dict[str, Any], fault: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    body = {"metadata": {"name": "c", "managedFields": [ENTRY | change]}, "data": {"a": "b"}}
    answer = await api("PUT", f"{CMS}/c", body)
    assert (answer.status, answer.message) == (422, f'ConfigMap "c" is invalid: {fault}')
    body["metadata"]["name"] = "d"
    assert (await api("POST", CMS, body)).status == 201, "a new object's managers are the server's own"


@pytest.mark.parametrize(
    "fields",
    [
        {"f:metadata": {"f:finalizers": {'v:"example.com/foo" {"trailing":"data"}': {}}}},
        {"f:metadata": {"f:ownerReferences": {'k:{"uid":"abc"} {"trailing":"data"}': {}}}},
    ],
)
async def test_managers_that_cannot_be_read_are_passed_over(api: Any, fields: Any) -> None:
    entry = ENTRY | {"fieldsV1": fields}
    meta = {"name": "c", "managedFields": [entry]}
    made = await api.create(CMS, {"metadata": meta, "data": {"foo": "bar"}})
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {".": {}, "f:foo": {}}}
    made = await api.put(f"{CMS}/c", {"metadata": meta, "data": {"foo": "baz", "new-key": "new-value"}})
    owned = {"f:data": {".": {}, "f:foo": {}, "f:new-key": {}}}
    assert [one["fieldsV1"] for one in made["metadata"]["managedFields"]] == [owned]
    bare = await api.create(CMS, {"metadata": {"name": "d", "managedFields": [entry]}, "data": {}})
    assert "managedFields" not in bare["metadata"]


async def test_managers_named_by_their_program_are_cut_at_a_letter(api: Any) -> None:
    made = await api(
        "POST", CMS, {"metadata": {"name": "c"}, "data": {"a": "b"}}, user_agent="é" * 100 + "/1"
    )
    assert made.json["metadata"]["managedFields"][0]["manager"] == "é" * 64


@pytest.mark.parametrize("form", ["Table", "PartialObjectMetadata", "PartialObjectMetadataList"])
async def test_a_status_is_one_in_whatever_form_was_asked_for(api: Any, form: str) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api("DELETE", f"{CMS}/c", accept=f"application/json;as={form};v=v1;g=meta.k8s.io")
    assert (answer.status, answer.json["kind"]) == (200, "Status")
    assert (await api("GET", f"{CMS}/c")).status == 404


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Table;v=v9;g=meta.k8s.io"])
async def test_nothing_is_done_for_who_cannot_be_answered(api: Any, accept: str) -> None:
    assert (await api("POST", CMS, {"metadata": {"name": "c"}}, accept=accept)).status == 406
    assert (await api("GET", f"{CMS}/c")).status == 404
    await api.create(CMS, {"metadata": {"name": "c"}})
    for method, body in (("PUT", {"metadata": {"name": "c"}, "data": {"a": "b"}}), ("DELETE", None)):
        assert (await api(method, f"{CMS}/c", body, accept=accept)).status == 406
    assert "data" not in await api.get(f"{CMS}/c")
