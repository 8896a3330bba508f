"""Lists, selectors, pages, tables, watches."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for them all; each finds it as it was at first."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


EVENT = {
    "metadata": {"name": "e"},
    "eventTime": "2030-01-01T00:00:00.000000Z",
    "reportingController": "example.com/c",
    "reportingInstance": "c",
    "action": "Try",
    "reason": "Tried",
    "type": "Normal",
    "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
}


async def fill(api: Any, *names: str) -> None:
    for name in names:
        await api.create(CMS, {"metadata": {"name": name, "labels": {"k": name}}})


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


async def test_list_has_kind_and_version(api: Any) -> None:
    await fill(api, "a", "b")
    found = await api.get(CMS)
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(found["metadata"]["resourceVersion"]) > 0
    assert names(found) == ["a", "b"]


@pytest.mark.parametrize("query", ["", "?limit=1", "?labelSelector=k", "?resourceVersion=0", "?pretty=true"])
async def test_items_of_a_list_do_not_say_what_they_are(api: Any, query: str) -> None:
    await fill(api, "a", "b")
    for _ in range(3):  # a page is joined anew, kept, and taken as it was kept
        found = await api.get(CMS + query)
        assert list(found["items"][0]) == ["metadata"]
        assert found["items"][0]["metadata"]["resourceVersion"]
    assert (await api.get(CMS + "/a"))["kind"] == "ConfigMap"


async def test_items_do_not_say_what_they_are_in_other_versions_and_forms(api: Any) -> None:
    await api.create("/apis/events.k8s.io/v1/namespaces/default/events", EVENT)
    for path in ("/api/v1/events", "/apis/events.k8s.io/v1/events"):
        assert not {"apiVersion", "kind"} & set((await api.get(path))["items"][0])
    written = (await api("GET", "/api/v1/events", accept="application/yaml")).raw.decode()
    assert [line for line in written.splitlines() if line.endswith("kind: Event")] == []
    full = await api("GET", "/api/v1/events?includeObject=Object", accept=TABLE)
    assert full.json["rows"][0]["object"]["kind"] == "Event"
    deleted = await api("DELETE", "/api/v1/namespaces/default/events")
    assert not {"apiVersion", "kind"} & set(deleted.json["items"][0])


async def test_pages(api: Any) -> None:
    await fill(api, "a", "b", "c")
    first = await api.get(CMS + "?limit=2")
    assert first["metadata"]["remainingItemCount"] == 1
    second = await api.get(CMS + f"?limit=2&continue={first['metadata']['continue']}")
    assert names(first) + names(second) == ["a", "b", "c"]
    assert "continue" not in second["metadata"]


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("labelSelector=k%3Da", ["a"]),
        ("labelSelector=k+in+(a,b)", ["a", "b"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db", ["a"]),
        ("fieldSelector=metadata.namespace%3Dother", []),
    ],
)
async def test_selectors(api: Any, query: str, want: list[str]) -> None:
    await fill(api, "a", "b")
    assert names(await api.get(f"{CMS}?{query}")) == want


@pytest.mark.parametrize(
    "selector",
    ["labelSelector=k", "fieldSelector=metadata.namespace%3Ddefault", "fieldSelector=metadata.name!%3Dz"],
)
async def test_with_a_selector_nobody_is_told_how_many_are_left(api: Any, selector: str) -> None:
    await fill(api, "a", "b", "c")
    for path in (CMS, "/api/v1/configmaps"):
        found = await api.get(f"{path}?limit=1&{selector}")
        assert found["metadata"]["continue"]
        assert "remainingItemCount" not in found["metadata"]


@pytest.mark.parametrize(
    ("namespace", "selector", "want"),
    [
        ("", "metadata.name=foo", ["ns1/foo", "ns2/foo"]),
        ("", "metadata.name=foo,metadata.name=bar", []),
        ("", "metadata.name=foo,metadata.namespace=ns1", ["ns1/foo"]),
        ("ns1", "metadata.name=foo,metadata.namespace=ns1", ["ns1/foo"]),
        ("ns1", "metadata.name=foo,metadata.namespace=ns2", []),
        ("ns1", "metadata.name=foo,metadata.namespace=", []),
        ("", "metadata.name=foo,metadata.namespace=", []),
        ("", "metadata.namespace=", []),
        ("", "metadata.name=", []),
        ("ns1", "metadata.name=", []),
    ],
)
async def test_names_in_field_selectors(api: Any, namespace: str, selector: str, want: list[str]) -> None:
    """One that takes nothing must not take everything: collections are deleted by them, too."""
    for made in ("ns1", "ns2"):
        await api.create("/api/v1/namespaces", {"metadata": {"name": made}})
        for name in ("foo", "bar"):
            await api.create(f"/api/v1/namespaces/{made}/secrets", {"metadata": {"name": name}})
    scope = f"/namespaces/{namespace}" if namespace else ""
    for method in ("GET", "DELETE") if namespace else ("GET",):
        found = await api(method, f"/api/v1{scope}/secrets?fieldSelector={quote(selector)}")
        metas = [item["metadata"] for item in found.json["items"]]
        assert [f"{meta['namespace']}/{meta['name']}" for meta in metas] == want


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (CMS + "?fieldSelector=x%3Dy",
         '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        (PODS + "?fieldSelector=x%3Dy", "field label not supported: x"),
        ("/apis/batch/v1/jobs?fieldSelector=x%3Dy", 'field label "x" not supported for Job'),
        ("/apis/resource.k8s.io/v1/resourceslices?fieldSelector=x%3Dy",
         "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x"),
        ("/api/v1/nodes?fieldSelector=metadata.namespace%3Dy",
         "field label not supported: metadata.namespace"),
        ("/api/v1/nodes?fieldSelector=spec.host%3Dy", "field label not supported: spec.host"),
    ],
)  # fmt: skip
async def test_unknown_fields(api: Any, path: str, message: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.message) == (400, message)


async def test_fields_by_their_old_names(api: Any, make_pod: Any) -> None:
    for name in ("n1", "n2"):
        await api.create("/api/v1/namespaces/default/pods", make_pod(name, nodeName=name))
    for selector, found in (
        ("spec.host=n1", ["n1"]), ("spec.host!=n1", ["n2"]), ("status.podIPs=1.2.3.4", []),
        ("status.podIPs=", ["n1", "n2"]),
    ):  # fmt: skip
        pods = await api.get(f"/api/v1/namespaces/default/pods?fieldSelector={quote(selector)}")
        assert [pod["metadata"]["name"] for pod in pods["items"]] == found
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"namespace": "default"},
        "source": {"component": "c"},
    }
    await api.create("/api/v1/namespaces/default/events", event)
    for source, count in (("c", 1), ("d", 0)):
        events = await api.get(f"/apis/events.k8s.io/v1/events?fieldSelector=source%3D{source}")
        assert len(events["items"]) == count


async def test_table(api: Any) -> None:
    await fill(api, "a")
    table = await api.get(CMS, accept=TABLE)
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][0] == "a"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = await api.get(CMS + "/a?includeObject=None", accept=TABLE)
    assert one["rows"][0]["object"] is None


async def test_table_of_flow_schemas_has_the_order_in_which_they_are_tried(api: Any) -> None:
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    for name, precedence in (("a", 900), ("b", 100)):
        level = {"name": "catch-all"}
        spec = {"matchingPrecedence": precedence, "priorityLevelConfiguration": level}
        await api("POST", path, {"metadata": {"name": name}, "spec": spec})
    rows = (await api.get(path, accept=TABLE))["rows"]
    assert [row["cells"][0] for row in rows if row["cells"][0] in ("a", "b")] == ["b", "a"]
    assert [row["object"]["metadata"]["name"] for row in rows] == [row["cells"][0] for row in rows]


async def test_what_is_no_object_has_no_table(api: Any) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = await api("POST", path, body, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (answer.status, answer.json["reason"]) == (406, "NotAcceptable")
    assert (await api("POST", path, body, accept=TABLE)).json["kind"] == "SelfSubjectAccessReview"


async def test_partial_metadata(api: Any) -> None:
    await fill(api, "a")
    found = await api.get(CMS, accept=PARTIAL_LIST)
    assert found["kind"] == "PartialObjectMetadataList"
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_yaml_both_ways(api: Any) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: w\ndata: {day: '2020-01-01'}\n"
    answer = await api("POST", CMS, body, content_type="application/yaml", accept="application/yaml")
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/yaml"
    assert b"name: w" in answer.raw


async def test_not_acceptable(api: Any) -> None:
    answer = await api("GET", CMS, accept="text/html")
    assert (answer.status, answer.json["reason"]) == (406, "NotAcceptable")
    answer = await api("POST", CMS, b"x", content_type="text/plain")
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


NO_FORM = (
    "406: Not Acceptable\n\nAvailable representations: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)
NO_BODY = NO_FORM.replace("406: Not Acceptable", "415: Unsupported Media Type")
STREAMS = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
UNROUTED: dict[str, tuple[str, str, Any, str, int, str]] = {
    "a list": ("GET", CMS, None, "text/html", 406, NO_FORM + STREAMS),
    "an object": ("GET", CMS + "/a", None, "text/html,application/*;q=0.1", 406, NO_FORM),
    "a status": ("GET", "/api/v1/namespaces/default/status", None, "Application/JSON", 406, NO_FORM),
    "a new object": ("POST", CMS, {}, "application/cbor", 406, NO_FORM),
    "a new object without a body": ("POST", CMS, None, "application/cbor", 415, NO_BODY),
    "a deletion": ("DELETE", CMS + "/a", None, "text/*", 406, NO_FORM),
    "deletions": ("DELETE", CMS, None, "text/*", 406, NO_FORM),
}


@pytest.mark.parametrize("case", UNROUTED)
async def test_media_types_without_a_route(api: Any, case: str) -> None:
    """Upstream's router finds no route for them: what is told is its own text, and counted nowhere."""
    method, path, body, accept, status, text = UNROUTED[case]
    answer = await api(method, path, body, accept=accept)
    assert (answer.status, answer.message, answer.json["details"]) == (status, text, {})


