"""Rows: a test cluster in this process; ``tiphys up`` until it returns; a pod from creation to Running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from bench import server
from tiphys.client.kinds import PODS, SERVICE_ACCOUNTS
from tiphys.client.rest import Client

Row = dict[str, object]
_TIPHYS = Path(__file__).resolve().parent.parent / "tiphys"
_IMAGE = os.environ.get("BENCH_IMAGE", "")
_ROUNDS = 10


_FRESH = """
import asyncio, time
from tiphys.testing import Cluster
async def main():
    async with Cluster(nodes=1):
        print(time.monotonic())
asyncio.run(main())
"""


def _fresh_process() -> float:
    """Return the seconds from the start of a Python to its first cluster, with modules that are compiled."""
    with tempfile.TemporaryDirectory(prefix="tb-") as kept:
        env = server.environment(PYTHONPYCACHEPREFIX=kept)
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(2):
            before = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", _FRESH], env=env, check=True, capture_output=True, timeout=60
            )
    return float(done.stdout) - before


async def test_cluster_ready() -> AsyncIterator[Row]:
    """``tiphys.testing.Cluster`` with one node, from construction to Ready, the third of three; and the first
    of a process, with the start of Python and all imports."""
    first_s = await asyncio.to_thread(_fresh_process)
    from tiphys.testing import Cluster

    seconds = []
    for _ in range(3):
        before = time.perf_counter()
        async with Cluster(nodes=1):
            seconds.append(time.perf_counter() - before)
    yield {"row": "test_cluster_ready", "first_s": round(first_s, 3), "seconds": round(seconds[-1], 3)}


@contextlib.contextmanager
def _up() -> Iterator[tuple[float, Path]]:
    with tempfile.TemporaryDirectory(prefix="tb-") as home:
        env = server.environment(TIPHYS_HOME=home)
        before = time.perf_counter()
        try:
            subprocess.run([_TIPHYS, "up"], env=env, check=True, capture_output=True, timeout=120)
            yield time.perf_counter() - before, Path(home)
        finally:
            subprocess.run([_TIPHYS, "down"], env=env, check=False, capture_output=True, timeout=60)


async def up_to_ready() -> AsyncIterator[Row]:
    """``tiphys up`` with one node, nothing left from before: until the node is Ready and DNS answers."""
    with _up() as (seconds, _):
        yield {"row": "up_to_ready", "seconds": round(seconds, 2)}


def _import(archive: str, home: Path) -> None:
    env = server.environment(TIPHYS_HOME=str(home))
    subprocess.run(
        [_TIPHYS, "images", "import", archive], env=env, check=True, capture_output=True, timeout=120
    )


def _pod(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": _IMAGE, "imagePullPolicy": "Never"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


async def create_to_running() -> AsyncIterator[Row]:
    """From a pod's creation to its Running, as a watch sees it. BENCH_IMAGE names an image, BENCH_IMAGE_TAR
    a file to import it from; its default command must keep running."""
    archive = os.environ.get("BENCH_IMAGE_TAR", "")
    if not _IMAGE or not archive:
        yield {"row": "create_to_running", "error": "set BENCH_IMAGE and BENCH_IMAGE_TAR"}
        return
    with _up() as (_, home):
        await asyncio.to_thread(_import, archive, home)
        client = Client.from_kubeconfig(str(next(home.glob("*/kubeconfig"))))
        try:
            await _account(client)
            seconds = sorted([await _one(client, f"bench-{i}") for i in range(_ROUNDS)])
        finally:
            await client.close()
    yield {
        "row": "create_to_running", "pods": _ROUNDS, "median_s": round(seconds[_ROUNDS // 2], 3),
        "best_s": round(seconds[0], 3), "worst_s": round(seconds[-1], 3),
    }  # fmt: skip


async def _account(client: Client) -> None:
    async with asyncio.timeout(10):
        while not (await client.list(SERVICE_ACCOUNTS, namespace="default"))["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _one(client: Client, name: str) -> float:
    version = (await client.list(PODS, namespace="default"))["metadata"]["resourceVersion"]
    async with client.watch(PODS, namespace="default", resource_version=version) as events:
        before = time.perf_counter()
        await client.create(PODS, _pod(name))
        async with asyncio.timeout(30):
            async for event in events:
                meta, status = event.object["metadata"], event.object.get("status", {})
                if meta["name"] == name and status.get("phase") == "Running":
                    taken = time.perf_counter() - before
                    await client.delete(PODS, name, "default", grace_period_s=0)
                    return taken
    raise RuntimeError("the watch ended early")
