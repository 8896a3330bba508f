"""Custom objects of two versions, selected by fields that only one of them has: lists, watches, informers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

V1, V2 = (f"/apis/example.com/{version}/namespaces/default/foos" for version in ("v1", "v2"))
INFORMER = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
JSON = {"content-type": "application/json"}


async def convert(request: Request) -> Response:
    """``hostPort`` of v1 is ``host`` and ``port`` of v2."""
    review = orjson.loads(request.body)
    wanted = review["request"]["desiredAPIVersion"]
    made = []
    for obj in review["request"]["objects"]:
        new = {**obj, "apiVersion": wanted}
        if wanted.endswith("v2") and "hostPort" in new:
            new["host"], new["port"] = new.pop("hostPort").split(":")
        elif wanted.endswith("v1") and "host" in new:
            new["hostPort"] = f"{new.pop('host')}:{new.pop('port', '')}"
        made.append(new)
    answer = {
        "uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": made,
    }  # fmt: skip
    return Response(200, JSON, orjson.dumps({**review, "response": answer}))


@pytest.fixture
async def conversion() -> AsyncIterator[dict[str, Any]]:
    now = RealClock().now()
    authority = pki.make_ca("webhook-ca", now)
    pair = pki.issue_server(authority, "webhook", ["127.0.0.1"], now)
    async with serve(convert, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        config = {
            "url": f"https://127.0.0.1:{server.port}/crdconvert",
            "caBundle": base64.b64encode(authority.certificate).decode(),
        }
        reviews = ["v1", "v1beta1"]
        yield {
            "strategy": "Webhook",
            "webhook": {"clientConfig": config, "conversionReviewVersions": reviews},
        }


def version(name: str, *fields: str) -> dict[str, Any]:
    properties = {field: {"type": "string"} for field in fields}
    return {
        "name": name, "served": True, "storage": name == "v1",
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
    }  # fmt: skip


class Watched:
    """The names that a watch has shown as added and as deleted."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.added: set[str] = set()
        self.deleted: set[str] = set()
        self.versions: set[str] = set()
        self.bookmarks = 0
        self._seen = asyncio.Event()

    async def read(self) -> None:
        rest = b""
        async for chunk in self.response.stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                self._take(orjson.loads(line))

    def _take(self, event: Any) -> None:
        meta = event["object"]["metadata"]
        self.versions.add(event["object"]["apiVersion"])
        if event["type"] == "BOOKMARK":
            self.bookmarks += "k8s.io/initial-events-end" in meta.get("annotations", {})
        elif event["type"] in ("ADDED", "DELETED"):
            (self.added if event["type"] == "ADDED" else self.deleted).add(meta["name"])
        self._seen.set()

    async def until(self, added: set[str], deleted: set[str]) -> None:
        async with asyncio.timeout(10):
            while (self.added, self.deleted) != (added, deleted):
                await self._seen.wait()
                self._seen.clear()


async def names(api: Any, path: str, selector: str) -> set[str]:
    return {item["metadata"]["name"] for item in (await api.get(f"{path}?fieldSelector={selector}"))["items"]}


async def test_every_reader_sees_what_its_fields_select(api: Any, crds: Any, conversion: Any) -> None:
    await crds.make(version("v1", "hostPort"), version("v2", "host", "port"), conversion=conversion)
    host, both, old = "host=host1", "host=host1,port=80", "hostPort=host1:80"
    asked = [(V2, host, ""), (V2, both, ""), (V1, old, ""), (V2, host, INFORMER), (V2, both, INFORMER)]
    watches = [
        Watched(await api.send("GET", f"{path}?watch=true&fieldSelector={selector}&{more}"))
        for path, selector, more in asked
    ]
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(watch.read()) for watch in watches]
        for name, fields in (
            ("a", {"host": "host1", "port": "80"}), ("b", {"host": "host1", "port": "8080"}),
            ("c", {"host": "host2"}),
        ):  # fmt: skip
            await api.create(
                V2, {"apiVersion": "example.com/v2", "kind": "Foo", "metadata": {"name": name}, **fields}
            )
        assert await names(api, V2, host) == {"a", "b"}
        assert await names(api, V2, both) == {"a"}
        assert await names(api, V1, old) == {"a"}
        assert await names(api, V1, "hostPort=host1:8080") == {"b"}
        wide = [0, 3]
        for number, watch in enumerate(watches):
            await watch.until({"a", "b"} if number in wide else {"a"}, set())
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        assert (await api("DELETE", f"{V2}?fieldSelector={both}", options)).status == 200
        live = await api.get(f"{V2}/b")
        assert (await api("PUT", f"{V2}/b", {**live, "host": "host2"})).status == 200
        assert await names(api, V2, host) == await names(api, V2, both) == set()
        for number, watch in enumerate(watches):
            gone = {"a", "b"} if number in wide else {"a"}
            await watch.until(gone, gone)
        for reader in readers:
            reader.cancel()
    assert [watch.bookmarks for watch in watches] == [0, 0, 0, 1, 1]
    assert [watch.versions for watch in watches] == [
        {f"example.com/{path.split('/')[3]}"} for path, _, _ in asked
    ]


