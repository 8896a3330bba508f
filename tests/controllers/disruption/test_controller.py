"""A budget's status follows its pods."""

import pytest

from tiphys.client.kinds import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from tiphys.controllers.disruption.controller import DisruptionController


async def test_the_controllers_wish_is_what_is_expected(world):
    meta = {"name": "web", "namespace": "d", "uid": "rs"}
    world.api.put(
        REPLICA_SETS,
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": {"replicas": 3}},
    )
    ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}
    for name in ("a", "b"):
        world.api.put(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": "d",
                    "labels": {"app": "web"},
                    "ownerReferences": [ref],
                },
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            },
        )
    world.api.put(
        POD_DISRUPTION_BUDGETS,
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b", "namespace": "d", "generation": 1},
            "spec": {"maxUnavailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        },
    )
    async with world.running(DisruptionController):
        status = world.api.get(POD_DISRUPTION_BUDGETS, "b", "d")["status"]
        assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (3, 1, 1)
        world.api.remove(PODS, "a", "d")
        await world.settle()
        assert world.api.get(POD_DISRUPTION_BUDGETS, "b", "d")["status"]["disruptionsAllowed"] == 0


def budget(**spec):
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": "d", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


def owned_pod(pod="a", **ref):
    owner = {"apiVersion": "boats.example/v1", "kind": "Fleet", "name": "web", "uid": "f", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod, "namespace": "d", "labels": {"app": "web"}, "ownerReferences": [{**owner, **ref}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def serve_fleets(world, *more, uid="f"):
    resources = [{"name": "fleets", "kind": "Fleet", "namespaced": True, "verbs": ["get"]}]
    resources += [{"name": name, "kind": "Scale", "namespaced": True, "verbs": ["get"]} for name in more]
    world.api.discovery["/apis/boats.example/v1"] = {"kind": "APIResourceList", "resources": resources}
    scale = {"kind": "Scale", "metadata": {"name": "web", "uid": uid}, "spec": {"replicas": 4}}
    world.api.discovery["/apis/boats.example/v1/namespaces/d/fleets/web/scale"] = scale


async def test_custom_kinds_are_asked_for_their_scale(world):
    serve_fleets(world, "fleets/scale")
    for name in ("a", "b", "c"):
        world.api.put(PODS, owned_pod(name))
    world.api.put(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=2))
    async with world.running(DisruptionController):
        status = world.api.get(POD_DISRUPTION_BUDGETS, "b", "d")["status"]
        assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 2, 1)
        asked = [path for _, path in world.api.calls if path.endswith("/scale")]
        assert len(asked) == 2, "once a look (its own write brings the second), not once a pod"


UNKNOWN = 'no matches for kind "Ship" in version "boats.example/v1"'


@pytest.mark.parametrize(
    ("served", "ref", "message"),
    [
        pytest.param(["fleets/scale"], {"kind": "Ship"}, UNKNOWN, id="no such kind"),
        pytest.param([], {}, "fleets.boats.example does not implement the scale subresource", id="no scale"),
        pytest.param(
            ["fleets/scale"], {"uid": "other"}, 'found no controllers for pod "a"', id="another of its name"
        ),
        pytest.param(["fleets/scale"], {"name": "gone"}, 'found no controllers for pod "a"', id="it is gone"),
    ],
)
async def test_a_wish_that_cannot_be_read_lets_nothing_go(world, served, ref, message):
    serve_fleets(world, *served)
    world.api.put(PODS, owned_pod(**ref))
    world.api.put(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
    async with world.running(DisruptionController):
        status = world.api.get(POD_DISRUPTION_BUDGETS, "b", "d")["status"]
        told = [(one["status"], one["reason"], one["message"]) for one in status["conditions"]]
        assert (status["disruptionsAllowed"], told) == (0, [("False", "SyncFailed", message)])
        text = f"Failed to calculate the number of expected pods: {message}"
        assert ("CalculateExpectedPodCountFailed", text) in world.events()


async def test_a_number_of_pods_asks_nobody(world):
    world.api.put(PODS, owned_pod(kind="Ship"))
    world.api.put(POD_DISRUPTION_BUDGETS, budget(minAvailable=0))
    async with world.running(DisruptionController):
        assert world.api.get(POD_DISRUPTION_BUDGETS, "b", "d")["status"]["disruptionsAllowed"] == 1


async def test_a_pod_that_several_budgets_guard_is_told_of(world):
    for name in ("one", "two"):
        guard = budget(minAvailable=0)
        world.api.put(POD_DISRUPTION_BUDGETS, {**guard, "metadata": {**guard["metadata"], "name": name}})
    async with world.running(DisruptionController):
        pod = owned_pod("a")
        del pod["metadata"]["ownerReferences"]
        world.api.put(PODS, pod)
        await world.settle()
    text = 'Pod "d"/"a" matches multiple PodDisruptionBudgets. Chose "one" arbitrarily.'
    assert world.events().count(("MultiplePodDisruptionBudgets", text)) == 1
