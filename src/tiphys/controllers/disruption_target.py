"""Pods that a controller takes away: they are told why in a condition before they are deleted.

Called by the controllers that evict for taints. Source: "Pod disruption conditions".
"""

from __future__ import annotations

from datetime import datetime

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.controllers import conditions


async def disrupt(client: Client, pod: Object, reason: str, message: str, now: datetime) -> bool:
    """Set the condition DisruptionTarget and delete the pod; False: it, or that one of its name, is gone."""
    meta = pod["metadata"]
    condition = conditions.make("DisruptionTarget", "True", reason, message, now)
    found = conditions.put((pod.get("status") or {}).get("conditions") or [], condition)
    patch = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": found}}
    try:
        await client.patch(PODS, meta["name"], meta["namespace"], patch, subresource="status")
        await client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
    except StatusError as error:
        if error.target_gone:
            return False
        raise
    return True
