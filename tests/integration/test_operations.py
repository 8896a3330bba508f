"""What every kind can do besides its plain life: be watched, deleted by label, have a status of its own."""

import asyncio
from pathlib import Path

import pytest
import yaml
from tests.every_kind import ALL_SERVED

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import GVR
from tiphys.apis.strategies import strategy_for
from tiphys.controllers.discovery import discover
from tiphys.testing import Cluster
from tiphys.wire import pki

pytestmark = pytest.mark.slow
GROUPS = (
    "v1", "apps", "batch", "certificates.k8s.io", "discovery.k8s.io", "networking.k8s.io", "policy",
    "flowcontrol.apiserver.k8s.io", "admissionregistration.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "resource.k8s.io", "events.k8s.io", "autoscaling",
)  # fmt: skip
WITHOUT_COLLECTION = {"Namespace", "Service"}
ELSEWHERE = {"Event", "Pod", "CertificateSigningRequest"}
MANIFESTS = [
    item
    for item in yaml.load_all(
        (Path(__file__).parent / "manifests.yaml").read_text().replace("sweep-namespace", "default"),
        yaml.CSafeLoader,
    )
    if item["apiVersion"].split("/")[0] in GROUPS and item["kind"] not in ELSEWHERE
]
for item in MANIFESTS:
    if item["kind"] == "ClusterTrustBundle":
        authority = pki.make_ca("operations", RealClock().now())
        item["spec"]["trustBundle"] = authority.certificate.decode()


async def served(cluster, manifest):
    found = await discover(cluster.client)
    return next(
        item
        for item in found.resources
        if (item.gvk.api_version, item.kind) == (manifest["apiVersion"], manifest["kind"])
    )


async def seen(events, type_, name):
    """Read on until an event of this type and object comes."""
    async with asyncio.timeout(20):
        async for event in events:
            if (event.type, event.object["metadata"].get("name")) == (type_, name):
                return event.object
    raise AssertionError("the watch ended")


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=[f"{item['apiVersion']} {item['kind']}" for item in MANIFESTS]
)
async def test_watched_labelled_and_deleted_together(manifest):
    async with Cluster(nodes=0, controllers=False, scheduler=False, options=ALL_SERVED) as cluster:
        client, resource = cluster.client, await served(cluster, manifest)
        gvr: GVR = resource.gvr
        namespace = "default" if resource.namespaced else ""
        name = manifest["metadata"]["name"]
        meta = {**manifest["metadata"], "labels": {"of": "operations"}}
        if namespace:
            meta["namespace"] = namespace
        start = (await client.list(gvr, namespace))["metadata"]["resourceVersion"]
        async with client.watch(gvr, namespace, resource_version=start) as watch:
            events = aiter(watch)
            await client.create(gvr, {**manifest, "metadata": meta})
            await seen(events, "ADDED", name)
            patch = {"metadata": {"annotations": {"patched": "yes"}}}
            await client.patch(gvr, name, namespace, patch)
            changed = await seen(events, "MODIFIED", name)
            assert changed["metadata"]["annotations"]["patched"] == "yes"
            live = await client.get(gvr, name, namespace)
            live["metadata"]["annotations"]["updated"] = "yes"
            await client.update(gvr, live)
            await seen(events, "MODIFIED", name)
            await check_status(cluster, resource, name, namespace)
            if "deletecollection" in resource.verbs and manifest["kind"] not in WITHOUT_COLLECTION:
                found = await client.list(gvr, namespace, label_selector="of=operations")
                assert [item["metadata"]["name"] for item in found["items"]] == [name]
                await client.delete_collection(gvr, namespace, label_selector="of=operations")
            else:
                await client.delete(gvr, name, namespace)


async def check_status(cluster, resource, name, namespace):
    """Where there is a status, it is read and patched by itself and leaves the rest alone.

    Of most kinds what users write of metadata belongs to that rest.
    """
    gvr, gvk = resource.gvr, resource.gvk
    try:
        before = await cluster.client.get(gvr, name, namespace, subresource="status")
    except NotFound:
        return
    patch = {"metadata": {"annotations": {"by": "status"}}, "spec": {}}
    after = await cluster.client.patch(gvr, name, namespace, patch, subresource="status")
    kept = "annotations" in strategy_for(gvk).status_resets
    assert after["metadata"]["annotations"].get("by") == (None if kept else "status")
    assert after.get("spec") == before.get("spec")
    assert after["metadata"].get("generation") == before["metadata"].get("generation")
