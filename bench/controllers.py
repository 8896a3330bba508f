"""Row: what large moves cost the whole control plane: a Deployment scaled, many at once, a namespace deleted.

One process with everything in it (``tiphys.testing.Cluster``): API server, controllers, scheduler, simulated
nodes. The processor time says much the same on a busy machine; ``seconds`` says whether anybody waits for
nothing. Each case comes in two sizes: what costs four times as much for four times as many is in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tiphys.client.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICES,
)
from tiphys.cmd.apiserver import tune_interpreter

if TYPE_CHECKING:  # the whole of Tiphys: only this row needs it, and another measures how long it takes
    from tiphys.testing import Cluster

Row = dict[str, object]
Case = Callable[["Cluster", int], Awaitable[Callable[[], Awaitable[None]]]]
_SPACE = "bench"
_LIMIT_S = 240.0


def _object(api_version: str, kind: str, name: str, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": _SPACE, **metadata}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **({"spec": spec} if spec else {})}


def _deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return _object("apps/v1", "Deployment", name, spec)


async def _available(cluster: Cluster, name: str, count: int) -> None:
    def there(obj: dict[str, Any] | None) -> bool:
        return obj is not None and int((obj.get("status") or {}).get("availableReplicas", 0)) == count

    await cluster.wait_for(DEPLOYMENTS, name, _SPACE, there, timeout_s=_LIMIT_S)


async def scale_up(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """One Deployment, from one replica to so many, until all are available."""
    await cluster.client.create(DEPLOYMENTS, _deployment("web", 1))
    await _available(cluster, "web", 1)

    async def move() -> None:
        await cluster.client.patch(DEPLOYMENTS, "web", _SPACE, {"spec": {"replicas": count}})
        await _available(cluster, "web", count)

    return move


async def deployments(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """So many Deployments of one replica with a Service each, created at once."""

    async def move() -> None:
        for index in range(count):
            spec = {"selector": {"app": f"web-{index}"}, "ports": [{"port": 80}]}
            await cluster.client.create(SERVICES, _object("v1", "Service", f"web-{index}", spec))
            await cluster.client.create(DEPLOYMENTS, _deployment(f"web-{index}", 1))
        for index in range(count):
            await _available(cluster, f"web-{index}", 1)

    return move


async def namespace(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """A namespace with so many ConfigMaps and a Deployment of a fifth as many pods, deleted."""
    for index in range(count):
        await cluster.client.create(CONFIG_MAPS, _object("v1", "ConfigMap", f"map-{index}"))
    await cluster.client.create(DEPLOYMENTS, _deployment("web", count // 5))
    await _available(cluster, "web", count // 5)

    async def move() -> None:
        await cluster.client.delete(NAMESPACES, _SPACE)
        await cluster.wait_for(NAMESPACES, _SPACE, "", lambda obj: obj is None, timeout_s=_LIMIT_S)

    return move


async def owned(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """An object that owns so many Secrets, deleted: until the last of them is collected."""
    owner = await cluster.client.create(CONFIG_MAPS, _object("v1", "ConfigMap", "owner"))
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    for index in range(count):
        await cluster.client.create(SECRETS, _object("v1", "Secret", f"s-{index}", ownerReferences=[ref]))

    async def move() -> None:
        await cluster.client.delete(CONFIG_MAPS, "owner", _SPACE)
        async with asyncio.timeout(_LIMIT_S):
            while (await cluster.client.list(SECRETS, _SPACE))["items"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    return move


async def claims(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """So many volumes and claims, created at once, until each claim is bound."""
    common = {"storageClassName": "bench", "accessModes": ["ReadWriteOnce"]}
    volume = {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/bench"}}
    claim = {**common, "resources": {"requests": {"storage": "1Gi"}}}

    def bound(obj: dict[str, Any] | None) -> bool:
        return obj is not None and (obj.get("status") or {}).get("phase") == "Bound"

    async def move() -> None:
        for index in range(count):
            made = _object("v1", "PersistentVolume", f"v-{index}", volume, namespace="")
            await cluster.client.create(PERSISTENT_VOLUMES, made)
            made = _object("v1", "PersistentVolumeClaim", f"c-{index}", claim)
            await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, made)
        for index in range(count):
            await cluster.wait_for(PERSISTENT_VOLUME_CLAIMS, f"c-{index}", _SPACE, bound, timeout_s=_LIMIT_S)

    return move


async def nodes(cluster: Cluster, count: int) -> Callable[[], Awaitable[None]]:
    """So many nodes join at once, until each has its pod range."""
    from tiphys.testing.nodes import NodeShape, node_object

    async def move() -> None:
        for index in range(2, count + 2):
            made = node_object(index, NodeShape(), "2026-01-01T00:00:00Z")
            await cluster.client.create(NODES, {**made, "spec": {}})
        for index in range(2, count + 2):
            await cluster.wait_for(
                NODES, f"node-{index}", "", lambda obj: bool(obj and obj["spec"].get("podCIDR")),
                timeout_s=_LIMIT_S,
            )  # fmt: skip

    return move


CASES: tuple[tuple[Case, int], ...] = (
    (scale_up, 500), (deployments, 200), (namespace, 1000), (owned, 1000), (claims, 200), (nodes, 500),
)  # fmt: skip


async def _measure(case: Case, count: int) -> Row:
    from tiphys.testing import Cluster, NodeShape

    shape, ranges = NodeShape("1000", "4000Gi", "5000"), {"cluster_cidr": "10.0.0.0/8"}
    async with Cluster(nodes=1, shape=shape, controller_options=ranges) as cluster:
        tune_interpreter()
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SPACE}}
        await cluster.client.create(NAMESPACES, made)
        move = await case(cluster, count)
        processor, clock = time.process_time(), time.perf_counter()
        await move()
        return {
            "row": "controller_costs", "case": case.__name__, "count": count,
            "processor_ms_each": round((time.process_time() - processor) * 1000 / count, 2),
            "seconds": round(time.perf_counter() - clock, 2),
        }  # fmt: skip


async def controller_costs() -> AsyncIterator[Row]:
    """Processor time of large moves, each in two sizes."""
    for case, count in CASES:
        yield await _measure(case, count // 4)
        yield await _measure(case, count)
