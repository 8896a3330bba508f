"""Writing what the scheduler says in the status of a pod."""

from __future__ import annotations

from typing import Any

from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.scheduler.podinfo import PodInfo


async def write_status(client: Client, info: PodInfo, status: dict[str, Any]) -> None:
    """Merge something into the status of this very pod, and of no later one of its name.

    Raises StatusError, TransportError.
    """
    patch = {"metadata": {"uid": info.uid}, "status": status}
    name = info.pod["metadata"]["name"]
    await client.patch(PODS, name, info.namespace, patch, type="strategic", subresource="status")
