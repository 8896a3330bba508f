"""Objects that are under way while their definition goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

NAME = "foos.example.com"


@pytest.mark.parametrize("again", [False, True])
async def test_what_comes_too_late_is_refused(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """An object is held up in admission until its definition is gone, or has been made again."""
    await crds.make()
    reached, go_on = asyncio.Event(), asyncio.Event()
    admit = api.server.backend.admission.admit

    async def hold(attributes: Any) -> None:
        await admit(attributes)
        if attributes.name == "late":
            reached.set()
            await go_on.wait()

    monkeypatch.setattr(api.server.backend.admission, "admit", hold)
    late = asyncio.create_task(api("POST", crds.foos, crds.foo("late")))
    await reached.wait()
    await api("DELETE", f"{crds.path}/{NAME}")
    await crds.gone(NAME)
    if again:
        await crds.make()
    go_on.set()
    answer = await late
    assert answer.status == 403
    assert answer.message == (
        'foos.example.com "late" is forbidden: create not allowed while custom resource definition is '
        "terminating"
    )
    if not again:
        await crds.make()
    assert (await api.get(crds.foos))["items"] == []


async def test_a_clean_up_that_waits_looks_for_one_object(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of all would have each of them converted with each that goes."""
    await crds.make()
    for name in "abc":
        held = crds.foo(name)
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await api.create(crds.foos, held)
    store = api.server.backend.custom.store
    limits: list[int] = []
    listed = store.list

    async def listing(row: Any, selection: Any, **options: Any) -> Any:
        if row.plural == "foos":
            limits.append(options.get("limit", 0))
        return await listed(row, selection, **options)

    monkeypatch.setattr(store, "list", listing)
    await api("DELETE", f"{crds.path}/{NAME}")
    await crds.wait(NAME, "Terminating")
    async with asyncio.timeout(30):
        while len(limits) < 2:  # noqa: ASYNC110 -- the deletions are issued, and are waited for
            await asyncio.sleep(0.001)
    for name in "abc":
        await api.patch(f"{crds.foos}/{name}", {"metadata": {"finalizers": None}})
    await crds.gone(NAME)
    assert (limits[0], set(limits[1:])) == (0, {1})
