"""Deployments and replica sets together on the fake API, with a stand-in for the kubelet."""

from tiphys.client.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.replicaset.controller import ReplicaSetController


def deployment(replicas=3, image="v1", **spec):
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}},
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


async def run_pods(world):
    await world.settle()
    for _ in range(30):
        waiting = [pod for pod in world.api.all(PODS) if not pod.get("status")]
        for pod in waiting:
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            world.api.put(PODS, {**pod, "status": {"phase": "Running", "conditions": [ready]}})
        await world.settle()
        if not waiting:
            return


async def set_image(world, image):
    current = world.api.get(DEPLOYMENTS, "web", "default")
    current["spec"]["template"]["spec"]["containers"][0]["image"] = image
    current["metadata"]["generation"] += 1
    world.api.put(DEPLOYMENTS, current)
    await run_pods(world)


async def test_create_roll_and_tell(world):
    world.api.put(DEPLOYMENTS, deployment())
    async with world.running(DeploymentController, ReplicaSetController):
        await run_pods(world)
        status = world.api.get(DEPLOYMENTS, "web", "default")["status"]
        assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (3, 3, 3)
        (first,) = world.api.all(REPLICA_SETS)
        name = first["metadata"]["name"]
        assert ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 3") in world.events()
        await set_image(world, "v2")
        images = {pod["spec"]["containers"][0]["image"] for pod in world.api.all(PODS)}
        assert images == {"v2"}
        assert ("ScalingReplicaSet", f"Scaled down replica set {name} from 1 to 0") in world.events()
        found = world.api.get(DEPLOYMENTS, "web", "default")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


async def test_recreate_never_mixes_versions(world):
    world.api.put(DEPLOYMENTS, deployment(strategy={"type": "Recreate"}))
    async with world.running(DeploymentController, ReplicaSetController):
        await run_pods(world)
        await set_image(world, "v2")
        images = [pod["spec"]["containers"][0]["image"] for pod in world.api.all(PODS)]
        assert images == ["v2"] * 3


async def test_a_hash_collision_counts_and_moves_on(world):
    world.api.put(DEPLOYMENTS, deployment())
    async with world.running(DeploymentController):
        (made,) = world.api.all(REPLICA_SETS)
        current = world.api.get(DEPLOYMENTS, "web", "default")
        made["metadata"]["ownerReferences"] = []
        made["metadata"]["labels"] = {}
        made["spec"]["template"]["spec"] = {"containers": [{"image": "not ours"}]}
        world.api.put(REPLICA_SETS, made)
        await world.settle()
        current = world.api.get(DEPLOYMENTS, "web", "default")
        assert current["status"]["collisionCount"] == 1
        assert len(world.api.all(REPLICA_SETS)) == 2
