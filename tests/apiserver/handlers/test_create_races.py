"""Writes that make what does not exist, at once: one makes it, the others change what it made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tiphys.apiserver.handlers import patch, update
from tiphys.apiserver.handlers.create import create_object

MAPS = "/api/v1/namespaces/default/configmaps"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"


def overtaken(monkeypatch: pytest.MonkeyPatch, module: Any, rival: Callable[[], Awaitable[Any]]) -> None:
    """Let ``rival`` be done once between a module's finding that there is nothing and its making it."""
    waiting = [rival]

    async def create(*args: Any, **rest: Any) -> Any:
        while waiting:
            await waiting.pop()()
        return await create_object(*args, **rest)

    monkeypatch.setattr(module, "create_object", create)


async def test_who_applies_second_changes_what_the_first_made(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(who: str) -> Awaitable[Any]:
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "data": {who: "1"}}
        answer: Awaitable[Any] = api.patch(f"{MAPS}/shared?fieldManager={who}", applied, "apply")
        return answer

    overtaken(monkeypatch, patch, lambda: apply("first"))
    answer = await apply("second")
    assert (answer.status, answer.json["data"]) == (200, {"first": "1", "second": "1"})
    assert {entry["manager"] for entry in answer.json["metadata"]["managedFields"]} == {"first", "second"}


async def test_who_applies_the_same_field_second_has_a_conflict(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(who: str) -> Awaitable[Any]:
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"who": who}}
        answer: Awaitable[Any] = api.patch(f"{MAPS}/shared?fieldManager={who}", applied, "apply")
        return answer

    overtaken(monkeypatch, patch, lambda: apply("first"))
    answer = await apply("second")
    assert (answer.status, answer.message) == (
        409,
        'Apply failed with 1 conflict: conflict with "first": .data.who',
    )


async def test_who_puts_second_replaces_what_the_first_made(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(who: str) -> Awaitable[Any]:
        answer: Awaitable[Any] = api("PUT", f"{ROLES}/r", {"metadata": {"name": "r", "labels": {"by": who}}})
        return answer

    overtaken(monkeypatch, update, lambda: put("first"))
    answer = await put("second")
    assert (answer.status, answer.json["metadata"]["labels"]) == (200, {"by": "second"})
