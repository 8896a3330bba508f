"""What is read of servers behind APIServices, and how often.

Source: upstream's tests of the aggregator's discovery and of its OpenAPI downloads.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.aggregation import behind
from tests.apiserver.aggregation.behind import (
    GROUP_VERSION,
    NAME,
    PUBLISHED,
    SERVICES,
    V3_URL,
    Extension,
    api_service,
    available,
    condition,
)

from tiphys.apimachinery.meta import Object
from tiphys.apis.table import TABLE
from tiphys.apiserver.aggregation import availability
from tiphys.apiserver.aggregation.discovery import Remote, _aggregated
from tiphys.wire.message import Response

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
ALL = AGGREGATED.format("v2")
NONE = {"group": "", "version": "", "kind": ""}
LISTED: Object = {
    "resource": "pods", "scope": "Namespaced", "singularResource": "", "verbs": ["get", "list"],
    "responseKind": {**NONE, "kind": "PodMetrics"},
    "subresources": [
        {"subresource": "status", "responseKind": {**NONE, "kind": "PodMetrics"}, "verbs": ["get"]}
    ],
}  # fmt: skip
"""What the server's list of resources comes to."""


def document(*resources: Object, group: str = "samples.example.com", version: str = "v1beta1") -> bytes:
    versions = [{"version": version, "freshness": "Current", "resources": list(resources)}]
    return orjson.dumps({"items": [{"metadata": {"name": group}, "versions": versions}]})


def answer(body: bytes, version: str = "v2", status: int = 200) -> Response:
    return Response(status, {"content-type": AGGREGATED.format(version)}, body)


async def shown(api: Any) -> Object:
    """Return what aggregated discovery has of the group version."""
    items = (await api.get("/apis", accept=ALL))["items"]
    group = next(item for item in items if item["metadata"]["name"] == "samples.example.com")
    (version,) = group["versions"]
    found: Object = version
    return found


