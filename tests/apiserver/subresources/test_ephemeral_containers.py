"""Ephemeral containers come by their own subresource only, and stay: as in upstream's integration test."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.conftest import Api

PODS = "/api/v1/namespaces/default/pods"


def debugger(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": "debugimage",
        "imagePullPolicy": "Always",
        "terminationMessagePolicy": "File",
    }


def add(*names: str) -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [debugger(name) for name in names]}}


async def make(api: Api, *names: str) -> dict[str, Any]:
    """Create a pod and give it containers by the subresource."""
    containers = [{"name": "fake-name", "image": "fakeimage"}]
    pod = await api.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": containers}})
    if names:
        pod["spec"] |= add(*names)["spec"]
        pod = await api.put(f"{PODS}/p/ephemeralcontainers", pod)
    found: dict[str, Any] = pod
    return found


AT = "/spec/ephemeralContainers"
PATCHES: dict[str, tuple[list[str], str, Any, int]] = {
    "first, strategic": ([], "strategic", add("a"), 200),
    "first, merge": ([], "merge", add("a"), 200),
    "first, json": ([], "json", [{"op": "add", "path": AT, "value": [debugger("a")]}], 200),
    "second, strategic": (["a"], "strategic", add("b"), 200),
    "second, merge": (["a"], "merge", add("a", "b"), 200),
    "second, json": (["a"], "json", [{"op": "add", "path": AT + "/-", "value": debugger("b")}], 200),
    "none left, merge": (["a"], "merge", {"spec": {"ephemeralContainers": []}}, 422),
    "none left, json": (["a"], "json", [{"op": "remove", "path": AT + "/0"}], 422),
    "no list left, json": (["a"], "json", [{"op": "remove", "path": AT}], 422),
}


@pytest.mark.parametrize(("before", "kind", "body", "status"), PATCHES.values(), ids=PATCHES)
async def test_patches(api: Api, before: list[str], kind: str, body: Any, status: int) -> None:
    await make(api, *before)
    answer = await api.patch(f"{PODS}/p/ephemeralcontainers", body, kind)
    assert answer.status == status, answer.message


UPDATES: dict[str, tuple[list[str], list[str] | None, int]] = {
    "none": ([], [], 200),
    "the same": (["a"], ["a"], 200),
    "one": ([], ["a"], 200),
    "gone": (["a"], None, 422),
    "an empty list": (["a"], [], 422),
    "one more": (["a"], ["a", "b"], 200),
    "one less": (["a", "b"], ["a"], 422),
}


@pytest.mark.parametrize(("before", "after", "status"), UPDATES.values(), ids=UPDATES)
async def test_updates(api: Api, before: list[str], after: list[str] | None, status: int) -> None:
    pod = await make(api, *before)
    pod["spec"].pop("ephemeralContainers", None)
    if after is not None:
        pod["spec"]["ephemeralContainers"] = [debugger(name) for name in after]
    answer = await api("PUT", f"{PODS}/p/ephemeralcontainers", pod)
    assert answer.status == status, answer.message


@pytest.mark.parametrize(("before", "after"), [([], ["a"]), (["a"], []), (["a"], ["a", "b"])])
async def test_the_pod_itself_takes_none(api: Api, before: list[str], after: list[str]) -> None:
    """Nor does a client lose them that does not know them."""
    pod = await make(api, *before)
    pod["spec"]["ephemeralContainers"] = [debugger(name) for name in after]
    answer = await api("PUT", f"{PODS}/p", pod)
    assert answer.status == 422
    assert "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`" in (
        answer.message
    )
