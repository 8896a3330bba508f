"""Live events in every form that watchers ask for: encoded once for all who are told the same."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tiphys.apis.protobuf import codec
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.observe.metrics import LongRunning
from tiphys.apiserver.registry import machinery

CMS = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


class Connection:
    """Reads a watch's stream in a task, and takes what goes past it."""

    anywhere = False
    framing = "none"

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.pushed: list[bytes] = []

    def framed(self, chunk: bytes) -> bytes:
        return chunk

    def writer(self, _gone: Any) -> Callable[[bytes], None]:
        return self.pushed.append

    async def run(self, stream: Any) -> None:
        async for chunk in stream:
            self.read.append(chunk)


@asynccontextmanager
async def watching(
    api: Any, count: int, query: str = "", accept: str = ""
) -> AsyncIterator[list[Connection]]:
    connections = [Connection() for _ in range(count)]
    streams = []
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = []
        for connection in connections:
            headers = {"accept": accept} if accept else {}
            response = await api.send("GET", f"{CMS}?watch=1{query}", **headers)
            response.stream.attach(connection)
            streams.append(response.stream)
            tasks.append(group.create_task(connection.run(response.stream)))
        await api.settle()
        yield connections
        for task in tasks:
            task.cancel()
    for stream in streams:
        await stream.aclose()


async def create(api: Any, name: str, **labels: str) -> None:
    await api.create(CMS, {"metadata": {"name": name, "labels": labels}})
    await api.settle()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of objects that were put into protobuf frames or tables."""
    found: list[str] = []
    frame, table = machinery.frame_protobuf, respond.table

    def framed(type_: str, obj: Any) -> bytes:
        found.append(obj["metadata"]["name"])
        return frame(type_, obj)

    def tabled(call: Any, form: Any, objects: Any, *args: Any, **options: Any) -> Any:
        found.extend(obj["metadata"]["name"] for obj in objects)
        return table(call, form, objects, *args, **options)

    monkeypatch.setattr(machinery, "frame_protobuf", framed)
    monkeypatch.setattr(respond, "table", tabled)
    return found


async def test_protobuf(api: Any, encoded: list[str]) -> None:
    async with watching(api, 5, accept=PROTOBUF) as connections:
        await create(api, "a")
        assert encoded == ["a"]
        for connection in connections:
            assert connection.read == []
            (chunk,) = connection.pushed
            assert struct.unpack(">I", chunk[:4]) == (len(chunk) - 4,)
            assert chunk == connections[0].pushed[0]
    at = connections[0].pushed[0].index(b"k8s\x00")
    assert codec.decode(connections[0].pushed[0][at:])["metadata"]["name"] == "a"


async def test_tables_have_their_columns_first(api: Any, encoded: list[str]) -> None:
    """The first event of each watch is its own, as it brings the columns; the next are one for all."""
    async with watching(api, 3, accept=TABLE) as connections:
        await create(api, "a")
        assert encoded == ["a"] * 3
        await create(api, "b")
        assert encoded == ["a"] * 3 + ["b"]
        for connection in connections:
            (first,), (second,) = connection.read, connection.pushed
            assert orjson.loads(first)["object"]["columnDefinitions"]
            later = orjson.loads(second)["object"]
            assert later["columnDefinitions"] is None
            assert [row["cells"][0] for row in later["rows"]] == ["b"]


async def test_what_a_table_includes_makes_it_another_form(api: Any) -> None:
    async with (
        watching(api, 1, "&includeObject=None", TABLE) as bare,
        watching(api, 1, "&includeObject=Object", TABLE) as whole,
    ):
        await create(api, "a")
        await create(api, "b")
        (with_none,) = orjson.loads(bare[0].pushed[0])["object"]["rows"]
        (with_object,) = orjson.loads(whole[0].pushed[0])["object"]["rows"]
        assert with_none["object"] is None
        assert with_object["object"]["kind"] == "ConfigMap"


async def test_forms_side_by_side(api: Any) -> None:
    async with (
        watching(api, 2) as plain,
        watching(api, 2, accept=PARTIAL) as partial,
        watching(api, 2, accept=PROTOBUF) as packed,
    ):
        await create(api, "a")
        kinds = [orjson.loads(one.pushed[0])["object"]["kind"] for group in (plain, partial) for one in group]
        assert kinds == ["ConfigMap"] * 2 + ["PartialObjectMetadata"] * 2
        assert all(b"k8s\x00" in one.pushed[0] for one in packed)


async def test_watchers_with_one_selector_are_told_together(api: Any, encoded: list[str]) -> None:
    """Each sees an object come and go as it begins and ceases to match."""
    query = "&labelSelector=app%3Dx"
    async with (
        watching(api, 4, query, PROTOBUF) as connections,
        watching(api, 2, "&labelSelector=app%3Dy") as others,
    ):
        await create(api, "a", app="x")
        await create(api, "b", app="z")
        await api.patch(f"{CMS}/a", {"metadata": {"labels": {"app": "y"}}})
        await api.settle()
        assert encoded == ["a", "a"]
        for connection in connections:
            assert [b"ADDED" in chunk for chunk in connection.pushed] == [True, False]
            assert b"DELETED" in connection.pushed[1]
        for connection in others:
            (chunk,) = connection.pushed
            assert orjson.loads(chunk)["type"] == "ADDED"


async def test_events_past_the_reader_are_counted(api: Any) -> None:
    async def sent() -> float:
        text = (await api("GET", "/metrics")).raw.decode()
        line = 'apiserver_watch_events_total{group="",resource="configmaps",version="v1"} '
        return float(text.partition(line)[2].partition("\n")[0])

    async with watching(api, 3, accept=PROTOBUF), watching(api, 2):
        before = await sent()
        await create(api, "a")
        assert await sent() - before == 5


async def test_sizes_of_events_are_counted_however_they_go(api: Any) -> None:
    registry = api.server.backend.metrics._registry
    kind = {"group": "", "version": "v1", "resource": "configmaps"}

    def sizes(ending: str) -> float:
        return registry.sample_value(f"apiserver_watch_events_sizes_{ending}", kind) or 0.0

    bytes_before, count_before = sizes("sum"), sizes("count")
    await create(api, "first")
    async with (
        watching(api, 3, "&resourceVersion=0&labelSelector=x%3Dx", PROTOBUF) as packed,
        watching(api, 2, "&resourceVersion=0") as plain,
        watching(api, 1, accept=TABLE) as tables,
    ):
        await create(api, "second", x="x")
        connections = [*packed, *plain, *tables]
        assert all(one.pushed for one in (*packed, *plain))
        assert any(one.read for one in plain)
        told = [chunk for one in connections for chunk in (*one.read, *one.pushed)]
        assert sizes("sum") - bytes_before == sum(map(len, told))
        assert sizes("count") - count_before >= 7


def test_sizes_of_events_double_from_bucket_to_bucket() -> None:
    running = LongRunning()
    running.sent([b"", b"x" * 1024, b"x" * 1025, b"x" * 2048], 3)
    running.sent([b"x" * 131072, b"x" * 131073])
    assert running.sizes.bounds == (*(1024.0 * 2**power for power in range(8)), math.inf)
    assert running.sizes.buckets == [6, 6, 0, 0, 0, 0, 0, 1, 1]
    assert running.sizes.total_s == 3 * (1024 + 1025 + 2048) + 131072 + 131073
