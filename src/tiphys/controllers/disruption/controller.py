"""Keeps the status of PodDisruptionBudgets, which evictions are granted by. Decisions are in ``plan``."""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.errors import Conflict, StatusError
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object, controller_of, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from tiphys.controllers.context import Context
from tiphys.controllers.disruption.plan import counts_pods, events, failed_status, overdue, plan
from tiphys.controllers.disruption.scales import NoScale, Scales
from tiphys.controllers.disruption.stale import StaleDisruptions
from tiphys.controllers.selected import Selecting, index_labels, selected_by

_SCALED = {
    "ReplicaSet": REPLICA_SETS,
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
}


class DisruptionController:
    """A key is a budget's."""

    name = "disruption-controller"
    account = "disruption-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder("controllermanager")
        self.queue = context.queue(self.name)
        self._budgets = context.informers.get(POD_DISRUPTION_BUDGETS)
        self._pods = context.informers.get(PODS)
        self._owners = {kind: context.informers.get(gvr) for kind, gvr in _SCALED.items()}
        self._scales = Scales(context.client)
        self.stale = StaleDisruptions(context, self.name)
        index_labels(self._pods)
        self._selecting = Selecting(self._budgets, _selector)
        self._budgets.add_handler(self._budget_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._budgets, self._pods, *self._owners.values()):
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_controller(self.queue, self.reconcile, workers=1, name=self.name))
            group.create_task(self.stale.run())

    def _budget_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for budget in self._selecting.of_change(old, new):
            self.queue.add(object_key(budget))
        self._tell_budgets(new or old)

    def _tell_budgets(self, pod: Object | None) -> None:
        """Say of a pod that several budgets guard it: nobody may evict it then."""
        budgets = self._selecting.of(pod) if pod else []
        if pod and len(budgets) > 1:
            chosen = min(budget["metadata"]["name"] for budget in budgets)
            who = f'Pod "{pod["metadata"]["namespace"]}"/"{pod["metadata"]["name"]}"'
            text = f'{who} matches multiple PodDisruptionBudgets. Chose "{chosen}" arbitrarily.'
            self._recorder.record(pod, "Warning", "MultiplePodDisruptionBudgets", text)

    async def reconcile(self, key: str) -> float | None:
        budget = self._budgets.get(key)
        if budget is None:
            return None
        pods = selected_by(self._pods, budget["metadata"]["namespace"], _selector(budget))
        try:
            expected, unmanaged = (0, 0) if counts_pods(budget) else await self._expected(budget, pods)
        except Conflict:
            raise
        except (NoScale, StatusError) as error:
            await self._fail(budget, str(error))
            return None
        planned = plan(budget, pods, expected, self._clock.now())
        for event in events(budget, pods, unmanaged):
            self._recorder.record(budget, *event)
        namespace = budget["metadata"]["namespace"]
        for pod in overdue(budget, pods, self._clock.now()):
            text = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
            self._recorder.record(pod, "Warning", "NotDeleted", text)
        if planned.status != (budget.get("status") or {}):
            await self._client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": planned.status}, "status")
        return planned.recheck_s

    async def _fail(self, budget: Object, text: str) -> None:
        """Let nothing go while it cannot be said what is wanted."""
        message = f"Failed to calculate the number of expected pods: {text}"
        self._recorder.record(budget, "Warning", "CalculateExpectedPodCountFailed", message)
        status = failed_status(budget, text, self._clock.now())
        if status != (budget.get("status") or {}):
            await self._client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, "status")

    async def _expected(self, budget: Object, pods: list[Object]) -> tuple[int, int]:
        """Add up what the pods' controllers want, each once, and count the pods that have none.

        Raises NoScale, StatusError, TransportError.
        """
        wanted: dict[str, int] = {}
        unmanaged = 0
        for pod in pods:
            ref = controller_of(pod)
            if ref is None:
                unmanaged += 1
                continue
            if ref["uid"] in wanted:
                continue
            owner = self._top_owner(pod)
            if owner is not None:
                replicas = owner["spec"].get("replicas")
                wanted[owner["metadata"]["uid"]] = 1 if replicas is None else int(replicas)
                continue
            found = await self._scales.replicas(ref, pod["metadata"]["namespace"])
            if found is None:
                text = f'found no controllers for pod "{pod["metadata"]["name"]}"'
                self._recorder.record(budget, "Warning", "NoControllers", text)
                raise NoScale(text)
            wanted[ref["uid"]] = found
        return sum(wanted.values()), unmanaged

    def _top_owner(self, obj: Object) -> Object | None:
        found: Object | None = None
        current = obj
        while True:
            ref = controller_of(current)
            informer = self._owners.get(ref["kind"]) if ref and _is_built_in(ref) else None
            if ref is None or informer is None:
                return found
            owner = informer.get(f"{obj['metadata']['namespace']}/{ref['name']}")
            if owner is None or owner["metadata"]["uid"] != ref["uid"]:
                return found
            found = current = owner


def _is_built_in(ref: Object) -> bool:
    return ref.get("apiVersion") in ("apps/v1", "v1")


def _selector(budget: Object) -> Selector:
    return from_label_selector(budget["spec"].get("selector"))
