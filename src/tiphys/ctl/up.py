"""``tiphys up``: from nothing, or from what a crash or reboot left, to a cluster whose nodes are Ready.

Run again it changes nothing on a running cluster. Processes are the supervisor's; this waits and tells.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Awaitable, Callable, Sequence

from dnslib import DNSRecord

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.client.kinds import NAMESPACES, NODES
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.ctl import addons, credentials, network, preflight, resolver, state, supervisor
from tiphys.ctl.components import components
from tiphys.ctl.layout import DOMAIN, Cluster, CtlError, Node, check_request
from tiphys.ctl.progress import Progress
from tiphys.kubelet.cri.containerd import ContainerdPaths, ensure_pause_image, prepare

_POLL_S = 0.05
_API_DEADLINE_S = 60.0
_READY_DEADLINE_S = 120.0
_STOP_S = 20.0
_LOOK_S = 0.5
"""How often the supervisor is asked whether its processes stay, while something is waited for."""
_FAILURES = 5
"""A process that ended so often, each time soon after its start, will not stay."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says; ``nodes`` None: one, or as many as the cluster already has."""

    name: str
    nodes: int | None = None
    store: str | None = None
    outbound: bool | None = None
    wait: bool = True
    install: bool = True
    extra: tuple[str, ...] = ()
    """Flags for components, each as ``component.flag=value``."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """How to be a component, and what to import before: given by ``cmd``, which knows them all."""

    run_component: supervisor.RunComponent
    preload: Callable[[Sequence[str]], None]


def up(options: UpOptions, hooks: Hooks, progress: Progress, clock: Clock | None = None) -> Cluster:
    """Bring the cluster up and return it. Raises CtlError with what is in the way."""
    clock = clock or RealClock()
    folder = state.cluster_folder(options.name)
    check_request(options.name, options.nodes or 1, folder)
    preflight.check_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CtlError(f"cannot make {folder}: {error.strerror}") from error
    with state.lock(folder):
        cluster = state.load(options.name)
        running = supervisor.ask(cluster, "status") if cluster is not None else None
        if cluster is not None and running is not None:
            if running.get("stopping"):
                raise CtlError(f"cluster {cluster.name!r} is just stopping: try again in a moment")
            progress.say(f"cluster {cluster.name!r} is already running; nothing changed")
            _tell_kept(cluster, options, progress)
            return cluster
        store = cluster.store if cluster is not None else options.store
        extra = preflight.ETCD if store == "etcd" else {}
        preflight.ensure_packages(progress.say, install=options.install, extra=extra)
        preflight.check_disk(folder)
        cluster = _new_or_same(cluster, options, progress)
        _start(cluster, hooks, progress, clock)
        asyncio.run(_settle(cluster, progress, clock, wait=options.wait))
        progress.say(f"cluster {cluster.name!r} is up ({progress.elapsed_s:.1f} s)")
    return cluster


def _tell_kept(cluster: Cluster, options: UpOptions, progress: Progress) -> None:
    """Name the options that this cluster does not follow: it was made with others."""
    wanted = {"nodes": options.nodes, "store": options.store, "outbound": options.outbound}
    kept = {"nodes": cluster.node_count, "store": cluster.store, "outbound": cluster.outbound}
    other = [f"{key} {kept[key]}" for key in wanted if wanted[key] not in (None, kept[key])]
    if options.extra not in ((), cluster.extra):
        other.append(f"added flags: {' '.join(cluster.extra) or 'none'}")
    if other:
        progress.say(
            f"  it stays as it was made ({', '.join(other)}): 'tiphys down' first, for another shape"
        )


def count(number: int, noun: str) -> str:
    """Return ``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _new_or_same(cluster: Cluster | None, options: UpOptions, progress: Progress) -> Cluster:
    folder = state.cluster_folder(options.name)
    if cluster is not None:
        progress.say(f"cluster {cluster.name!r} exists and is brought back")
        _tell_kept(cluster, options, progress)
        return cluster
    index = network.claim_index(folder, options.name)
    outbound = options.outbound is not False
    store = options.store or "sqlite"
    cluster = Cluster(options.name, index, folder, options.nodes or 1, outbound, store, options.extra)
    try:
        preflight.check_port(cluster)
        state.save(cluster)
    except CtlError:  # refused: as if it had not been asked for
        network.destroy(cluster)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return cluster


def _start(cluster: Cluster, hooks: Hooks, progress: Progress, clock: Clock) -> None:
    _end_remains(cluster)
    preflight.check_port(cluster)
    with progress.step(f"network {cluster.bridge}, {count(cluster.node_count, 'node namespace')}"):
        network.create(cluster)
    with progress.step("certificates and configuration"):
        try:
            credentials.prepare(cluster, clock.now())
            cluster.logs.mkdir(exist_ok=True)
            for node in cluster.nodes:
                prepare(_paths(node))
        except OSError as error:
            raise CtlError(f"cannot write below {cluster.folder}: {error.strerror}") from error
    rows = components(cluster, resolver.read())

    def make() -> supervisor.Supervisor:
        return supervisor.Supervisor(cluster, rows, hooks.run_component, hooks.preload)

    with progress.step(f"starting {len(rows)} processes"):
        supervisor.daemonize(cluster, make)


def _end_remains(cluster: Cluster) -> None:
    """End what a killed supervisor left, so that it holds no port; containerd goes on with its containers."""
    supervisor.end(cluster, _STOP_S)  # the guard may have been quicker than we
    record = state.read_json(cluster.folder / "processes.json") or {}
    for name, entry in record.get("components", {}).items():
        if not name.startswith("containerd-"):
            state.stop_process(entry.get("pid", 0), entry.get("started", 0), grace_s=3.0)


