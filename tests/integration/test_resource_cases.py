"""Upstream's test of one resource from first to last, with its cases (``e2econformance.TestResource``).

An informer watches by label all the while. It must see each step, no object but the one, and versions that
only grow.
"""

import asyncio
import copy
import re

import pytest

from tiphys.apimachinery.meta import GVR
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow
LABEL = "e2e-test.kubernetes.io"
SELECTOR = f"{LABEL}=case"
REQUEST = {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "dra.example.com"}}]}
ADDED = {"metadata": {"labels": {"test.dra.example.com": "test"}}}
ADDED_BY_JSON = [{"op": "add", "path": "/metadata/labels/test.dra.example.com", "value": "test"}]
NOTHING = {"status": {"allocation": {}}}
NOTHING_BY_JSON = [{"op": "add", "path": "/status/allocation", "value": {}}]
STRATEGIC = "strategic"
TYPES = {
    STRATEGIC: "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


def labelled(obj):
    obj["metadata"].setdefault("labels", {})["test.dra.example.com"] = "test"


def false_again(obj):
    obj["spec"]["selectors"][0]["cel"]["expression"] = "1 == 0"


def one_device(obj):
    obj["spec"]["devices"] = [{"name": "device-0"}]


def read_only(obj):
    obj["mountOptions"] = ["ro", "soft"]


def nothing_allocated(obj):
    obj.setdefault("status", {})["allocation"] = {"devices": {}}


def every(patch, json_patch):
    return [(STRATEGIC, patch), ("apply", patch), ("merge", patch), ("json", json_patch)]


FALSE = {"spec": {"selectors": [{"cel": {"expression": "1 == 0"}}]}}
POOL = {"name": "cluster", "generation": 1, "resourceSliceCount": 1}
SLICE = {"driver": "dra.example.com", "pool": POOL, "nodeName": "no-such-node", "devices": None}
DEVICE = {"spec": {"devices": [{"name": "device-0"}]}}
FOO = {"metadata": {"labels": {"foo": "bar"}}}
CASES = {
    # resource: kind, body, the update, patches, the status's update, its patches
    "resource.k8s.io/v1/deviceclasses": (
        "DeviceClass", {"spec": {"selectors": [{"cel": {"expression": "false"}}]}}, false_again,
        [(STRATEGIC, FALSE)], None, [],
    ),
    "resource.k8s.io/v1/resourceclaims": (
        "ResourceClaim", {"spec": {"devices": REQUEST}, "status": {}}, labelled, every(ADDED, ADDED_BY_JSON),
        nothing_allocated, every(NOTHING, NOTHING_BY_JSON),
    ),
    "resource.k8s.io/v1/resourceclaimtemplates": (
        "ResourceClaimTemplate", {"spec": {"metadata": {}, "spec": {"devices": REQUEST}}}, labelled,
        [(STRATEGIC, ADDED)], None, [],
    ),
    "resource.k8s.io/v1/resourceslices": (
        "ResourceSlice", {"spec": SLICE}, one_device, [(STRATEGIC, DEVICE)], None, [],
    ),
    "storage.k8s.io/v1/storageclasses": (
        "StorageClass", {"provisioner": "e2e-fake-provisioner", "parameters": {"foo": "bar"}}, read_only,
        [(STRATEGIC, FOO)], None, [],
    ),
    "storage.k8s.io/v1/volumeattributesclasses": (
        "VolumeAttributesClass", {"driverName": "e2e-fake-csi-driver", "parameters": {"foo": "bar"}},
        labelled, [(STRATEGIC, FOO)], None, [],
    ),
}  # fmt: skip
NAMESPACED = {"ResourceClaim", "ResourceClaimTemplate"}


class Case:
    """One resource, its object ``test`` and the events of an informer."""

    def __init__(self, cluster, resource, kind, body):
        self.cluster, self.client = cluster, cluster.client
        self.gvr = GVR(*resource.split("/"))
        self.namespace = "default" if kind in NAMESPACED else ""
        where = {"namespace": self.namespace} if self.namespace else {}
        meta = {"name": "test", "creationTimestamp": None, "labels": {LABEL: "case"}, **where}
        self.initial = {"apiVersion": self.gvr.api_version, "kind": kind, "metadata": meta, **body}
        self.events = []
        self.news = asyncio.Event()
        self.newest = 0

    @property
    def path(self):
        space = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"/apis/{self.gvr.api_version}{space}/{self.gvr.resource}"

    async def inform(self):
        listed = await self.client.list(self.gvr, label_selector=SELECTOR)
        assert listed["items"] == []
        version = listed["metadata"]["resourceVersion"]
        async with self.client.watch(self.gvr, label_selector=SELECTOR, resource_version=version) as watch:
            async for event in watch:
                self.events.append(event)
                self.news.set()

    async def saw(self, pattern):
        """Wait until the informer's events since the last time match; all are of one object and in order."""
        async with asyncio.timeout(5):
            while not re.fullmatch(pattern, " ".join(event.type for event in self.events)):
                self.news.clear()
                await self.news.wait()
        seen, self.events = self.events, []
        for event in seen:
            assert (event.object["metadata"]["name"], event.object["kind"]) == ("test", self.initial["kind"])
            version = int(event.object["metadata"]["resourceVersion"])
            assert version >= self.newest
            self.newest = version

    async def create(self):
        query = {"fieldValidation": "Strict"}
        return await self.client.request("POST", self.path, query=query, body=copy.deepcopy(self.initial))

    async def update(self, change, subresource=""):
        """Read and change the object; read it anew as long as others write it."""
        obj = await self.get(subresource)
        change(obj)
        return await self.client.update(self.gvr, obj, subresource)

    async def get(self, subresource=""):
        return await self.client.get(self.gvr, "test", self.namespace, subresource=subresource)

    async def delete(self):
        await self.client.delete(self.gvr, "test", self.namespace)
        await self.gone()
        await self.saw("(MODIFIED )*DELETED")

    async def gone(self):
        await self.cluster.wait_for(self.gvr, "test", self.namespace, lambda obj: obj is None)

    async def patch(self, type_, patch, existing, subresource=""):
        if type_ != "json":
            kept = {
                key: existing["metadata"][key]
                for key in ("name", "namespace", "uid")
                if key in existing["metadata"]
            }
            patch = {**patch, "apiVersion": existing["apiVersion"], "kind": existing["kind"]}
            patch["metadata"] = {**patch.get("metadata", {}), **kept}
        query = {"fieldValidation": "Strict"}
        if type_ == "apply":
            query |= {"fieldManager": "test-apply", "force": "true"}
        path = f"{self.path}/test/{subresource}".rstrip("/")
        return await self.client.request("PATCH", path, query=query, body=patch, content_type=TYPES[type_])


@pytest.mark.parametrize("resource", CASES)
async def test_a_resource_from_first_to_last(resource):
    kind, body, update, patches, status_update, status_patches = CASES[resource]
    async with Cluster(nodes=1) as cluster:
        case = Case(cluster, resource, kind, body)
        informer = asyncio.create_task(case.inform())
        served = await case.client.request("GET", f"/apis/{case.gvr.api_version}")
        assert case.gvr.resource in [entry["name"] for entry in served["resources"]]
        await asyncio.sleep(0.2)
        created = await case.create()
        await case.saw("ADDED( MODIFIED)*")
        updated = await case.update(update)
        await case.saw("MODIFIED( MODIFIED)*")
        assert int(updated["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
        if status_update is not None:
            await case.update(status_update, "status")
            await case.saw("MODIFIED( MODIFIED)*")
            assert (await case.get("status"))["status"]["allocation"] is not None
        for type_, patch in patches:
            await case.delete()
            patched = await case.patch(type_, patch, await case.create())
            assert patched["metadata"]["name"] == "test"
            await case.saw("ADDED MODIFIED( MODIFIED)*")
        for type_, patch in status_patches:
            await case.delete()
            await case.create()
            patched = await case.patch(type_, patch, await case.update(update), "status")
            assert patched["status"]["allocation"] is not None
            await case.saw("ADDED MODIFIED MODIFIED( MODIFIED)*")
        found = await case.client.list(case.gvr, case.namespace, label_selector=SELECTOR)
        assert [item["metadata"]["name"] for item in found["items"]] == ["test"]
        await case.client.delete_collection(case.gvr, case.namespace, label_selector=SELECTOR)
        await case.gone()
        await case.saw("(MODIFIED )*DELETED")
        informer.cancel()
