"""Traces: what is told of answers that are written, and of lists that the store is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.wire.collector import Collector, attributes, collecting

from tiphys.apimachinery.tracing import MILLION
from tiphys.apimachinery.tracing_config import TracingOptions

MAPS = "/api/v1/namespaces/default/configmaps"
LARGE = {"metadata": {"name": "large"}, "data": {"a": "b" * 200_000}}
ONE = "*responsewriter.outerWithCloseNotifyFlushAndHijack"
TWO = "responsewriter.outerWithCloseNotifyAndFlush"


@asynccontextmanager
async def traced(serving: Any) -> AsyncIterator[tuple[Any, Collector]]:
    async with (
        collecting() as collector,
        serving(tracing=TracingOptions(f"127.0.0.1:{collector.port}", MILLION)) as api,
    ):
        yield api, collector


@pytest.mark.parametrize(
    ("asked", "writer"),
    [
        ({}, ONE),
        ({"protocol": "HTTP/2.0"}, TWO),
        ({"accept-encoding": "gzip"}, "*gzip.Writer"),
        ({"accept-encoding": "gzip;q=0"}, ONE),
    ],
)
async def test_what_an_answer_is_written_with(serving: Any, asked: dict[str, str], writer: str) -> None:
    async with traced(serving) as (api, collector):
        await api.create(MAPS, LARGE)
        handler, protocol = api.server._handler, asked.pop("protocol", "HTTP/1.1")

        async def by_protocol(request: Any) -> Any:
            request.protocol = protocol
            return await handler(request)

        api.server._handler = by_protocol
        await api.send("GET", f"{MAPS}/large", **asked)
        await api.server.stop()
    (told,) = [
        one for one in collector.spans
        if one.name == "SerializeObject" and attributes(one.attributes)["method"] == "GET"
    ]  # fmt: skip
    begun, done = (attributes(one.attributes) for one in told.events)
    assert begun == {"writer": writer, "size": done["size"]}


@pytest.mark.parametrize(
    ("method", "path", "status", "version"),
    [
        ("GET", "/api/v1/namespaces/default/things", 404, ""),
        ("PUT", MAPS, 405, ""),
        ("GET", f"{MAPS}/none", 404, "v1"),
    ],
)
async def test_what_is_nowhere_is_of_no_version(
    serving: Any, method: str, path: str, status: int, version: str
) -> None:
    async with traced(serving) as (api, collector):
        assert (await api(method, path)).status == status
        await api.server.stop()
    told = attributes(collector.named("SerializeObject").attributes)
    assert orjson.loads(told["encoder"])["encodeGV"] == version


@pytest.mark.parametrize(
    ("narrowed", "recursive", "key"),
    [
        ("", "true", "/configmaps/default"),
        ("&fieldSelector=metadata.name%3Da", "false", "/configmaps/default/a"),
    ],
)
async def test_lists_past_the_cache(serving: Any, narrowed: str, recursive: str, key: str) -> None:
    async with traced(serving) as (api, collector):
        await api.create(MAPS, {"metadata": {"name": "a"}})
        version = (await api.get(MAPS))["metadata"]["resourceVersion"]
        await api.create(MAPS, {"metadata": {"name": "b"}})
        bucket = api.server.objects._feed.buckets["/registry/configmaps/"]
        bucket.floor = int(version) + 1
        exact = f"resourceVersion={version}&resourceVersionMatch=Exact&limit=7{narrowed}"
        assert [one["metadata"]["name"] for one in (await api.get(f"{MAPS}?{exact}"))["items"]][:1] == ["a"]
        await api.server.stop()
    told = collector.named(f"List(recursive={recursive}) etcd3")
    found = attributes(told.attributes)
    assert found.pop("audit-id")
    assert found == {
        "key": key, "resourceVersion": version, "resourceVersionMatch": "Exact", "limit": 7, "continue": None,
    }  # fmt: skip
    assert list(told.events) == []
