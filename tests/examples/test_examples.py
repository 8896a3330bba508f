"""Every example runs, on the in-process cluster."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.meta import GVR, get_condition
from tiphys.client.kinds import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
)
from tiphys.scheduler import profile
from tiphys.testing import Cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHIPS = GVR("example.com", "v1", "ships")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The example of a test is a test: fixture and all, it runs here as its reader would run it.
_rollout = load("test_rollout")
cluster = _rollout.cluster
test_a_new_image_rolls_out = _rollout.test_a_new_image_rolls_out
test_a_dead_nodes_pods_move = load("test_dead_node").test_a_dead_nodes_pods_move


async def test_the_deployment(cluster: Cluster) -> None:
    kinds = {"Deployment": DEPLOYMENTS, "Service": SERVICES, "ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
    for obj in yaml.safe_load_all((EXAMPLES / "web.yaml").read_text()):
        obj["metadata"]["namespace"] = "default"
        await cluster.client.create(kinds[obj["kind"]], obj)
    await cluster.wait_for(DEPLOYMENTS, "web", "default", _rollout.ready(3))
    slices = await cluster.client.list(
        ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=web"
    )
    assert [port["port"] for item in slices["items"] for port in item["ports"]] == [80]


def test_the_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF")
    module = load("web_image")
    monkeypatch.setattr(module, "BUSYBOX", busybox)
    archive = module.image("example/web:9")
    assert b"example/web:9" in archive


@asynccontextmanager
async def ships(cluster: Cluster) -> AsyncIterator[None]:
    """The Ship of the examples, defined; then one at sea."""
    crd = yaml.safe_load((EXAMPLES / "ship_crd.yaml").read_text())
    await cluster.client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    await cluster.wait_for(
        CUSTOM_RESOURCE_DEFINITIONS,
        "ships.example.com",
        "",
        lambda obj: bool(obj and (get_condition(obj, "Established") or {}).get("status") == "True"),
    )
    yield


async def story(cluster: Cluster) -> None:
    """What either operator must do."""
    head = {"apiVersion": "example.com/v1", "kind": "Ship"}
    meta = {"name": "argo", "namespace": "default"}
    await cluster.client.create(SHIPS, {**head, "metadata": meta, "spec": {"oars": 25}})

    def orders(crew: str) -> Any:
        return lambda obj: bool(obj and obj["data"] == {"crew": crew})

    await cluster.wait_for(CONFIG_MAPS, "argo-orders", "default", orders("50"))
    await cluster.client.patch(SHIPS, "argo", "default", {"spec": {"oars": 30}})
    await cluster.wait_for(CONFIG_MAPS, "argo-orders", "default", orders("60"))
    await cluster.wait_for(
        SHIPS, "argo", "default", lambda obj: bool(obj and obj.get("status", {}).get("crew") == 60)
    )
    await cluster.client.delete(SHIPS, "argo", "default")
    await cluster.wait_for(CONFIG_MAPS, "argo-orders", "default", lambda obj: obj is None)


async def test_the_operator_on_our_client(cluster: Cluster) -> None:
    async with ships(cluster):
        running = asyncio.create_task(load("operator_own").run(cluster.client))  # ended below
        try:
            await story(cluster)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.slow
async def test_the_operator_on_kopf() -> None:
    async with Cluster(nodes=0, listen=True) as cluster, ships(cluster):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kopf", "run", "--standalone", "-n", "default",
            str(EXAMPLES / "operator_kopf.py"),
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await story(cluster)
        finally:
            process.terminate()
            await process.wait()


async def test_the_scheduler_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by its entry point, as an installed package's would be."""

    class Point:
        load = staticmethod(lambda: load("scheduler_plugin").Fleet)

    monkeypatch.setattr(profile, "entry_points", lambda group: [Point] if group.startswith("tiphys.") else [])
    async with Cluster(nodes=3) as cluster:
        for name, label in (("node-1", "serviced-soon"), ("node-2", "price"), ("node-3", "price")):
            labels = {f"example.com/{label}": name[-1]}
            await cluster.client.patch(NODES, name, "", {"metadata": {"labels": labels}})
        for number in range(4):
            meta = {"name": f"p{number}", "namespace": "default"}
            pod = {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}}
            await cluster.client.create(PODS, pod)
            found = await cluster.wait_for(
                PODS, f"p{number}", "default", lambda obj: bool(obj and obj["spec"].get("nodeName"))
            )
            assert found is not None
            assert found["spec"]["nodeName"] == "node-2"
        await cluster.client.patch(
            NODES, "node-3", "", {"metadata": {"labels": {"example.com/serviced-soon": "yes"}}}
        )
        await cluster.client.patch(
            NODES, "node-2", "", {"metadata": {"labels": {"example.com/serviced-soon": "yes"}}}
        )
        late = {"metadata": {"name": "late", "namespace": "default"}, "spec": pod["spec"]}
        await cluster.client.create(PODS, late)
        found = await cluster.wait_for(
            PODS, "late", "default", lambda obj: bool(obj and get_condition(obj, "PodScheduled"))
        )
        assert found is not None
        assert "3 node(s) are soon serviced" in (get_condition(found, "PodScheduled") or {})["message"]
