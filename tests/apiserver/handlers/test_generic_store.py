"""What every kind's store does with dry runs, races and odd requests: the rows of upstream's tables."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.apiserver.handlers.test_crud import CMS, PODS, config

from tiphys.apimachinery.errors import Forbidden

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRIED = "?dryRun=All"
OTHER = "the UID in the precondition (other) does not match the UID in record"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


async def test_what_is_only_tried_is_answered_and_not_stored(api: Any) -> None:
    tried = await api.create(CMS + TRIED, config(x="1"))
    assert (tried["data"], "resourceVersion" in tried["metadata"]) == ({"x": "1"}, False)
    for method in ("GET", "PUT", "DELETE"):
        body = config(x="1") if method == "PUT" else None
        answer = await api(method, f"{CMS}/a{TRIED}", body)
        assert (answer.status, answer.message) == (404, 'configmaps "a" not found')
    made = await api.create(CMS, config(x="1"))
    again = await api("POST", CMS + TRIED, config(x="1"))
    assert (again.status, again.message) == (409, 'configmaps "a" already exists')
    await api.patch(f"{CMS}/b{TRIED}&fieldManager=m", config("b"), "apply")
    assert (await api("GET", f"{CMS}/b")).status == 404
    assert await api.get(f"{CMS}/a") == made


@pytest.mark.parametrize("how", ["PUT", "merge", "strategic", "json", "apply"])
async def test_a_change_that_is_only_tried(api: Any, how: str) -> None:
    made = await api.create(CMS, config(x="1"))
    operation = {"op": "add", "path": "/data/x", "value": "2"}
    path = f"{CMS}/a{TRIED}" + ("&fieldManager=m&force=true" if how == "apply" else "")
    if how == "PUT":
        answer = await api("PUT", path, config(x="2"))
    else:
        answer = await api.patch(path, [operation] if how == "json" else config(x="2"), how)
    assert (answer.status, answer.json["data"]) == (200, {"x": "2"})
    assert answer.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert await api.get(f"{CMS}/a") == made


async def test_a_change_of_another_object_is_refused_also_where_it_is_only_tried(api: Any) -> None:
    made = await api.create(CMS, config(x="1"))
    for uid, status in (("other", 409), (made["metadata"]["uid"], 200)):
        body = config(x="2")
        body["metadata"]["uid"] = uid
        answer = await api("PUT", f"{CMS}/a{TRIED}", body)
        assert answer.status == status
        answer = await api("DELETE", f"{CMS}/a", {"dryRun": ["All"], "preconditions": {"uid": uid}})
        assert (answer.status, OTHER in answer.message) == (status, status == 409)
    assert await api.get(f"{CMS}/a") == made


async def test_a_deletion_that_is_only_tried(api: Any, make_pod: Any) -> None:
    made = await api.create(CMS, config(x="1"))
    answer = await api("DELETE", f"{CMS}/a{TRIED}")
    details = {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (answer.json["status"], answer.json["details"]) == ("Success", details)
    listed = (await api("DELETE", CMS + TRIED)).json
    assert "a" in [item["metadata"]["name"] for item in listed["items"]]
    assert await api.get(f"{CMS}/a") == made
    pod = await api.create(PODS, make_pod("p", nodeName="n"))
    answer = await api("DELETE", f"{PODS}/p{TRIED}")
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 30
    assert await api.get(f"{PODS}/p") == pod


async def test_collections_that_are_deleted_twice_at_once(api: Any) -> None:
    for _ in range(5):
        for name in ("a", "b"):
            await api.create(CMS, config(name))
        answers = await asyncio.gather(*(api("DELETE", CMS) for _ in range(2)))
        assert [answer.status for answer in answers] == [200, 200]
        assert (await api.get(CMS))["items"] == []


@pytest.mark.parametrize("finalizers", [["example.com/x"], []])
async def test_a_deletion_is_admitted_again_after_a_change_in_between(
    api: Any, monkeypatch: pytest.MonkeyPatch, finalizers: list[str]
) -> None:
    body = config(x="1")
    body["metadata"]["finalizers"] = finalizers
    await api.create(CMS, body)
    admission = type(api.server.backend.admission)
    validate, asked = admission.validate, list[str]()

    async def told(self: Any, attributes: Any) -> None:
        if attributes.about.operation == "DELETE":
            asked.append(attributes.old["data"]["x"])
            if len(asked) == 1:
                await api.patch(f"{CMS}/a", {"data": {"x": "2"}})
        await validate(self, attributes)

    monkeypatch.setattr(admission, "validate", told)
    answer = await api("DELETE", f"{CMS}/a")
    assert (answer.status, asked) == (200, ["1", "2"])
    left = await api("GET", f"{CMS}/a")
    assert left.status == (200 if finalizers else 404)
    if finalizers:
        assert (left.json["data"], "deletionTimestamp" in left.json["metadata"]) == ({"x": "2"}, True)


@pytest.mark.parametrize("kind", ["merge", "strategic"])
async def test_a_patch_is_admitted_again_after_a_change_in_between(
    api: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What it is not about comes from the change, what it is about does not; with a version it fails."""
    made = await api.create(CMS, config(x="1", y="1"))
    admission = type(api.server.backend.admission)
    admit, asked = admission.admit, list[str]()

    async def told(self: Any, attributes: Any) -> None:
        if attributes.obj["data"]["x"] in ("3", "4"):
            asked.append(attributes.obj["data"]["y"])
            if len(asked) == 1:
                await api.patch(f"{CMS}/a", {"data": {"x": "2", "y": "2"}})
        await admit(self, attributes)

    monkeypatch.setattr(admission, "admit", told)
    answer = await api.patch(f"{CMS}/a", {"metadata": {"labels": {"l": "1"}}, "data": {"x": "3"}}, kind)
    assert (answer.status, answer.json["data"], asked) == (200, {"x": "3", "y": "2"}, ["1", "2"])
    old = made["metadata"]["resourceVersion"]
    stale = await api.patch(f"{CMS}/a", {"metadata": {"resourceVersion": old}, "data": {"x": "4"}}, kind)
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    asked.clear()
    now = answer.json["metadata"]["resourceVersion"]
    raced = await api.patch(f"{CMS}/a", {"metadata": {"resourceVersion": now}, "data": {"x": "4"}}, kind)
    assert (raced.status, raced.json["reason"], asked) == (409, "Conflict", ["2"])
    assert (await api.get(f"{CMS}/a"))["data"] == {"x": "2", "y": "2"}


