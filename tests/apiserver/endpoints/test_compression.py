"""gzip: who gets it, from which size, and that documents are compressed once."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tiphys.apiserver.endpoints import compression
from tiphys.apiserver.endpoints.compression import (
    THRESHOLD_BYTES,
    Compression,
    compressed,
    compresses,
    prefers_gzip,
    takes_gzip,
)
from tiphys.wire.message import RepeatedHeaders, Request, Response

LARGE = b"x" * (THRESHOLD_BYTES + 1)
CMS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("header", "of_objects", "of_documents"),
    [
        ("gzip", True, True), (" deflate,\tgzip , br", True, True), ("deflate, , gzip,", True, True),
        ("GZIP", False, True), ("gzip;q=", False, True),
        ("gzip;q=0.5", False, True), ("gzip;q=1", False, True),
        ("gzip; q=0", False, False), ("gzip;q=0.000", False, False), ("gzip;q=0, gzip", True, False),
        ("gzip;q=0;q=1", False, True), ("gzip;q=1;q=0", False, False),
        ("", False, False), ("*", False, False), ("identity", False, False), ("xgzip", False, False),
        ("x-gzip", False, False), ("gzip deflate", False, False),
    ],
)  # fmt: skip
def test_who_takes_gzip(header: str, of_objects: bool, of_documents: bool) -> None:
    headers = {"accept-encoding": header}
    assert (takes_gzip(headers), prefers_gzip(headers)) == (of_objects, of_documents)


def test_who_says_nothing_takes_none() -> None:
    assert not takes_gzip({})
    assert not prefers_gzip({})


def test_the_first_header_counts() -> None:
    headers = RepeatedHeaders({"accept-encoding": "identity"})
    headers.repeat("accept-encoding", "gzip")
    assert not takes_gzip(headers)
    assert not prefers_gzip(headers)


@pytest.mark.parametrize(
    ("path", "least"),
    [
        (CMS, THRESHOLD_BYTES + 1), ("/api", THRESHOLD_BYTES + 1), ("/apis", THRESHOLD_BYTES + 1),
        ("/apis/apps/v1/deployments", THRESHOLD_BYTES + 1), ("/openapi/v2", 1400), ("/metrics", 1),
        ("/openapi/v3/api/v1", None), ("/openapi/v3", None), ("/version", None), ("/logs/x", None),
        ("/debug/pprof/heap", None), ("/apiary", None),
    ],
)  # fmt: skip
def test_what_is_compressed(path: str, least: int | None) -> None:
    request = asking(path)
    large = Response(200, {}, b"x" * 10_000_000)
    assert compresses(request, large) is (least is not None)
    if least is not None:
        assert compresses(request, Response(200, {}, b"x" * least))
        assert not compresses(request, Response(200, {}, b"x" * (least - 1)))


def test_pieces_and_a_whole_are_the_same() -> None:
    assert gzip.decompress(compressed([b"ab", b"", b"c"])) == gzip.decompress(compressed(b"abc")) == b"abc"


def asking(path: str = CMS, encoding: str = "gzip") -> Request:
    return Request("GET", path, headers={"accept-encoding": encoding})


async def _no_events() -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("status", [200, 201, 409, 500])
async def test_every_large_answer_is_compressed(status: int) -> None:
    response = Response(status, {}, LARGE)
    await Compression().apply(asking(encoding="deflate, , gzip,"), response)
    assert response.headers == {"content-encoding": "gzip", "vary": "Accept-Encoding"}
    assert gzip.decompress(cast(bytes, response.body)) == LARGE


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (asking(), Response(200, {}, LARGE[1:])),
        (asking(encoding="identity"), Response(200, {}, LARGE)),
        (asking(), Response(200, {"content-encoding": "br"}, LARGE)),
        (asking(), Response(200, {}, LARGE, stream=_no_events())),
    ],
)
async def test_what_stays_as_it_is(request_: Request, response: Response) -> None:
    before, headers = response.body, dict(response.headers)
    await Compression().apply(request_, response)
    assert response.body is before
    assert response.headers == headers


@pytest.mark.parametrize("body", [LARGE, [LARGE[:9], LARGE[9:]]])
async def test_large_answers(body: Any) -> None:
    response = Response(200, {"vary": "Accept"}, body)
    await Compression().apply(asking(), response)
    assert isinstance(response.body, bytes)
    assert gzip.decompress(response.body) == LARGE
    assert response.headers == {"vary": "Accept, Accept-Encoding", "content-encoding": "gzip"}


async def test_documents_are_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(compression, "compressed", lambda body: done.append(body) or b"small")
    shared = Compression()
    for _ in range(3):
        response = Response(200, {}, LARGE)
        await shared.apply(asking("/openapi/v2"), response)
        assert response.body == b"small"
    assert len(done) == 1
    await shared.apply(asking("/api/v1/pods"), Response(200, {}, LARGE))
    assert len(done) == 2


async def test_a_large_list(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "big"}, "data": {"k": "v" * THRESHOLD_BYTES}})
    answer = await api.send("GET", CMS, accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert b'"name":"big"' in gzip.decompress(answer.body)
    assert "content-encoding" not in (await api("GET", CMS)).headers
