"""Keeps what Services hold and what is noted as taken the same, whatever crash or hand came between.

A changed Service or IPAddress is looked at when it is heard of, or as soon as who writes it must be done with
it; everything is looked at now and then. What is found becomes an event about the Service or the address.
Decisions are in ``repair_plan``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress

from tiphys.apimachinery.clock import parse_time, rfc3339, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.controlplane.bootstrap import ensure_default_cidr
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached, Selection
from tiphys.apiserver.services.addresses import new_address
from tiphys.apiserver.services.counts import RepairCounts
from tiphys.apiserver.services.fields import cluster_ips
from tiphys.apiserver.services.ranges import PortSet
from tiphys.apiserver.services.repair_plan import (
    UPDATE_GRACE_S,
    Finding,
    judge_address,
    judge_held,
    rebuild_ports,
)

log = logging.getLogger(__name__)

INTERVAL_S = 180.0
_RETRY_S = 5.0
"""After so long what could not be mended is tried again."""
_ADDRESSES, _PORTS = "ipallocator-repair-controller", "portallocator-repair-controller"
_DEFAULT_CIDR = "kubernetes"


_Key = tuple[Resource, str, str]
"""Services or IPAddresses, namespace and name."""


class ServiceRepair:
    """``run_once`` before the server is ready, ``run`` while it lives."""

    def __init__(self, backend: Backend, interval_s: float = INTERVAL_S) -> None:
        self._backend = backend
        self._interval_s = interval_s
        table = backend.table
        self._services = table.by_path("", "v1", "services")
        self._addresses = table.by_path("networking.k8s.io", "v1", "ipaddresses")
        self._cidrs = table.by_path("networking.k8s.io", "v1", "servicecidrs")
        self._events = table.by_path("", "v1", "events")
        self._wake = asyncio.Event()
        self._due: dict[_Key, float] = {}
        """What is to be looked at, and when."""
        self._sleeps_until = 0.0
        self._no_cidr = False
        self._leaks: dict[int, int] = {}
        self._told: dict[tuple[str, str, str], float] = {}
        self.counts = RepairCounts()

    def feeds(self) -> list[Feed]:
        """Return what it must hear of."""
        store = self._backend.store
        return [
            Feed(store, self._services, self._service_changed),
            Feed(store, self._addresses, self._address_changed),
            Feed(store, self._cidrs, self._cidr_changed),
        ]

    def _service_changed(self, old: Cached | None, new: Cached | None) -> None:
        addresses = cluster_ips(new.object["spec"]) if new is not None else []
        if new is not None and any(not self._is_noted(ip, new.object) for ip in addresses):
            self._look_at((self._services, new.namespace, new.name))
        for address in cluster_ips(old.object["spec"]) if old is not None else ():
            if address not in addresses:  # being given back by whoever wrote this
                key = (self._addresses, "", address)
                self._due.pop(key, None)
                self._look_at(key, UPDATE_GRACE_S)

    def _is_noted(self, address: str, service: Object) -> bool:
        held = self._backend.services.addresses.known.get(address) or {}
        reference, meta = (held.get("spec") or {}).get("parentRef") or {}, service["metadata"]
        return (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])

    def _address_changed(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None:
            reference = (old.object.get("spec") or {}).get("parentRef") or {}
            if reference.get("resource") == "services":
                self._look_at((self._services, reference.get("namespace") or "", reference.get("name") or ""))
        if new is not None:
            self._look_at((self._addresses, "", new.name), self._unsettled_s(new.object))

    def _unsettled_s(self, held: Object) -> float:
        """Return for how long an address is left to who made it: its Service is written after it."""
        if ((held.get("spec") or {}).get("parentRef") or {}).get("resource") != "services":
            return 0.0
        made = parse_time(held["metadata"]["creationTimestamp"])
        return max(0.0, UPDATE_GRACE_S - (self._backend.clock.now() - made).total_seconds())

    def _cidr_changed(self, old: Cached | None, new: Cached | None) -> None:
        if new is None and old is not None and old.name == _DEFAULT_CIDR:
            self._no_cidr = True
            self._wake.set()

    def _look_at(self, key: _Key, after_s: float = 0.0) -> None:
        # In whole seconds: what many requests leave behind is looked at together.
        due = math.ceil(self._backend.clock.monotonic() + after_s) if after_s else 0.0
        self._due[key] = min(due, self._due.get(key, due))
        if due < self._sleeps_until:
            self._wake.set()

    async def run(self) -> None:
        """Repair for ever."""
        clock = self._backend.clock
        last = clock.monotonic()
        while True:
            self._sleeps_until = min(last + self._interval_s, *self._due.values(), math.inf)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._sleeps_until - clock.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            await self._catch_up()
            if clock.monotonic() >= last + self._interval_s:
                last = clock.monotonic()
                await self._quietly(self.run_once())

    async def _quietly(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except StatusError as error:
            log.warning("services not repaired error=%s", error.message)
            return False
        return True

    async def _catch_up(self) -> None:
        if self._no_cidr:
            self._no_cidr = not await self._quietly(ensure_default_cidr(self._backend))
        now = self._backend.clock.monotonic()
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]
            if not await self._quietly(self._check(*key)):
                self._look_at(key, _RETRY_S)
            await asyncio.sleep(0)  # after a start there are many

    async def _check(self, row: Resource, namespace: str, name: str) -> None:
        if row is self._services:
            service = await self._get(namespace, name)
            if service is not None:
                await self._check_service(service)
            return
        held = await self._held(name)
        if held is not None:
            await self._check_held(held)

    async def run_once(self) -> None:
        """Look at every Service, every address and every port."""
        store = self._backend.store
        with self._noting("clusterip"):
            services = [item.object for item in (await store.list(self._services, Selection())).items]
            for service in services:
                await self._check_service(service)
            for held in (await store.list(self._addresses, Selection())).items:
                await self._check_held(held)
        with self._noting("nodeport"):
            await self._check_ports(services)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except StatusError:
            self.counts.failed[what] += 1
            raise

    async def _get(self, namespace: str, name: str) -> Object | None:
        try:
            return (await self._backend.store.get(self._services, namespace, name)).object
        except NotFound:
            return None

    async def _check_service(self, service: Object) -> None:
        addresses = self._backend.services.addresses
        for address in cluster_ips(service["spec"]):
            held = await self._held(address)
            parent = await self._parent(held.object) if held is not None else None
            finding = judge_address(
                service, address, held.object if held else None, parent, addresses.ranges(ready=False)
            )
            if finding is None:
                continue
            try:
                if finding.mend == "recreate" and held is not None:
                    await self._backend.store.delete(self._addresses, "", held.name, held.revision)
                if finding.mend:
                    new = new_address(address, service, self._backend.clock)
                    await self._backend.store.create(self._addresses, new)
            except (AlreadyExists, Conflict, NotFound):
                continue  # somebody else was faster: their event brings us back
            await self._tell(_ADDRESSES, service, finding)

    async def _held(self, address: str) -> Cached | None:
        try:
            return await self._backend.store.get(self._addresses, "", address)
        except NotFound:
            return None

    async def _parent(self, held: Object) -> Object | None:
        reference = (held.get("spec") or {}).get("parentRef") or {}
        return await self._get(reference.get("namespace") or "", reference.get("name") or "")

    async def _check_held(self, held: Cached) -> None:
        finding = judge_held(held.object, await self._parent(held.object), self._backend.clock.now())
        if finding is None:
            return
        if finding.again_s:
            self._look_at((self._addresses, "", held.name), finding.again_s)
            return
        with suppress(Conflict, NotFound):
            await self._backend.store.delete(self._addresses, "", held.name, held.revision)
            await self._tell(_ADDRESSES, held.object, finding)

    async def _check_ports(self, services: list[Object]) -> None:
        allocator = self._backend.services.ports
        stored = await allocator.read()
        report = rebuild_ports(stored, services, self._leaks)
        for port in stored:
            if port not in self._leaks and port in report.leaks:
                self.counts.leaked()
        self._leaks = report.leaks
        if report.ports.bits != stored.bits:
            gained, lost = report.ports.bits & ~stored.bits, stored.bits & ~report.ports.bits

            def mend(ports: PortSet) -> None:
                ports.bits = (ports.bits | gained) & ~lost

            await allocator.change(mend)
        for service, finding in report.findings:
            await self._tell(_PORTS, service, finding)

    async def _tell(self, component: str, about: Object, finding: Finding) -> None:
        """Write an event, once for as long as the last one like it lives."""
        self.counts.found(finding.reason)
        meta, clock = about["metadata"], self._backend.clock
        key = (meta["uid"], finding.reason, finding.message)
        ttl_s = self._backend.options.event_ttl_s
        now = clock.monotonic()
        if not finding.reason or now - self._told.get(key, float("-inf")) < ttl_s:
            return
        self._told[key] = now
        log.warning("repair object=%s/%s %s", meta.get("namespace", ""), meta["name"], finding.message)
        event = _event(component, about, finding)
        event["metadata"] |= {
            "name": f"{meta['name']}.{int(clock.now().timestamp() * 1e6) * 1000 + len(self._told) % 1000:x}",
            "uid": new_uid(),
            "creationTimestamp": rfc3339(clock.now()),
        }
        event["eventTime"] = rfc3339_micro(clock.now())
        with suppress(AlreadyExists):
            await self._backend.store.create(self._events, event, ttl_s=ttl_s)


def _event(component: str, about: Object, finding: Finding) -> Object:
    meta = about["metadata"]
    reference = {
        "apiVersion": about["apiVersion"], "kind": about["kind"], "name": meta["name"], "uid": meta["uid"],
        "namespace": meta.get("namespace"), "resourceVersion": meta.get("resourceVersion"),
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": meta.get("namespace") or "default"},
        "involvedObject": {key: value for key, value in reference.items() if value},
        "type": "Warning",
        "reason": finding.reason,
        "message": finding.message,
        "action": finding.action,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": component,
        "firstTimestamp": None,
        "lastTimestamp": None,
    }
