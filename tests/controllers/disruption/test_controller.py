"""A budget's status follows its pods."""

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
