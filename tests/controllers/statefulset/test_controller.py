"""Pods in order, with names and claims of their own, updated from the top."""

import pytest

from tiphys.client.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tiphys.controllers.statefulset.controller import StatefulSetController


def stateful(replicas=3, policy="OrderedReady", partition=0, **spec):
    labels = {"app": "db"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "podManagementPolicy": policy,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": "v1"}]}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
            **spec,
        },
    }


async def start(world, turns=1):
    for _ in range(turns):
        for pod in world.api.all(PODS):
            if not pod.get("status"):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                world.api.put(PODS, {**pod, "status": {"phase": "Running", "conditions": [ready]}})
        await world.settle()


def names(world):
    return [pod["metadata"]["name"] for pod in world.api.all(PODS)]


def images(world):
    return {pod["metadata"]["name"][-1]: pod["spec"]["containers"][0]["image"] for pod in world.api.all(PODS)}


def revisions(world):
    label = "controller-revision-hash"
    return {pod["metadata"]["name"][-1]: pod["metadata"]["labels"][label] for pod in world.api.all(PODS)}


async def change(world, **spec):
    current = world.api.get(STATEFUL_SETS, "db", "d")
    world.api.put(STATEFUL_SETS, {**current, "spec": {**current["spec"], **spec}})
    await world.settle()


async def set_image(world, image):
    current = world.api.get(STATEFUL_SETS, "db", "d")
    current["spec"]["template"]["spec"]["containers"][0]["image"] = image
    world.api.put(STATEFUL_SETS, current)
    await world.settle()


async def test_one_after_the_other_and_back(world):
    world.api.put(STATEFUL_SETS, stateful())
    async with world.running(StatefulSetController):
        assert names(world) == ["db-0"]
        await start(world)
        assert names(world) == ["db-0", "db-1"]
        await start(world, 3)
        assert names(world) == ["db-0", "db-1", "db-2"]
        status = world.api.get(STATEFUL_SETS, "db", "d")["status"]
        assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (3, 3, 3)
        assert status["currentRevision"] == status["updateRevision"]
        await change(world, replicas=1)
        assert names(world) == ["db-0"]


async def test_identity_and_claims(world):
    template = {"metadata": {"name": "data"}, "spec": {"resources": {}}}
    world.api.put(STATEFUL_SETS, stateful(1, volumeClaimTemplates=[template]))
    async with world.running(StatefulSetController):
        (pod,) = world.api.all(PODS)
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")
        assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
        (claim,) = world.api.all(PERSISTENT_VOLUME_CLAIMS)
        assert claim["metadata"]["name"] == "data-db-0"
        assert pod["spec"]["volumes"] == [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
        ]
        world.api.remove(PODS, "db-0", "d")
        await world.settle()
        assert names(world) == ["db-0"]
        assert len(world.api.all(PERSISTENT_VOLUME_CLAIMS)) == 1


async def test_parallel_starts_all(world):
    world.api.put(STATEFUL_SETS, stateful(policy="Parallel"))
    async with world.running(StatefulSetController):
        assert len(names(world)) == 3


async def test_updates_go_from_the_top_one_at_a_time(world):
    world.api.put(STATEFUL_SETS, stateful())
    async with world.running(StatefulSetController):
        await start(world, 3)
        await set_image(world, "v2")
        assert images(world) == {"0": "v1", "1": "v1", "2": "v2"}
        # Pods bear the whole name of their revision: clients select them by what the status says.
        status = world.api.get(STATEFUL_SETS, "db", "d")["status"]
        old, new = status["currentRevision"], status["updateRevision"]
        assert revisions(world) == {"0": old, "1": old, "2": new}
        assert old != new
        stored = {
            item["metadata"]["name"]: item["metadata"]["labels"]
            for item in world.api.all(CONTROLLER_REVISIONS)
        }
        assert set(stored) == {old, new}
        for name, labels in stored.items():
            assert name == f"db-{labels['controller.kubernetes.io/hash']}"
        await start(world)
        assert images(world) == {"0": "v1", "1": "v2", "2": "v2"}
        await start(world, 2)
        assert set(images(world).values()) == {"v2"}
        status = world.api.get(STATEFUL_SETS, "db", "d")["status"]
        assert status["currentRevision"] == status["updateRevision"]


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({"partition": 2}, {"0": "v1", "1": "v1", "2": "v2"}),
        ({"partition": 2, "ordinals": {"start": 4}}, {"4": "v1", "5": "v1", "6": "v2"}),
        (
            {
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 3, "partition": 1},
                }
            },
            {"0": "v1", "1": "v2", "2": "v2"},
        ),
        ({"updateStrategy": {"type": "OnDelete"}}, {"0": "v1", "1": "v1", "2": "v1"}),
    ],
)
async def test_partition_and_on_delete(world, spec, after):
    world.api.put(STATEFUL_SETS, stateful(**spec))
    async with world.running(StatefulSetController):
        await start(world, 3)
        await set_image(world, "v2")
        await start(world, 3)
        assert images(world) == after


