"""What anybody may ask at length is read beside the event loop: others are not kept waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tiphys.apiserver import evaluating

MAPS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SPACE = " " * evaluating.LARGE_BYTES
WOVEN = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: woven}\ndata: {a: &a b, c: *a}\n"
QUERY = f"labelSelector={',a' * 5000}".replace("=,", "=")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done on a thread."""
    done: list[str] = []
    on_a_thread = evaluating._on_a_thread

    async def noted(run: Callable[[], Any]) -> Any:
        done.append(getattr(getattr(run, "func", run), "__name__", ""))
        return await on_a_thread(run)

    monkeypatch.setattr(evaluating, "_on_a_thread", noted)
    return done


def padded(body: Any) -> bytes:
    return orjson.dumps(body) + SPACE.encode()


ASKED: dict[str, tuple[str, str, bytes, str, str]] = {
    "a question about rights": (
        "POST", REVIEWS, padded({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}),
        "application/json", "decode",
    ),
    "options of a deletion": ("DELETE", f"{MAPS}/a", padded({}), "application/json", "decode_options"),
    "options of many": ("DELETE", MAPS, padded({}), "application/json", "decode_options"),
    "few bytes that say much": ("POST", MAPS, WOVEN, "application/yaml", "decode"),
    "few bytes that are applied": (
        "PATCH", f"{MAPS}/woven?fieldManager=x", WOVEN, "application/apply-patch+yaml", "decode_applied",
    ),
    "a path's query": ("GET", f"{MAPS}?{QUERY}", b"", "application/json", "parse"),
    "a selector": ("GET", f"{MAPS}?{QUERY}", b"", "application/json", "select"),
    "a watch's selector": ("GET", f"{MAPS}?watch=1&timeoutSeconds=1&{QUERY}", b"", "", "select"),
    "a selector of what is deleted": ("DELETE", f"{MAPS}?{QUERY}", b"", "application/json", "select"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "kind", "what"), ASKED.values(), ids=ASKED)
async def test_what_is_large_is_read_aside(
    api: Any, threads: list[str], method: str, path: str, body: bytes, kind: str, what: str
) -> None:
    await api.create(MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert what not in threads
    response = await api.send(method, path, body, content_type=kind)
    assert response.status < 300, response.body
    assert what in threads
