"""The scheduler's shell: watches the cluster, decides one pod after the other, binds many at once.

Decisions are made in one loop over in-memory columns; a chosen node is *assumed* at once, so the next
decision counts the pod, and a bounded crew sends the Bindings. What cannot be placed gets a
``PodScheduled=False`` condition and a ``FailedScheduling`` event, may preempt pods of lower priority, and
waits for an event that can help.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import field
from functools import partial

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import object_key
from tiphys.client.events import EventRecorder
from tiphys.client.healthchecks import PING
from tiphys.client.informer import Informer, InformerSet, without_managers
from tiphys.client.kinds import NAMESPACES, NODES, POD_DISRUPTION_BUDGETS, PODS
from tiphys.client.leaderelection import CHECK, Election, LeaderElector
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.scheduler.binder import Assumed, Binder, NotBound
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.config import Configuration, ProfileSettings
from tiphys.scheduler.extenders import ExtenderFailed, Extenders
from tiphys.scheduler.framework import Decision, Profile, decide
from tiphys.scheduler.hints import Change, Hints
from tiphys.scheduler.intake import Intake
from tiphys.scheduler.metrics import (
    BINDING,
    ERROR,
    PREEMPTION,
    SCHEDULED,
    SUCCESS,
    UNSCHEDULABLE,
    SchedulerMetrics,
    Times,
    preempting,
)
from tiphys.scheduler.plugins.dynamic import (
    NOT_READ,
    after_filters,
    choose_devices,
    deallocatable,
    waits_for_claims,
)
from tiphys.scheduler.plugins.volumes import choose_volumes
from tiphys.scheduler.pod_resources import families
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.preemption import Preemption, choose, find_candidates
from tiphys.scheduler.profile import installed_plugins, make_profile
from tiphys.scheduler.queue import UNSCHEDULABLE_AT_MOST_S, Queued, SchedulingQueue
from tiphys.scheduler.reporter import Reporter, scheduler_of
from tiphys.scheduler.surroundings import Handler, Surroundings

log = logging.getLogger(__name__)

_FLUSH_EVERY_S = 30.0
_PODS_SELECTOR = "status.phase!=Succeeded,status.phase!=Failed"
_BATCH = 64
_PRE_FILTERS = ("DynamicResources",)
"""Plugins that are asked before all others, whatever the pod."""

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """``binders``: writes under way at once. ``leader_elect``: work only while holding the lease."""

    scheduler_name: str = "default-scheduler"
    """Whose pods to place, where ``configuration`` names no profiles."""
    configuration: Configuration | None = None
    unschedulable_at_most_s: float = UNSCHEDULABLE_AT_MOST_S
    """After so long a pod is tried again, whatever happened."""
    binders: int = 64
    leader_elect: bool = False
    synced: Callable[[], None] | None = None
    """Called when the cluster's state has been read, before the first decision."""
    election: Election = field(default=Election("kube-scheduler"))

    def settings(self) -> Configuration:
        """Return the configuration, or one with the single profile that is named here."""
        return self.configuration or Configuration((ProfileSettings(self.scheduler_name),))


