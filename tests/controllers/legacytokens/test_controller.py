"""The sweep once a day: an unused token is marked, then removed; its pods and its users keep it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tiphys.apimachinery.errors import NotFound
from tiphys.client.kinds import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from tiphys.controllers.legacytokens.controller import LegacyTokenCleaner
from tiphys.controllers.legacytokens.plan import INVALID_SINCE, TRACKING, TYPE

DAY_S = 24 * 3600.0


def tracking(since: str) -> dict[str, Any]:
    meta = {"name": TRACKING, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"since": since}}


@pytest.fixture
async def cleaned(make_world: Any) -> Any:
    """Return a world in which tokens may lie unused for two days."""
    world = make_world(legacy_token_clean_up_s=2 * DAY_S)
    meta = {
        "name": "s",
        "namespace": "ns",
        "annotations": {"kubernetes.io/service-account.name": "sa"},
    }  # fmt: skip
    await world.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": TYPE})
    await world.client.create(
        SERVICE_ACCOUNTS,
        {
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "sa", "namespace": "ns"}, "secrets": [{"name": "s"}],
        },
    )  # fmt: skip
    world.clock.advance(5 * DAY_S)
    return world


async def labels(world: Any) -> dict[str, str]:
    found = await world.client.get(SECRETS, "s", "ns")
    return found["metadata"].get("labels") or {}


async def test_marked_then_removed(cleaned: Any) -> None:
    world = cleaned
    day = world.clock.now()
    await world.client.create(CONFIG_MAPS, tracking((day - timedelta(days=4)).strftime("%Y-%m-%d")))
    async with world.running(LegacyTokenCleaner):
        await world.settle()
        assert await labels(world) == {INVALID_SINCE: day.strftime("%Y-%m-%d")}
        await later(world, 2)
        assert INVALID_SINCE in await labels(world), "it may be used again for as long"
        await later(world, 1)
        with pytest.raises(NotFound):
            await world.client.get(SECRETS, "s", "ns")


async def later(world: Any, days: int) -> None:
    for _ in range(days):
        world.clock.advance(DAY_S)
        world.poke()
        await world.settle()


@pytest.mark.parametrize("since", [None, "soon", "today"])
async def test_nothing_before_use_was_written_down_long_enough(cleaned: Any, since: str | None) -> None:
    world = cleaned
    if since is not None:
        today = world.clock.now().strftime("%Y-%m-%d")
        await world.client.create(CONFIG_MAPS, tracking(today if since == "today" else since))
    async with world.running(LegacyTokenCleaner):
        await world.settle()
        assert await labels(world) == {}
        if since == "today":
            await later(world, 3)
            assert INVALID_SINCE in await labels(world)