async def test_an_object_made_anew_is_changed_by_who_knows_it(api: Any) -> None:
    await api.create(CMS, config(x="1"))
    await api("DELETE", f"{CMS}/a")
    made = await api.create(CMS, config(x="1"))
    changed = await api.put(f"{CMS}/a", {**made, "data": {"x": "2"}})
    assert (changed["metadata"]["uid"], changed["data"]) == (made["metadata"]["uid"], {"x": "2"})


@pytest.mark.parametrize(
    ("agent", "manager", "named"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "", "Mozilla"),
        ("f" * 129 + "/Something", "", "f" * 128),
        ("\N{HAMBURGER}" * 60, "", "\N{HAMBURGER}" * 32),
        ("agent", "manager", "manager"),
    ],
    ids=["a browser", "long", "letters of four bytes", "named"],
)
async def test_who_is_the_manager(api: Any, agent: str, manager: str, named: str) -> None:
    path = CMS + (f"?fieldManager={manager}" if manager else "")
    made = (await api("POST", path, config(x="1"), user_agent=agent)).json
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == [named]


@pytest.mark.parametrize(
    ("namespace", "status", "message"),
    [
        ("", 201, ""),
        ("default", 201, ""),
        ("bar", 400, "the namespace of the provided object does not match the namespace sent on the request"),
    ],
)
async def test_in_which_namespace_an_object_is(api: Any, namespace: str, status: int, message: str) -> None:
    body = config()
    body["metadata"]["namespace"] = namespace
    answer = await api("POST", CMS, body)
    assert (answer.status, answer.message) == (status, message)
    if status == 201:
        assert answer.json["metadata"]["namespace"] == "default"


