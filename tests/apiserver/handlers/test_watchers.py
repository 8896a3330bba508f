"""Several watches of one collection: all see the same events in the same order, whenever they begin."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

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
