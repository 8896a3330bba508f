"""The ReplicaSet loop on the fake API."""

import orjson
import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.client.kinds import PODS, REPLICA_SETS
from tiphys.controllers.replicaset.controller import ReplicaSetController


def rs(replicas=3):
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c"}]}},
        },
    }


def orphan(name, labels):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {},
        "status": {"phase": "Running"},
    }


async def test_it_makes_exactly_the_pods_wanted_and_tells(world):
    owner = world.api.put(REPLICA_SETS, rs())
    async with world.running(ReplicaSetController):
        pods = world.api.all(PODS)
        assert len(pods) == 3
        assert pods[0]["metadata"]["ownerReferences"][0] == {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        assert world.api.get(REPLICA_SETS, "web", "default")["status"]["replicas"] == 3
        names = {pod["metadata"]["name"] for pod in pods}
        assert set(world.events()) == {("SuccessfulCreate", f"Created pod: {name}") for name in names}


async def test_a_status_is_never_written_over_one_that_the_cache_does_not_show_yet(world):
    """Each would be a conflict: a request for nothing, and a key that waits for its backoff."""
    stale = []

    def watch(request):
        if request.method == "PUT" and request.path.endswith("/replicasets/web/status"):
            now = world.api.get(REPLICA_SETS, "web", "default")["metadata"]["resourceVersion"]
            stale.append(orjson.loads(request.body)["metadata"]["resourceVersion"] != now)

    world.api.reactors.append(watch)
    world.api.put(REPLICA_SETS, rs(40))
    async with world.running(ReplicaSetController):
        assert world.api.get(REPLICA_SETS, "web", "default")["status"]["replicas"] == 40
        assert set(stale) == {False}


async def test_a_second_look_writes_nothing(world):
    world.api.put(REPLICA_SETS, rs())
    async with world.running(ReplicaSetController):
        before = len(world.api.writes())
        world.controllers[0].queue.add("default/web")
        await world.settle()
        assert len(world.api.writes()) == before


async def test_scaling_down_deletes_and_lost_pods_are_replaced(world):
    world.api.put(REPLICA_SETS, rs())
    async with world.running(ReplicaSetController):
        world.api.remove(PODS, world.api.all(PODS)[0]["metadata"]["name"], "default")
        await world.settle()
        assert len(world.api.all(PODS)) == 3
        current = world.api.get(REPLICA_SETS, "web", "default")
        world.api.put(REPLICA_SETS, {**current, "spec": {**current["spec"], "replicas": 1}})
        await world.settle()
        assert len(world.api.all(PODS)) == 1
        assert world.api.get(REPLICA_SETS, "web", "default")["status"]["replicas"] == 1


async def test_matching_orphans_are_adopted_and_strays_released(world):
    world.api.put(REPLICA_SETS, rs(1))
    world.api.put(PODS, orphan("mine", {"app": "web"}))
    world.api.put(PODS, orphan("other", {"app": "db"}))
    async with world.running(ReplicaSetController):
        assert len(world.api.all(PODS)) == 2
        mine = world.api.get(PODS, "mine", "default")
        assert mine["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
        mine["metadata"]["labels"] = {"app": "debug"}
        world.api.put(PODS, mine)
        await world.settle()
        assert world.api.get(PODS, "mine", "default")["metadata"]["ownerReferences"] == []
        assert len(world.api.all(PODS)) == 3


async def test_a_refusal_is_told_and_asked_again_gently(world):
    def refuse(request):
        if request.method == "POST" and request.path.endswith("/pods"):
            return Forbidden("no quota left")
        return None

    world.api.reactors.append(refuse)
    world.api.put(REPLICA_SETS, rs(100))
    async with world.running(ReplicaSetController):
        condition = world.api.get(REPLICA_SETS, "web", "default")["status"]["conditions"][0]
        assert (condition["reason"], condition["message"]) == ("FailedCreate", "no quota left")
        assert ("FailedCreate", "Error creating: no quota left") in world.events()
        asked = sum(call[0] == "POST" and call[1].endswith("/pods") for call in world.api.calls)
        assert asked < 20
        world.api.reactors.clear()
        await world.advance(1000)
        assert len(world.api.all(PODS)) == 100
        assert "conditions" not in world.api.get(REPLICA_SETS, "web", "default")["status"]


@pytest.mark.parametrize("min_ready_s", [0, 30])
async def test_ready_pods_become_available_in_time(world, min_ready_s):
    owner = rs(1)
    owner["spec"]["minReadySeconds"] = min_ready_s
    world.api.put(REPLICA_SETS, owner)
    async with world.running(ReplicaSetController):
        (pod,) = world.api.all(PODS)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}
        world.api.put(PODS, {**pod, "status": {"phase": "Running", "conditions": [ready]}})
        await world.settle()
        status = world.api.get(REPLICA_SETS, "web", "default")["status"]
        assert (status["readyReplicas"], status.get("availableReplicas")) == (1, None if min_ready_s else 1)
        await world.advance(60)
        assert world.api.get(REPLICA_SETS, "web", "default")["status"]["availableReplicas"] == 1
