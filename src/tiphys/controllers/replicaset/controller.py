"""Keeps each ReplicaSet's number of pods: claims, creates, deletes, counts. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, controller_of
from tiphys.client.kinds import REPLICA_SETS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.metrics import DELETION_AGES
from tiphys.controllers.owned import BY_CONTROLLER, index_owned, slow_start
from tiphys.controllers.podtemplate import pod_from_template
from tiphys.controllers.replicaset.plan import Plan, age_ratios, plan, plan_status, recheck_s
from tiphys.controllers.workload import WorkloadController


class ReplicaSetController(WorkloadController):
    """One for ReplicaSets; ReplicationController reuses it with its own kind and selector."""

    gvr = REPLICA_SETS
    kind: ClassVar[str] = "ReplicaSet"
    name: ClassVar[str] = "replicaset-controller"
    account: ClassVar[str] = "replicaset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        index_owned(self._owners)

    async def reconcile(self, key: str) -> float | None:
        """The status is kept up even while the cache has not caught up; pods are not made or deleted then."""
        owner = self._owners.get(key)
        if owner is None:
            await self._gone(key)
            return None
        return await self.look(key, owner)

    async def look(self, key: str, owner: Object) -> float | None:
        shown = await self._shows_children(key, owner)
        pods = await self._claim(owner)
        failure: StatusError | None = None
        planned = Plan()
        if shown:
            now = self._clock.now()
            planned = plan(owner, pods, self._related(owner, pods), now)
            for ratio in age_ratios(pods, planned.delete, now):
                DELETION_AGES.labels().observe(ratio)
            try:
                await self._apply(key, owner, planned)
            except StatusError as error:
                failure = error
        await self._keep_status(
            key, owner, pods, failure, "FailedDelete" if planned.delete else "FailedCreate"
        )
        if failure is not None:
            raise failure
        return recheck_s(owner, pods, self._clock.now())

    def _related(self, owner: Object, pods: list[Object]) -> list[Object]:
        """Pods of all replica sets of the same controller: a rollout's crowd on a node counts whole."""
        ref = controller_of(owner)
        if ref is None:
            return pods
        siblings = [item["metadata"]["uid"] for item in self._owners.by_index(BY_CONTROLLER, ref["uid"])]
        return [pod for uid in siblings for pod in self._owned.by_index(BY_CONTROLLER, uid)]

    async def _apply(self, key: str, owner: Object, planned: Plan) -> None:
        if planned.create:

            async def create(_index: int) -> bool:
                pod = pod_from_template(owner["spec"]["template"], owner)
                return await self._create_child(key, owner, pod) is not None

            await slow_start(planned.create, create)
        elif planned.delete:
            results = await asyncio.gather(
                *(self._delete_child(key, owner, pod) for pod in planned.delete), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _keep_status(
        self, key: str, owner: Object, pods: list[Object], failure: StatusError | None, failed_on: str
    ) -> None:
        if podstate.is_deleting(owner) and not owner["metadata"].get("finalizers"):
            return
        if not self._shows_owner(key):
            return  # it would only meet a conflict; our last write's event brings the key back
        text = failure.message if failure is not None else ""
        await self._write_status(key, owner, plan_status(owner, pods, self._clock.now(), text, failed_on))
