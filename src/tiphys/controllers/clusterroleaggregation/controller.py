"""Fills the rules of aggregated ClusterRoles (admin, edit, view and everybody's own). Decides in ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CLUSTER_ROLES
from tiphys.controllers.clusterroleaggregation.plan import aggregated_rules
from tiphys.controllers.context import Context


class ClusterRoleAggregationController:
    """A key is a ClusterRole's."""

    name = "clusterrole-aggregation-controller"
    account = "clusterrole-aggregation-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._roles = context.informers.get(CLUSTER_ROLES)
        self._roles.add_handler(self._changed)

    async def run(self) -> None:
        await self._roles.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        # Any role may be gathered by any other; there are few that gather.
        for role in self._roles.list():
            if role.get("aggregationRule"):
                self.queue.add(role["metadata"]["name"])
        if new is not None and new.get("aggregationRule"):
            self.queue.add(new["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        role = self._roles.get(key)
        rules = aggregated_rules(role, self._roles.list()) if role else None
        if role is None or rules is None or rules == (role.get("rules") or []):
            return None
        applied = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": key},
            "rules": rules,
        }
        await self._client.patch(
            CLUSTER_ROLES, key, "", applied, type="apply", field_manager=self.name, force=True
        )
        return None