BEGINS = {
    "of everything": ("", [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]),
    "at the present": (
        "sendInitialEvents=false&resourceVersionMatch=NotOlderThan", [("DELETED", "a"), ("ADDED", "b")]
    ),
    "at the present, told as 0": (
        "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0",
        [("DELETED", "a"), ("ADDED", "b")],
    ),
    "at a version": ("resourceVersion=NOW", [("DELETED", "a"), ("ADDED", "b")]),
    "of everything, at least of a version": (
        f"{INFORMER}&resourceVersion=NOW",
        [("ADDED", "a"), ("BOOKMARK", ""), ("DELETED", "a"), ("ADDED", "b")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BEGINS.values(), ids=BEGINS)
async def test_what_was_there_when_a_watch_began(api: Any, crds: Any, conversion: Any, case: Any) -> None:
    """Of it the watch was told, or knows: it is told when it goes out of what is selected."""
    query, want = case
    await crds.make(version("v1", "hostPort"), version("v2", "host", "port"), conversion=conversion)
    made = {"apiVersion": "example.com/v2", "kind": "Foo"}
    a = await api.create(V2, {**made, "metadata": {"name": "a"}, "host": "h", "port": "1"})
    b = await api.create(V2, {**made, "metadata": {"name": "b"}, "host": "i", "port": "1"})
    query = query.replace("NOW", b["metadata"]["resourceVersion"])
    response = await api.send("GET", f"{V2}?watch=true&fieldSelector=host%3Dh&{query}")
    seen: list[tuple[str, str]] = []

    async def read() -> None:
        async for chunk in response.stream:
            events = [orjson.loads(line) for line in chunk.splitlines()]
            seen.extend((one["type"], one["object"]["metadata"].get("name", "")) for one in events)
            if len(seen) >= len(want):
                return

    async with asyncio.timeout(10):
        reading = asyncio.ensure_future(read())
        kept = api.server.objects._feed.buckets["/registry/example.com/foos/"]
        while not list(kept.watchers):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)
        await api.put(f"{V2}/a", {**a, "host": "i"})
        await api.put(f"{V2}/b", {**b, "host": "h"})
        await reading
    await response.stream.aclose()
    assert seen == want


async def test_a_version_that_is_gone_is_refused_as_by_any_watch(
    api: Any, crds: Any, conversion: Any
) -> None:
    await crds.make(version("v1", "hostPort"), version("v2", "host", "port"), conversion=conversion)
    made = {"apiVersion": "example.com/v2", "kind": "Foo", "host": "h", "port": "1"}
    for name in ("a", "b"):
        await api.create(V2, {**made, "metadata": {"name": name}})
    store = api.server.objects._store
    await store.compact(store.revision)
    api.server.objects._feed.buckets["/registry/example.com/foos/"].floor = store.revision
    said = []
    for selector in ("", "&fieldSelector=host%3Dh"):
        response = await api.send("GET", f"{V2}?watch=true&resourceVersion=1{selector}")
        text = response.body or b"".join([chunk async for chunk in response.stream])
        said.append((response.status, orjson.loads(text)))
    assert said[0] == said[1]
    event = said[1][1]
    fault = event.get("object", event)
    assert (fault["code"], fault["reason"]) == (410, "Expired")
    assert fault["message"].startswith("too old resource version: 1 (")


async def test_a_version_that_is_yet_to_come_is_waited_for(api: Any, crds: Any, conversion: Any) -> None:
    """What happens until then is known, and not told."""
    await crds.make(version("v1", "hostPort"), version("v2", "host", "port"), conversion=conversion)
    made = {"apiVersion": "example.com/v2", "kind": "Foo"}
    a = await api.create(V2, {**made, "metadata": {"name": "a"}, "host": "h", "port": "1"})
    ahead = int(a["metadata"]["resourceVersion"]) + 2
    response = await api.send("GET", f"{V2}?watch=true&fieldSelector=host%3Dh&resourceVersion={ahead}")
    reading = asyncio.ensure_future(anext(response.stream))
    async with asyncio.timeout(10):
        kept = api.server.objects._feed.buckets["/registry/example.com/foos/"]
        while not list(kept.watchers):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)
        a = await api.put(f"{V2}/a", {**a, "host": "i"})
        a = await api.put(f"{V2}/a", {**a, "host": "h"})
        assert int(a["metadata"]["resourceVersion"]) == ahead
        await api.put(f"{V2}/a", {**a, "port": "2"})
        events = [orjson.loads(line) for line in (await reading).splitlines()]
    await response.stream.aclose()
    assert [(one["type"], one["object"]["port"]) for one in events] == [("MODIFIED", "2")]
