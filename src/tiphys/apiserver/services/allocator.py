"""Gives a Service its addresses and node ports around its write, and takes them back when the write fails.

Source: the "Service ClusterIP allocation" page; core/v1 ServiceSpec.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from random import Random
from typing import Any

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Invalid, StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import ObjectStore
from tiphys.apiserver.services import fields
from tiphys.apiserver.services.addresses import AddressAllocator, CannotTake
from tiphys.apiserver.services.families import keeps_preferred, settle_families
from tiphys.apiserver.services.ports import PortAllocator
from tiphys.apiserver.unbroken import Unbroken
from tiphys.storage.base import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceRanges:
    """The cluster's own settings: ranges (the first tells the default family), first and last node port."""

    cluster_ips: Sequence[str]
    node_ports: tuple[int, int]

    @property
    def families(self) -> list[str]:
        return [f"IPv{ipaddress.ip_network(text).version}" for text in self.cluster_ips]


@dataclass(slots=True)
class _Allocation:
    """What one write has taken, and what it lets go of once it is done."""

    addresses: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    leaves_addresses: list[str] = field(default_factory=list)
    leaves_ports: list[int] = field(default_factory=list)


class ServiceAllocator:
    """All Services' addresses and node ports. ``raw`` is the store below ``store``."""

    def __init__(
        self,
        ranges: ServiceRanges,
        store: ObjectStore,
        raw: Store,
        table: Any,
        clock: Clock,
        *,
        rng: Random | None = None,
    ) -> None:
        self._families = ranges.families
        self._store = store
        self._cidr_row: Resource = table.by_path("networking.k8s.io", "v1", "servicecidrs")
        self._address_row: Resource = table.by_path("networking.k8s.io", "v1", "ipaddresses")
        self.first_address = str(ipaddress.ip_network(ranges.cluster_ips[0])[1])
        """The address of the Service ``kubernetes``."""
        self.addresses = AddressAllocator(store, self._address_row, clock, rng)
        self.ports = PortAllocator(raw, *ranges.node_ports, rng)
        self.unbroken = Unbroken()

    def feeds(self) -> list[Feed]:
        """Return what it must follow while the server runs."""
        return [
            Feed(self._store, self._cidr_row, self.addresses.observe_cidr),
            Feed(self._store, self._address_row, self.addresses.observe_address),
        ]

    @asynccontextmanager
    async def allocate(
        self, service: Object, old: Object | None, *, dry_run: bool = False
    ) -> AsyncIterator[None]:
        """Complete ``service`` with what it needs, for as long as the block succeeds.

        The block validates and writes. When it raises, all is given back; when it ends, what the Service no
        longer uses is. Under dry run nothing is really taken. Requests do all that ``unbroken``.

        Raises:
            Invalid: something asked for cannot be had.
            InternalError: nothing is left.
        """
        spec, before = service["spec"], None if old is None else old["spec"]
        if before is not None:
            fields.keep_allocated(spec, before)
        fields.mirror_cluster_ips(spec, before)
        fields.drop_internal_policy(spec)
        allocation = _Allocation()
        try:
            await self._take(service, old, allocation, dry_run=dry_run)
            if before is not None:
                fields.drop_inapplicable(spec, before)
                if spec.get("type") != "LoadBalancer":
                    service["status"] = {**(service.get("status") or {}), "loadBalancer": {}}
            yield
        except BaseException:
            if not dry_run:
                await self._give_back(service, allocation.addresses, allocation.ports)
            raise
        if not dry_run:
            await self._give_back(service, allocation.leaves_addresses, allocation.leaves_ports)

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of addresses and ports."""
        yield from self.addresses.collect()
        yield from self.ports.collect()

    async def release(self, service: Object) -> None:
        """Give back all that a Service had that is gone."""
        spec = service.get("spec") or {}
        await self._give_back(service, fields.cluster_ips(spec), fields.node_ports(spec))

    async def _give_back(self, service: Object, addresses: Sequence[str], ports: Sequence[int]) -> None:
        """At best effort: what is left behind is found by the repair."""
        try:
            for address in addresses:
                await self.addresses.release(address, service)
            await self.ports.release(ports)
        except StatusError as error:
            meta = service["metadata"]
            log.warning(
                "not released service=%s/%s error=%s",
                meta.get("namespace"),
                meta.get("name", ""),
                error.message,
            )

    async def _take(
        self, service: Object, old: Object | None, allocation: _Allocation, *, dry_run: bool
    ) -> None:
        spec, before = service["spec"], None if old is None else old["spec"]
        faults = settle_families(spec, before, self._families)
        if faults:
            raise Invalid.of("", "Service", service["metadata"].get("name", ""), faults)
        if not keeps_preferred(spec, before):
            if before is None or before.get("type") == "ExternalName":
                await self._take_addresses(service, 0, allocation, dry_run=dry_run)
            elif not fields.is_headless(before):
                await self._change_addresses(service, before, allocation, dry_run=dry_run)
        taken, left = await self.ports.take(service, old, dry_run=dry_run)
        allocation.ports += taken
        allocation.leaves_ports += left

    async def _change_addresses(
        self, service: Object, before: Object, allocation: _Allocation, *, dry_run: bool
    ) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            allocation.leaves_addresses += fields.cluster_ips(before)
            return
        now, then = len(spec.get("ipFamilies") or ()), len(before.get("ipFamilies") or ())
        if (then, now) == (1, 2):
            await self._take_addresses(service, 1, allocation, dry_run=dry_run)
        elif (then, now) == (2, 1):
            allocation.leaves_addresses += fields.cluster_ips(before)[1:]

    async def _take_addresses(
        self, service: Object, first: int, allocation: _Allocation, *, dry_run: bool
    ) -> None:
        """Take an address for each family from the ``first`` on."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or fields.is_headless(spec):
            return
        asked: list[str] = list(spec.get("clusterIPs") or ())
        given = asked[:first]
        for index, family in enumerate(spec["ipFamilies"]):
            if index < first:
                continue
            wanted = asked[index] if index < len(asked) else ""
            given.append(await self._take_one(service, family, wanted, asked, dry_run=dry_run))
            if not dry_run:
                allocation.addresses.append(given[-1])
        spec["clusterIP"], spec["clusterIPs"] = given[0], given

    async def _take_one(
        self, service: Object, family: str, wanted: str, asked: list[str], *, dry_run: bool
    ) -> str:
        if not wanted:
            if dry_run:
                return self.addresses.any_for_dry_run(family)
            return await self.addresses.take_any(family, service)
        try:
            if dry_run:
                self.addresses.check(wanted)
            else:
                await self.addresses.take(wanted, service)
        except CannotTake as error:
            shown = asked + [""] * (len(service["spec"]["ipFamilies"]) - len(asked))
            fault = invalid("spec.clusterIPs", shown, f"failed to allocate IP {wanted}: {error}")
            raise Invalid.of("", "Service", service["metadata"]["name"], [fault]) from None
        return wanted
