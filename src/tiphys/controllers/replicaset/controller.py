"""Keeps each ReplicaSet's number of pods: claims, creates, deletes, counts. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import Forbidden, NotFound, StatusError
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import GVR, Object, controller_of, object_key, split_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PODS, REPLICA_SETS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context
from tiphys.controllers.owned import (
    Writes,
    apply_claims,
    candidates,
    index_owned,
    plan_claims,
    slow_start,
)
from tiphys.controllers.podtemplate import pod_from_template
from tiphys.controllers.replicaset.plan import Plan, plan, plan_status, recheck_s


class ReplicaSetController:
    """One for ReplicaSets; ReplicationController reuses it with its own kind and selector."""

    gvr: GVR = REPLICA_SETS
    kind = "ReplicaSet"
    name = "replicaset-controller"
    account = "replicaset-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._workers = context.options.workers
        self._recorder = context.recorder(self.name)
        self.queue = context.queue(self.name)
        self._owners = context.informers.get(self.gvr)
        self._pods = context.informers.get(PODS)
        index_owned(self._pods)
        self._owners.add_index("uid", lambda obj: [obj["metadata"]["uid"]])
        self._writes = Writes(self._pods, context.clock)
        self._owners.add_handler(self._owner_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._owners.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=self._workers, name=self.name)

    def _selector(self, owner: Object) -> Object:
        selector: Object = owner["spec"].get("selector") or {}
        return selector

    def _owner_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None:
            return
        if new is None:
            self._writes.forget(object_key(obj))
        self.queue.add(object_key(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            ref = controller_of(pod) if pod else None
            if pod and ref and ref.get("kind") == self.kind:
                self.queue.add(f"{pod['metadata']['namespace']}/{ref['name']}")
        if new is not None and controller_of(new) is None:
            for owner in self._owners.list(new["metadata"]["namespace"]):
                if from_label_selector(self._selector(owner)).matches(new["metadata"].get("labels") or {}):
                    self.queue.add(object_key(owner))

    async def reconcile(self, key: str) -> float | None:
        owner = self._owners.get(key)
        if owner is None:
            return None
        claims = plan_claims(owner, from_label_selector(self._selector(owner)), candidates(self._pods, owner))
        pods = await apply_claims(self._client, PODS, self.gvr, owner, claims)
        failure: StatusError | None = None
        planned = Plan()
        if self._writes.settled(key):
            planned = plan(owner, pods, self._related(owner, pods))
            try:
                await self._apply(key, owner, planned)
            except StatusError as error:
                failure = error
        await self._write_status(owner, pods, failure, "FailedDelete" if planned.delete else "FailedCreate")
        if failure is not None:
            raise failure
        return recheck_s(owner, pods, self._clock.now())

    def _related(self, owner: Object, pods: list[Object]) -> list[Object]:
        """Pods of all replica sets of the same controller: a rollout's crowd on a node counts whole."""
        ref = controller_of(owner)
        if ref is None:
            return pods
        siblings = [
            item["metadata"]["uid"]
            for item in self._owners.list(owner["metadata"]["namespace"])
            if (controller_of(item) or {}).get("uid") == ref["uid"]
        ]
        return [pod for uid in siblings for pod in self._pods.by_index("controller", uid)]

    async def _apply(self, key: str, owner: Object, planned: Plan) -> None:
        if planned.create:

            async def create(_index: int) -> None:
                await self._create(key, owner)

            await slow_start(planned.create, create)
        elif planned.delete:
            results = await asyncio.gather(
                *(self._delete(key, owner, pod) for pod in planned.delete), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _create(self, key: str, owner: Object) -> None:
        try:
            stored = await self._client.create(PODS, pod_from_template(owner["spec"]["template"], owner))
        except StatusError as error:
            if isinstance(error, Forbidden) and _terminating(error):
                return  # the namespace is on its way out: nothing to retry, nothing to tell
            self._recorder.record(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._writes.wrote(key, stored)
        name = stored["metadata"]["name"]
        self._recorder.record(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")

    async def _delete(self, key: str, owner: Object, pod: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        try:
            await self._client.delete(PODS, name, namespace, uid=pod["metadata"]["uid"])
        except NotFound:
            return
        except StatusError as error:
            self._recorder.record(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._writes.deleted(key, pod)
        self._recorder.record(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _write_status(
        self, owner: Object, pods: list[Object], failure: StatusError | None, failed_on: str
    ) -> None:
        text = failure.message if failure is not None else ""
        status = plan_status(owner, pods, self._clock.now(), text, failed_on)
        if status == (owner.get("status") or {}):
            return
        if podstate.is_deleting(owner) and not owner["metadata"].get("finalizers"):
            return
        namespace, name = split_key(object_key(owner))
        updated = {**owner, "status": status, "metadata": {**owner["metadata"], "name": name}}
        updated["metadata"]["namespace"] = namespace
        await self._client.update(self.gvr, updated, "status")


def _terminating(error: Forbidden) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