def _paths(node: Node) -> ContainerdPaths:
    return ContainerdPaths.under(node.folder, preflight.cni_bin_dir() or preflight.CNI_DIRS[0])


class _Waiter:
    """Polls until something holds, watching that the supervisor still lives."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock

    async def until(
        self, what: str, check: Callable[[], Awaitable[str]], deadline_s: float, log: str
    ) -> None:
        """Wait until ``check`` returns "" (else: what it still lacks). Raises CtlError at the deadline."""
        began = looked = self._clock.monotonic()
        seen_alive = False
        while True:
            lacking = await check()
            if not lacking:
                return
            alive = supervisor.is_alive(self._cluster)
            waited = self._clock.monotonic() - began
            if (seen_alive and not alive and waited > 1) or (not alive and waited > 10):
                log_file = self._cluster.logs / "supervisor.log"
                raise CtlError(f"the supervisor of cluster {self._cluster.name!r} ended: see {log_file}")
            seen_alive = seen_alive or alive
            if self._clock.monotonic() - looked > _LOOK_S:
                looked = self._clock.monotonic()
                _check_processes(self._cluster)
            if waited > deadline_s:
                where = self._cluster.logs / log
                raise CtlError(f"{what} not within {deadline_s:.0f} s ({lacking}): see {where}")
            await asyncio.sleep(_POLL_S)


def _check_processes(cluster: Cluster) -> None:
    """Raise CtlError for a process that ends each time it is started, with the last that it said."""
    for row in (supervisor.ask(cluster, "status") or {}).get("components", ()):
        if row.get("failures", 0) < _FAILURES:
            continue
        path = cluster.logs / f"{row['name']}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        said = lines[-1] if lines else "it says nothing"
        raise CtlError(f"{row['name']} ends as soon as it has started ({said}): see {path}")


async def _settle(cluster: Cluster, progress: Progress, clock: Clock, *, wait: bool) -> None:
    """Give the new cluster its base objects and images; with ``wait`` stay until all is ready."""
    waiter = _Waiter(cluster, clock)
    client = Client.from_kubeconfig(cluster.kubeconfig)
    try:
        async with asyncio.TaskGroup() as tasks:
            images = tasks.create_task(_pause_images(cluster, waiter))
            with progress.step("API server"):
                await waiter.until("API server", _api(client), _API_DEADLINE_S, "apiserver.log")
                await waiter.until("base objects", _base(client, cluster), _API_DEADLINE_S, "apiserver.log")
            with progress.step("containerd on every node"):
                await images
            if not wait:
                return
            with progress.step(f"{count(cluster.node_count, 'node')} Ready"):
                await waiter.until("nodes", _nodes(client, cluster), _READY_DEADLINE_S, "kubelet-*.log")
            with progress.step("DNS answers"):
                await waiter.until("DNS", _dns(cluster), _READY_DEADLINE_S, "dns-*.log")
    except* CtlError as group:
        raise group.exceptions[0] from None
    finally:
        await client.close()


async def _pause_images(cluster: Cluster, waiter: _Waiter) -> None:
    for node in cluster.nodes:

        async def imported(node: Node = node) -> str:
            if not node.containerd_socket.exists():
                return "no socket yet"
            try:
                await ensure_pause_image(node.containerd_socket)
            except RuntimeError as error:
                return str(error)
            return ""

        await waiter.until(
            f"containerd of {node.name}", imported, _API_DEADLINE_S, f"containerd-{node.name}.log"
        )


def _api(client: Client) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        try:
            await client.list(NAMESPACES, limit=1)
        except (StatusError, TransportError) as error:
            return str(error)
        return ""

    return check


def _base(client: Client, cluster: Cluster) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        try:
            await addons.create(client, cluster)
        except (StatusError, TransportError) as error:
            return str(error)
        return ""

    return check


def _nodes(client: Client, cluster: Cluster) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        try:
            found = {item["metadata"]["name"]: item for item in (await client.list(NODES)).get("items") or ()}
            for node in cluster.nodes:
                obj = found.get(node.name)
                if obj is not None and not (obj.get("spec") or {}).get("podCIDR"):
                    cidrs = {"spec": {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]}}
                    await client.patch(NODES, node.name, "", cidrs, type="merge")
        except (StatusError, TransportError) as error:
            return str(error)
        lacking = [node.name for node in cluster.nodes if not _ready(found.get(node.name))]
        return f"not Ready: {', '.join(lacking)}" if lacking else ""

    return check


def _ready(node: Object | None) -> bool:
    condition = get_condition(node, "Ready") if node else None
    return condition is not None and condition.get("status") == "True"


def _dns(cluster: Cluster) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        return await asyncio.to_thread(ask_dns, cluster)

    return check


def ask_dns(cluster: Cluster) -> str:
    """Ask the cluster's DNS, through its Service, for ``kubernetes``; return what is wrong, or nothing."""
    query = bytes(DNSRecord.question(f"kubernetes.default.svc.{DOMAIN}").pack())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect((cluster.dns_ip, 53))
            probe.send(query)
            reply = DNSRecord.parse(probe.recv(4096))
        except OSError as error:
            return str(error) or "no answer"
    answers = [str(item.rdata) for item in reply.rr]
    return "" if answers == [cluster.kubernetes_ip] else f"kubernetes resolves to {answers}"
