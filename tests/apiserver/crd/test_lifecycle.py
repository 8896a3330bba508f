"""Definitions come, are named, served, published and go."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import orjson
import pytest
from tests.apiserver.crd.conftest import PATIENCE_S, Crds

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.crd import cleanup, deletion
from tiphys.client.metrics import CLIENTS
from tiphys.wire import pki

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
pytestmark = pytest.mark.timeout(60)  # what turns and turns fails as well
CA = base64.b64encode(pki.make_ca("webhook-ca", RealClock().now()).certificate).decode()


async def test_not_served_before_and_after(api: Any, crds: Any) -> None:
    assert (await api("GET", crds.foos)).status == 404
    crd = await crds.make()
    assert crd["status"]["acceptedNames"] == {
        "plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList",
    }  # fmt: skip
    assert crd["status"]["storedVersions"] == ["v1"]
    assert (await api.get(crds.foos))["kind"] == "FooList"
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.gone("foos.example.com")
    assert (await api("GET", crds.foos)).status == 404


async def verbs_of(api: Any) -> list[Any]:
    """Return the verbs that discovery tells of the kinds of the group's v1."""
    document = await api.get("/apis/example.com/v1")
    return [one["verbs"] for one in document["resources"] if "/" not in one["name"]]


async def test_discovery_tells_verbs_in_the_order_of_custom_kinds(api: Any, crds: Any) -> None:
    await crds.make()
    assert await verbs_of(api) == [
        ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
    ]


