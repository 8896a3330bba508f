"""Definitions that are let go by force and made again while their objects are still being removed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

NAME = "foos.example.com"


async def forced(api: Any, crds: Any) -> Any:
    """Make a definition with an object that is held, and let it go without its clean-up."""
    await crds.make()
    held = crds.foo("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(crds.foos, held)
    await api("DELETE", f"{crds.path}/{NAME}")
    await crds.wait(NAME, "Terminating")
    while not (await api.get(f"{crds.foos}/held"))["metadata"].get("deletionTimestamp"):
        await api.settle()
    await api.patch(f"{crds.path}/{NAME}", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{crds.path}/{NAME}")).status == 404
    return await crds.make()


async def cleaned(api: Any) -> None:
    """Wait until no clean-up is under way."""
    deletions = api.server.custom._deletions
    async with asyncio.timeout(30):
        await asyncio.gather(*deletions._cleaning.values(), return_exceptions=True)
        await api.settle()


async def test_the_new_one_stays_when_the_last_object_of_the_old_one_goes(api: Any, crds: Any) -> None:
    made = await forced(api, crds)
    await api.patch(f"{crds.foos}/held", {"metadata": {"finalizers": None}})
    await cleaned(api)
    assert (await api.get(f"{crds.path}/{NAME}"))["metadata"]["uid"] == made["metadata"]["uid"]
    await api.create(crds.foos, crds.foo("new"))


async def test_its_objects_are_not_removed_for_the_old_one(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at once nor when a clean-up that went wrong is tried again."""
    monkeypatch.setattr("tiphys.apiserver.crd.cleanup._PATIENCE_S", 0.0)
    await forced(api, crds)
    await api.create(crds.foos, crds.foo("new"))
    await cleaned(api)
    assert "deletionTimestamp" not in (await api.get(f"{crds.foos}/new"))["metadata"]
    told = (await api.get(f"{crds.path}/{NAME}"))["status"]["conditions"]
    assert [one["type"] for one in told] == ["NamesAccepted", "Established"]


async def test_but_are_once_it_is_deleted_itself(api: Any, crds: Any) -> None:
    await forced(api, crds)
    await api.create(crds.foos, crds.foo("new"))
    await api("DELETE", f"{crds.path}/{NAME}")
    await api.patch(f"{crds.foos}/held", {"metadata": {"finalizers": None}})
    await crds.gone(NAME)
    assert (await api("GET", crds.foos)).status == 404
