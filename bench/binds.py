"""Rows: the scheduler process binds pods on nodes that are only objects; API server with SQLite."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from bench import load, objects
from bench.server import Server, create, process, processor_us, serving
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.client.transport import Call
from tiphys.client.watch import read_lines

Row = dict[str, object]
_PODS = f"/api/v1/namespaces/{objects.NAMESPACE}/pods"
_LIMIT_S = 120.0
_HOST = "kubernetes.io/hostname"
_NAME = re.compile(rb'(?<="name":")pod-\d+(?=")')
_ZONE = "topology.kubernetes.io/zone"


def _term(selected: str) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": {"group": selected}}, "topologyKey": _HOST}


def _pod(index: int, asks: str) -> bytes:
    pod = objects.pod(index, padded=False)
    group = f"group-{index % 20}"
    pod["metadata"]["labels"]["group"] = group
    if asks == "spread":
        constraint = {
            **_term(group),
            "maxSkew": 1,
            "whenUnsatisfiable": "DoNotSchedule",
            "topologyKey": _ZONE,
        }
        pod["spec"]["topologySpreadConstraints"] = [constraint]
    elif asks:
        kind = "podAntiAffinity" if asks == "anti-affinity" else "podAffinity"
        term = _term(group)
        if asks == "affinity":
            term["topologyKey"] = _ZONE
        pod["spec"]["affinity"] = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return objects.body(pod)


async def _bound(server: Server, count: int) -> tuple[float, float, int]:
    """Follow until ``count`` pods are bound; return (first, last) as clock readings, and how many are."""
    client = Client.from_kubeconfig(str(server.kubeconfig()))
    bound: set[bytes] = set()
    first, last = 0.0, 0.0
    try:
        listed = await client.list(PODS, namespace=objects.NAMESPACE, limit=1)
        version = listed["metadata"]["resourceVersion"]
        follow = Call(
            "GET", "/api/v1/pods", f"watch=true&resourceVersion={version}", {"Accept": "application/json"}
        )
        async with client.transport.stream(follow) as stream:
            async for line in read_lines(stream.chunks):
                name = _bound_pod(line)
                if name:
                    last = time.perf_counter()
                    first = first or last
                    bound.add(name)
                    if len(bound) >= count:
                        break
    except TimeoutError:
        pass
    finally:
        await client.close()
    return first, last, len(bound)


def _bound_pod(line: bytes) -> bytes:
    """Return the name of the pod if the event says that it has its node.

    The bytes are searched, not decoded: whoever looks on must not take the processor from those that work.
    """
    if b'"MODIFIED"' not in line[:40] or b'"nodeName":"' not in line:
        return b""
    found = _NAME.search(line)
    return found[0] if found else orjson.loads(line)["object"]["metadata"]["name"].encode()


async def _nodes(server: Server, count: int) -> None:
    """Make nodes, and take the taint off that every new node is given until a controller sees it Ready."""
    await create(server, "/api/v1/nodes", (objects.body(objects.node(i)) for i in range(count)))
    patch, kind = b'{"spec":{"taints":null}}', "application/merge-patch+json"
    head = server.target.head
    patches = (head("PATCH", f"/api/v1/nodes/node-{i}", patch, kind) + patch for i in range(count))
    await load.run(server.target, patches, connections=16)


async def _binds(name: str, nodes: int, pods: int, asks: str = "") -> AsyncIterator[Row]:
    async with serving(own=True) as server:
        assert server.folder is not None
        await _nodes(server, nodes)
        await create(server, _PODS, (_pod(i, asks) for i in range(pods)))
        follower = asyncio.create_task(_follow(server, pods))  # parent: this row
        arguments = [
            "tiphys.cmd.main",
            "scheduler",
            "--kubeconfig",
            str(server.kubeconfig()),
            "--leader-elect=false",
        ]
        before = server.processor_us()
        with process(arguments, server.folder / "scheduler.log") as scheduler:
            first, last, count = await follower
            spent = processor_us(scheduler.pid)
        seconds, each = last - first, max(count, 1)
        yield {
            "row": name, "nodes": nodes, "pods": pods, "bound": count, "seconds": round(seconds, 2),
            "per_second": round(count / seconds, 1) if seconds else 0.0,
            "server_us": (server.processor_us() - before) // each, "scheduler_us": spent // each,
        }  # fmt: skip


async def _follow(server: Server, pods: int) -> tuple[float, float, int]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await _bound(server, pods)
    except TimeoutError:
        return 0.0, 0.0, 0


async def bind_1000_nodes() -> AsyncIterator[Row]:
    """5,000 waiting pods on 1,000 nodes: first to last binding."""
    async for row in _binds("bind_1000_nodes", 1000, 5000):
        yield row


async def bind_5000_nodes() -> AsyncIterator[Row]:
    """10,000 waiting pods on 5,000 nodes: first to last binding."""
    async for row in _binds("bind_5000_nodes", 5000, 10000):
        yield row


async def bind_anti_affinity() -> AsyncIterator[Row]:
    """Required anti-affinity by host in 20 groups: 2,000 pods on 5,000 nodes."""
    async for row in _binds("bind_anti_affinity", 5000, 2000, "anti-affinity"):
        yield row


async def bind_affinity() -> AsyncIterator[Row]:
    """Required affinity by zone in 20 groups: 2,000 pods on 5,000 nodes."""
    async for row in _binds("bind_affinity", 5000, 2000, "affinity"):
        yield row


async def bind_spread() -> AsyncIterator[Row]:
    """Required spread over zones (skew 1) in 20 groups: 2,000 pods on 5,000 nodes."""
    async for row in _binds("bind_spread", 5000, 2000, "spread"):
        yield row