@pytest.mark.parametrize(
    ("content_type", "body", "more"),
    [
        ("application/json", b"{}", ""),
        ("", b"{}", ""),
        ("application/merge-patch+cbor", b"", "\n\nAvailable representations: "),
    ],
)
async def test_patches_without_a_route(api: Any, content_type: str, body: bytes, more: str) -> None:
    answer = await api("PATCH", CMS + "/a", body, content_type=content_type)
    assert (answer.status, answer.message, answer.json["details"]) == (
        415,
        "415: Unsupported Media Type" + more,
        {},
    )


async def read_events(response: Any, count: int, *, close: bool = True) -> list[Any]:
    events: list[Any] = []
    async with asyncio.timeout(5):
        while len(events) < count:
            chunk = await anext(response.stream)
            events += [orjson.loads(line) for line in chunk.splitlines()]
    if close:
        await response.stream.aclose()
    return events


async def test_watch(api: Any) -> None:
    await fill(api, "a")
    response = await api.send("GET", CMS + "?watch=true&labelSelector=k")
    first = await read_events(response, 1, close=False)
    await fill(api, "b")
    await api("DELETE", CMS + "/a")
    events = first + await read_events(response, 2)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [
        ("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")
    ]  # fmt: skip


async def test_watch_as_table(api: Any) -> None:
    await fill(api, "a", "b")
    response = await api.send("GET", CMS + "?watch=true", accept=TABLE)
    events = await read_events(response, 2)
    assert events[0]["object"]["columnDefinitions"]
    assert events[1]["object"]["columnDefinitions"] is None
    assert events[1]["object"]["rows"][0]["cells"][0] == "b"