async def test_deleting_removes_objects_through_their_finalizers(api: Any, crds: Any) -> None:
    await crds.make()
    held = crds.foo("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(crds.foos, held)
    await api.create(crds.foos, crds.foo("free"))
    marked = (await api("DELETE", f"{crds.path}/foos.example.com")).json
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert "deletionGracePeriodSeconds" not in marked["metadata"]
    assert marked["metadata"]["generation"] == 1
    told = {one["type"]: (one["status"], one["reason"]) for one in marked["status"]["conditions"]}
    assert told["Terminating"] == ("True", "InstanceDeletionPending")
    await crds.wait("foos.example.com", "Terminating")
    await api.settle()
    why = "create not allowed while custom resource definition is terminating"
    applied = await api.patch(f"{crds.foos}/late?fieldManager=m", crds.foo("late"), "apply")
    for refused in (await api("POST", crds.foos, crds.foo("late")), applied):
        assert refused.status == 403
        assert refused.message == f'foos.example.com "late" is forbidden: {why}'
    changed = await api.patch(f"{crds.foos}/held?fieldManager=m", crds.foo("held", replicas=2), "apply")
    assert changed.status == 200
    (told_now,) = await verbs_of(api)
    assert told_now == ["delete", "deletecollection", "get", "list", "watch"]
    await api.patch(f"{crds.foos}/held", {"metadata": {"finalizers": None}})
    await crds.gone("foos.example.com")


async def test_a_definition_is_installing_before_it_is_established(api: Any, crds: Any) -> None:
    response = await api.send(
        "GET", f"{crds.path}?watch=true&resourceVersion={api.server.backend.store.revision}"
    )
    await api.create(crds.path, crds.definition())
    seen: list[list[tuple[str, str, str]]] = []
    async for chunk in response.stream:
        for line in chunk.splitlines():
            told = (orjson.loads(line)["object"].get("status") or {}).get("conditions") or ()
            seen.append([(one["type"], one["status"], one["reason"]) for one in told])
        if len(seen) > 2:
            break
    await response.stream.aclose()
    accepted = ("NamesAccepted", "True", "NoConflicts")
    assert seen == [
        [],
        [accepted, ("Established", "False", "Installing")],
        [accepted, ("Established", "True", "InitialNamesAccepted")],
    ]


async def test_with_several_servers_a_definition_is_installing_for_a_while(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, timers = asyncio.get_running_loop(), list[tuple[Any, ...]]()
    later = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any) -> Any:
        if "foos.example.com" in args:
            timers.append((delay, callback, *args))
        return later(delay, callback, *args)

    async with serving(api_servers=3) as api:
        crds = Crds(api)
        monkeypatch.setattr(loop, "call_later", call_later)
        await api.create(crds.path, crds.definition())
        installing = await crds.wait("foos.example.com", "NamesAccepted")
        assert installing["status"]["conditions"][1]["reason"] == "Installing"
        await api.settle()
        await crds.change({"metadata": {"labels": {"a": "b"}}})
        assert [one[0] for one in timers] == [5.0]
        assert (await api("GET", crds.foos)).status == 404
        ((_, ripen, name),) = timers
        ripen(name)
        await crds.wait("foos.example.com", "Established")
        assert (await api("GET", crds.foos)).status == 200


async def test_a_definition_has_its_api_service_before_it_is_served(serving: Any) -> None:
    async with serving(api_servers=2) as api:
        crds = Crds(api)
        versions = crds.version("v1"), crds.version("v2", storage=False), crds.version("v3", storage=False)
        versions[2]["served"] = False
        await api.create(crds.path, crds.definition(*versions))
        await crds.wait("foos.example.com", "NamesAccepted")
        await api.settle()
        found = await api.get(SERVICES)
        specs = {
            one["metadata"]["name"]: one["spec"]["groupPriorityMinimum"]
            for one in found["items"]
            if one["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"] == "true"
        }
        assert specs == {"v1.example.com": 1000, "v2.example.com": 1000}
        await crds.change({"spec": {"versions": [crds.version("v1")]}})
        await api("DELETE", f"{crds.path}/foos.example.com")
        await crds.gone("foos.example.com")
        await api.settle()
        assert (await api("GET", f"{SERVICES}/v1.example.com")).status == 404


async def told_of_deletion(crds: Any, reason: str) -> str:
    """Watch a definition until its deletion is told with a reason; return the message."""
    path = f"{crds.path}?watch=true&fieldSelector=metadata.name=foos.example.com"
    response = await crds.api.send("GET", path)
    async with asyncio.timeout(PATIENCE_S):
        async for chunk in response.stream:
            for line in chunk.splitlines():
                for one in orjson.loads(line)["object"]["status"]["conditions"]:
                    if (one["type"], one.get("reason")) == ("Terminating", reason):
                        assert one["status"] == "True"
                        await response.stream.aclose()
                        return str(one["message"])
    raise AssertionError("the watch ended")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are waited for, and deletions tried again, as good as never and at once."""
    monkeypatch.setattr(cleanup, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(deletion, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(deletion, "_LAST_RETRY_S", 0.01)


@pytest.mark.usefixtures("patience")
async def test_objects_that_do_not_go_are_told_of(api: Any, crds: Any) -> None:
    await crds.make()
    held = crds.foo("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(crds.foos, held)
    await api("DELETE", f"{crds.path}/foos.example.com")
    message = await told_of_deletion(crds, "InstanceDeletionCheck")
    assert message == "could not confirm zero CustomResources remaining: context deadline exceeded"
    assert await told_of_deletion(crds, "InstanceDeletionInProgress")  # and tried again
    await api.patch(f"{crds.foos}/held", {"metadata": {"finalizers": None}})
    await crds.gone("foos.example.com")


@pytest.mark.usefixtures("patience")
async def test_objects_that_cannot_be_deleted_are_told_of(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each namespace the first fault, none of them twice."""
    asked: list[str] = []
    right = cleanup.delete_quietly

    async def refuse(call: Any, name: str, options: Any, namespace: str) -> Any:
        asked.append(f"{namespace}/{name}")
        if name == "good":
            return await right(call, name, options, namespace)
        raise InternalError(f"no deletion of {name}")

    monkeypatch.setattr(cleanup, "delete_quietly", refuse)
    await crds.make()
    for namespace, name in (
        ("default", "bad"),
        ("default", "other"),
        ("kube-system", "bad"),
        ("kube-public", "good"),
    ):
        await api.create(f"/apis/example.com/v1/namespaces/{namespace}/foos", crds.foo(name))
    await api("DELETE", f"{crds.path}/foos.example.com")
    message = await told_of_deletion(crds, "InstanceDeletionFailed")
    assert message == "could not issue all deletes: no deletion of bad"
    assert asked[:3] == ["default/bad", "kube-public/good", "kube-system/bad"]
    monkeypatch.setattr(cleanup, "delete_quietly", right)
    await crds.gone("foos.example.com")


async def test_a_change_of_the_definition_brings_the_next_try_on(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that no webhook converts cannot even be listed."""
    monkeypatch.setattr(deletion, "_FIRST_RETRY_S", 1000.0)
    webhook = {
        "clientConfig": {"url": "https://127.0.0.1:1/convert", "caBundle": CA},
        "conversionReviewVersions": ["v1"],
    }  # fmt: skip
    await crds.make(crds.version(), crds.version("v2", storage=False))
    await api.create(crds.foos, crds.foo())
    versions = [crds.version(storage=False), crds.version("v2")]
    await crds.change(
        {"spec": {"versions": versions, "conversion": {"strategy": "Webhook", "webhook": webhook}}}
    )
    await api("DELETE", f"{crds.path}/foos.example.com")
    message = await told_of_deletion(crds, "InstanceDeletionFailed")
    assert message.startswith(
        "could not list instances: conversion webhook for example.com/v1, Kind=Foo failed: "
    )
    since = api.server.backend.store.revision
    watch = await api.send("GET", f"{crds.path}?watch=true&resourceVersion={since}")
    await crds.change({"spec": {"conversion": {"strategy": "None", "webhook": None}}})
    async with asyncio.timeout(PATIENCE_S):
        async for chunk in watch.stream:
            if b'"DELETED"' in chunk:
                break
    await watch.stream.aclose()


async def test_objects_of_a_built_in_kind_are_not_removed(api: Any, crds: Any) -> None:
    before = (await api.get("/apis/apiregistration.k8s.io/v1/apiservices"))["items"]
    crd = crds.definition(crds.version("v9"), plural="apiservices", kind="Foo", scope="Cluster")
    name = "apiservices.apiregistration.k8s.io"
    crd["metadata"] = {
        "name": name, "annotations": {"api-approved.kubernetes.io": "https://example.com"},
        "finalizers": ["example.com/hold"],
    }  # fmt: skip
    crd["spec"]["group"] = "apiregistration.k8s.io"
    await api.create(crds.path, crd)
    await crds.wait(name, "Established")
    await api("DELETE", f"{crds.path}/{name}")
    told = (await crds.wait(name, "Terminating", "False"))["status"]["conditions"][-1]
    assert (told["reason"], told["message"]) == (
        "OverlappingBuiltInResource", "instances overlap with built-in resources in storage",
    )  # fmt: skip
    await api.patch(f"{crds.path}/{name}", {"metadata": {"finalizers": None}})
    after = (await api.get("/apis/apiregistration.k8s.io/v1/apiservices"))["items"]
    assert {one["metadata"]["name"] for one in before} <= {one["metadata"]["name"] for one in after}


@pytest.mark.parametrize(
    ("served", "reason"), [(True, "InstanceDeletionCompleted"), (False, "NeverEstablished")]
)
async def test_what_is_said_of_a_definition_that_others_hold(
    api: Any, crds: Any, served: bool, reason: str
) -> None:
    await crds.make(names={"shortNames": ["fo"]})
    name = "foos.example.com"
    if not served:
        name = "bars.example.com"
        await api.create(crds.path, crds.definition(plural="bars", kind="Foo"))
        await crds.wait(name, "Established", "False")
    await api.patch(f"{crds.path}/{name}", {"metadata": {"finalizers": ["example.com/hold"]}})
    await api("DELETE", f"{crds.path}/{name}")
    held = await crds.wait(name, "Terminating", "False")
    assert held["metadata"]["finalizers"] == ["example.com/hold"]
    assert held["status"]["conditions"][-1]["reason"] == reason
    await api.patch(f"{crds.path}/{name}", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{crds.path}/{name}")).status == 404


async def test_lists_are_of_the_kind_that_is_named(api: Any, crds: Any) -> None:
    await crds.make(names={"listKind": "Foolery"})
    assert (await api.get(crds.foos))["kind"] == "Foolery"


async def test_names_that_are_taken(api: Any, crds: Any) -> None:
    await crds.make(names={"shortNames": ["fo"]})
    await api.create(crds.path, crds.definition(plural="bars", kind="Foo"))
    second = await crds.wait("bars.example.com", "NamesAccepted", "False")
    by_type = {one["type"]: one for one in second["status"]["conditions"]}
    assert by_type["NamesAccepted"]["reason"] == "ListKindConflict"
    assert by_type["Established"]["status"] == "False"
    assert (await api("GET", "/apis/example.com/v1/bars")).status == 404
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.wait("bars.example.com", "Established")
    assert (await api.get("/apis/example.com/v1/bars"))["items"] == []


async def test_discovery_and_openapi_follow(api: Any, crds: Any) -> None:
    await crds.make(crds.version(subresources={"status": {}}), names={"shortNames": ["fo"]})
    assert "example.com" in [group["name"] for group in (await api.get("/apis"))["groups"]]
    listed = (await api.get("/apis/example.com/v1"))["resources"]
    assert [one["name"] for one in listed] == ["foos", "foos/status"]
    assert listed[0]["shortNames"] == ["fo"]
    document = await api.get("/openapi/v3/apis/example.com/v1")
    spec = document["components"]["schemas"]["com.example.v1.Foo"]["properties"]["spec"]
    assert spec["required"] == ["image"]
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.gone("foos.example.com")
    assert (await api("GET", "/openapi/v3/apis/example.com/v1")).status == 404


async def test_version_no_longer_served(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    assert (await api("GET", "/apis/example.com/v2/foos")).status == 200
    off = {**crds.version("v2", storage=False), "served": False}
    await crds.change({"spec": {"versions": [crds.version(), off]}})
    assert (await api("GET", "/apis/example.com/v2/foos")).status == 404
    assert (await api("GET", "/apis/example.com/v1/foos")).status == 200


async def test_status_of_a_definition(api: Any, crds: Any) -> None:
    await crds.make()
    path = f"{crds.path}/foos.example.com/status"
    crd = await api.get(path)
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"}
    crd["status"]["conditions"].append(update)
    updated = await api.put(path, crd)
    assert updated["status"]["conditions"][-1]["type"] == "StatusUpdate"
    await crds.wait("foos.example.com", "StatusUpdate")


async def test_conditions_of_no_type_disturb_nobody(api: Any, crds: Any) -> None:
    await crds.make()
    path = f"{crds.path}/foos.example.com/status"
    crd = await api.get(path)
    nameless = {"type": "", "status": "", "lastTransitionTime": None, "message": "updated"}
    crd["status"]["conditions"].append(nameless)
    updated = await api.put(path, crd)
    assert updated["spec"] == crd["spec"]
    assert "updated" in [one.get("message") for one in updated["status"]["conditions"]]
    change = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
    patched = await api.patch(path, change, "json")
    assert [one["message"] for one in patched.json["status"]["conditions"]] == ["patched"]
    settled = await crds.wait("foos.example.com", "Established")
    types = [one.get("type", "") for one in settled["status"]["conditions"]]
    assert types == ["", "NamesAccepted", "Established"]
    await api.create(crds.foos, crds.foo())


SCHEMA = "spec.validation.openAPIV3Schema"
FAULTS: dict[str, tuple[Any, str]] = {
    "untyped field": (
        {"type": "object", "properties": {"a": {}}},
        f"{SCHEMA}.properties[a].type: Required value: must not be empty for specified object fields",
    ),
    "untyped root": ({}, f"{SCHEMA}.type: Required value: must not be empty at the root"),
    "root no object": ({"type": "string"}, f'{SCHEMA}.type: Invalid value: "string": must be object'),
    "default of another type": (
        {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}},
        f"{SCHEMA}.properties[a].default",
    ),
    "structure below a junctor": (
        {"type": "object", "anyOf": [{"type": "object"}]},
        f"{SCHEMA}.anyOf[0].type: Forbidden: must be empty to be structural",
    ),
    "rule that does not parse": (
        {"type": "object", "x-kubernetes-validations": [{"rule": "self ="}]},
        f'{SCHEMA}.x-kubernetes-validations[0].rule: Invalid value: {{"Rule":"self =",',
    ),
    "list map without keys": (
        {"type": "object", "properties": {"a": {
            "type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}}},
        "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_schemas_that_are_not_structural(name: str, api: Any, crds: Any) -> None:
    schema, text = FAULTS[name]
    bad = {**crds.version(), "schema": {"openAPIV3Schema": schema}}
    answer = await api("POST", crds.path, crds.definition(bad))
    assert answer.status == 422
    assert text in answer.message


async def test_int_or_string_may_be_spelled_out(api: Any, crds: Any) -> None:
    both = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    schema = {"type": "object", "properties": {"a": both}}
    await api.create(crds.path, crds.definition({**crds.version(), "schema": {"openAPIV3Schema": schema}}))


@pytest.mark.parametrize("plural", ["foos", "networkpolicies"])
async def test_groups_of_the_server_cannot_be_shadowed(api: Any, crds: Any, plural: str) -> None:
    """A definition in one is accepted, and served only at versions that the server does not have."""
    group, path = "networking.k8s.io", "/apis/networking.k8s.io"
    policies = f"{path}/v1/namespaces/default/networkpolicies"
    made = await api.create(policies, {"metadata": {"name": "p"}, "spec": {"podSelector": {}}})
    before = await api.get(f"{path}/v1")
    crd = crds.definition(crds.version("v1"), crds.version("v9", storage=False), plural=plural, kind="Foo")
    crd["metadata"] = {
        "name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "https://example.com"},
    }  # fmt: skip
    crd["spec"]["group"] = group
    await api.create(crds.path, crd)
    await crds.wait(f"{plural}.{group}", "Established")
    await api.settle()
    assert await api.get(f"{path}/v1") == before
    assert await api.get(f"{policies}/p") == made
    assert [one["name"] for one in (await api.get(f"{path}/v9"))["resources"]] == [plural]
    await api("DELETE", f"{crds.path}/{plural}.{group}")
    await crds.gone(f"{plural}.{group}")
    assert await api.get(f"{path}/v1") == before


async def test_formats_that_nobody_checks_are_warned_of_once(api: Any, crds: Any) -> None:
    crd = crds.definition()
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["image"]["format"] = "container-image"
    made = await api("POST", crds.path, crd)
    assert (made.status, made.headers["warning"]) == (201, r'299 - "unrecognized format \"container-image\""')
    labelled = await api.patch(f"{crds.path}/foos.example.com", {"metadata": {"labels": {"a": "b"}}})
    assert (labelled.status, "warning" in labelled.headers) == (200, False)


OVERLAPPING = {
    "definitions": ("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition"),
    "registered APIs": ("apiregistration.k8s.io", "apiservices", "APIService"),
}


@pytest.mark.parametrize(("group", "plural", "kind"), OVERLAPPING.values(), ids=OVERLAPPING)
async def test_what_lies_where_a_built_in_kind_lies_goes_without_objects(
    api: Any, crds: Any, group: str, plural: str, kind: str
) -> None:
    """The objects that are found there are the server's own."""
    await crds.make()
    served = f"/apis/{group}/v1/{plural}"
    before = [one["metadata"]["name"] for one in (await api.get(served))["items"]]
    crd = crds.definition(plural=plural, kind=kind, group=group, scope="Cluster")
    name = f"{plural}.{group}"
    approved = {"api-approved.kubernetes.io": "unapproved, test-only"}
    crd["metadata"] = {"name": name, "annotations": approved, "finalizers": ["example.com/hold"]}
    await api.create(crds.path, crd)
    await crds.wait(name, "Established")
    await api("DELETE", f"{crds.path}/{name}")
    held = await crds.wait(name, "Terminating", "False")
    last = held["status"]["conditions"][-1]
    assert last["reason"] == "OverlappingBuiltInResource"
    assert last["message"] == "instances overlap with built-in resources in storage"
    await api.patch(f"{crds.path}/{name}", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{crds.path}/{name}")).status == 404
    after = [one["metadata"]["name"] for one in (await api.get(served))["items"]]
    assert set(before) <= set(after)


async def test_the_work_on_definitions_is_counted_as_that_of_queues(api: Any, crds: Any) -> None:
    def worked(queue: str) -> float:
        return CLIENTS.sample_value("workqueue_work_duration_seconds_count", {"name": queue}) or 0

    naming, finalizer = "crd_naming_condition_controller", "crd_finalizer"
    named, finalized = worked(naming), worked(finalizer)
    counts = api.server.custom._deletions._work.counts
    await crds.make()
    assert worked(naming) > named
    assert counts.adds == 0
    held = crds.foo("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(crds.foos, held)
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.wait("foos.example.com", "Terminating")
    await api.settle()
    assert (counts.adds, len(list(counts.running()))) == (1, 1)
    assert worked(finalizer) == finalized
    await api.patch(f"{crds.foos}/held", {"metadata": {"finalizers": None}})
    await crds.gone("foos.example.com")
    await api.settle()
    assert worked(finalizer) == finalized + 1
    assert list(counts.running()) == []
    text = (await api("GET", "/metrics")).raw.decode()
    for name in (naming, finalizer):
        assert f'workqueue_adds_total{{name="{name}"}} ' in text
