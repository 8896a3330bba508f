"""Takes back what a pod was told of its end, when nobody ends it for two minutes.

Who evicts a pod says so first (``DisruptionTarget``) and deletes it then; between the two it may fail or die.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, get_condition, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PODS
from tiphys.controllers import podstate
from tiphys.controllers.context import Context

_BELIEVED_S = 120
_BY_KUBELET = "TerminationByKubelet"
"""The kubelet ends a pod before anybody deletes it, and may take its time."""


def stale_in_s(pod: Object, now: datetime) -> float | None:
    """Seconds until a pod's announced end is not believed any more; None without one. Pure."""
    if podstate.is_deleting(pod) or podstate.is_terminal(pod):
        return None
    told = get_condition(pod, "DisruptionTarget")
    if told is None or told.get("status") != "True" or told.get("reason") == _BY_KUBELET:
        return None
    since = parse_time(told["lastTransitionTime"]) if told.get("lastTransitionTime") else now
    return (since + timedelta(seconds=_BELIEVED_S) - now).total_seconds()


class StaleDisruptions:
    """A key is a pod's. Part of the disruption controller."""

    def __init__(self, context: Context, name: str = "disruption-controller") -> None:
        self._client = context.client
        self._clock = context.clock
        self._name = f"{name}-stale"
        self.queue = context.queue(self._name)
        self._pods = context.informers.get(PODS)
        self._pods.add_handler(self._changed)

    async def run(self) -> None:
        await self._pods.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self._name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and stale_in_s(new, self._clock.now()) is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        """Write the condition off once it is stale; return the seconds until then."""
        pod = self._pods.get(key)
        left_s = stale_in_s(pod, self._clock.now()) if pod is not None else None
        if pod is None or left_s is None:
            return None
        if left_s > 0:
            return left_s
        meta = pod["metadata"]
        found = [
            {"type": one["type"], "status": "False", "lastTransitionTime": rfc3339(self._clock.now())}
            if one.get("type") == "DisruptionTarget"
            else one
            for one in pod["status"]["conditions"]
        ]
        patch = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            "status": {"conditions": found},
        }
        try:
            await self._client.patch(PODS, meta["name"], meta["namespace"], patch, subresource="status")
        except (NotFound, Conflict):
            return None  # its next event brings it back
        return None