async def test_unknown_paths(api: Any) -> None:
    answer = await api("GET", "/apis/none/v1/x")
    assert (answer.status, answer.raw) == (404, b"404 page not found\n")
    answer = await api("POST", CMS + "/a", {})
    assert answer.status == 405


WATCH_FAULTS = {
    "sendInitialEvents=true":
        ["sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"],
    "sendInitialEvents=false&resourceVersionMatch=Exact": [
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        'Unsupported value: "Exact": supported values: "NotOlderThan"',
    ],
    "resourceVersionMatch=Exact": [
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        'Unsupported value: "Exact": supported values: "NotOlderThan"',
    ],
    "sendInitialEvents=1&resourceVersionMatch=NotOlderThan&continue=x":
        ["resourceVersionMatch is forbidden when continue is provided"],
}  # fmt: skip


@pytest.mark.parametrize("query", WATCH_FAULTS)
async def test_options_that_a_watch_cannot_have(api: Any, query: str) -> None:
    answer = await api("GET", f"{CMS}?watch=1&{query}")
    assert (answer.status, answer.json["details"]["kind"]) == (422, "ListOptions")
    causes = [cause["message"].removeprefix("Forbidden: ") for cause in answer.json["details"]["causes"]]
    assert causes == WATCH_FAULTS[query]


