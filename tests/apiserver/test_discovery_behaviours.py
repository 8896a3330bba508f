"""Discovery as clients use it: every group, preferred versions, aggregated documents, media types."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
FORM = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
V2, V2BETA1 = FORM.format("v2"), FORM.format("v2beta1")
LEGACY = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TAKEN = "only the following media types are accepted"


@pytest.fixture
def api(module_api: Any) -> Any:
    """Nothing is written here."""
    return module_api


async def test_the_servers_version(api: Any) -> None:
    found = await api.get("/version")
    assert found["major"].isdigit()
    assert found["minor"].isdigit()
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")


async def test_every_group_has_a_preferred_version_and_resources(api: Any) -> None:
    groups = (await api.get("/apis"))["groups"]
    assert len(groups) > 15
    for group in groups:
        versions = [one["groupVersion"] for one in group["versions"]]
        assert group["preferredVersion"]["groupVersion"] == versions[0]
        assert (await api.get(f"/apis/{group['name']}"))["versions"] == group["versions"]
        for name in versions:
            listed = await api.get(f"/apis/{name}")
            assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", name)
            assert listed["resources"]
            assert all(one["kind"] and one["name"] and one["verbs"] for one in listed["resources"])


async def test_custom_resource_definitions_are_discovered(api: Any) -> None:
    names = [group["name"] for group in (await api.get("/apis"))["groups"]]
    assert "apiextensions.k8s.io" in names
    (version,) = (await api.get("/apis/apiextensions.k8s.io"))["versions"]
    assert version == {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    resources = (await api.get("/apis/apiextensions.k8s.io/v1"))["resources"]
    assert "customresourcedefinitions" in [one["name"] for one in resources]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (V2, V2),
        (f"{V2},{V2BETA1},{LEGACY}", V2),
        (f"{V2BETA1},{LEGACY}", LEGACY),
        (f"{V2};profile=nopeer,{V2},{LEGACY}", V2),
        (f"application/json;foo=bar,{V2}", V2),
        (f"{LEGACY},{V2};q=0.1", V2),
        (f"{V2};sv=v2,{LEGACY}", LEGACY),
        (f"*/*;{V2.partition(';')[2]}", V2),
        (f"{FORM.format('v3')},{LEGACY}", LEGACY),
        (LEGACY, LEGACY),
        ("*/*", LEGACY),
        ("", LEGACY),
    ],
)
@pytest.mark.parametrize("path", ["/api", "/apis"])
async def test_accept_headers(api: Any, path: str, accept: str, content_type: str) -> None:
    answer = await api("GET", path, accept=accept)
    assert answer.headers["content-type"] == content_type
    kinds = {"/api": "APIVersions", "/apis": "APIGroupList"}
    aggregated = "as=APIGroupDiscoveryList" in content_type
    assert answer.json["kind"] == ("APIGroupDiscoveryList" if aggregated else kinds[path])


@pytest.mark.parametrize("accept", ["text/html", "application/cbor", FORM.format("v3"), V2BETA1])
@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"])
async def test_what_is_not_served(api: Any, path: str, accept: str) -> None:
    answer = await api("GET", path, accept=accept)
    assert (answer.status, answer.json["reason"]) == (406, "NotAcceptable")
    routed = path not in ("/apis", "/apis/apps") and not accept.startswith(LEGACY)
    said = "406: Not Acceptable\n\nAvailable representations" if routed else TAKEN
    assert answer.message == f"{said}: application/json, application/yaml, {PROTOBUF}"


@pytest.mark.parametrize(
    ("path", "accept", "content_type", "kind"),
    [
        ("/api", PROTOBUF, PROTOBUF, b"APIVersions"),
        ("/apis", PROTOBUF, PROTOBUF, b"APIGroupList"),
        ("/apis/apps", PROTOBUF, PROTOBUF, b"APIGroup"),
        ("/apis/apps/v1", PROTOBUF, PROTOBUF, b"APIResourceList"),
        ("/apis", V2.replace(LEGACY, PROTOBUF), V2.replace(LEGACY, PROTOBUF), b"APIGroupDiscoveryList"),
    ],
)
async def test_protobuf(api: Any, path: str, accept: str, content_type: str, kind: bytes) -> None:
    answer = await api("GET", path, accept=accept)
    assert answer.headers["content-type"] == content_type
    assert answer.raw.startswith(b"k8s\0")
    assert kind in answer.raw


@pytest.mark.parametrize("path", ["/api", "/apis"])
async def test_one_tag_for_every_form(api: Any, path: str) -> None:
    first = await api("GET", path, accept=V2)
    for accept, query in ((V2.replace(LEGACY, PROTOBUF), ""), (V2, "?pretty=true")):
        answer = await api("GET", path + query, accept=accept)
        assert answer.raw != first.raw
        assert answer.headers["etag"] == first.headers["etag"]


async def test_yaml(api: Any) -> None:
    answer = await api("GET", "/apis/apps/v1", accept="application/yaml")
    assert answer.headers["content-type"] == "application/yaml"
    assert b"groupVersion: apps/v1" in answer.raw


@pytest.mark.parametrize("path", ["/api", "/apis"])
async def test_aggregated_documents_say_all_and_only_once(api: Any, path: str) -> None:
    first = await api("GET", path, accept=V2)
    again = await api("GET", path, accept=V2, if_none_match=first.headers["etag"])
    assert (again.status, again.raw) == (304, b"")
    groups = {item["metadata"].get("name", ""): item for item in first.json["items"]}
    for name, group in groups.items():
        for version in group["versions"]:
            assert version["freshness"] == "Current"
            prefix = f"/apis/{name}" if name else "/api"
            legacy = (await api.get(f"{prefix}/{version['version']}"))["resources"]
            told = [one["resource"] for one in version["resources"]]
            told += [
                f"{one['resource']}/{sub['subresource']}"
                for one in version["resources"]
                for sub in one.get("subresources", ())
            ]
            assert {one["name"] for one in legacy} == set(told)
