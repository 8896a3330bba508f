"""Writes why a pod waits (condition, event, promised node) and carries preemption out.

A shell around plans: it chooses nothing. Faults of single writes are logged; the next try writes anew.
Source: core/v1 PodCondition; upstream's reasons and messages of events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.clock import Clock, rfc3339
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, get_condition, split_key
from tiphys.client.events import EventRecorder
from tiphys.client.kinds import PODS, RESOURCE_CLAIMS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.scheduler.pod_status import write_status
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.preemption import VICTIM_REASON, Preemption

log = logging.getLogger(__name__)


def scheduler_of(pod: Object) -> str:
    """Return the name of the scheduler that the pod asks for."""
    return str(pod["spec"].get("schedulerName") or "default-scheduler")


class Reporter:
    """Speaks to the API server about pods that could not be placed, and to their victims."""

    def __init__(self, client: Client, recorders: Mapping[str, EventRecorder], clock: Clock) -> None:
        """``recorders`` by name of the profile: events come from the scheduler that a pod asked for."""
        self._client = client
        self._recorders = recorders
        self._clock = clock

    def scheduled(self, info: PodInfo, node: str) -> None:
        """Record that the pod has its node."""
        message = f"Successfully assigned {info.key} to {node}"
        self._recorder(info).record(info.pod, "Normal", "Scheduled", message, action="Binding")

    def _recorder(self, asked: PodInfo) -> EventRecorder:
        return self._recorders[scheduler_of(asked.pod)]

    async def unschedulable(
        self, info: PodInfo, message: str, nominated: str | None, why: str = "Unschedulable"
    ) -> None:
        """Write the condition and event; ``nominated`` None leaves the promised node as it is."""
        log.info("pod unschedulable pod=%s why=%s", info.key, message)
        self._recorder(info).record(info.pod, "Warning", "FailedScheduling", message, action="Scheduling")
        current = get_condition(info.pod, "PodScheduled") or {}
        status: dict[str, Any] = {}
        same = current.get("status") == "False" and current.get("reason") == why
        if not same or current.get("message") != message:
            since = current.get("lastTransitionTime") if current.get("status") == "False" else None
            condition = self._condition(info.pod, "PodScheduled", "False", message, since)
            status["conditions"] = [{**condition, "reason": why}]
        written = (info.pod.get("status") or {}).get("nominatedNodeName") or ""
        if nominated is not None and nominated != written:
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(info, status)

    async def withdraw_promise(self, info: PodInfo) -> None:
        """Take a promised node back from a pod that waits."""
        await self._patch_status(info, {"nominatedNodeName": None})

    async def deallocate(self, key: str) -> None:
        """Take a claim's devices back: it may get others, on a node that its pod can go to."""
        namespace, name = split_key(key)
        try:
            claim = await self._client.get(RESOURCE_CLAIMS, name, namespace)
            kept = {**(claim.get("status") or {})}
            kept.pop("allocation", None)
            kept.pop("reservedFor", None)
            await self._client.update(RESOURCE_CLAIMS, {**claim, "status": kept}, "status")
        except (NotFound, Conflict):
            return
        except (StatusError, TransportError) as error:
            log.warning("claim not deallocated claim=%s error=%s", key, error)

    async def preempt(self, info: PodInfo, preemption: Preemption) -> bool:
        """Delete the victims at once; False when one of them could not be deleted."""
        results = await asyncio.gather(
            *(self._evict(one, info, preemption.node) for one in preemption.victims)
        )
        return all(results)

    async def _evict(self, victim: PodInfo, info: PodInfo, node: str) -> bool:
        name = victim.pod["metadata"]["name"]
        if victim.pod["metadata"].get("deletionTimestamp"):
            return True
        message = f"{scheduler_of(info.pod)}: preempting to accommodate a higher priority pod"
        condition = self._condition(victim.pod, "DisruptionTarget", "True", message, None)
        condition["reason"] = VICTIM_REASON
        try:
            await write_status(self._client, victim, {"conditions": [condition]})
            await self._client.delete(PODS, name, victim.namespace, uid=victim.uid)
        except (StatusError, TransportError) as error:
            if isinstance(error, StatusError) and error.target_gone:
                return True  # or another pod has its name by now
            log.warning("victim not deleted pod=%s for=%s error=%s", victim.key, info.key, error)
            return False
        log.info("pod preempted pod=%s for=%s node=%s", victim.key, info.key, node)
        text = f"Preempted by pod {info.uid} on node {node}"
        self._recorder(info).record(
            victim.pod, "Normal", "Preempted", text, action="Preempting", related=info.pod
        )
        return True

    def _condition(
        self, pod: Object, type_: str, status: str, message: str, since: str | None
    ) -> dict[str, Any]:
        condition = {
            "type": type_,
            "status": status,
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or rfc3339(self._clock.now()),
        }
        generation = pod["metadata"].get("generation")
        return {**condition, "observedGeneration": generation} if generation else condition

    async def _patch_status(self, info: PodInfo, status: dict[str, Any]) -> None:
        try:
            await write_status(self._client, info, status)
        except (StatusError, TransportError) as error:
            if isinstance(error, StatusError) and error.target_gone:
                return
            log.warning("pod status not written pod=%s error=%s", info.key, error)
