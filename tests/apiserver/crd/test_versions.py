"""Several versions of a kind: a change of apiVersion, or a webhook that converts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.meta import GVK
from tiphys.apis import discovery_docs
from tiphys.apiserver.crd import rows, store
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.outlet import Outlet
from tiphys.wire.server import serve

V2 = "/apis/example.com/v2/namespaces/default/foos"


async def convert(request: Request) -> Response:
    """Move ``image`` into ``picture`` and back; every object is asked about by its version."""
    review = orjson.loads(request.body)
    wanted = review["request"]["desiredAPIVersion"]
    made = []
    for obj in review["request"]["objects"]:
        spec = dict(obj["spec"])
        old, new = ("image", "picture") if wanted.endswith("v2") else ("picture", "image")
        if old in spec:
            spec[new] = spec.pop(old)
        made.append({**obj, "apiVersion": wanted, "spec": spec})
    failed = any(obj["metadata"]["name"] == "bad" for obj in made)
    result = {"status": "Failure", "message": "no"} if failed else {"status": "Success"}
    response = {"uid": review["request"]["uid"], "result": result, "convertedObjects": made}
    return Response(200, {"content-type": "application/json"}, orjson.dumps({**review, "response": response}))


@pytest.fixture
async def webhook() -> AsyncIterator[dict[str, Any]]:
    now = RealClock().now()
    authority = pki.make_ca("webhook-ca", now)
    pair = pki.issue_server(authority, "webhook", ["localhost", "127.0.0.1"], now)
    async with serve(convert, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        config = {
            "url": f"https://127.0.0.1:{server.port}/convert",
            "caBundle": base64.b64encode(authority.certificate).decode(),
        }
        yield {
            "strategy": "Webhook",
            "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
        }


def pictured(crds: Any, *, storage: bool, **more: Any) -> Any:
    made = crds.version("v2", storage=storage, **more)
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["picture"] = spec["properties"].pop("image")
    spec["required"] = ["picture"]
    return made


async def test_no_conversion_changes_only_the_version(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    await api.create(crds.foos, crds.foo())
    seen = await api.get(f"{V2}/a")
    assert (seen["apiVersion"], seen["spec"]) == ("example.com/v2", {"image": "x"})
    await api.create(V2, crds.foo("b", "v2"))
    assert [item["apiVersion"] for item in (await api.get(crds.foos))["items"]] == ["example.com/v1"] * 2
    response = await api.send("GET", f"{V2}?watch=true")
    chunk = await anext(response.stream)
    await response.stream.aclose()
    assert orjson.loads(chunk.splitlines()[0])["object"]["apiVersion"] == "example.com/v2"


class Wire:
    """As much of a connection as events need that are written past the stream's task."""

    def __init__(self) -> None:
        self.written: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        self.written.set_result(data)


