"""The Service kubernetes and the namespaces of the system, as they are kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tiphys.apiserver.controlplane.bootstrap import ensure_namespaces
from tiphys.apiserver.controlplane.kubernetes_service import KubernetesService

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE = "/api/v1/namespaces/default/services/kubernetes"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


def of(api: Any, **options: Any) -> KubernetesService:
    """What a server with these options does over the same store."""
    backend = api.server.backend
    changed = dataclasses.replace(backend.options, **options)
    return KubernetesService(dataclasses.replace(backend, options=changed))


async def test_what_was_deleted_comes_back(api: Any) -> None:
    before = await api.get(SERVICE)
    assert (await api("DELETE", SERVICE)).status == 200
    await of(api).look()
    after = await api.get(SERVICE)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"] == before["spec"]


async def test_a_namespace_of_the_system_comes_back(api: Any) -> None:
    path = "/api/v1/namespaces/kube-node-lease"
    await api("DELETE", path)
    live = await api.get(path)
    live["spec"]["finalizers"] = []
    assert (await api("PUT", f"{path}/finalize", live)).status == 200
    assert (await api("GET", path)).status == 404
    keeper = of(api)
    for _ in range(6):
        await keeper.look()
    assert (await api.get(path))["status"]["phase"] == "Active"
    await ensure_namespaces(api.server.backend)


async def test_ports_are_mended_at_the_start_alone(api: Any) -> None:
    before = await api.get(SERVICE)
    changed = {**before, "spec": {**before["spec"], "type": "NodePort"}}
    changed["spec"]["ports"] = [{"name": "other", "port": 444, "protocol": "TCP", "targetPort": 1}]
    assert (await api("PUT", SERVICE, changed)).status == 200
    keeper = of(api, secure_port=7443)
    await keeper.look()
    assert (await api.get(SERVICE))["spec"]["type"] == "NodePort"
    await keeper.begin()
    spec = (await api.get(SERVICE))["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 7443}]
    assert spec["clusterIP"] == before["spec"]["clusterIP"]


async def test_a_port_on_every_node(api: Any) -> None:
    await of(api, kubernetes_service_node_port=30123).begin()
    spec = (await api.get(SERVICE))["spec"]
    assert (spec["type"], spec["ports"][0]["nodePort"]) == ("NodePort", 30123)
    await of(api).begin()
    spec = (await api.get(SERVICE))["spec"]
    assert (spec["type"], "nodePort" in spec["ports"][0]) == ("ClusterIP", False)
