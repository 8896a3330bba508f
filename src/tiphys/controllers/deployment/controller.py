"""Rolls deployments out: applies one plan at a time and waits for the cache to show it."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, NotFound, StatusError
from tiphys.apimachinery.meta import Object, controller_of
from tiphys.client.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from tiphys.controllers import conditions, podstate
from tiphys.controllers.context import Context
from tiphys.controllers.deployment.plan import Plan, Resize, plan
from tiphys.controllers.deployment.progress import has_deadline
from tiphys.controllers.deployment.revisions import replicas_of, split
from tiphys.controllers.owned import (
    BY_CONTROLLER,
    index_owned,
)
from tiphys.controllers.podtemplate import same_template, without_hash
from tiphys.controllers.workload import WorkloadController, is_namespace_leaving


class DeploymentController(WorkloadController):
    """Watches Deployments, their ReplicaSets, and (for Recreate) the end of their pods."""

    gvr = DEPLOYMENTS
    kind = "Deployment"
    children = REPLICA_SETS
    name = "deployment-controller"
    account = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = self._follow(PODS)
        index_owned(self._pods)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Only the last pod's end matters, and only to Recreate."""
        if old is None or (new is not None and not podstate.is_terminal(new)):
            return
        ref = controller_of(old)
        if ref is not None and ref.get("kind") == "ReplicaSet":
            self._add_owner_of(self._owned.get(f"{old['metadata']['namespace']}/{ref['name']}"))

    async def look(self, key: str, owner: Object) -> float | None:
        sets = await self._claim(owner)
        planned = plan(owner, sets, self._clock.now(), old_pods_running=self._old_pods(owner, sets))
        deployment = await self._apply(key, owner, planned)
        await self._write_status(key, deployment, planned.status)
        return planned.recheck_s

    def _old_pods(self, deployment: Object, sets: list[Object]) -> bool:
        _, olds = split(deployment, sets)
        return any((rs.get("status") or {}).get("replicas") for rs in olds) or any(
            not podstate.is_terminal(pod)
            for rs in olds
            for pod in self._pods.by_index(BY_CONTROLLER, rs["metadata"]["uid"])
        )

    async def _apply(self, key: str, deployment: Object, planned: Plan) -> Object:
        """Write the plan and return the deployment as it is afterwards."""
        if planned.annotations:
            meta = deployment["metadata"]
            annotations = {**(meta.get("annotations") or {}), **planned.annotations}
            annotated = {**deployment, "metadata": {**meta, "annotations": annotations}}
            # Beside the status, so that it is no change of what is wanted.
            deployment = await self._client.update(DEPLOYMENTS, annotated, "status")
        if planned.create is not None:
            await self._create(key, deployment, planned.create)
        for item in planned.resize:
            await self._resize(key, deployment, item)
        for rs in planned.delete:
            try:
                await self._client.delete(
                    REPLICA_SETS,
                    rs["metadata"]["name"],
                    rs["metadata"]["namespace"],
                    uid=rs["metadata"]["uid"],
                )
            except NotFound:
                continue
        return deployment

    async def _create(self, key: str, deployment: Object, wanted: Object) -> None:
        try:
            stored = await self._client.create(REPLICA_SETS, wanted)
        except AlreadyExists:
            await self._take_or_collide(key, deployment, wanted)
            return
        except StatusError as error:
            if is_namespace_leaving(error):
                return
            name = wanted["metadata"]["name"]
            message = f'Failed to create new replica set "{name}": {error.message}'
            self._recorder.record(deployment, "Warning", "ReplicaSetCreateError", message)
            await self._note_failure(deployment, message)
            raise
        self._writes.wrote(key, stored)
        if replicas_of(stored) > 0:
            self._tell_scaled(deployment, stored, 0)

    async def _take_or_collide(self, key: str, deployment: Object, wanted: Object) -> None:
        """The name is taken: by our own earlier write, or by another template with the same hash."""
        meta = wanted["metadata"]
        found = await self._client.get(REPLICA_SETS, meta["name"], meta["namespace"])
        ref = controller_of(found)
        templates = [without_hash(rs["spec"]["template"]) for rs in (found, wanted)]
        same = same_template(*templates)
        if ref is not None and ref["uid"] == deployment["metadata"]["uid"] and same:
            self._writes.wrote(key, found)
            return
        await self._collide(key, deployment)
        raise AlreadyExists.of("apps", "replicasets", meta["name"])

    async def _note_failure(self, deployment: Object, message: str) -> None:
        if not has_deadline(deployment):
            return
        status = dict(deployment.get("status") or {})
        condition = conditions.make(
            "Progressing", "False", "ReplicaSetCreateError", message, self._clock.now(), updated=True
        )
        status["conditions"] = conditions.put_last(status.get("conditions") or [], condition)
        await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")

    async def _resize(self, key: str, deployment: Object, item: Resize) -> None:
        stored = await self._client.update(REPLICA_SETS, item.desired)
        self._writes.wrote(key, stored)
        if item.after != item.before:
            self._tell_scaled(deployment, stored, item.before)

    def _tell_scaled(self, deployment: Object, rs: Object, before: int) -> None:
        after = replicas_of(rs)
        word = "up" if after > before else "down"
        message = f"Scaled {word} replica set {rs['metadata']['name']} from {before} to {after}"
        self._recorder.record(deployment, "Normal", "ScalingReplicaSet", message)
