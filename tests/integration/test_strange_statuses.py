"""Anybody with the right may write a status that says nothing of sense: no component is thrown by one."""

import asyncio
from pathlib import Path

import pytest
import yaml

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import GVK, split_api_version
from tiphys.apis import schemas
from tiphys.client.kinds import DEPLOYMENTS, NAMESPACES, SERVICE_ACCOUNTS
from tiphys.controllers.discovery import discover
from tiphys.testing import Cluster
from tiphys.wire.message import Request

pytestmark = pytest.mark.slow
MANIFESTS = yaml.load_all(
    (Path(__file__).parent / "manifests.yaml").read_text().replace("sweep-namespace", "default"),
    yaml.CSafeLoader,
)
IN_THE_WAY = ("admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1")
"""Webhooks and policies would refuse what follows."""


def empties(kind):
    """Yield each field of a kind's status with the least that its type allows."""
    if not schemas.has_schema(kind):
        return
    status = schemas.schema_for(kind).properties.get("status")
    for name, field in (status.properties if status else {}).items():
        match field.type:
            case "array":
                whole = field.items is not None and field.items.type == "object"
                yield name, [{}] if whole else [""]
            case "object":
                yield name, {}
            case "string" if not field.format:
                yield name, ""
            case "integer":
                yield name, 0


async def write_empties(client, served, manifest):
    """Create an object and write all that its status may be; return how many writes were taken."""
    resource = served.get((manifest["apiVersion"], manifest["kind"]))
    if resource is None:
        return 0
    namespace = "default" if resource.namespaced else ""
    meta = {**manifest["metadata"], **({"namespace": namespace} if namespace else {})}
    taken = 0
    try:
        await client.create(resource.gvr, {**manifest, "metadata": meta})
    except StatusError:
        pass  # it is there, or needs what this file cannot fill in
    for name, value in empties(GVK(*split_api_version(manifest["apiVersion"]), manifest["kind"])):
        body = {"status": {name: value}}
        try:
            await client.patch(
                resource.gvr, meta["name"], namespace, body, type="merge", subresource="status"
            )
            taken += 1
        except StatusError as error:
            if error.code >= 500:
                raise
    return taken


async def test_statuses_of_every_kind(caplog):
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        served = {(one.gvk.api_version, one.kind): one for one in (await discover(client)).resources}
        taken = 0
        for manifest in MANIFESTS:
            if manifest["apiVersion"] not in IN_THE_WAY and manifest["kind"] != "ResourceQuota":
                taken += await write_empties(client, served, manifest)
        assert taken > 100
        await client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "after"}}
        )
        await cluster.wait_for(SERVICE_ACCOUNTS, "default", "after")
        pods = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": pods}
        meta = {"name": "d", "namespace": "after"}
        await client.create(
            DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
        )
        await cluster.wait_for(
            DEPLOYMENTS, "d", "after", lambda item: bool(item) and item["status"].get("readyReplicas") == 2
        )
        await asyncio.sleep(0)
        ready = await cluster.server.handler(
            Request("GET", "/readyz", headers={"authorization": f"Bearer {cluster.token}"})
        )
        assert ready.status == 200
    failed = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert failed == []