@pytest.mark.parametrize(
    ("operation", "status", "message"),
    [
        ({"op": "test", "path": "/metadata/name", "value": "a"}, 200, ""),
        ({"op": "test", "path": "/metadata/finalizers/-1", "value": "example.com/x"}, 200, ""),
        ({"op": "test", "path": "/invalid/path", "value": "a"}, 422,
         "the server rejected our request due to an error in our request"),
    ],
)  # fmt: skip
async def test_operations(api: Any, operation: dict[str, Any], status: int, message: str) -> None:
    body = config()
    body["metadata"]["finalizers"] = ["example.com/x"]
    await api.create(CMS, body)
    answer = await api.patch(f"{CMS}/a", [operation], "json")
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (b"{}", 200),
        ({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 123}, 200),
        ({"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 123}, 200),
        ({"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 123}, 200),
    ],
    ids=["bare", "v1", "apps", "meta"],
)
@pytest.mark.parametrize("path", [CMS, f"{CMS}/a"])
async def test_options_of_any_group(api: Any, path: str, options: Any, status: int) -> None:
    await api.create(CMS, config())
    answer = await api("DELETE", path, options)
    assert (answer.status, answer.message) == (status, "")
    assert (await api("GET", f"{CMS}/a")).status == 404


async def test_a_collection_whose_first_deletion_is_refused(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await api.create(CMS, config(f"m{number}"))
    admission = type(api.server.backend.admission)
    validate = admission.validate

    async def refuse(self: Any, attributes: Any) -> None:
        if attributes.about.operation == "DELETE" and attributes.old is not None:
            raise Forbidden("validate object failed")
        await validate(self, attributes)

    monkeypatch.setattr(admission, "validate", refuse)
    answer = await api("DELETE", CMS)
    assert (answer.status, answer.message) == (403, "validate object failed")
    assert len((await api.get(CMS))["items"]) == 30


async def test_a_deleted_collection_is_told_to_watchers(api: Any) -> None:
    made = await api.create(CMS, config(x="1"))
    version = made["metadata"]["resourceVersion"]
    response = await api.send("GET", f"{CMS}?watch=1&fieldSelector=metadata.name=a&resourceVersion={version}")
    await api("DELETE", CMS)
    told = orjson.loads(await anext(response.stream))
    await response.stream.aclose()
    assert told["type"] == "DELETED"
    assert int(told["object"]["metadata"]["resourceVersion"]) > int(version)
    told["object"]["metadata"]["resourceVersion"] = version
    assert told["object"] == made


async def test_a_deletion_of_a_version(api: Any) -> None:
    old = (await api.create(CMS, config(x="1")))["metadata"]["resourceVersion"]
    now = (await api.put(f"{CMS}/a", config(x="2")))["metadata"]["resourceVersion"]
    answer = await api("DELETE", f"{CMS}/a", {"preconditions": {"resourceVersion": old}})
    assert answer.status == 409
    assert f"the ResourceVersion in the precondition ({old}) does not match" in answer.message
    answer = await api("DELETE", f"{CMS}/a", {"preconditions": {"resourceVersion": now}})
    assert (answer.status, (await api("GET", f"{CMS}/a")).status) == (200, 404)


@pytest.mark.parametrize("kind", ["pods", "configmaps"])
async def test_what_a_finalizer_holds_goes_when_that_goes(api: Any, make_pod: Any, kind: str) -> None:
    path = PODS if kind == "pods" else CMS
    body = make_pod("a", nodeName="n") if kind == "pods" else config(x="1")
    body["metadata"]["finalizers"] = ["example.com/x"]
    made = await api.create(path, body)
    assert (await api("DELETE", f"{path}/a", {"gracePeriodSeconds": 0})).status == 200
    held = await api.get(f"{path}/a")
    assert "deletionTimestamp" in held["metadata"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    if kind == "pods":
        assert held["metadata"]["generation"] > made["metadata"]["generation"]
    assert (await api.put(f"{path}/a", held))["metadata"]["finalizers"] == ["example.com/x"]
    del held["metadata"]["finalizers"]
    await api.put(f"{path}/a", held)
    assert (await api("GET", f"{path}/a")).status == 404
