"""Keeps what Services hold and what is noted as taken the same, whatever crash or hand came between.

A changed Service or IPAddress is looked at when it is heard of; everything is looked at now and then. What is
found becomes an event about the Service. Decisions are in ``repair_plan``.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from tiphys.apimachinery.clock import rfc3339, rfc3339_micro
from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, new_uid
from tiphys.apiserver.bootstrap import ensure_default_cidr
from tiphys.apiserver.call import Backend
from tiphys.apiserver.feed import Feed
from tiphys.apiserver.objects import Cached, Selection
from tiphys.apiserver.services.addresses import new_address
from tiphys.apiserver.services.fields import cluster_ips
from tiphys.apiserver.services.ranges import PortSet
from tiphys.apiserver.services.repair_plan import Finding, judge_address, judge_held, rebuild_ports

log = logging.getLogger(__name__)

INTERVAL_S = 180.0
_ADDRESSES, _PORTS = "ipallocator-repair-controller", "portallocator-repair-controller"
_DEFAULT_CIDR = "kubernetes"


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
        self._changed: dict[tuple[str, str], None] = {}
        self._no_cidr = False
        self._leaks: dict[int, int] = {}
        self._told: dict[tuple[str, str, str], float] = {}

    def feeds(self) -> list[Feed]:
        """Return what it must hear of."""
        store = self._backend.store
        return [
            Feed(store, self._services, self._service_changed),
            Feed(store, self._addresses, self._address_changed),
            Feed(store, self._cidrs, self._cidr_changed),
        ]

    def _service_changed(self, _old: Cached | None, new: Cached | None) -> None:
        if new is not None and any(
            not self._is_noted(ip, new.object) for ip in cluster_ips(new.object["spec"])
        ):
            self._look_at(new.namespace, new.name)

    def _is_noted(self, address: str, service: Object) -> bool:
        held = self._backend.services.addresses.known.get(address) or {}
        reference, meta = (held.get("spec") or {}).get("parentRef") or {}, service["metadata"]
        return (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])

    def _address_changed(self, old: Cached | None, new: Cached | None) -> None:
        if old is not None:
            reference = (old.object.get("spec") or {}).get("parentRef") or {}
            if reference.get("resource") == "services":
                self._look_at(reference.get("namespace") or "", reference.get("name") or "")

    def _cidr_changed(self, old: Cached | None, new: Cached | None) -> None:
        if new is None and old is not None and old.name == _DEFAULT_CIDR:
            self._no_cidr = True
            self._wake.set()

    def _look_at(self, namespace: str, name: str) -> None:
        self._changed[namespace, name] = None
        self._wake.set()

    async def run(self) -> None:
        """Repair for ever."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._quietly(self.run_once())
                continue
            self._wake.clear()
            await self._quietly(self._catch_up())

    async def _quietly(self, work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except StatusError as error:
            log.warning("services not repaired error=%s", error.message)

    async def _catch_up(self) -> None:
        if self._no_cidr:
            self._no_cidr = False
            await ensure_default_cidr(self._backend)
        while self._changed:
            namespace, name = next(iter(self._changed))
            del self._changed[namespace, name]
            service = await self._get(namespace, name)
            if service is not None:
                await self._check_service(service)

    async def run_once(self) -> None:
        """Look at every Service, every address and every port."""
        store = self._backend.store
        services = [item.object for item in (await store.list(self._services, Selection())).items]
        for service in services:
            await self._check_service(service)
        for held in (await store.list(self._addresses, Selection())).items:
            await self._check_held(held)
        await self._check_ports(services)

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
        with suppress(Conflict, NotFound):
            await self._backend.store.delete(self._addresses, "", held.name, held.revision)
            await self._tell(_ADDRESSES, held.object, finding)

    async def _check_ports(self, services: list[Object]) -> None:
        allocator = self._backend.services.ports
        stored = await allocator.read()
        report = rebuild_ports(stored, services, self._leaks)
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
        "action": "PortAllocation" if component == _PORTS else "ClusterIPAllocation",
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": component,
        "firstTimestamp": None,
        "lastTimestamp": None,
    }
