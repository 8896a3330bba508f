"""Workloads from creation to deletion through every endpoint, written as typed Go clients write them.

Such clients send what they have, zero values too: conditions whose times are null, a status of zeros, no
resourceVersion where an update shall be unconditional.
"""

import asyncio

import pytest

from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.meta import get_condition
from tiphys.client.kinds import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from tiphys.testing import Cluster

pytestmark = pytest.mark.slow
LABELS = {"name": "pause", "e2e": "testing"}
SELECTOR = "e2e=testing"
WAIT_S = 20


def template(*containers, **spec):
    listed = [{"name": name, "image": image} for name, image in containers or [("c", "i:1")]]
    return {"metadata": {"labels": LABELS}, "spec": {"containers": listed, **spec}}


def workload(kind, replicas=1, version="apps/v1", **spec):
    selector = LABELS if kind == "ReplicationController" else {"matchLabels": LABELS}
    body = {"selector": selector, "template": template(), "replicas": replicas, **spec}
    if kind == "DaemonSet":
        del body["replicas"]
    meta = {"name": "x", "namespace": "default", "labels": LABELS, "creationTimestamp": None}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": body, "status": {}}


class Watched:
    """Events of one kind since a moment, asked for again and again as ``watchtools.Until`` does."""

    def __init__(self, client, gvr, version):
        self._client, self._gvr, self._version = client, gvr, version

    @classmethod
    async def since_now(cls, client, gvr):
        listed = await client.list(gvr, label_selector=SELECTOR)
        return cls(client, gvr, listed["metadata"]["resourceVersion"])

    async def until(self, holds, *types):
        async with (
            asyncio.timeout(WAIT_S),
            self._client.watch(
                self._gvr, "default", resource_version=self._version, label_selector=SELECTOR
            ) as events,
        ):
            async for event in events:
                if (not types or event.type in types) and holds(event.object):
                    return event.object
        raise AssertionError("the watch ended")


def counts(**wanted):
    return lambda item: all(
        (item.get("status") or {}).get(name, 0) == count for name, count in wanted.items()
    )


async def write_status(client, gvr, name, change):
    """Read, change and replace a status until nobody came between."""
    for _ in range(5):
        live = await client.get(gvr, name, "default")
        change(live["status"])
        try:
            return await client.update(gvr, live, "status")
        except Conflict:
            continue
    raise AssertionError("always a conflict")


ZEROS_OF_DAEMONS = {
    "metadata": {"creationTimestamp": None},
    "spec": {
        "selector": None, "updateStrategy": {},
        "template": {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}},
    },
    "status": {
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
    },
}  # fmt: skip
"""What a typed client sends that gives one condition: the whole object, as far as it is never left out."""
STATUSES = [
    ("Deployment", DEPLOYMENTS, {"readyReplicas": 1}),
    ("ReplicaSet", REPLICA_SETS, {"readyReplicas": 1}),
    ("StatefulSet", STATEFUL_SETS, {"readyReplicas": 1}),
    ("DaemonSet", DAEMON_SETS, {"numberReady": 2}),
]


@pytest.mark.parametrize(("kind", "gvr", "ready"), STATUSES, ids=[one[0] for one in STATUSES])
async def test_conditions_of_others(kind, gvr, ready):
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        watched = await Watched.since_now(client, gvr)
        await client.create(gvr, workload(kind))
        await cluster.wait_for(gvr, "x", "default", lambda item: bool(item) and counts(**ready)(item))
        said = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        if kind == "Deployment":
            said["lastUpdateTime"] = None
        said["lastTransitionTime"] = None
        await write_status(client, gvr, "x", lambda now: now.setdefault("conditions", []).append(said))
        await watched.until(lambda item: (get_condition(item, "StatusUpdate") or {}).get("reason") == "E2E")
        patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
        if kind == "DaemonSet":
            patch = ZEROS_OF_DAEMONS | {"status": ZEROS_OF_DAEMONS["status"] | patch["status"]}
        await client.patch(gvr, "x", "default", patch, type="merge", subresource="status")
        await watched.until(lambda item: get_condition(item, "StatusPatched"))
        # What follows still works: nobody was thrown by what they did not expect.
        await client.patch(gvr, "x", "default", {"spec": {"template": template(("c", "i:2"))}})
        kept = await cluster.wait_for(
            gvr, "x", "default", lambda item: counts(**ready)(item) and followed(item)
        )
        # A StatefulSet's controller makes its status anew.
        assert bool(get_condition(kept, "StatusPatched")) == (kind != "StatefulSet")


