"""One server for the tests of a module: what one of them wrote is taken back when it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from tiphys.storage.base import Put


@pytest.fixture
def api(swept_api: Any) -> Any:
    return swept_api


@pytest.fixture
def left_behind(api: Any) -> Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]:
    """Change an object in the store, past all rules: as a server of other rules may have left it."""

    async def leave(path: str, changed: dict[str, Any]) -> dict[str, Any]:
        meta, (_, plural) = changed["metadata"], path.rsplit("/", 1)
        where = f"{meta['namespace']}/" if "namespace" in meta else ""
        group = {"nodes": "minions", "services": "services/specs"}.get(plural, plural)
        await api.store.commit([Put(f"/registry/{group}/{where}{meta['name']}", orjson.dumps(changed))])
        await api.settle()
        found: dict[str, Any] = await api.get(f"{path}/{meta['name']}")
        return found

    return leave


@pytest.fixture(scope="session")
def told() -> Callable[[Any], list[str]]:
    """Return the texts of the warnings that came with an answer, quoted marks as they stand in its header."""

    def texts(answer: Any) -> list[str]:
        found = str(answer.headers.get("warning", "")).removeprefix("299 - ").split(", 299 - ")
        return [text[1:-1] for text in found if text]

    return texts
