"""Several watches of one collection: all see the same events in the same order, whenever they begin."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import orjson
import pytest

CMS = "/api/v1/namespaces/default/configmaps"
EVENTS = 40


async def read(response: Any, count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(20):
        async for chunk in response.stream:
            for line in chunk.splitlines():
                event = orjson.loads(line)
                found.append((event["type"], event["object"]["metadata"]["resourceVersion"]))
            if len(found) >= count:
                break
    await response.stream.aclose()
    return found[:count]


async def write(api: Any) -> None:
    """Create, change and delete in turn."""
    for index in range(EVENTS // 4):
        await api.create(CMS, {"metadata": {"name": f"a{index}"}})
        await api.create(CMS, {"metadata": {"name": f"b{index}"}})
        await api.patch(f"{CMS}/a{index}", {"data": {"x": "1"}})
        await api("DELETE", f"{CMS}/b{index}")


async def test_concurrent_watches_see_one_order(api: Any) -> None:
    start = (await api.get(CMS))["metadata"]["resourceVersion"]
    path = f"{CMS}?watch=true&resourceVersion="
    early = [await api.send("GET", path + start) for _ in range(3)]
    reading = [asyncio.ensure_future(read(response, EVENTS)) for response in early]
    await write(api)
    seen = [await one for one in reading]
    assert seen[0] == seen[1] == seen[2]
    revisions = [int(revision) for _, revision in seen[0]]
    assert revisions == sorted(set(revisions))
    for at in range(0, EVENTS - 1, 7):  # from the middle of what the first one saw
        late = await read(await api.send("GET", path + seen[0][at][1]), EVENTS - at - 1)
        assert late == seen[0][at + 1 :]


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kubernetes.protobuf;stream=watch"])
async def test_who_read_nothing_for_a_while_is_told_in_small_parts(api: Any, accept: str) -> None:
    """All slow readers of a busy collection hold what they missed together, and little of it each."""
    start = (await api.get(CMS))["metadata"]["resourceVersion"]
    response = await api.send("GET", f"{CMS}?watch=true&resourceVersion={start}", accept=accept)
    sizes = []
    async with asyncio.timeout(20):
        await api.create(CMS, {"metadata": {"name": "first"}})
        await anext(response.stream)
        for number in range(40):
            await api.create(CMS, {"metadata": {"name": f"m{number}"}, "data": {"k": "v" * 50_000}})
        while sum(sizes) < 40 * 50_000:
            sizes.append(len(await anext(response.stream)))
    await response.stream.aclose()
    assert max(sizes) < 256 * 1024 + 60_000
    assert len(sizes) < 12


async def test_while_it_waits_a_watch_keeps_one_copy_of_what_it_tells(api: Any) -> None:
    for name in "ab":
        await api.create(CMS, {"metadata": {"name": name}, "data": {"k": "v" * 100_000}})
    response = await api.send("GET", f"{CMS}?watch=true")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        chunk = await anext(response.stream)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        await response.stream.aclose()
    assert len(chunk) < held < 1.5 * len(chunk)