async def test_updates_are_one_at_a_time_whatever_may_be_unavailable(world):
    rolling = {"maxUnavailable": 3, "partition": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    world.api.put(STATEFUL_SETS, stateful(updateStrategy=strategy))
    async with world.running(StatefulSetController):
        await start(world, 3)
        await set_image(world, "v2")
        assert images(world) == {"0": "v1", "1": "v1", "2": "v2"}


async def test_an_update_waits_for_no_pod_below(world):
    world.api.put(STATEFUL_SETS, stateful(policy="Parallel"))
    async with world.running(StatefulSetController):
        await start(world, 3)
        lowest = next(pod for pod in world.api.all(PODS) if pod["metadata"]["name"] == "db-0")
        world.api.put(PODS, {**lowest, "status": {"phase": "Running", "conditions": []}})
        await world.settle()
        await set_image(world, "v2")
        assert images(world) == {"0": "v1", "1": "v1", "2": "v2"}


async def test_a_failed_pod_is_made_again(world):
    world.api.put(STATEFUL_SETS, stateful(1))
    async with world.running(StatefulSetController):
        (pod,) = world.api.all(PODS)
        world.api.put(PODS, {**pod, "status": {"phase": "Failed"}})
        await world.settle()
        (fresh,) = world.api.all(PODS)
        assert fresh["metadata"]["uid"] != pod["metadata"]["uid"]
        assert ("RecreatingFailedPod", "StatefulSet d/db is recreating failed Pod db-0") in world.events()


@pytest.mark.parametrize("lost", ["statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"])
async def test_a_pod_gets_back_what_says_which_it_is(world, lost):
    world.api.put(STATEFUL_SETS, stateful(1))
    async with world.running(StatefulSetController):
        await start(world)
        (pod,) = world.api.all(PODS)
        labels = {key: value for key, value in pod["metadata"]["labels"].items() if key != lost}
        world.api.put(PODS, {**pod, "metadata": {**pod["metadata"], "labels": labels}})
        await world.settle()
        (found,) = world.api.all(PODS)
        assert found["metadata"]["labels"] == pod["metadata"]["labels"]
        assert ("SuccessfulUpdate", "update Pod db-0 in StatefulSet db successful") in world.events()


@pytest.mark.parametrize(("phase", "made"), [("Pending", 1), ("Running", 0)])
async def test_a_pod_that_waits_gets_its_claim_again(world, phase, made):
    template = {"metadata": {"name": "data"}, "spec": {"resources": {}}}
    world.api.put(STATEFUL_SETS, stateful(1, volumeClaimTemplates=[template]))
    async with world.running(StatefulSetController):
        (pod,) = world.api.all(PODS)
        world.api.put(PODS, {**pod, "status": {"phase": phase}})
        world.api.remove(PERSISTENT_VOLUME_CLAIMS, "data-db-0", "d")
        await change(world, minReadySeconds=1)
        assert len(world.api.all(PERSISTENT_VOLUME_CLAIMS)) == made


async def test_a_revisions_name_that_is_taken(world, make_world):
    world.api.put(STATEFUL_SETS, stateful(1))
    async with world.running(StatefulSetController):
        (revision,) = world.api.all(CONTROLLER_REVISIONS)
    taken = make_world()
    alien = {
        **revision,
        "metadata": {"name": revision["metadata"]["name"], "namespace": "d"},
        "data": {"x": 1},
    }
    taken.api.put(CONTROLLER_REVISIONS, alien)
    taken.api.put(STATEFUL_SETS, stateful(1))
    async with taken.running(StatefulSetController):
        status = taken.api.get(STATEFUL_SETS, "db", "d")["status"]
        assert status["collisionCount"] == 1
        assert status["updateRevision"] != revision["metadata"]["name"]
        assert revisions(taken) == {"0": status["updateRevision"]}


async def test_a_pod_waits_until_the_claims_of_the_former_are_gone(world):
    """They go with it where the policy says so; one that is being deleted is told of."""
    template = {"metadata": {"name": "data"}, "spec": {"resources": {}}}
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    spec = {"volumeClaimTemplates": [template], "persistentVolumeClaimRetentionPolicy": policy}
    former = {"apiVersion": "v1", "kind": "Pod", "name": "db-0", "uid": "gone", "controller": True}
    meta = {"name": "data-db-0", "namespace": "d", "ownerReferences": [former]}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    world.api.put(PERSISTENT_VOLUME_CLAIMS, claim)
    world.api.put(STATEFUL_SETS, stateful(1, **spec))
    async with world.running(StatefulSetController):
        assert names(world) == []
        leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}
        world.api.put(
            PERSISTENT_VOLUME_CLAIMS,
            {**claim, "metadata": {"name": "data-db-0", "namespace": "d", **leaving}},
        )
        await world.advance(1)
        assert names(world) == []
        text = "create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"
        assert ("FailedCreate", text) in world.events()
        world.api.remove(PERSISTENT_VOLUME_CLAIMS, "data-db-0", "d")
        for _ in range(4):
            await world.advance(10)
        assert names(world) == ["db-0"]
        assert len(world.api.all(PERSISTENT_VOLUME_CLAIMS)) == 1


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, (1, 1, 1, 0)),
        (
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Failed"}},
            (1, 0, 0, 0),
        ),
        ({"status": {"phase": "Pending"}}, (1, 0, 0, 1)),
    ],
)
async def test_counts(world, changes, counts):
    """Pods that leave are ready and available as long as they are; failed ones are there."""
    world.api.put(STATEFUL_SETS, stateful(1))
    async with world.running(StatefulSetController):
        await start(world)
        (pod,) = world.api.all(PODS)
        held = {**pod["metadata"], "finalizers": ["x/y"], **changes.get("metadata", {})}
        world.api.put(PODS, {**pod, "metadata": held, "status": changes.get("status", pod["status"])})
        await world.settle()
        status = world.api.get(STATEFUL_SETS, "db", "d")["status"]
        keys = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        assert tuple(status.get(key, 0) for key in keys) == counts


