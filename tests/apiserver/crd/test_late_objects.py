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
