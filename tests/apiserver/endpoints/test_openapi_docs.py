"""``/openapi``: media types, ETags and hashes over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROTO = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PROTO_V3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
PROTO_V3_OLD = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
PROTO_ANSWER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@pytest.fixture
def api(module_api: Any) -> Any:
    """Documents are made once for all."""
    return module_api


@pytest.mark.parametrize(
    ("path", "accept", "status", "content_type"),
    [
        ("/openapi/v2", "", 200, "application/json"),
        ("/openapi/v2", "*/*", 200, "application/json"),
        ("/openapi/v2", PROTO, 200, PROTO_ANSWER),
        ("/openapi/v2", f"{PROTO_ANSWER},application/json", 200, PROTO_ANSWER),
        ("/openapi/v2", f"{PROTO};q=0.5,application/json", 200, "application/json"),
        ("/openapi/v2", "text/html", 406, None),
        ("/openapi/v3", "application/json", 200, "application/json"),
        ("/openapi/v3", "text/html", 200, "application/json"),
        ("/openapi/v3/api/v1", "", 200, "application/json"),
        ("/openapi/v3/apis/apps/v1", PROTO_V3, 200, PROTO_V3),
        ("/openapi/v3/apis/apps/v1", PROTO_V3_OLD, 200, PROTO_V3),
        ("/openapi/v3/apis/apps/v1", f"{PROTO_V3},application/json;q=0.9", 200, PROTO_V3),
        ("/openapi/v3/apis/metrics.k8s.io/v1beta1", PROTO_V3, 200, PROTO_V3),
        ("/openapi/v3/api/v1", "text/html", 406, None),
        ("/openapi/v3/apis/none/v1", "*/*", 404, "text/plain; charset=utf-8"),
        ("/openapi/v4", "*/*", 404, "text/plain; charset=utf-8"),
    ],
)
async def test_media_types(api: Any, path: str, accept: str, status: int, content_type: str | None) -> None:
    answer = await api("GET", path, accept=accept)
    assert (answer.status, answer.headers.get("content-type")) == (status, content_type)


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"])
async def test_what_is_known_is_not_sent_again(api: Any, path: str) -> None:
    first = await api("GET", path)
    again = await api("GET", path, if_none_match=first.headers["etag"])
    assert (again.status, again.raw) == (304, b"")
    assert (await api("GET", path, if_none_match='"other"')).status == 200
    for known in (f'"other", {first.headers["etag"]}', f"W/{first.headers['etag']}", "*"):
        assert (await api("GET", path, if_none_match=known)).status == 304


async def test_a_hash_makes_a_document_eternal(api: Any) -> None:
    url = (await api.get("/openapi/v3"))["paths"]["apis/apps/v1"]["serverRelativeURL"]
    answer = await api("GET", url)
    assert answer.headers["cache-control"] == "public, immutable"
    assert answer.headers["etag"].strip('"') == url.partition("hash=")[2]
    assert answer.headers["expires"] == "Fri, 01 Jan 2027 00:00:00 UTC"
    other = await api("GET", url, accept=PROTO_V3)
    assert (other.headers["etag"], other.headers["vary"]) == (answer.headers["etag"], "Accept")
    unnamed = await api("GET", "/openapi/v3/apis/apps/v1")
    assert unnamed.headers["cache-control"] == "no-cache, private"
    old = await api("GET", "/openapi/v3/apis/apps/v1?hash=OLD")
    assert (old.status, old.headers["location"]) == (301, url)


async def test_words_that_others_look_for(api: Any) -> None:
    raw = (await api("GET", "/openapi/v2")).raw
    for text in (b"list of returned", b"List of services", b"Watch for changes to the described resources"):
        assert text in raw
