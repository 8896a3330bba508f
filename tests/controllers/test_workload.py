"""What every controller of owned objects does alike, shown on each of them."""

import orjson
import pytest

from tiphys.apimachinery.errors import Forbidden, ServiceUnavailable
from tiphys.client.kinds import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.replicationcontroller.controller import ReplicationControllerController
from tiphys.controllers.statefulset.controller import StatefulSetController

LABELS = {"app": "web"}
OF_PODS = [
    pytest.param(DAEMON_SETS, DaemonSetController, id="DaemonSet"),
    pytest.param(JOBS, JobController, id="Job"),
    pytest.param(REPLICA_SETS, ReplicaSetController, id="ReplicaSet"),
    pytest.param(REPLICATION_CONTROLLERS, ReplicationControllerController, id="ReplicationController"),
    pytest.param(STATEFUL_SETS, StatefulSetController, id="StatefulSet"),
]
ALL = [*OF_PODS, pytest.param(DEPLOYMENTS, DeploymentController, id="Deployment")]


def owner_of(gvr, kind):
    selector = LABELS if gvr == REPLICATION_CONTROLLERS else {"matchLabels": LABELS}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": selector, "template": template, "replicas": 1, "updateStrategy": {"type": "OnDelete"}}
    spec |= {"parallelism": 1, "completions": 1, "backoffLimit": 6, "serviceName": "web"}
    if gvr == DEPLOYMENTS:
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        spec |= {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    meta = {"name": "web", "namespace": "d", "generation": 1}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}


@pytest.fixture
def node(world):
    ready = [{"type": "Ready", "status": "True"}]
    world.api.put(NODES, {"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": ready}})


def refuse(causes):
    def reactor(request):
        if request.method == "POST" and not request.path.endswith(("/events", "/controllerrevisions")):
            return Forbidden("no", details={"causes": causes})
        return None

    return reactor


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("gvr", "controller"), ALL)
async def test_a_namespace_that_is_leaving_is_no_news(world, gvr, controller):
    world.api.reactors.append(refuse([{"reason": "NamespaceTerminating"}]))
    world.api.put(gvr, owner_of(gvr, controller.kind))
    async with world.running(controller):
        assert any(call[0] == "POST" for call in world.api.calls)
        assert not [event for event in world.events() if "Fail" in event[0] or "Error" in event[0]]


@pytest.mark.parametrize("controller", [ReplicaSetController, JobController])
async def test_a_namespace_that_is_leaving_is_asked_for_one_pod_not_for_all(world, controller):
    world.api.reactors.append(refuse([{"reason": "NamespaceTerminating"}]))
    owner = owner_of(controller.gvr, controller.kind)
    owner["spec"] |= {"replicas": 40, "parallelism": 40, "completions": 40}
    world.api.put(controller.gvr, owner)
    async with world.running(controller):
        assert world.api.calls.count(("POST", "/api/v1/namespaces/d/pods")) <= 2


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("gvr", "controller"), ALL)
async def test_any_other_refusal_is_told(world, gvr, controller):
    world.api.reactors.append(refuse([]))
    world.api.put(gvr, owner_of(gvr, controller.kind))
    async with world.running(controller):
        failures = [
            event for event in world.events() if event[0] in ("FailedCreate", "ReplicaSetCreateError")
        ]
        assert failures
        assert all(message.endswith(": no") for _, message in failures)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("gvr", "controller"), OF_PODS)
async def test_an_orphan_that_appears_later_is_adopted(world, gvr, controller):
    world.api.put(gvr, owner_of(gvr, controller.kind))
    async with world.running(controller):
        meta = {"name": "stray", "namespace": "d", "labels": LABELS}
        world.api.put(PODS, {"kind": "Pod", "metadata": meta, "spec": {"containers": []}})
        await world.settle()
        found = [pod for pod in world.api.all(PODS) if pod["metadata"]["name"] == "stray"]
        refs = [ref for pod in found for ref in pod["metadata"].get("ownerReferences") or ()]
        # Taken, and then perhaps deleted as one too many.
        assert refs or not found


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("gvr", "controller"), ALL)
async def test_a_second_look_writes_nothing(world, gvr, controller):
    world.api.put(gvr, owner_of(gvr, controller.kind))
    async with world.running(controller):
        before = world.api.writes()
        world.controllers[0].queue.add("d/web")
        await world.settle()
        assert world.api.writes() == before


class LostAnswer:
    """The first pod is made, but who asked for it is told of an error, and the watches fall behind."""

    def __init__(self, api):
        self._api = api
        self.given = False

    def __call__(self, request):
        if self.given or request.method != "POST" or not request.path.endswith("/pods"):
            return None
        self.given = True
        self._api.hold_watches()
        pod = orjson.loads(request.body)
        pod["metadata"].setdefault("name", "made-all-the-same")
        self._api.put(PODS, pod)
        return ServiceUnavailable("away")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("gvr", "controller"), OF_PODS)
async def test_a_creation_without_an_answer_is_not_repeated(world, gvr, controller):
    lost = LostAnswer(world.api)
    world.api.reactors.append(lost)
    world.api.put(gvr, owner_of(gvr, controller.kind))
    async with world.running(controller):
        assert lost.given
        assert len(world.api.all(PODS)) == 1
        world.api.release_watches()
        await world.advance(60)
        assert len(world.api.all(PODS)) == 1
