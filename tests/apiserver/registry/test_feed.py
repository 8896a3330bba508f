"""Following a resource for indexes beside the cache."""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.apiserver.registry.feed import Feed

CMS = "/api/v1/namespaces/default/configmaps"


async def test_a_feed_tells_every_change_once(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    seen: list[tuple[str, str]] = []

    def note(old: Any, new: Any) -> None:
        kind = "added" if old is None else "deleted" if new is None else "changed"
        if (new or old).namespace == "default":
            seen.append((kind, (new or old).name))

    feed = Feed(api.server.objects, api.server.table.by_path("", "v1", "configmaps"), note)
    await feed.prime()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(feed.run())
        await api.settle()
        await api.create(CMS, {"metadata": {"name": "b"}})
        await api.patch(CMS + "/a", {"data": {"x": "y"}})
        await api("DELETE", CMS + "/a")
        await api.settle()
        task.cancel()
    assert seen == [("added", "a"), ("added", "b"), ("changed", "a"), ("deleted", "a")]


async def test_priming_again_reports_what_has_gone(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "a"}})
    gone: list[str] = []
    feed = Feed(
        api.server.objects,
        api.server.table.by_path("", "v1", "configmaps"),
        lambda old, new: gone.append(old.name) if new is None and old is not None else None,
    )
    await feed.prime()
    await api("DELETE", CMS + "/a")
    await feed.prime()
    assert gone == ["a"]
