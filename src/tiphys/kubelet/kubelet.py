"""The kubelet: runs the pods that the API places on this node.

Owns the loops (watch, relist, housekeeping, node status, HTTPS endpoint) and one worker for each pod. Talks
to the API server and the container runtime, to nobody else. Restarting it disturbs nothing that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.meta import Object, object_key
from tiphys.apimachinery.quantity import parse
from tiphys.client.informer import Informer, InformerSet
from tiphys.client.kinds import PODS, SERVICES
from tiphys.client.rest import Client
from tiphys.kubelet.admission import NodeCapacity, Rejection, finished
from tiphys.kubelet.allocation.allocator import Allocator
from tiphys.kubelet.cm.cgroups import Cgroups
from tiphys.kubelet.cm.device_plugins import DeviceManager
from tiphys.kubelet.context import Devices, NodeContext, NoDevices
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.eviction.manager import EvictionManager, Measure, measure
from tiphys.kubelet.eviction.plan import Victim
from tiphys.kubelet.housekeeping import Housekeeper
from tiphys.kubelet.images.manager import ImageProblem, Images, normalize
from tiphys.kubelet.images.pause import PAUSE_IMAGE
from tiphys.kubelet.kuberuntime.downward import NodeFacts
from tiphys.kubelet.kuberuntime.network import ResolvConf, parse_resolv_conf
from tiphys.kubelet.kuberuntime.sandbox import NodeSettings
from tiphys.kubelet.nodeshutdown.manager import ShutdownManager
from tiphys.kubelet.nodeshutdown.plan import REFUSED
from tiphys.kubelet.nodestatus.machine import Machine, read_machine
from tiphys.kubelet.nodestatus.reporter import NodeReporter
from tiphys.kubelet.objects import ObjectCache
from tiphys.kubelet.options import KubeletOptions
from tiphys.kubelet.pleg import PodCache
from tiphys.kubelet.pod_times import Relist
from tiphys.kubelet.pod_worker import PodWorker
from tiphys.kubelet.runtime import RUNTIME_ERRORS, Runtime, RuntimeFailure
from tiphys.kubelet.static_pods import StaticPods
from tiphys.kubelet.status.mirror import mirrored_by
from tiphys.kubelet.tokens import Tokens
from tiphys.kubelet.tracing import Tracing
from tiphys.kubelet.volumes.manager import Volumes

log = logging.getLogger(__name__)

_RUNTIME_WAIT_S = 5.0
_TOKENS_S = 30.0
_RESIZES_S = 180.0
_LOGS_S = 10.0
_IMAGES_S = 300.0
_WORKER_RETRY_S = 2.0


class Kubelet:
    """``run`` works until cancelled. ``runtime`` and ``measure`` replace CRI and the machine (tests).

    ``shutdowns`` tells when the machine is about to be shut down (True), and when it is not after all.
    """

    def __init__(
        self,
        client: Client,
        options: KubeletOptions,
        clock: Clock | None = None,
        *,
        runtime: Runtime | None = None,
        measure: Measure | None = None,
        shutdowns: AsyncIterator[bool] | None = None,
    ) -> None:
        self.options = options
        self._measure = measure
        self._shutdowns = shutdowns
        self.workers: dict[str, PodWorker] = {}
        self._client = client
        self._clock = clock or RealClock()
        self._given_runtime = runtime
        self._informers = InformerSet(client)
        self._pods: Informer = self._informers.get(PODS, field_selector=f"spec.nodeName={options.node_name}")
        self._services: Informer = self._informers.get(SERVICES)
        self._group: asyncio.TaskGroup | None = None
        self.node: NodeContext | None = None
        self.reporter: NodeReporter | None = None
        self._static = StaticPods(self, options.node_name, options.static_pod_dir, client, self._clock)
        self._looked = self._clock.monotonic()
        """When the loops last went round."""
        self.server_port = 0
        """Where the HTTPS endpoint listens, once it does."""

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            runtime = self._given_runtime
            if runtime is None:
                cri = await stack.enter_async_context(CriClient(self.options.runtime_endpoint))
                await self._wait_runtime(cri)
                runtime = cri
            machine = await asyncio.to_thread(read_machine, self.options.root_dir, self.options.node_name)
            self.reporter = NodeReporter(self._client, runtime, machine, self.options, self._clock)
            self.node = await asyncio.to_thread(self._make_context, runtime, machine)
            await self._start_loops(self.node, self.reporter)

    async def _wait_runtime(self, cri: CriClient) -> None:
        while True:
            try:
                info = await cri.wait_ready(_RUNTIME_WAIT_S)
                log.info("runtime found name=%s version=%s", info.name, info.version)
                return
            except RuntimeFailure as error:
                log.warning("waiting for the runtime error=%s", error)
                await asyncio.sleep(1.0)

    async def _start_loops(self, node: NodeContext, reporter: NodeReporter) -> None:
        keeper = Housekeeper(node, self._known_pods)
        options = self.options
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._informers.run())
            group.create_task(node.objects.run())
            group.create_task(reporter.run())
            if node.tracing is not None:
                group.create_task(node.tracing.run())
            if options.server is not None:
                group.create_task(self._serve(node))
            await self._first_relist(node)
            if isinstance(node.devices, DeviceManager):
                group.create_task(node.devices.run())
            group.create_task(self._every(options.relist_s, Relist(node), "relist"))
            # Without waiting for an API server: it may be one of these.
            await self._static.look()
            if options.static_pod_dir is not None:
                group.create_task(self._static.run())
            await self._pods.wait_synced()
            await self._services.wait_synced()
            self._pods.add_handler(self._on_pod)
            group.create_task(self._static.keep_mirrors())
            group.create_task(self._every(options.housekeeping_s, keeper.sweep, "housekeeping"))
            group.create_task(self._every(_TOKENS_S, self._renew_tokens, "tokens"))
            group.create_task(self._every(_RESIZES_S, self._retry_resizes, "resizes"))
            group.create_task(
                self._every(
                    _LOGS_S, lambda: keeper.rotate_logs(options.log_max_bytes, options.log_max_files), "logs"
                )
            )
            group.create_task(
                self._every(
                    _IMAGES_S,
                    lambda: keeper.collect_images(options.image_gc_percents, self.kept_images()),
                    "images",
                )
            )
            if self._shutdowns is not None and options.shutdown_periods:
                group.create_task(self._shutdown_manager(node, reporter).run(self._shutdowns))
            evictions = self._evictions(node, keeper)
            group.create_task(
                self._every(
                    options.eviction_look_s, lambda: self._watch_pressure(evictions, reporter), "eviction"
                )
            )

    def _give_up(self, uid: str, rejection: Rejection) -> None:
        if (worker := self.workers.get(uid)) is not None:
            worker.evict(rejection)

    def _evictions(self, node: NodeContext, keeper: Housekeeper) -> EvictionManager:
        options = self.options

        def evict(victim: Victim) -> None:
            rejection = Rejection("Evicted", victim.message, victim.grace_s, disruption=True)
            self._give_up(str(victim.pod["metadata"]["uid"]), rejection)

        return EvictionManager(
            node,
            options.thresholds,
            lambda: [item.pod for item in self.workers.values() if not finished(item.pod)],
            evict=evict,
            reclaim=lambda: keeper.collect_images((0, 0), self.kept_images()),
            measure=self._measure or partial(measure, options.root_dir, node.settings.node_memory_bytes),
            transition_s=options.eviction_transition_s,
            max_grace_s=options.eviction_max_grace_s,
        )

    def _shutdown_manager(self, node: NodeContext, reporter: NodeReporter) -> ShutdownManager:
        def changed() -> None:
            reporter.shutting_down = manager.shutting_down
            reporter.poke()

        manager = ShutdownManager(
            reporter.reference, self.options.shutdown_periods, self.workers.values, node.recorder, changed
        )
        return manager

    def kept_images(self) -> set[str]:
        """Return the images that no container runs, but that must stay: for sandboxes, and as volumes."""
        kept = {PAUSE_IMAGE}
        for worker in self.workers.values():
            for volume in worker.pod["spec"].get("volumes") or ():
                if reference := (volume.get("image") or {}).get("reference"):
                    with contextlib.suppress(ImageProblem):  # what is no name is no image either
                        kept.add(normalize(reference))
        return kept

    async def _watch_pressure(self, evictions: EvictionManager, reporter: NodeReporter) -> None:
        if await evictions.look():
            reporter.pressures = evictions.pressure.conditions
            reporter.poke()

    def _make_context(self, runtime: Runtime, machine: Machine) -> NodeContext:
        assert self.reporter is not None
        options = self.options
        clock, client = self._clock, self._client
        recorder = client.events("kubelet", options.node_name)
        objects = ObjectCache(client, self._on_objects)
        self._tokens = Tokens(client, clock)
        volumes = Volumes(options.root_dir, client, objects, self._tokens)
        volumes.node = NodeFacts(
            cpu_milli=self._amount("cpu"),
            memory_bytes=self._amount("memory"),
            ephemeral_storage_bytes=self._amount("ephemeral-storage"),
        )
        options.logs_dir.mkdir(parents=True, exist_ok=True)
        return NodeContext(
            name=options.node_name,
            client=client,
            runtime=runtime,
            clock=clock,
            recorder=recorder,
            tracing=None if options.tracing is None else Tracing(options.tracing, options.node_name, clock),
            cache=PodCache(runtime, options.root_dir / "pods", self._poke),
            objects=objects,
            volumes=volumes,
            images=Images(runtime, recorder, clock),
            cgroups=Cgroups(options.cgroup_root),
            settings=NodeSettings(
                logs_dir=str(options.logs_dir),
                seccomp_root=str(options.root_dir / "seccomp"),
                cluster_dns=options.cluster_dns,
                cluster_domain=options.cluster_domain,
                resolv_conf=_read_resolv_conf(options.resolv_conf),
                node_memory_bytes=machine.memory_bytes,
                usage_cgroup=options.cgroup_root if options.shared_machine else "",
            ),
            devices=self._devices(),
            services=self._services.list,
            allocator=Allocator(
                options.root_dir / "allocations",
                self._all_pods,
                self._capacity,
                recorder,
                self._poke,
                preempt=self._give_up,
            ),
            look_at_node=self.reporter.look,
            on_gone=self._on_gone,
            host_ips=options.node_ips,
            pace=options.restart_pace,
            whole_pods=options.gates.enabled("InPlacePodLevelResourcesVerticalScaling"),
        )

    def _amount(self, name: str) -> int:
        assert self.reporter is not None
        quantity = parse(self.reporter.allocatable[name])
        return int(quantity.milli() if name == "cpu" else quantity.value())

    def _devices(self) -> Devices:
        assert self.reporter is not None
        if not self.options.device_plugins:
            return NoDevices()
        made = DeviceManager(self.options.root_dir / "device-plugins", self.reporter.poke)
        self.reporter.devices = made.counts
        return made

    def _all_pods(self) -> dict[str, Object]:
        return {uid: worker.pod for uid, worker in self.workers.items()}

    def _capacity(self) -> NodeCapacity:
        assert self.reporter is not None
        allocatable = {name: self._amount(name) for name in self.reporter.allocatable}
        node = self.reporter.node
        features = (node.get("status") or {}).get("features") or {}
        return NodeCapacity(
            allocatable,
            dict(node["metadata"].get("labels") or {}),
            self.options.allowed_unsafe_sysctls,
            self.reporter.pressures,
            REFUSED if self.reporter.shutting_down else None,
            node["metadata"]["name"],
            tuple((node.get("spec") or {}).get("taints") or ()),
            bool(features.get("supplementalGroupsPolicy")),
            self.reporter.machine.apparmor,
        )

    async def _first_relist(self, node: NodeContext) -> None:
        while True:
            try:
                await node.cache.relist()
                return
            except RuntimeFailure as error:
                log.warning("first relist failed error=%s", error)
                await asyncio.sleep(1.0)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Do something again and again; the runtime being away is no reason to stop."""
        while True:
            await asyncio.sleep(seconds)
            self._looked = self._clock.monotonic()
            try:
                await work()
            except RUNTIME_ERRORS as error:
                log.warning("kubelet loop interrupted loop=%s error=%s", name, error)

    def _known_pods(self) -> set[str]:
        return set(self.workers)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if pod is None:
            return
        if mirrored_by(pod):
            self._static.on_mirror(old, new)
            return
        uid = str(pod["metadata"]["uid"])
        worker = self.workers.get(uid)
        if new is None:
            if worker is not None:
                worker.remove()
        elif worker is not None:
            worker.update(new)
        else:
            self.add_pod(new)

    def add_pod(self, pod: Object) -> None:
        """Start looking after a pod."""
        if self._group is None or self.node is None:
            return
        worker = PodWorker(self.node, pod)
        work = self._look_after(worker)
        try:
            self._group.create_task(work)
        except RuntimeError:  # the kubelet is being stopped: its group takes nothing on any more
            work.close()
            return
        self.workers[worker.uid] = worker

    async def _look_after(self, worker: PodWorker) -> None:
        """A fault in one pod's worker must not take the node down: begin again with a fresh one."""
        try:
            await worker.run()
        except Exception:
            log.exception("pod worker failed pod=%s", object_key(worker.pod))
            await asyncio.sleep(_WORKER_RETRY_S)
            pod = self._pods.get(object_key(worker.pod))
            if pod is not None and pod["metadata"]["uid"] == worker.uid and worker.uid not in self.workers:
                self.add_pod(pod)

    def _on_gone(self, uid: str) -> None:
        self.workers.pop(uid, None)
        if self.node is not None:
            self.node.images.forget(uid)

    def _poke(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.poke()

    def _on_objects(self, uids: set[str]) -> None:
        for uid in uids:
            worker = self.workers.get(uid)
            if worker is not None:
                worker.refresh_volumes()

    async def _retry_resizes(self) -> None:
        assert self.node is not None
        self.node.allocator.sweep()
        self.node.allocator.retry()
        self.node.devices.keep_only(set(self.workers))

    async def _renew_tokens(self) -> None:
        for uid, worker in list(self.workers.items()):
            if self._tokens.due(uid):
                worker.refresh_volumes()

    async def _serve(self, node: NodeContext) -> None:
        from tiphys.kubelet.server.configz import configuration
        from tiphys.kubelet.server.server import KubeletServer

        assert self.options.server is not None
        server = KubeletServer(
            node,
            self.options.server,
            lambda: [item.pod for item in self.workers.values()],
            configuration=lambda: configuration(self.options),
            looked=lambda: self._looked,
        )
        await server.run(lambda actual: setattr(self, "server_port", actual))


def _read_resolv_conf(path: str) -> ResolvConf:
    try:
        return parse_resolv_conf(Path(path).read_text()) if path else ResolvConf()
    except OSError:
        return ResolvConf()
