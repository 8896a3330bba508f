"""Lets a group of pods that is deleted go once no pod in it runs; admission gave it the finalizer."""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import POD_GROUPS, PODS
from tiphys.controllers.context import Context
from tiphys.controllers.podgroups.plan import groups_of, without_finalizer

_BY_GROUP = "pod-group"


class PodGroupProtectionController:
    """A key is a group's."""

    name = "podgroup-protection-controller"
    account = "podgroup-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._groups = context.informers.get(POD_GROUPS)
        self._pods = context.informers.get(PODS)
        self._pods.add_index(_BY_GROUP, groups_of)
        self._groups.add_handler(self._group_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._groups.wait_synced()
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _group_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and without_finalizer(new, used=False) is not None:
            self.queue.add(object_key(new))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None:
            return
        same = new is not None and new["metadata"]["uid"] == old["metadata"]["uid"]
        now = groups_of(new) if new is not None and same else []
        for key in groups_of(old):
            if key not in now:
                self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        group = self._groups.get(key)
        if group is None:
            return None
        kept = without_finalizer(group, used=bool(self._pods.by_index(_BY_GROUP, key)))
        if kept is not None:
            try:
                meta = {**group["metadata"], "finalizers": kept}
                await self._client.update(POD_GROUPS, {**group, "metadata": meta})
            except NotFound:
                pass
        return None