async def test_the_revisions_of_a_set_that_was_deleted_alone_are_taken_over(world):
    """So its successor knows what the pods below a partition are of."""
    world.api.put(STATEFUL_SETS, stateful(policy="Parallel"))
    async with world.running(StatefulSetController):
        await start(world)
        world.api.remove(STATEFUL_SETS, "db", "d")
        for gvr in (PODS, CONTROLLER_REVISIONS):
            for child in world.api.all(gvr):
                world.api.put(gvr, {**child, "metadata": {**child["metadata"], "ownerReferences": []}})
        world.api.put(STATEFUL_SETS, stateful(policy="Parallel", partition=2))
        await world.settle()
        await set_image(world, "v2")
        await start(world)
        assert images(world) == {"0": "v1", "1": "v1", "2": "v2"}
        owner = world.api.get(STATEFUL_SETS, "db", "d")["metadata"]["uid"]
        found = world.api.all(CONTROLLER_REVISIONS)
        assert [item["metadata"]["ownerReferences"][0]["uid"] for item in found] == [owner, owner]
        assert sorted(item["revision"] for item in found) == [1, 2]
        world.api.remove(PODS, "db-0", "d")
        await start(world, 2)
        assert images(world) == {"0": "v1", "1": "v1", "2": "v2"}
