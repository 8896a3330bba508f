"""Writes of a status share with the live object what they do not change: what comes of it is what copying it
all makes, and the live object stays as it was.

Writes come from a seeded generator: a failure names its seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
import pytest
from tests.apiserver.conftest import Api, pod

from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.patch import merge, strategic
from tiphys.apis.strategy import Strategy

_UID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Serving = Callable[..., AbstractAsyncContextManager[Api]]
PODS, NODES = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
POD_PARTS: list[dict[str, Any]] = [
    {"phase": "Running", "startTime": "2026-01-01T01:00:00+01:00", "podIP": "10.1.0.1"},
    {"conditions": [{"type": "Ready", "status": "True"}]},
    {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}]},
    {"conditions": [{"type": "Ready", "$patch": "delete"}]},
    {"$setElementOrder/conditions": [{"type": "Initialized"}, {"type": "Ready"}],
     "conditions": [{"type": "Ready", "status": "True"}]},
    {"containerStatuses": [{"name": "c", "ready": True, "restartCount": 1, "image": "i", "imageID": ""}]},
    {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}, {"hostIPs": None, "phase": "Failed"},
    {"hostIPs": [{"ip": "10.0.0.2"}]}, {"podIPs": [{"ip": "nonsense"}]}, {"frob": 1}, {"phase": 5},
    {"$patch": "replace", "phase": "Pending"},
]  # fmt: skip
NODE_PARTS: list[dict[str, Any]] = [
    {"capacity": {"cpu": "4", "pods": "110"}}, {"allocatable": {"cpu": "1000m"}}, {"capacity": None},
    {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]},
    {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}, {"images": []},
]  # fmt: skip
BESIDE: list[dict[str, Any]] = [
    {}, {}, {}, {"metadata": {"annotations": {"a": "b"}}}, {"metadata": {"labels": {"l": None}}},
    {"metadata": {"labels": {"l": "2"}, "finalizers": ["example.org/x"]}}, {"spec": {"nodeName": "n9"}},
    {"metadata": {"ownerReferences": []}}, {"spec": None}, {"metadata": {"uid": "other"}}, {"metadata": None},
]  # fmt: skip


def the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy everything, walk everything, default everything."""
    merged, strategically = merge.apply, strategic.apply
    monkeypatch.setattr(Strategy, "status_default", lambda _self: None)
    monkeypatch.setattr(merge, "apply", lambda obj, patch: copy_object(merged(obj, patch)))
    monkeypatch.setattr(
        strategic, "apply", lambda obj, patch, schema: copy_object(strategically(obj, patch, schema))
    )


def shown(value: Any) -> Any:
    """Return an answer without what differs from run to run."""
    return orjson.loads(_UID.sub(b"UID", orjson.dumps(value)))


async def write(api: Api, path: str, parts: list[dict[str, Any]], pick: random.Random) -> Any:
    """Make one write of a status and return what was answered."""
    status: dict[str, Any] = {}
    for part in pick.sample(parts, pick.choice([1, 1, 2])):
        status |= part
    kind = pick.choice(["strategic", "strategic", "merge", "json", "put", "put"])
    beside = pick.choice(BESIDE)
    if kind == "put":
        body = await api.get(path)
        body = merge.apply(body, {"status": {k: v for k, v in status.items() if k[0] != "$"}, **beside})
        if pick.random() < 0.3:
            meta = {**(body.get("metadata") or {}), "resourceVersion": pick.choice(["", "1"])}
            body = {**body, "metadata": meta}
        answer = await api("PUT", f"{path}/status", body)
    elif kind == "json":
        operations = [{"op": "add", "path": f"/status/{key.replace('/', '~1')}", "value": value}
                      for key, value in status.items()]  # fmt: skip
        answer = await api.patch(f"{path}/status", operations, "json")
    else:
        answer = await api.patch(f"{path}/status", {"status": status, **beside}, kind)
    return answer.status, shown(answer.json), answer.headers.get("warning")


def untouched(api: Api) -> bool:
    """Tell whether every object in memory is still what its bytes say."""
    return all(
        entry.object == orjson.loads(entry.raw)
        for bucket in api.server.objects._feed.buckets.values()
        for entry in bucket.entries.values()
    )


async def run(serving: Serving, seed: int) -> list[Any]:
    pick, outcomes = random.Random(seed), []
    async with serving() as api:
        made = pod()
        made["metadata"]["labels"] = {"l": "1"}
        await api.create(PODS, made)
        await api.create(
            NODES, {"metadata": {"name": "n", "labels": {"l": "1"}}, "spec": {"podCIDR": "10.1.0.0/24"}}
        )
        for _ in range(25):
            path, parts = pick.choice([(f"{PODS}/p", POD_PARTS), (f"{NODES}/n", NODE_PARTS)])
            outcomes.append(await write(api, path, parts, pick))
            assert untouched(api)
    return outcomes


@pytest.mark.parametrize("seed", range(3))
async def test_sharing_makes_no_difference(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    shared = await run(serving, seed)
    assert {200, 422} <= {outcome[0] for outcome in shared}
    with monkeypatch.context() as patched:
        the_long_way(patched)
        copied = await run(serving, seed)
    assert shared == copied
