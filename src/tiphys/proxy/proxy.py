"""The service proxy of one node: watches, plans with ``rules``, writes the difference with ``nft``.

Owns the table ``kube-proxy`` of the network namespace that it runs in, and nothing else there. A change is
written at once; a burst is gathered for ``min_interval_s``. Run by ``tiphys proxy``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Protocol

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import ENDPOINT_SLICES, NODES, SERVICES
from tiphys.client.metrics import show_features
from tiphys.client.rest import Client
from tiphys.client.zpages import ZPages
from tiphys.proxy import metrics, nft
from tiphys.proxy.beat import keep
from tiphys.proxy.configz import configuration
from tiphys.proxy.diff import stale_flows, transaction
from tiphys.proxy.endpoints import NodeFacts
from tiphys.proxy.health import HealthServer, MetricsPort
from tiphys.proxy.rules import build, plan_service, service_of
from tiphys.proxy.ruleset import Fragment, Table

log = logging.getLogger(__name__)

_ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """``node_name`` says which endpoints are local; empty ``nodeport_addresses`` means the Node's own.

    They may be ranges: then it is what the machine has of them.
    """

    node_name: str
    cluster_cidr: tuple[str, ...] = ()
    nodeport_addresses: tuple[str, ...] = ()
    families: tuple[str, ...] = ("IPv4",)
    min_interval_s: float = 0.1
    check_interval_s: float = 30.0
    healthz_address: str = ""
    """``host:port`` of /healthz and /livez; empty for none."""
    metrics_address: str = ""
    """``host:port`` of /metrics and /proxyMode; empty for none."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """What ``/flagz`` shows."""
    gates: FeatureGates = DEFAULTS


class Kernel(Protocol):
    """What the proxy does to the kernel; tests put a recorder in its place."""

    async def apply(self, commands: Iterable[str]) -> None: ...
    async def chain_names(self, table: Table) -> set[str] | None: ...
    async def forget_flows(self, targets: Iterable[tuple[str, str, int]]) -> int: ...


class NftKernel:
    """The real one."""

    async def apply(self, commands: Iterable[str]) -> None:
        await nft.apply(commands)

    async def chain_names(self, table: Table) -> set[str] | None:
        return await nft.chain_names(table)

    async def forget_flows(self, targets: Iterable[tuple[str, str, int]]) -> int:
        return await nft.forget_flows(targets)


@dataclass(slots=True)
class _Family:
    """State of one address family: the plan of every service and the table last written."""

    name: str
    fragments: dict[str, Fragment] = field(default_factory=dict)
    written: Table | None = None


class Proxy:
    """Keeps the node's rules equal to what Services and EndpointSlices ask for."""

    def __init__(
        self,
        client: Client,
        options: ProxyOptions,
        *,
        kernel: Kernel | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._kernel: Kernel = kernel or NftKernel()
        self._clock = clock or RealClock()
        self._node = NodeFacts(
            name=options.node_name, addresses=options.nodeport_addresses, cluster_cidr=options.cluster_cidr
        )
        self._families = [_Family(name) for name in options.families]
        self._changes = metrics.Changes(options.families, self._clock)
        self._services: dict[str, Object] = {}
        self._slices: dict[str, dict[str, Object]] = {}
        self._dirty: set[str] = set()
        self._changed = asyncio.Event()
        self._informers = InformerSet(client)
        self._health = HealthServer(
            options.node_name, options.healthz_address, options.metrics_address, self._metrics_port(),
            self._clock,
        )  # fmt: skip
        self._informers.get(SERVICES).add_handler(self.on_service)
        self._informers.get(ENDPOINT_SLICES).add_handler(self.on_slice)
        self._informers.get(NODES, field_selector=f"metadata.name={options.node_name}").add_handler(
            self.on_node
        )

    def _metrics_port(self) -> MetricsPort:
        options = self._options
        shown = configuration(
            options.node_name, options.cluster_cidr, options.nodeport_addresses, options.healthz_address,
            options.metrics_address,
        )  # fmt: skip
        show_features(options.gates)
        pages = ZPages("kube-proxy", self._clock.now(), options.flags, MetricsPort.PATHS, options.gates)
        return MetricsPort(shown, pages, self._clock)

    async def run(self) -> None:
        """Work until cancelled.

        The first write waits until everything is known: half the services is worse than the rules of before.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informers.run())
            tasks.create_task(self._health.run())
            await self._informers.wait_synced()
            await keep(self, self._changed, self._options.min_interval_s, self._options.check_interval_s)

    def start_over(self, error: nft.NftError) -> None:
        """Forget what was written, as nobody knows what of it stands."""
        log.warning("rules not written, starting over node=%s error=%s", self._options.node_name, error)
        for family in self._families:
            family.written = None
            metrics.FAILURES.labels(family.name).inc()

    async def sync(self) -> None:
        """Plan what changed and write the difference. Raises NftError; the next call then does it all."""
        self._changed.clear()
        dirty, self._dirty = self._dirty, set()
        since = self._changes.take()
        try:
            for family in self._families:
                began, whole = self._clock.monotonic(), family.written is None
                await self._sync_family(family, dirty)
                took_s = self._clock.monotonic() - began
                for times in (metrics.DURATION, metrics.FULL if whole else metrics.PARTIAL):
                    times.labels(family.name).observe(took_s)
                self._changes.written(family.name, since)
        except BaseException:
            self._dirty |= dirty
            raise
        self._health.synced()

    async def _sync_family(self, family: _Family, dirty: set[str]) -> None:
        stale: list[tuple[str, str, int]] = []
        fragments = dict(family.fragments)
        for key in sorted(dirty):
            service = self._services.get(key)
            plan = Fragment()
            if service is not None:
                plan = plan_service(
                    service, list(self._slices.get(key, {}).values()), self._node, family.name
                )
                fragments[key] = plan
            else:
                fragments.pop(key, None)
            stale += stale_flows(family.fragments.get(key, Fragment()), plan)
        table = build((fragments[key] for key in sorted(fragments)), self._node, family.name)
        commands = transaction(family.written, table)
        if commands:
            await self._kernel.apply(commands)
            log.debug("rules written node=%s commands=%d", self._options.node_name, len(commands))
        family.fragments, family.written = fragments, table
        for policy, count in (
            ("internal", sum(one.no_local_internal for one in fragments.values())),
            ("external", sum(one.no_local_external for one in fragments.values())),
        ):
            metrics.NO_LOCAL.labels(family.name, policy).set(count)
        if stale:
            await self._forget(family.name, stale)

    async def _forget(self, family: str, stale: list[tuple[str, str, int]]) -> None:
        """Let go of flows to where nobody is any more."""
        began = self._clock.monotonic()
        forgotten = await self._kernel.forget_flows(stale)
        metrics.FORGETTING.labels(family).observe(self._clock.monotonic() - began)
        if forgotten:
            metrics.FORGOTTEN.labels(family).inc(forgotten)

    async def check(self) -> None:
        """Compare the kernel's chains with what was written; rewrite everything if someone meddled."""
        for family in self._families:
            if family.written is None:
                continue
            names = await self._kernel.chain_names(family.written)
            if names != set(family.written.chains):
                log.warning(
                    "rules were changed by others, writing them again node=%s", self._options.node_name
                )
                family.written = None
                self._changed.set()

    def on_service(self, old: Object | None, new: Object | None) -> None:
        """Informer handler."""
        key = object_key(new or old or {})
        self._changes.service(key)
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self._touch(key)

    def on_slice(self, old: Object | None, new: Object | None) -> None:
        """Informer handler; a slice whose label moved touches both services."""
        self._changes.endpoints(service_of(new or old or {}), new)
        if old is not None:
            before = service_of(old)
            kept = self._slices.get(before, {})
            kept.pop(object_key(old), None)
            if not kept:
                self._slices.pop(before, None)
            self._touch(before)
        if new is not None:
            after = service_of(new)
            self._slices.setdefault(after, {})[object_key(new)] = new
            self._touch(after)

    def on_node(self, old: Object | None, new: Object | None) -> None:
        """Informer handler for the own Node: its zone and, unless set by flag, its addresses."""
        if new is None:
            return
        zone = (new["metadata"].get("labels") or {}).get(_ZONE_LABEL, "")
        addresses = self._options.nodeport_addresses or tuple(
            item["address"]
            for item in (new.get("status") or {}).get("addresses") or ()
            if item.get("type") == "InternalIP"
        )
        facts = replace(self._node, zone=zone, addresses=addresses)
        if facts != self._node:
            self._node = facts
            self._dirty.update(self._services)
            self._changed.set()

    def _touch(self, key: str) -> None:
        if key:
            self._dirty.add(key)
            self._health.update(key, self._services.get(key), self._slices.get(key, {}).values())
            self._changed.set()
