"""The scheduler's shell: watches pods and nodes, decides one pod after the other, binds many at once.

Decisions are made in one loop over in-memory columns; a chosen node is *assumed* at once, so the next
decision counts the pod, and the Binding is sent by a bounded crew of binders. What cannot be placed gets a
``PodScheduled=False`` condition and a ``FailedScheduling`` event, and waits for an event that can help.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.client.events import EventRecorder
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import NAMESPACES, NODES, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import Decision, decide
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile, installed_plugins
from tiphys.scheduler.queue import Queued, SchedulingQueue

log = logging.getLogger(__name__)

_FLUSH_EVERY_S = 30.0
_PODS_SELECTOR = "status.phase!=Succeeded,status.phase!=Failed"
_BATCH = 64


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """``binders``: Bindings under way at once."""

    scheduler_name: str = "default-scheduler"
    binders: int = 64


@dataclass(slots=True, eq=False)
class _Assumed:
    queued: Queued
    node: str


class Scheduler:
    """Places pods whose ``spec.schedulerName`` is ours."""

    def __init__(
        self,
        client: Client,
        options: SchedulerOptions | None = None,
        clock: Clock | None = None,
        *,
        informers: InformerSet | None = None,
        recorder: EventRecorder | None = None,
    ) -> None:
        self._client = client
        self._options = options or SchedulerOptions()
        self._clock = clock or RealClock()
        self._informers = informers or InformerSet(client)
        self._own_informers = informers is None
        self._recorder = recorder or client.events(component=self._options.scheduler_name)
        self._profile = default_profile(installed_plugins())
        self._columns = Columns()
        self._queue = SchedulingQueue()
        self._wake = asyncio.Event()
        self._binding: asyncio.Queue[_Assumed] = asyncio.Queue(maxsize=max(self._options.binders, 1))
        self._turn = 0

    async def run(self) -> None:
        """Schedule until cancelled."""
        pods = self._informers.get(PODS, field_selector=_PODS_SELECTOR)
        nodes = self._informers.get(NODES)
        namespaces = self._informers.get(NAMESPACES)
        nodes.add_handler(self._on_node)
        namespaces.add_handler(self._on_namespace)
        pods.add_handler(self._on_pod)
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run())
            for informer in (nodes, namespaces, pods):
                await informer.wait_synced()
            for _ in range(self._options.binders):
                group.create_task(self._bind_forever())
            group.create_task(self._flush_forever())
            group.create_task(self._schedule_forever())

    # -- what the cluster says

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._columns.remove_node(old["metadata"]["name"])
            return
        generation = self._columns.static_generation
        self._columns.set_node(new)
        if self._columns.static_generation != generation:
            self._moved("node-static")
        elif _allocatable(old) != _allocatable(new):
            self._moved("node-capacity")

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        subject = new or old
        if subject is not None:
            labels = (new["metadata"].get("labels") or {}) if new is not None else None
            self._columns.set_namespace(subject["metadata"]["name"], labels)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        now_s = self._clock.monotonic()
        if new is None or _finished(new):
            gone = new or old
            if gone is not None:
                uid = gone["metadata"]["uid"]
                self._queue.remove(uid)
                self._columns.remove_pod(uid)
                self._moved("pod-removed")
            return
        node = new["spec"].get("nodeName")
        if node:
            self._take_bound(new, node)
        elif self._is_ours(new):
            if new["metadata"]["uid"] not in self._columns.placed:
                self._queue.add(pod_info(new), now_s)
                self._wake.set()
        else:
            self._queue.remove(new["metadata"]["uid"])

    def _take_bound(self, pod: Object, node: str) -> None:
        uid = pod["metadata"]["uid"]
        placed = self._columns.placed.get(uid)
        self._queue.remove(uid)
        if placed is not None and placed[1] == node and not _resized(placed[0].pod, pod):
            placed[0].pod = pod
            return
        self._columns.add_pod(pod_info(pod), node)
        self._moved("pod-placed")

    def _is_ours(self, pod: Object) -> bool:
        return (
            pod["spec"].get("schedulerName", "default-scheduler") == self._options.scheduler_name
            and not pod["metadata"].get("deletionTimestamp")
            and not pod["spec"].get("schedulingGates")
        )

    def _moved(self, event: str) -> None:
        self._queue.move(event, self._clock.monotonic())
        self._wake.set()

    # -- deciding

    async def _schedule_forever(self) -> None:
        while True:
            self._wake.clear()
            tried = 0
            while (queued := self._queue.pop(self._clock.monotonic())) is not None:
                await self._schedule(queued)
                tried += 1
                if tried % _BATCH == 0:
                    await asyncio.sleep(0)
            await self._sleep_until_due()

    async def _sleep_until_due(self) -> None:
        due_s = self._queue.next_due_s()
        if due_s is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max(due_s - self._clock.monotonic(), 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _schedule(self, queued: Queued) -> None:
        info = queued.info
        self._turn += 1
        decision = decide(info, self._columns, self._profile, turn=self._turn)
        if decision.node:
            self._queue.remove(info.uid)
            self._columns.add_pod(info, decision.node)
            await self._binding.put(_Assumed(queued, decision.node))
        else:
            self._queue.park(queued, frozenset(decision.plugins), self._clock.monotonic())
            await self._report_failure(info, decision)

    async def _report_failure(self, info: PodInfo, decision: Decision) -> None:
        message = decision.message()
        log.info("pod unschedulable pod=%s why=%s", info.key, message)
        self._recorder.record(info.pod, type="Warning", reason="FailedScheduling", message=message)
        current = get_condition(info.pod, "PodScheduled") or {}
        if current.get("status") == "False" and current.get("message") == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": current.get("lastTransitionTime") or rfc3339(self._clock.now()),
        }
        patch = {"status": {"conditions": [condition]}}
        meta = info.pod["metadata"]
        try:
            await self._client.patch(
                PODS, meta["name"], info.namespace, patch, type="strategic", subresource="status"
            )
        except (NotFound, Conflict):
            pass
        except (StatusError, TransportError) as error:
            log.warning("pod condition not written pod=%s error=%s", info.key, error)

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            self._queue.flush(self._clock.monotonic())
            self._wake.set()

    # -- binding

    async def _bind_forever(self) -> None:
        while True:
            assumed = await self._binding.get()
            await self._bind(assumed)

    async def _bind(self, assumed: _Assumed) -> None:
        info = assumed.queued.info
        name = info.pod["metadata"]["name"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": info.namespace, "uid": info.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": assumed.node},
        }
        try:
            await self._client.post(PODS, name, info.namespace, "binding", binding)
        except (StatusError, TransportError) as error:
            self._undo(assumed, error)
            return
        message = f"Successfully assigned {info.key} to {assumed.node}"
        self._recorder.record(info.pod, type="Normal", reason="Scheduled", message=message)

    def _undo(self, assumed: _Assumed, error: Exception) -> None:
        info = assumed.queued.info
        log.info("binding failed pod=%s node=%s error=%s", info.key, assumed.node, error)
        live = self._informers.get(PODS, field_selector=_PODS_SELECTOR).get(info.key)
        still_waits = live is not None and live["metadata"]["uid"] == info.uid
        if still_waits and live is not None and live["spec"].get("nodeName"):
            return
        self._columns.remove_pod(info.uid)
        if still_waits and live is not None and not isinstance(error, NotFound):
            self._queue.restore(assumed.queued, pod_info(live), self._clock.monotonic())
        self._moved("pod-removed")


def _finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _allocatable(node: Object | None) -> Object:
    allocatable: Object = ((node or {}).get("status") or {}).get("allocatable") or {}
    return allocatable


def _resized(old: Object, new: Object) -> bool:
    relabelled = old["metadata"].get("labels") != new["metadata"].get("labels")
    return bool(relabelled or old["spec"].get("containers") != new["spec"].get("containers"))