async def test_what_comes_to_a_waiting_watcher_is_of_its_version(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    for path, version in ((V2, "v2"), (crds.foos, "v1")):
        response, wire = await api.send("GET", f"{path}?watch=true&resourceVersion=0"), Wire()
        response.stream.attach(Outlet(wire, lambda: True, bytes))
        waiting = asyncio.create_task(anext(response.stream))
        await api.settle()
        await api.create(crds.foos, crds.foo(f"for-{version}"))
        came, _ = await asyncio.wait({waiting, wire.written}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await response.stream.aclose()
        events = [orjson.loads(line)["object"] for one in came for line in one.result().splitlines()]
        assert {one["apiVersion"] for one in events} == {f"example.com/{version}"}
        await api("DELETE", crds.foos)


async def test_an_update_moves_an_object_to_the_new_storage_version(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    before = await api.create(crds.foos, crds.foo())
    crd = await crds.change({"spec": {"versions": [crds.version("v1", storage=False), crds.version("v2")]}})
    assert crd["status"]["storedVersions"] == ["v1", "v2"]
    same = await api.get(f"{crds.foos}/a")
    after = await api.put(f"{crds.foos}/a", same)
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert after["apiVersion"] == "example.com/v1"
    again = await api.put(f"{crds.foos}/a", after)
    assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def with_web(crds: Any, *, storage: bool) -> Any:
    made = crds.version("v2", storage=storage)
    fields = made["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["web"] = {"type": "integer", "default": 2}
    return made


async def test_defaults_are_those_of_the_version_that_it_is_stored_in(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), with_web(crds, storage=False))
    await api.create(crds.foos, crds.foo("old"))
    assert "web" not in (await api.get(f"{V2}/old"))["spec"]
    await crds.change({"spec": {"versions": [crds.version(storage=False), with_web(crds, storage=True)]}})
    assert "web" not in (await api.get(f"{V2}/old"))["spec"]
    await api.create(crds.foos, crds.foo("new"))
    assert (await api.get(f"{V2}/new"))["spec"] == {"image": "x", "web": 2}
    assert (await api.get(f"{crds.foos}/new"))["spec"] == {"image": "x"}
    await api.patch(f"{crds.foos}/old", {"metadata": {"labels": {"a": "b"}}})
    assert (await api.get(f"{V2}/old"))["spec"]["web"] == 2


async def test_what_the_storage_version_does_not_have_is_not_stored(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), with_web(crds, storage=False))
    made = await api.create(V2, crds.foo("a", "v2", web=5))
    assert made["spec"] == {"image": "x"}
    record = await api.store.get("/registry/example.com/foos/default/a")
    assert orjson.loads(record.value)["spec"] == {"image": "x"}


async def test_webhook_converts_reads_and_mixed_lists(api: Any, crds: Any, webhook: Any) -> None:
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    await api.create(crds.foos, crds.foo())
    assert (await api.get(f"{V2}/a"))["spec"] == {"picture": "x"}
    versions = [crds.version("v1", storage=False), pictured(crds, storage=True)]
    await crds.change({"spec": {"versions": versions}})
    body = {**crds.foo("b", "v2"), "spec": {"picture": "y"}}
    await api.create(V2, body)
    specs = [item["spec"] for item in (await api.get(V2))["items"]]
    assert specs == [{"picture": "x"}, {"picture": "y"}]
    assert [item["spec"]["image"] for item in (await api.get(crds.foos))["items"]] == ["x", "y"]


async def test_webhook_that_fails(api: Any, crds: Any, webhook: Any) -> None:
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    await api.create(crds.foos, crds.foo("bad"))
    answer = await api("GET", f"{V2}/bad")
    assert answer.status == 500
    assert "conversion webhook for example.com/v1, Kind=Foo failed: no" in answer.message


async def test_field_selectors_mean_the_version_asked_for(api: Any, crds: Any, webhook: Any) -> None:
    await crds.make(
        crds.version(selectableFields=[{"jsonPath": ".spec.image"}]),
        pictured(crds, storage=False, selectableFields=[{"jsonPath": ".spec.picture"}]),
        conversion=webhook,
    )
    await api.create(crds.foos, crds.foo("a"))
    await api.create(crds.foos, crds.foo("b", image="y"))
    found = await api.get(f"{V2}?fieldSelector=spec.picture=y")
    assert [item["metadata"]["name"] for item in found["items"]] == ["b"]
    response = await api.send(
        "GET",
        f"{V2}?watch=true&fieldSelector=spec.picture=y&resourceVersion={found['metadata']['resourceVersion']}",
    )
    await api.patch(f"{crds.foos}/a", {"spec": {"image": "y"}})
    await api.patch(f"{crds.foos}/b", {"spec": {"image": "z"}})
    events: list[Any] = []
    async for chunk in response.stream:
        events += [orjson.loads(line) for line in chunk.splitlines()]
        if len(events) == 2:
            break
    await response.stream.aclose()
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in events] == [
        ("ADDED", "a"),
        ("DELETED", "b"),
    ]


async def test_pages_of_what_was_converted_and_selected_are_full(
    api: Any, crds: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CHUNK", 3)
    await crds.make(
        crds.version(selectableFields=[{"jsonPath": ".spec.image"}]),
        pictured(crds, storage=False, selectableFields=[{"jsonPath": ".spec.picture"}]),
        conversion=webhook,
    )
    for index in range(8):
        await api.create(crds.foos, crds.foo(f"f{index}", image="y" if index % 2 else "n"))
    pages, token = [], ""
    while True:
        found = await api.get(f"{V2}?fieldSelector=spec.picture=y&limit=3{token}")
        pages.append([item["metadata"]["name"] for item in found["items"]])
        if not found["metadata"]["continue"]:
            break
        token = f"&continue={found['metadata']['continue']}"
    assert pages == [["f1", "f3", "f5"], ["f7"]]
    whole = await api.get(f"{V2}?fieldSelector=spec.picture=y&limit=3&resourceVersion=0")
    assert [item["metadata"]["name"] for item in whole["items"]] == ["f1", "f3", "f5", "f7"]
    first = (await api.get(f"{crds.foos}/f0"))["metadata"]["resourceVersion"]
    counts = {"": 4, "&resourceVersionMatch=NotOlderThan": 4, "&resourceVersionMatch=Exact": 0}
    for more, count in counts.items():
        found = await api.get(f"{V2}?fieldSelector=spec.picture=y&resourceVersion={first}{more}")
        assert len(found["items"]) == count


async def test_pages_of_what_was_converted_and_selected_show_one_moment(
    api: Any, crds: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    for name in "bcd":
        await api.create(crds.foos, {**crds.foo(name), "metadata": {"name": name, "labels": {"a": "b"}}})
    newer, views = ["a"], store.CustomStore._views

    async def meanwhile(*given: Any) -> Any:
        found = await views(*given)
        if newer:
            name = newer.pop()
            await api.create(crds.foos, {**crds.foo(name), "metadata": {"name": name, "labels": {"a": "b"}}})
        return found

    monkeypatch.setattr(store.CustomStore, "_views", meanwhile)
    page = await api.get(f"{V2}?labelSelector=a&limit=2")
    rest = await api.get(f"{V2}?labelSelector=a&limit=2&continue={page['metadata']['continue']}")
    shown = [item["metadata"]["name"] for item in page["items"] + rest["items"]]
    assert shown == ["b", "c", "d"]
    assert page["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]


def deprecated(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "deprecated": True, **more}


def served(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "served": True, **more}


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        pytest.param([served("v1")], "", id="stays"),
        pytest.param([deprecated("v1")], "example.com/v1 Foo is deprecated", id="nothing better"),
        pytest.param([deprecated("v1", deprecationWarning="go away")], "go away", id="own words"),
        pytest.param([deprecated("v1", deprecationWarning="")], "", id="no words"),
        pytest.param(
            [deprecated("v1beta1"), served("v1beta2"), served("v1")],
            "example.com/v1beta1 Foo is deprecated; use example.com/v1 Foo",
            id="the best",
        ),
        pytest.param(
            [deprecated("v1"), served("v1beta1"), served("v2", served=False), deprecated("v3")],
            "example.com/v1 Foo is deprecated",
            id="only lesser, unserved and deprecated ones",
        ),
    ],
)
def test_what_a_deprecated_version_warns_with(versions: list[dict[str, Any]], text: str) -> None:
    crd = {"spec": {"group": "example.com", "names": {"kind": "Foo"}, "versions": versions}}
    assert rows.deprecation(crd, versions[0], rows.best_offered(crd)) == text


async def test_deprecated_versions_warn(api: Any, crds: Any) -> None:
    await crds.make(crds.version(deprecated=True), crds.version("v2", storage=False))
    made = await api("POST", crds.foos, crds.foo("a"))
    assert made.headers["warning"] == '299 - "example.com/v1 Foo is deprecated; use example.com/v2 Foo"'
    assert "warning" in (await api("GET", crds.foos)).headers
    assert "warning" not in (await api("GET", V2)).headers


def owners(obj: Any) -> list[tuple[str, str, list[str]]]:
    """Return who owns which fields of the spec, and at which version."""
    return sorted(
        (entry["manager"], entry["apiVersion"], sorted(entry["fieldsV1"].get("f:spec", {})))
        for entry in obj["metadata"]["managedFields"]
    )


async def applied(api: Any, path: str, spec: Any, manager: str, *, force: bool = False) -> Any:
    version = path.split("/")[3]
    body = {"apiVersion": f"example.com/{version}", "kind": "Foo", "metadata": {"name": "a"}, "spec": spec}
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return await api.patch(f"{path}/a{query}", orjson.dumps(body), "apply")


async def test_managers_of_other_versions_are_asked_through_the_webhook(
    api: Any, crds: Any, webhook: Any
) -> None:
    """The field that one manager owns as ``image`` is the one that another applies as ``picture``."""
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    assert (await applied(api, crds.foos, {"image": "x", "replicas": 1}, "one")).status == 201
    refused = await applied(api, V2, {"picture": "y"}, "two")
    assert (refused.status, refused.message) == (
        409,
        'Apply failed with 1 conflict: conflict with "one": .spec.image',
    )
    taken = (await applied(api, V2, {"picture": "y"}, "two", force=True)).json
    assert owners(taken) == [
        ("one", "example.com/v1", ["f:replicas"]), ("two", "example.com/v2", ["f:picture"])
    ]  # fmt: skip
    same = await applied(api, crds.foos, {"image": "y", "replicas": 1}, "one")
    assert owners(same.json)[0] == ("one", "example.com/v1", ["f:image", "f:replicas"])


async def test_updates_take_fields_from_managers_of_other_versions(api: Any, crds: Any, webhook: Any) -> None:
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    await applied(api, crds.foos, {"image": "x", "replicas": 1}, "one")
    seen = await api.get(f"{V2}/a")
    seen["spec"]["picture"] = "z"
    changed = await api.put(f"{V2}/a?fieldManager=editor", seen)
    assert owners(changed) == [
        ("editor", "example.com/v2", ["f:picture"]), ("one", "example.com/v1", ["f:replicas"])
    ]  # fmt: skip


async def test_updates_go_on_without_a_conversion_for_managers(api: Any, crds: Any, webhook: Any) -> None:
    """Nobody is known to own anything then, as upstream has it: rather none than what may be wrong."""
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    await applied(api, V2, {"picture": "x"}, "one")
    nowhere = {**webhook, "webhook": {**webhook["webhook"], "clientConfig": {"url": "https://127.0.0.1:1/"}}}
    await crds.change({"spec": {"conversion": nowhere}})
    changed = await api.patch(f"{crds.foos}/a?fieldManager=editor", {"spec": {"replicas": 3}})
    assert changed.status == 200
    assert "managedFields" not in changed.json["metadata"]
    # Whoever applies next takes over what was there before.
    taken = await applied(api, crds.foos, {"image": "n"}, "two", force=True)
    assert [owner[0] for owner in owners(taken.json)] == ["before-first-apply", "two"]


async def test_nothing_is_applied_without_a_conversion_for_managers(
    api: Any, crds: Any, webhook: Any
) -> None:
    await crds.make(crds.version(), pictured(crds, storage=False), conversion=webhook)
    await applied(api, V2, {"picture": "x"}, "one")
    nowhere = {**webhook, "webhook": {**webhook["webhook"], "clientConfig": {"url": "https://127.0.0.1:1/"}}}
    await crds.change({"spec": {"conversion": nowhere}})
    refused = await applied(api, crds.foos, {"image": "n"}, "two")
    assert refused.status == 500
    assert "conversion webhook for example.com/v1, Kind=Foo" in refused.message


async def test_numbers_at_another_version_are_written_as_go_writes_them(api: Any, crds: Any) -> None:
    await crds.make(crds.version(), crds.version("v2", storage=False))
    made = await api("POST", V2, crds.foo("a", "v2", free={"a": 1e-6, "b": 1e20}))
    wanted = b'"free":{"a":0.000001,"b":100000000000000000000}'
    for answer in (made, await api("GET", f"{V2}/a"), await api("GET", V2)):
        assert wanted in answer.raw
    response = await api.send("GET", f"{V2}?watch=true&resourceVersion=0")
    assert wanted in await anext(response.stream)
    await response.stream.aclose()


async def test_bounds_are_written_as_go_writes_them(api: Any, crds: Any) -> None:
    bounds = {"type": "number", "minimum": 1e-6, "maximum": 1e20, "default": 1.0}
    spec = {"type": "object", "properties": {"n": bounds}}
    schema = {"type": "object", "properties": {"spec": spec}}
    made = crds.definition({**crds.version(), "schema": {"openAPIV3Schema": schema}})
    answer = await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", made)
    for word in (b'"minimum":0.000001', b'"maximum":100000000000000000000'):
        assert word in answer.raw


async def test_discovery_tells_the_version_that_objects_are_stored_in(api: Any, crds: Any) -> None:
    await crds.make(crds.version("v1", storage=False), crds.version("v2"))
    stored = discovery_docs.storage_version_hash(GVK("example.com", "v2", "Foo"))
    for version in ("v1", "v2"):
        (kind,) = (await api.get(f"/apis/example.com/{version}"))["resources"]
        assert kind["storageVersionHash"] == stored
    hidden = [crds.version("v1", storage=False), crds.version("v2", served=False)]
    await crds.change({"spec": {"versions": hidden}})
    await api.settle()
    (kind,) = (await api.get("/apis/example.com/v1"))["resources"]
    assert "storageVersionHash" not in kind


@pytest.mark.parametrize("goes", ["the version", "the definition"])
async def test_watches_end_with_what_is_served(api: Any, crds: Any, goes: str) -> None:
    first, second = crds.version(), crds.version("v2", storage=False)
    await crds.make(first, second)
    response = await api.send("GET", f"{V2}?watch=true")

    async def read() -> list[bytes]:
        return [chunk async for chunk in response.stream]

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        await api.settle()
        if goes == "the version":
            await crds.change({"spec": {"versions": [first, {**second, "served": False}]}})
        else:
            await api("DELETE", f"{crds.path}/foos.example.com")
            await crds.gone("foos.example.com")
    assert reading.result() == []