THINGS = {"resource": "things", "scope": "Cluster", "verbs": ["list"]}
SHOWN_THINGS = {**THINGS, "singularResource": "", "responseKind": NONE}
STALE = None
ANSWERS: dict[str, tuple[Response | None, list[Object] | None]] = {
    "in the newest form": (answer(document(THINGS)), [SHOWN_THINGS]),
    "in the older form": (answer(document(THINGS), "v2beta1"), [SHOWN_THINGS]),
    "without this group version": (answer(document(THINGS, version="v2")), []),
    "none": (None, [LISTED]),
    "not found": (Response(404), [LISTED]),
    "another form": (answer(document(THINGS), "v1alpha1"), [LISTED]),
    "a list of groups": (Response(200, {"content-type": "application/json"}, document(THINGS)), [LISTED]),
    "an error": (answer(document(THINGS), status=500), [LISTED]),
    "it is not there": (answer(document(THINGS), status=503), STALE),
    "nonsense": (answer(b"{"), STALE),
    "resources that are none": (answer(document({"resource": 1})), STALE),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_discovery(api: Any, extension: Extension, name: str) -> None:
    extension.apis, want = ANSWERS[name]
    await available(api, extension)
    found = await shown(api)
    assert found.get("freshness") == ("Stale" if want is STALE else "Current")
    assert found.get("resources", []) == (want or [])
    assert "resources" in found or not want
    request = next(request for request, _ in extension.downloads if request.path == "/apis")
    assert request.headers["accept"] == f"{ALL},{AGGREGATED.format('v2beta1')}"
    assert request.headers["x-remote-user"] == "system:kube-aggregator"


def test_kinds_that_are_left_out_are_told_empty() -> None:
    sub = {"subresource": "a"}
    kind = {"kind": "Thing"}
    entry = {
        "resources": [
            {"resource": "none", "subresources": [sub]},
            {"resource": "empty", "responseKind": {}, "subresources": [{**sub, "responseKind": {}}]},
            {"resource": "said", "responseKind": kind, "shortNames": ["s"], "categories": ["all"],
             "subresources": [{**sub, "responseKind": kind, "acceptedTypes": [kind]}]},
            "no resource",
        ]
    }  # fmt: skip
    spec = {"group": "weird.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    remote = Remote(spec, [{"name": "not", "verbs": []}], fresh=True, entry=entry)
    (version,) = _aggregated(TABLE, {}, [remote], "v2")["items"][-1]["versions"]
    none, empty, said = version["resources"]
    assert none["responseKind"] == empty["responseKind"] == NONE
    assert (
        none["subresources"]
        == empty["subresources"]
        == [{"subresource": "a", "responseKind": NONE, "verbs": None}]
    )
    assert said == {
        "resource": "said", "responseKind": {**NONE, **kind}, "scope": "", "singularResource": "",
        "verbs": None, "shortNames": ["s"], "categories": ["all"],
        "subresources": [{"subresource": "a", "responseKind": {**NONE, **kind}, "verbs": None,
                          "acceptedTypes": [kind]}],
    }  # fmt: skip


async def test_a_server_that_fails_is_stale_and_has_nothing(api: Any, extension: Extension) -> None:
    await available(api, extension)
    extension.status = 503
    await again(api)
    await condition(api, "False")
    assert await shown(api) == {"version": "v1beta1", "freshness": "Stale"}
    assert f"{GROUP_VERSION}/pods" in (await api.get("/openapi/v2"))["paths"], "what was known last"
    extension.status = 200
    await again(api)
    await condition(api, "True")
    assert (await shown(api))["resources"] == [LISTED]


async def test_discovery_that_fails_is_as_it_was_when_it_is_there_again(
    api: Any, extension: Extension
) -> None:
    extension.apis, extension.tags = answer(document(THINGS)), True
    await available(api, extension)
    extension.apis = Response(503)
    await again(api)
    assert await shown(api) == {"version": "v1beta1", "freshness": "Stale"}
    extension.apis = answer(document(THINGS))
    await again(api)
    assert (await shown(api))["resources"] == [SHOWN_THINGS]
    assert [status for request, status in extension.downloads if request.path == "/apis"][-2:] == [503, 304]


async def test_what_nobody_could_read_is_shown_to_nobody(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or clients would read nothing of any group."""
    await available(api, extension)
    monkeypatch.setattr(behind, "RESOURCES", [{"name": "pods", "verbs": "get"}])
    await again(api)
    await condition(api, "True")
    assert await shown(api) == {"version": "v1beta1", "freshness": "Stale"}


async def again(api: Any) -> None:
    """Check all remote APIs once they are due."""
    api.clock.advance(60)
    await api.server.aggregation._check_remote()


async def test_what_goes_while_it_is_looked_at_leaves_nothing(api: Any, extension: Extension) -> None:
    await available(api, extension)
    aggregation = api.server.aggregation
    (service,) = aggregation._remote.values()
    await api("DELETE", f"{SERVICES}/{NAME}")
    await api.settle()
    assert (NAME in aggregation._due, NAME in aggregation._published) == (False, False)
    await aggregation._check(service)
    assert (NAME in aggregation._due, NAME in aggregation._published) == (False, False)
    assert NAME not in aggregation._discovered
    downloads = aggregation._downloads
    assert not any((downloads._discovery, downloads._locks, downloads._openapi))


def asked(extension: Extension) -> dict[str, int]:
    """Return how the last request for each document was answered."""
    return {request.path: status for request, status in extension.downloads}


async def test_what_has_not_changed_is_not_sent_again(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension.tags, extension.apis = True, answer(document(THINGS))
    await available(api, extension)
    assert asked(extension) == {"/apis": 200, "/openapi/v2": 200, "/openapi/v3": 200}
    before = await shown(api), (await api.get("/openapi/v2"))["paths"], await api.get("/openapi/v3")
    specs = api.server.aggregation.openapi()
    await again(api)
    assert asked(extension) == {"/apis": 304, "/openapi/v2": 304, "/openapi/v3": 304}
    assert api.server.aggregation.openapi() is specs, "nothing is made anew"
    after = await shown(api), (await api.get("/openapi/v2"))["paths"], await api.get("/openapi/v3")
    assert before == after
    monkeypatch.setitem(PUBLISHED, "/openapi/v3", {"paths": {}})
    extension.apis = answer(document())
    await again(api)
    assert asked(extension) == {"/apis": 200, "/openapi/v2": 304, "/openapi/v3": 200}
    assert "resources" not in await shown(api)
    url = (await api.get("/openapi/v3"))["paths"][GROUP_VERSION[1:]]["serverRelativeURL"]
    assert url != V3_URL, "it is made of what v2 says"


async def test_documents_without_tags_are_compared(api: Any, extension: Extension) -> None:
    await available(api, extension)
    specs = api.server.aggregation.openapi()
    await again(api)
    tags = [request.headers.get("if-none-match") for request, _ in extension.downloads]
    assert set(tags) == {None}, "nobody else knows them"
    assert api.server.aggregation.openapi() is specs


async def test_documents_are_read_as_another_user(api: Any, extension: Extension) -> None:
    await available(api, extension)
    users = {request.path: request.headers["x-remote-user"] for request, _ in extension.downloads}
    assert users["/openapi/v2"] == users["/openapi/v3"] == "system:aggregator"


@pytest.mark.parametrize("status", [404, 500])
async def test_what_cannot_be_had_is_what_it_was(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    await available(api, extension)
    fetch = availability.fetch

    async def failing(*args: Any, **options: Any) -> availability.Fetched:
        found = await fetch(*args, **options)
        return availability.Fetched(status, (), b"") if "/openapi/" in args[3] else found

    monkeypatch.setattr("tiphys.apiserver.aggregation.downloads.fetch", failing)
    await again(api)
    assert f"{GROUP_VERSION}/pods" in (await api.get("/openapi/v2"))["paths"]
    url = (await api.get("/openapi/v3"))["paths"][GROUP_VERSION[1:]]["serverRelativeURL"]
    assert url == V3_URL


async def test_services_of_one_server_share_its_discovery(api: Any, extension: Extension) -> None:
    extension.apis = answer(document(THINGS))
    await available(api, extension)
    other = api_service(version="v1", insecureSkipTLSVerify=True)
    other["metadata"]["name"] = "v1.samples.example.com"
    await api.create(SERVICES, other)
    await api.settle()
    extension.downloads.clear()
    await again(api)
    assert [request.path for request, _ in extension.downloads].count("/apis") == 1


async def test_what_is_of_no_service_is_not_kept(api: Any, extension: Extension) -> None:
    await available(api, extension)
    downloads = api.server.aggregation._downloads
    assert downloads._openapi
    assert downloads._discovery
    await api.patch(f"{SERVICES}/{NAME}", {"spec": {"service": {"name": "other"}}})
    await condition(api, "False")
    assert not downloads._discovery
    await api("DELETE", f"{SERVICES}/{NAME}")
    await api.settle()
    assert not downloads._openapi
