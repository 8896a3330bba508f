"""The API server: wires store, identity, rights, admission and handlers into one ``Handler``.

Owns: start-up order (cache, indexes, bootstrap, ready) and its end. Refuses: sockets, which are the caller's
(``cmd.apiserver``), so that the same server runs in one process with its clients.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tiphys.apimachinery import verbosity
from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.featuregates import changed
from tiphys.apis.field_gates import FieldGates
from tiphys.apis.introduced import younger
from tiphys.apis.runtime_config import gated, hidden
from tiphys.apis.table import TABLE
from tiphys.apiserver.admission import assembly as plugins
from tiphys.apiserver.aggregation.controller import Aggregation
from tiphys.apiserver.audit.assembly import assemble
from tiphys.apiserver.audit.auditor import Auditor, totals
from tiphys.apiserver.authn import assembly as authentication
from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authn.live_objects import LiveObjects
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.config import ConfiguredModes
from tiphys.apiserver.authz.defaults import node_rules
from tiphys.apiserver.authz.feeds import node_feeds, rbac_feeds
from tiphys.apiserver.authz.graph import NodeGraph
from tiphys.apiserver.authz.graph_times import GraphTimes
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.controlplane.bootstrap import bootstrap
from tiphys.apiserver.controlplane.endpoint_reconciler import EndpointReconciler
from tiphys.apiserver.controlplane.identity import Identity, identity_of
from tiphys.apiserver.controlplane.kubernetes_service import KubernetesService
from tiphys.apiserver.controlplane.token_tracking import TokenTracking
from tiphys.apiserver.crd.controller import CustomResources
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.endpoints.nonresource import (
    NonResource,
    build_info,
    declarative_validation,
)
from tiphys.apiserver.filters.browsers import Browsers
from tiphys.apiserver.filters.chain import Chain
from tiphys.apiserver.filters.traffic import TrafficControl
from tiphys.apiserver.graceful_shutdown import GracefulShutdown, Listener, ShutdownOptions
from tiphys.apiserver.health import Check, Health
from tiphys.apiserver.observe.certificate_counts import CertificateCounts
from tiphys.apiserver.observe.metrics import Metrics
from tiphys.apiserver.observe.metrics import Source as MetricSource
from tiphys.apiserver.observe.stored_objects import stored_objects
from tiphys.apiserver.observe.unmoved import unmoved
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.peers.addresses import Addresses, Presence
from tiphys.apiserver.peers.controller import Peers
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import ObjectStore
from tiphys.apiserver.reloading import Reload, reload_forever
from tiphys.apiserver.ruled import Ruled
from tiphys.apiserver.services import ServiceAllocator
from tiphys.apiserver.services.allocator import ServiceRanges
from tiphys.apiserver.services.repair import ServiceRepair
from tiphys.apiserver.shortcuts.molds import Molds
from tiphys.apiserver.startup import AGGREGATING, BOOTSTRAPPED, GIVEN_UP, PRIMED, Steps, attempt, patiently
from tiphys.apiserver.stores import Elsewhere, Stores
from tiphys.apiserver.usage.api import UsageApi
from tiphys.apiserver.usage.scraper import Scraper, Source
from tiphys.client.healthchecks import log_fault
from tiphys.client.metrics import feature_family, version_family
from tiphys.storage.base import Store
from tiphys.wire.message import Handler, Request, Response

if TYPE_CHECKING:
    from tiphys.apiserver.encryption.store import EncryptedStore
    from tiphys.apiserver.observe.tracing import Tracing

log = logging.getLogger(__name__)


class ApiServer:
    """One API server over one store. ``handler`` answers as soon as ``start`` has returned."""

    def __init__(
        self,
        store: Store,
        options: ApiServerOptions | None = None,
        clock: Clock | None = None,
        *,
        objects: ObjectStore | None = None,
        usage: Source | None = None,
        elsewhere: Elsewhere = MappingProxyType({}),
    ) -> None:
        """``elsewhere``: the stores of kinds that are not in ``store``."""
        self.options = options or ApiServerOptions()
        self._clock = clock or RealClock()
        self._encrypted = _encrypted(store, self.options, self._clock)
        self._store: Store = store if self._encrypted is None else self._encrypted
        seal = self._encrypted.beside if self._encrypted is not None else _unsealed
        self.stores = Stores(store, self._store, self.options, elsewhere, seal)
        self.table = TABLE.copy()
        gates = self.options.feature_gates
        off = younger(self.table, gates.effective.emulated) | gated(self.table, gates)
        self.table.hide(hidden(self.table, self.options.runtime_config) | off)
        self.objects: Any = objects if objects is not None else self.stores.cached(self._clock)
        self.keys = authentication.token_keys(self.options, self._clock)
        self.rbac, self._graph, self._graph_times = Rbac(), NodeGraph(), GraphTimes(self._clock)
        certificates = CertificateCounts()
        self._modes = ConfiguredModes(self.options, self._clock, certificates)
        self.tracing = _tracing(self.options, self._clock)
        self.backend = self._shared(certificates)
        self._repair = ServiceRepair(self.backend)
        self._identity, self.published = self._shown()
        self.custom = CustomResources(self.backend)
        self.traffic = TrafficControl(self.backend)
        metrics, self.attempts = self.backend.metrics, Attempts()
        self.steps = Steps(self.options)
        health = self._health()
        self.scraper = Scraper(self.backend, usage)
        self.aggregation = Aggregation(self.backend, [UsageApi(self.backend, self.scraper)])
        metrics.sources += [*self._sources(), self.stores.collect, health.counts.collect]
        self.peers, self._presence = self._beside()
        nonresource = NonResource(
            self.table, self.options, self.keys, metrics, health, custom=self.custom.source_of,
            remotes=self.aggregation.openapi, debug=self.traffic.debug, clock=self._clock,
        )  # fmt: skip
        self.auditor = _auditor(self.options, self._clock, certificates)
        metrics.sources.append(totals if self.auditor is None else self.auditor.collect)
        make_chain = Chain if self.tracing is None else self.tracing.chain
        self._chain = make_chain(
            self.backend, nonresource, metrics, self.aggregation, self.traffic.traffic,
            auditor=self.auditor, attempts=self.attempts, peers=self.peers,
        )  # fmt: skip
        self._handler = self._around(self._chain)
        self.backend.look_at_stores = self.stores.look_at_servers
        self._ready = self._ending = False
        self._kubernetes_service = KubernetesService(self.backend)
        self._background: asyncio.Task[None] | None = None

    @property
    def handler(self) -> Handler:
        return self._handler

    async def __call__(self, request: Request) -> Response:
        return await self._handler(request)

    def _shared(self, certificates: CertificateCounts) -> Backend:
        """Return what all handlers have of this server."""
        modes, live = self._modes, LiveObjects(self.objects, self.table)
        node = NodeAuthorizer(self._graph, node_rules())
        admission = plugins.assemble(self.options, self._clock)
        return Backend(
            store=self._traced(self.objects),
            options=self.options,
            clock=self._clock,
            table=self.table,
            keys=self.keys,
            authenticator=authentication.build(
                self.options, self.keys, live.lookup, live.mark_used, self._clock, certificates=certificates
            ),
            authorizer=Authorizer(modes.modes(), self.rbac, node, modes.counts, modes.abac),
            admission=admission,
            molds=Molds(self.objects, admission),
            services=self._allocator(),
            metrics=Metrics(),
            field_gates=FieldGates(self.options.feature_gates),
            certificates=certificates,
        )

    def _traced(self, objects: Any) -> Any:
        if self.tracing is None:
            return objects
        return self.tracing.store(objects, seals=self._encrypted is not None)

    def _sources(self) -> list[MetricSource]:
        """Return the parts that count for themselves what they do."""
        admission, stored = self.backend.admission, stored_objects(self.objects, self.table)
        found: list[MetricSource] = [self.traffic.collect, admission.collect, self.attempts.collect, stored]
        found += [self.keys.collect, *self.backend.sources]
        found += [build_info, declarative_validation, unmoved, self._features, self.aggregation.collect]
        found += [self.backend.authenticator.collect, self._modes.collect, self._graph_times.collect]
        found += [self.backend.services.collect, self._repair.counts.collect, self.custom.counts.collect]
        if hasattr(self.objects, "collect"):
            found.append(self.objects.collect)
        if self._encrypted is not None:
            found.append(self._encrypted.collect)
        if self.options.egress.collect is not None:
            found.append(self.options.egress.collect)
        return found

    def _features(self) -> list[Metric]:
        gates = self.options.feature_gates
        return [feature_family(gates), version_family(gates.effective)]

    def _shown(self) -> tuple[Identity | None, EndpointReconciler | None]:
        """Return what tells clients that this server lives: a lease, and the endpoints of its Service."""
        named = self.options.feature_gates.enabled("APIServerIdentity")
        led_to = self.options.publishes_endpoints
        return (
            Identity(self.backend) if named else None,
            EndpointReconciler(self.backend, self._store) if led_to else None,
        )

    def _beside(self) -> tuple[Peers | None, Presence | None]:
        """Return what knows other servers over this store, and what tells them where this one is."""
        options, name = self.options, self._identity.name if self._identity is not None else ""
        if not name or not options.feature_gates.enabled("UnknownVersionInteroperabilityProxy"):
            return None, None
        addresses, peers, presence = Addresses(self._store), None, None
        if options.peer_ca:
            peers = Peers(self.backend, addresses, name, options.peer_ca, self.aggregation)
            peers.on_change = self.aggregation.show(peers.groups)
            self.backend.metrics.sources.append(peers.counts.collect)
        if options.peer_address is not None:
            presence = Presence(addresses, name, options.peer_address)
        return peers, presence

    def _allocator(self) -> ServiceAllocator:
        ranges = ServiceRanges(self.options.service_cluster_ip_ranges, self.options.service_node_port_range)
        return ServiceAllocator(ranges, self.objects, self._store, self.table, self._clock)

    def _around(self, chain: Chain) -> Handler:
        origins, strict = self.options.cors_allowed_origins, self.options.strict_transport_security
        gates = self.options.feature_gates
        handler: Handler = chain
        if origins or strict:
            handler = Browsers(chain, origins=origins, strict_transport=strict)
        if verbosity.tells(verbosity.REQUESTS, "httplog"):
            from tiphys.apiserver.observe.request_log import RequestLog

            handler = RequestLog(handler, self.traffic.flow, self._clock)
        privileged = self.options.allow_privileged
        return Ruled(handler, gates, privileged=privileged) if changed(gates) or not privileged else handler

    async def trust(self, client_ca: bytes, proxies_ca: bytes) -> None:
        """Believe other authorities of users and of front proxies from now on, and tell extension servers."""
        header = self.options.request_header
        if header is not None:
            header = replace(header, client_ca=proxies_ca)
        self.options = replace(self.options, client_ca=client_ca, request_header=header)
        self.backend.options = self.options
        self.backend.authenticator.trust(client_ca, header)
        await self.aggregation.trust()

    def begin_shutdown(self) -> None:
        """Say at ``/readyz`` that no new client should come. Everything is served on."""
        self._ending = True

    async def end(self, listener: Listener, signal: Callable[[str], None] = lambda _name: None) -> None:
        """Let what is under way finish, turn away what comes, until nobody listens. ``stop`` is left."""
        self.begin_shutdown()
        options = self.options
        told = ShutdownOptions(
            options.shutdown_delay_s, options.shutdown_send_retry_after, options.shutdown_watch_grace_s,
            options.request_timeout_s,
        )  # fmt: skip
        hooks = [self.published.end] if self.published is not None else []
        await GracefulShutdown(told, self.traffic.traffic.flights, signal).run(listener, self._handler, hooks)

    def _health(self) -> Health:
        first: dict[str, Check] = {"ping": lambda: None, "log": log_fault}
        stored = self.stores.checks()
        sealed: dict[str, Check] = {}
        reloads = self.options.encryption_provider_config_automatic_reload
        if self._encrypted is not None and (reloads or self._encrypted.asks_plugins):
            sealed["kms-providers"] = self._encrypted.fault
        steps = self.steps.checks()
        ready: dict[str, Check] = {
            **first, **self.stores.ready_checks(), **sealed,
            "informer-sync": lambda: None if self._ready else "not all indexes are filled",
            **steps, "shutdown": lambda: "process is shutting down" if self._ending else None,
        }  # fmt: skip
        patient = {name: self._patient(check) for name, check in steps.items()}
        # Starting anew mends no plugin: it says nothing about being alive.
        alive = {**first, **stored}
        return Health({**alive, **sealed, **steps}, {**alive, **patient}, ready, self.stores.groups())

    def _patient(self, check: Check) -> Check:
        """Return a check that finds nothing wrong while a start may still be under way."""
        grace_s = self.options.livez_grace_period_s
        ends = self._clock.monotonic() + grace_s
        return check if not grace_s else lambda: None if self._clock.monotonic() <= ends else check()

    async def start(self) -> None:
        """Open the store, fill the indexes, write what every cluster has.

        Raises StoreUnavailable; SignerFailed: there is no one to sign tokens, or not for so long.
        """
        await self.keys.begin()
        authentication.check_lifetime(self.options, self.keys)
        await self.stores.open()
        opener = getattr(self.objects, "start", None) or getattr(self.objects, "open", None)
        if opener is not None:
            await opener()
        self.stores.opened()
        feeds = self._feeds()
        loop = asyncio.get_running_loop()
        given_up = loop.call_later(self.options.storage_initialization_s, self._give_up)
        for feed in feeds:
            await patiently(feed.begin, math.inf)
        given_up.cancel()
        self.steps.done(PRIMED)
        started = asyncio.Event()
        task = asyncio.create_task(self._follow(feeds, started))  # parent: start and stop
        task.add_done_callback(self._feeds_ended)
        self._background = task
        await started.wait()
        await patiently(lambda: bootstrap(self.backend))
        await attempt(self._kubernetes_service.begin, "the Service kubernetes")
        await attempt(self._repair.run_once, "repair of Services")
        await attempt(self.traffic.prime, "flow control")
        if self.published is not None:
            await attempt(self.published.renew, "endpoints of the Service kubernetes")
        if self._identity is not None:
            await attempt(self._identity.renew, "identity lease")
        await attempt(self.aggregation.prime, "APIServices")
        if self._presence is not None:
            await patiently(self._presence.publish)
        self.steps.done({**BOOTSTRAPPED, **AGGREGATING})
        self._ready = True

    def _give_up(self) -> None:
        """Wait on, as before, without a check that says so."""
        log.warning("deadline exceeded while waiting for storage readiness... ignoring")
        self.steps.done(GIVEN_UP)

    def _feeds(self) -> list[Feed]:
        feeds = rbac_feeds(self.objects, self.table, self.rbac)
        feeds += self.backend.services.feeds()
        feeds += self._repair.feeds()
        feeds.append(Feed(self.objects, self.custom.row, self.custom.observe))
        feeds += self.backend.admission.feeds(self.objects, self.table)
        feeds += self.aggregation.feeds()
        feeds += self.traffic.feeds()
        feeds += self.scraper.feeds()
        if self.peers is not None:
            feeds += self.peers.feeds()
        if "Node" in self.backend.authorizer.modes:
            feeds += node_feeds(self.objects, self.table, self._graph, self._graph_times)
        return feeds

    async def _follow(self, feeds: list[Feed], started: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for feed in feeds:
                group.create_task(feed.run())
            group.create_task(self.custom.run())
            group.create_task(self.backend.authenticator.run())
            group.create_task(reload_forever([self.backend.authenticator.reload]))  # issuers may take long
            group.create_task(reload_forever(self._reloads()))
            group.create_task(self._repair.run())
            group.create_task(self.aggregation.run())
            group.create_task(self.traffic.run())
            group.create_task(self.scraper.run())
            group.create_task(self.stores.run())
            group.create_task(self.keys.run())
            if self._identity is not None:
                group.create_task(self._identity.run())
            if self.peers is not None:
                group.create_task(self.peers.run())
            if self._presence is not None:
                group.create_task(self._presence.run())
            if self.published is not None:
                group.create_task(self.published.run())
            group.create_task(TokenTracking(self.backend).run())
            group.create_task(self._kubernetes_service.run())
            if self._encrypted is not None:
                group.create_task(self._encrypted.run())
            if self.auditor is not None:
                group.create_task(self.auditor.run())
            if self.tracing is not None:
                group.create_task(self.tracing.run())
            started.set()

    def _reloads(self) -> list[Reload]:
        """Return what looks for changes of the files that may change, and for what others took away."""
        backend = self.backend
        found: list[Reload] = [lambda: self._modes.reload(backend.authorizer)]
        found += [self.aggregation.keep_published, backend.admission.reload]
        if self.options.proxy_client_certificate is not None:
            found.append(self.aggregation.reload)
        if self._encrypted is not None and self.options.encryption_provider_config_automatic_reload:
            found.append(self._encrypted.reload)
        return found

    def _feeds_ended(self, task: asyncio.Task[None]) -> None:
        """Without its indexes a server must not decide: say so where health is asked."""
        if not task.cancelled() and task.exception() is not None:
            self._ready = False
            log.error("feeds ended", exc_info=task.exception())

    async def stop(self) -> None:
        """Stop following and close the store. Idempotent."""
        self._ready = False
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
            self._background = None
            if self._presence is not None:
                await self._presence.end()
        self.backend.kept.close()
        await self.backend.services.unbroken.close()
        await self.keys.close()
        await self.backend.authenticator.close()
        await self.backend.authorizer.close()
        await self.backend.admission.close()
        await self.options.egress.close()
        closer = getattr(self.objects, "stop", None) or getattr(self.objects, "close", None)
        if closer is not None:
            await closer()
        await self.stores.close()
        if self.auditor is not None:
            await self.auditor.close()


def _auditor(options: ApiServerOptions, clock: Clock, certificates: CertificateCounts) -> Auditor | None:
    """Return what notes requests, if anybody wants that. Raises BadPolicy, OSError, ConfigError."""
    if options.audit is None:
        return None
    return assemble(options.audit, clock, options.egress.controlplane, certificates)


def _tracing(options: ApiServerOptions, clock: Clock) -> Tracing | None:
    listener = None
    if verbosity.tells(verbosity.STEPS, "trace"):
        from tiphys.apiserver.observe.step_log import StepLog

        listener = StepLog().take
    if options.tracing is None and listener is None:
        return None
    from tiphys.apiserver.observe.tracing import Tracing  # most servers do not trace

    named = options.feature_gates.enabled("APIServerIdentity")
    name = identity_of(socket.gethostname()) if named else ""
    return Tracing(options.tracing, clock, name, options.egress.controlplane, listener=listener)


def _encrypted(store: Store, options: ApiServerOptions, clock: Clock) -> EncryptedStore | None:
    """Put encryption at rest above a store where it is configured. Raises BadConfiguration, OSError."""
    path = options.encryption_provider_config
    if path is None:
        return None
    # Ciphers, KMS and its protobuf are loaded only by servers that encrypt.
    from tiphys.apiserver.encryption import config
    from tiphys.apiserver.encryption.kms import KmsPool
    from tiphys.apiserver.encryption.store import EncryptedStore

    plugins = KmsPool()
    rules = config.parse(path.read_text(), plugins.provider, str(path))
    return EncryptedStore(store, rules, path, plugins, clock)


def _unsealed(store: Store) -> Store:
    return store