LIST_FAULTS = {
    "sendInitialEvents=false": ["sendInitialEvents is forbidden for list"],
    "resourceVersionMatch=Nope": [
        "resourceVersionMatch is forbidden unless resourceVersion is provided",
        'Unsupported value: "Nope": supported values: "Exact", "NotOlderThan", ""',
    ],
    "resourceVersionMatch=Exact&resourceVersion=0":
        ['resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
    "resourceVersionMatch=Exact&resourceVersion=1&continue=x":
        ["resourceVersionMatch is forbidden when continue is provided"],
}  # fmt: skip


@pytest.mark.parametrize("query", LIST_FAULTS)
async def test_options_that_a_list_cannot_have(api: Any, query: str) -> None:
    answer = await api("GET", f"{CMS}?{query}")
    causes = [cause["message"].removeprefix("Forbidden: ") for cause in answer.json["details"]["causes"]]
    assert causes == LIST_FAULTS[query]


@pytest.mark.parametrize(
    ("query", "watches"), [("watch=false", False), ("watch=0", False), ("watch", True), ("watch=yes", True)]
)
async def test_all_but_false_and_0_is_true(api: Any, query: str, watches: bool) -> None:
    response = await api.send("GET", f"{CMS}?{query}&timeoutSeconds=1")
    assert (response.stream is not None) is watches


NO_LIST = "you requested PartialObjectMetadataList, but the requested object is not a list"
FORMS = {
    ("/x", "PartialObjectMetadataList"): (406, f"{NO_LIST} (*core.ConfigMap)"),
    ("", "PartialObjectMetadata"): (
        406, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
    ("?watch=1", "PartialObjectMetadataList"): (406, f"{NO_LIST} (*core.ConfigMap)"),
    ("?includeObject=All", "Table"): (
        400, 'Unable to convert to Table as requested: includeObject: Invalid value: "All": '
             "must be 'Metadata', 'Object', 'None', or empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORMS)
async def test_forms_that_do_not_fit(api: Any, case: tuple[str, str]) -> None:
    await fill(api, "x")
    path, form = case
    answer = await api("GET", CMS + path, accept=f"application/json;as={form};v=v1;g=meta.k8s.io")
    assert (answer.status, answer.message) == FORMS[case]


async def test_what_cannot_be_answered_is_not_done(api: Any) -> None:
    assert (await api("POST", CMS, {"metadata": {"name": "a"}}, accept="application/cbor")).status == 406
    assert (await api("GET", CMS + "/a")).status == 404


async def test_initial_events_end_in_every_form_but_tables(api: Any) -> None:
    query = "?watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"
    await fill(api, "a")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    for accept, kind in (
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"),
        ("application/json", "ConfigMap"),
        (f"{table},application/json", "ConfigMap"),
    ):
        first, last = await read_events(await api.send("GET", CMS + query, accept=accept), 2)
        assert (first["type"], last["type"], last["object"]["kind"]) == ("ADDED", "BOOKMARK", kind)
        assert last["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (await api("GET", CMS + query, accept=table)).status == 406


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        ("0", 200, ""),
        ("1", 200, ""),
        ("99999999", 504, "Timeout: Too large resource version: 99999999, current: "),
        ("x", 400, 'invalid resource version: resourceVersion: Invalid value: "x": '),
    ],
)
async def test_one_object_at_least_as_new(api: Any, version: str, status: int, message: str) -> None:
    await fill(api, "a")
    for name in ("a", "none"):
        answer = await api("GET", f"{CMS}/{name}?resourceVersion={version}")
        assert answer.status == (404 if status == 200 and name == "none" else status)
        assert answer.message.startswith(message or "")