class Scheduler:
    """Places pods whose ``spec.schedulerName`` is one of our profiles'."""

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
        self._informers = informers or InformerSet(client, trim=without_managers, name="kube-scheduler")
        self._own_informers = informers is None
        settings = self._options.settings()
        self._profiles = {one.name: make_profile(one, installed_plugins()) for one in settings.profiles}
        self._told = {one.name: one.arguments for one in settings.profiles}
        recorders = {name: recorder or client.events(component=name) for name in self._profiles}
        for one in recorders.values():
            one.urgent = self._placing
        self._reporter = Reporter(client, recorders, self._clock)
        self._columns = Columns()
        hints = Hints(self._profiles, scheduler_of, self._columns)
        self._extenders = Extenders(settings.extenders)
        self._binder = Binder(
            client, self._columns.volumes, self._columns.devices, self._extenders, self._clock
        )
        self._queue = SchedulingQueue(
            initial_backoff_s=settings.initial_backoff_s,
            max_backoff_s=settings.max_backoff_s,
            unschedulable_at_most_s=self._options.unschedulable_at_most_s,
        )
        self._intake = Intake(self._columns, self._queue, hints, self._profiles, self._clock)
        self._metrics = SchedulerMetrics(self._queue, self._columns)
        self._times = {name: Times(name, self._clock) for name in self._profiles}
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(maxsize=max(self._options.binders, 1))
        self._elector: LeaderElector | None = None
        self._handlers_synced = self._deciding = self._ending = False
        self._turn = 0
        self._start = 0
        """Where the next search begins, for profiles that are content with a share of the nodes."""

    async def run(self) -> None:
        """Schedule until cancelled (with ``leader_elect``: while leading).

        Raises:
            LeadershipLost: another instance may work now; this one must end.
        """
        try:
            await self._run()
        finally:
            self._ending = True
            await self._extenders.close()

    async def _run(self) -> None:
        if not self._options.leader_elect:
            await self._read_and_decide()
            return
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._elector = LeaderElector.of(self._client, self._options.election, identity, clock=self._clock)
        if self._options.settings().delay_cache_until_active:
            await self._elector.run(self._read_and_decide)
            return
        async with self._reading():
            await self._elector.run(self._decide)

    def checks(self, kind: str) -> dict[str, str | None]:
        """Return the checks of health with what is wrong; whether it lives does not hang on the election."""
        election = {} if self._elector is None or kind == "livez" else {CHECK: self._elector.fault()}
        if kind != "readyz":
            return election or {PING: None}
        return {
            **election,
            "shutdown": "process is shutting down" if self._ending else None,
            "sched-handler-sync": None if self._handlers_synced else "handlers are not fully synchronized",
        }

    def pod_resources(self) -> Iterator[Metric]:
        """Yield what pods ask for and may use; nothing while another instance schedules."""
        if not self._deciding:
            return iter(())
        return families(self._informers.get(PODS, field_selector=_PODS_SELECTOR).list())

    async def _read_and_decide(self) -> None:
        async with self._reading():
            await self._decide()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """Keep the cluster's state in memory, once all of it has come: who leads next can start at once."""
        given = Surroundings(self._columns, self._intake.moved, self._binder.claims_changed)
        handlers: list[tuple[Informer, Handler]] = [
            (self._informers.get(NODES), self._intake.on_node),
            (self._informers.get(NAMESPACES), self._intake.on_namespace),
            *((self._informers.get(resource), handler) for resource, handler in given.handlers()),
            (self._informers.get(POD_DISRUPTION_BUDGETS), self._intake.on_budget),
            (self._informers.get(PODS, field_selector=_PODS_SELECTOR), self._intake.on_pod),
        ]
        for informer, handler in handlers:
            informer.add_handler(handler)
        informing: asyncio.Task[None] | None = None
        if self._own_informers:
            informing = asyncio.create_task(self._informers.run())  # parent: this call
        try:
            for informer, _ in handlers:
                await informer.wait_synced()
            self._handlers_synced = True
            if self._options.synced is not None:
                self._options.synced()
            yield
        finally:
            if informing is not None:
                informing.cancel()
                await asyncio.gather(informing, return_exceptions=True)

    async def _decide(self) -> None:
        self._deciding = True
        async with asyncio.TaskGroup() as group:
            for _ in range(self._options.binders):
                group.create_task(self._work_forever())
            group.create_task(self._flush_forever())
            group.create_task(self._schedule_forever(group))

    def _placing(self) -> bool:
        """Whether pods wait to be tried: events about others can wait longer than they."""
        return self._queue.busy

    # -- deciding

    async def _schedule_forever(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._intake.wake.clear()
            tried = 0
            while (queued := self._queue.pop(self._clock.monotonic())) is not None:
                await self._schedule(queued, group)
                tried += 1
                if tried % _BATCH == 0:
                    await asyncio.sleep(0)
            await self._sleep_until_due()

    async def _sleep_until_due(self) -> None:
        due_s = self._queue.next_due_s()
        if due_s is None:
            await self._intake.wake.wait()
            return
        try:
            async with asyncio.timeout(max(due_s - self._clock.monotonic(), 0.001)):
                await self._intake.wake.wait()
        except TimeoutError:
            pass

    async def _schedule(self, queued: Queued, group: asyncio.TaskGroup) -> None:
        info = queued.info
        laps = self._times[scheduler_of(info.pod)].begin()
        waits = waits_for_claims(info, self._columns)
        if laps.sampled:
            laps.plugin("PreFilter", "DynamicResources")
        laps.point("PreFilter", good=not waits, bad="UnschedulableAndUnresolvable", plugins=_PRE_FILTERS)
        if waits:
            self._queue.park(queued, frozenset({"DynamicResources"}), self._clock.monotonic())
            return
        self._turn += 1
        queued.tried_at_s = self._clock.monotonic()
        if not queued.attempts:
            queued.first_tried_at_s = queued.tried_at_s
        profile = self._profiles[scheduler_of(info.pod)]
        asked, looked_at = profile, 0
        if self._extenders.concern(info):
            try:
                asked, looked_at = await self._extenders.consult(
                    info, self._columns, profile, start=self._start
                )
            except ExtenderFailed as error:
                await self._fault(queued, error)
                return
            if queued.info.uid not in self._queue:
                return  # deleted or bound while they were asked
            info = queued.info
            laps.again()
        decision = decide(info, self._columns, asked, turn=self._turn, start=self._start, laps=laps)
        self._metrics.decided(self._clock.monotonic() - queued.tried_at_s)
        self._start = (self._start + (looked_at or decision.looked_at)) % max(decision.nodes, 1)
        if not decision.node:
            await self._fail(queued, decision, profile)
            return
        assumed = self._reserve(queued, decision, laps)
        laps.point("Reserve", good=True)
        laps.point("Permit", good=True)  # nothing here asks a pod to wait
        if assumed.volumes.bind or assumed.volumes.provision or assumed.devices.waits:
            group.create_task(self._bind(assumed))  # may wait long: it must not hold up the crew
        else:
            await self._jobs.put(partial(self._bind, assumed))

    def _reserve(self, queued: Queued, decision: Decision, laps: Times) -> Assumed:
        """Count the pod on its node from now on, with the volumes and devices that it is to have there."""
        info = queued.info
        told = self._told[scheduler_of(info.pod)]
        volumes = choose_volumes(info, self._columns, decision.node)
        if laps.sampled:
            laps.plugin("Reserve", "VolumeBinding")
        devices = choose_devices(info, self._columns, decision.node)
        if laps.sampled:
            laps.plugin("Reserve", "DynamicResources")
        assumed = Assumed(
            queued,
            decision.node,
            volumes,
            devices,
            told.bind_timeout_s,
            told.device_timeout_s,
        )
        for key, allocation in assumed.devices.claims:
            if allocation is not None:
                self._columns.devices.assume(key, allocation)
        if assumed.devices.extended is not None:
            self._columns.devices.assume(assumed.unmade, assumed.devices.extended.allocation)
        self._queue.remove(info.uid)
        self._intake.leave_promise(info.uid, decision.node)
        self._columns.add_pod(info, decision.node)
        return assumed

    async def _fault(self, queued: Queued, error: Exception) -> None:
        """Take a try back that failed for no fault of the pod's."""
        self._tried(queued, ERROR)
        self._queue.retry(queued, self._clock.monotonic())
        await self._jobs.put(partial(self._report, queued.info, str(error), None, "SchedulerError"))

    async def _fail(self, queued: Queued, decision: Decision, profile: Profile) -> None:
        info = queued.info
        message = decision.message()
        preemption = Preemption(keeps_nomination=True)
        deallocates = profile.deallocates and decision.nodes
        tried = after_filters(info, self._columns, decision) if deallocates else ""
        if decision.nodes and profile.preempts and tried != NOT_READ:
            began = self._clock.monotonic()
            preemption = await self._make_room(info, decision, profile)
            status = "Success" if preemption.victims else "Unschedulable"
            took_s = self._clock.monotonic() - began
            self._times[scheduler_of(info.pod)].took("PostFilter", status, took_s, PREEMPTION)
            if info.uid not in self._queue:
                return  # deleted or bound while extenders were asked
            self._metrics.preempted(len(preemption.victims))
        if not preemption.victims and (told := ", ".join(filter(None, (tried, preemption.message)))):
            message = f"{message} {told}"
        nominated = None if preemption.keeps_nomination else preemption.node
        released = self._promise(info, preemption) if nominated is not None else []
        self._tried(queued, UNSCHEDULABLE)
        self._queue.park(queued, frozenset(decision.plugins), self._clock.monotonic())
        await self._jobs.put(partial(self._report, info, message, nominated))
        for other in released:
            await self._jobs.put(partial(self._reporter.withdraw_promise, other))
        if preemption.victims:
            await self._jobs.put(partial(self._preempt, info, preemption))
        elif "DynamicResources" in decision.plugins:
            if stale := self._columns.devices.made_for(info.pod):
                await self._jobs.put(partial(self._binder.delete_claim, object_key(stale)))
            elif key := deallocatable(info, self._columns):
                await self._jobs.put(partial(self._reporter.deallocate, key))

    async def _make_room(self, info: PodInfo, decision: Decision, profile: Profile) -> Preemption:
        budgets = list(self._intake.budgets.values())
        found = find_candidates(info, self._columns, profile, decision, budgets, turn=self._turn)
        if isinstance(found, Preemption):
            return found
        if self._extenders.may_preempt(info):
            try:
                return choose(await self._extenders.preempt(info, self._columns, found))
            except ExtenderFailed as error:
                return Preemption(message=f"preemption: {error}", keeps_nomination=True)
        return choose(found)

    def _promise(self, info: PodInfo, preemption: Preemption) -> list[PodInfo]:
        """Promise the node; pods of lower priority lose theirs and are returned."""
        node = preemption.node
        released = [
            other
            for other, name in list(self._columns.nominated.values())
            if node and name == node and other.priority < info.priority and other.uid != info.uid
        ]
        for other in released:
            self._columns.nominate(other, "")
        info.nominated = node
        self._intake.nominate(info, node)
        return released

    async def _report(
        self, info: PodInfo, message: str, nominated: str | None, reason: str = "Unschedulable"
    ) -> None:
        if info.uid in self._queue:  # else it was bound or deleted meanwhile
            await self._reporter.unschedulable(info, message, nominated, reason)

    async def _preempt(self, info: PodInfo, preemption: Preemption) -> None:
        with preempting(self._clock) as outcome:
            outcome.good = await self._reporter.preempt(info, preemption)
        if not outcome.good:
            info.nominated = ""
            self._intake.nominate(info, "")
            await self._reporter.withdraw_promise(info)
            self._intake.moved(Change("pod-removed"))  # the pod itself is to try again, whatever was promised

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            self._queue.flush(self._clock.monotonic())
            self._intake.wake.set()

    # -- writing

    async def _work_forever(self) -> None:
        while True:
            job = await self._jobs.get()
            await job()
            del job  # who waits for work keeps no pod

    async def _bind(self, assumed: Assumed) -> None:
        BINDING.value += 1
        try:
            await self._bind_now(assumed)
        finally:
            BINDING.value -= 1

    async def _bind_now(self, assumed: Assumed) -> None:
        laps = self._times[scheduler_of(assumed.info.pod)].binding()
        try:
            await self._binder.bind(assumed, laps.prepared)
        except (StatusError, TransportError, NotBound, ExtenderFailed) as error:
            laps.end("Error")
            self._tried(assumed.queued, ERROR)
            self._undo(assumed, error)
            laps.end(SUCCESS)
            if assumed.prepares and assumed.info.uid in self._queue:
                await self._reporter.withdraw_promise(assumed.info)
            return
        laps.end(SUCCESS)
        self._tried(assumed.queued, SCHEDULED)
        took_s = self._clock.monotonic() - assumed.queued.first_tried_at_s
        self._metrics.placed(assumed.queued.attempts + 1, took_s, flushed=assumed.queued.flushed)
        self._reporter.scheduled(assumed.info, assumed.node)
        laps.end(SUCCESS)

    def _tried(self, queued: Queued, result: str) -> None:
        seconds = self._clock.monotonic() - queued.tried_at_s
        self._metrics.tried(result, scheduler_of(queued.info.pod), seconds)

    def _undo(self, assumed: Assumed, error: Exception) -> None:
        info = assumed.info
        log.info("binding failed pod=%s node=%s error=%s", info.key, assumed.node, error)
        live = self._informers.get(PODS, field_selector=_PODS_SELECTOR).get(info.key)
        if live is not None and live["metadata"]["uid"] != info.uid:
            live = None
        if live is not None and live["spec"].get("nodeName"):
            return
        self._columns.remove_pod(info.uid)
        for key in (assumed.unmade, *(key for key, _ in assumed.devices.claims)):
            self._columns.devices.forget(key)
        if live is not None and self._intake.is_ours(live) and not isinstance(error, NotFound):
            again = pod_info(live)
            again.nominated = "" if assumed.prepares else again.nominated
            self._columns.nominate(again, again.nominated)
            self._queue.restore(assumed.queued, again, self._clock.monotonic())
        self._intake.moved(Change("pod-removed", before=info))