def followed(item):
    return item["status"].get("observedGeneration") == item["metadata"]["generation"]


async def revisions(cluster, count):
    """Wait until the daemons' history is so long; return its items by number."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await cluster.client.list(CONTROLLER_REVISIONS, "default", label_selector=SELECTOR)
            if len(found["items"]) == count:
                return sorted(found["items"], key=lambda item: item["revision"])
            await asyncio.sleep(0.05)


async def test_the_history_of_daemons():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await client.create(DAEMON_SETS, workload("DaemonSet"))
        daemons = await cluster.wait_for(
            DAEMON_SETS, "x", "default", lambda item: bool(item) and counts(numberReady=2)(item)
        )
        (first,) = await revisions(cluster, 1)
        (owner,) = first["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("DaemonSet", daemons["metadata"]["uid"])
        name = first["metadata"]["name"]
        label = {"metadata": {"labels": {name: "patched"}}}
        await client.patch(CONTROLLER_REVISIONS, name, "default", label, type="strategic")
        meta = {
            "name": "x-5f7d49c8b8", "namespace": "default", "ownerReferences": [owner],
            "labels": {**LABELS, "controller-revision-hash": "5f7d49c8b8"},
            "annotations": daemons["metadata"].get("annotations"),
        }  # fmt: skip
        copied = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": 2}
        await client.create(CONTROLLER_REVISIONS, {**copied, "data": first["data"]})
        assert len(await revisions(cluster, 2)) == 2, "the one that is in use does not go"
        await client.delete(CONTROLLER_REVISIONS, name, "default")
        (second,) = await revisions(cluster, 1)
        second["metadata"]["labels"]["mine"] = "updated"
        await client.update(CONTROLLER_REVISIONS, second)
        change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
        unknown = {"updateStrategy": {"type": "RollingUpdate"}}
        await client.patch(DAEMON_SETS, "x", "default", change | unknown, type="strategic")
        await revisions(cluster, 2)
        await client.delete_collection(CONTROLLER_REVISIONS, "default", label_selector="mine=updated")
        (third,) = await revisions(cluster, 1)
        assert third["revision"] == 3


def job(**spec):
    meta = {"name": "x", "namespace": "default", "labels": LABELS}
    pods = template(restartPolicy="Never")
    pods["metadata"]["labels"] = {"job": "x"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": pods, **spec}}


async def test_a_running_job_goes_with_its_pods():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await client.create(JOBS, job(parallelism=2, completions=4, backoffLimit=6, manualSelector=False))
        await cluster.wait_for(JOBS, "x", "default", lambda item: bool(item) and counts(ready=2)(item))
        names = [item["metadata"]["name"] for item in (await client.list(PODS, "default"))["items"]]
        assert len(names) == 2
        await client.delete(JOBS, "x", "default", propagation="Background")
        await cluster.wait_for(JOBS, "x", "default", lambda item: item is None)
        for name in names:
            await cluster.wait_for(PODS, name, "default", lambda item: item is None)


async def test_daemons_that_fail_are_made_again():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client
        await client.create(DAEMON_SETS, workload("DaemonSet"))
        await cluster.wait_for(
            DAEMON_SETS, "x", "default", lambda item: bool(item) and counts(numberReady=2)(item)
        )
        victim = (await client.list(PODS, "default", label_selector=SELECTOR))["items"][0]
        victim["metadata"]["resourceVersion"] = ""
        victim["status"]["phase"] = "Failed"
        await client.update(PODS, victim, "status")
        await cluster.wait_for(PODS, victim["metadata"]["name"], "default", lambda item: item is None)
        await cluster.wait_for(DAEMON_SETS, "x", "default", counts(numberReady=2))
