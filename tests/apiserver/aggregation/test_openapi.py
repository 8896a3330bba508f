"""OpenAPI documents of servers behind this one: named, passed on, merged."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.aggregation.behind import (
    GROUP_VERSION,
    NAME,
    PUBLISHED,
    SERVICES,
    V3_URL,
    Extension,
    available,
)


async def test_openapi_v3_names_remote_documents(api: Any, extension: Extension) -> None:
    await available(api, extension)
    paths = (await api.get("/openapi/v3"))["paths"]
    url = paths["apis/samples.example.com/v1beta1"]["serverRelativeURL"]
    assert "apis/apps/v1" in paths
    assert url == V3_URL
    response = await api.send("GET", url)
    assert b"".join([chunk async for chunk in response.stream])
    assert extension.asked[-1].path == "/openapi/v3/apis/samples.example.com/v1beta1"


async def test_other_documents_of_openapi_v3_are_passed_on_too(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ("apis/samples.example.com", "apis/samples.example.com/v1", "elsewhere", "version", "apis/apps")
    urls = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=X"} for path in listed}
    monkeypatch.setitem(PUBLISHED, "/openapi/v3", {"paths": urls})
    before = (await api.get("/openapi/v3"))["paths"]
    await available(api, extension)
    paths = (await api.get("/openapi/v3"))["paths"]
    assert {path: paths[path] for path in listed} == {path: before.get(path, urls[path]) for path in listed}
    for path in listed:
        response = await api.send("GET", paths[path]["serverRelativeURL"])
        assert not response.stream or [chunk async for chunk in response.stream]
    assert [request.path for request in extension.asked] == [f"/openapi/v3/{path}" for path in listed[:3]]


async def test_servers_that_publish_v2_alone_have_a_v3_document_too(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, "/openapi/v3", {})
    await available(api, extension)
    url = (await api.get("/openapi/v3"))["paths"]["apis/samples.example.com/v1beta1"]["serverRelativeURL"]
    assert url.startswith(f"/openapi/v3{GROUP_VERSION}?hash=")
    document = await api.get(url)
    (answer,) = document["paths"][f"{GROUP_VERSION}/pods"]["get"]["responses"]["200"]["content"].values()
    assert answer == {"schema": {"$ref": "#/components/schemas/io.metrics.PodMetrics"}}
    assert extension.asked == []


async def test_servers_that_publish_nothing_are_not_named(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, "/openapi/v3", {})
    monkeypatch.setitem(PUBLISHED, "/openapi/v2", {})
    await available(api, extension)
    assert "apis/samples.example.com/v1beta1" not in (await api.get("/openapi/v3"))["paths"]


async def test_openapi_v2_has_remote_paths(api: Any, extension: Extension) -> None:
    before = await api("GET", "/openapi/v2")
    await available(api, extension)
    answer = await api("GET", "/openapi/v2")
    assert answer.headers["etag"] != before.headers["etag"]
    assert f"{GROUP_VERSION}/pods" in answer.json["paths"]
    assert "/apis/other/v1/things" not in answer.json["paths"]
    definitions = answer.json["definitions"]
    assert "io.metrics.PodMetrics" in definitions
    assert "io.metrics.Unused" not in definitions
    await api("DELETE", f"{SERVICES}/{NAME}")
    await api.settle()
    assert (await api("GET", "/openapi/v2")).headers["etag"] == before.headers["etag"]


PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


async def test_openapi_v2_is_protobuf_too(api: Any, extension: Extension) -> None:
    await available(api, extension)
    answer = await api("GET", "/openapi/v2", accept=PROTOBUF)
    assert answer.status == 200
    assert f"{GROUP_VERSION}/pods".encode() in answer.raw


@pytest.mark.parametrize(
    "broken", [{"paths": {f"{GROUP_VERSION}/pods": {"get": {"tags": 3}}}}, {"paths": 3}, {"definitions": []}]
)
async def test_a_bad_document_of_a_remote_api_spoils_nothing(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    monkeypatch.setitem(PUBLISHED, "/openapi/v2", {"swagger": "2.0", **broken})
    before = await api("GET", "/openapi/v2", accept=PROTOBUF)
    await available(api, extension)
    for accept in ("application/json", PROTOBUF):
        answer = await api("GET", "/openapi/v2", accept=accept)
        assert (answer.status, f"{GROUP_VERSION}/pods".encode() in answer.raw) == (200, False)
    assert answer.raw == before.raw
