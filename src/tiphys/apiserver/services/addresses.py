"""Cluster IPs: an IPAddress object holds each, made from the ranges of the ServiceCIDRs that are ready.

Creating the object is what takes the address, so two servers can never give out the same one. What is in
memory (ranges, names of addresses) only says where to look first.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Iterator
from random import Random

from tiphys.apimachinery.clock import Clock, rfc3339
from tiphys.apimachinery.errors import AlreadyExists, Conflict, InternalError, NotFound
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import Object, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.observe.durations import DurationsBy
from tiphys.apiserver.registry.objects import Cached, ObjectStore
from tiphys.apiserver.services import counts
from tiphys.apiserver.services.ranges import AddressRange

log = logging.getLogger(__name__)

MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
FAMILY = "ipaddress.kubernetes.io/ip-family"
ALLOCATOR = "ipallocator.k8s.io"


class CannotTake(Exception):
    """An address that was asked for cannot be had; the text says why."""


def new_address(address: str, service: Object, clock: Clock) -> Object:
    """Return the IPAddress by which a Service holds an address."""
    meta = service["metadata"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address,
            "uid": new_uid(),
            "creationTimestamp": rfc3339(clock.now()),
            "labels": {FAMILY: f"IPv{ipaddress.ip_address(address).version}", MANAGED_BY: ALLOCATOR},
        },
        "spec": {
            "parentRef": {
                "group": "", "resource": "services", "namespace": meta["namespace"],
                "name": meta.get("name", ""),  # one without is refused, but only later
            },
        },
    }  # fmt: skip


def is_ready(cidr: Object) -> bool:
    """Whether a ServiceCIDR may be allocated from; one that nobody has judged yet may."""
    if cidr["metadata"].get("deletionTimestamp"):
        return False
    for condition in (cidr.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return bool(condition.get("status") == "True")
    return True


class AddressAllocator:
    """Takes and gives back addresses. ``observe_*`` keep what it knows current."""

    def __init__(self, store: ObjectStore, row: Resource, clock: Clock, rng: Random | None = None) -> None:
        self._store, self._row, self._clock = store, row, clock
        self._random = rng or Random()
        self._cidrs: dict[str, Object] = {}
        self.known: dict[str, Object] = {}
        """Every IPAddress, whoever made it."""
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._failed: Counter[tuple[str, ...]] = Counter()
        self._took: DurationsBy[str] = DurationsBy(counts.TIMES)
        """By range, how long it took to take an address of it."""

    def observe_cidr(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self._cidrs[new.name] = new.object
        elif old is not None:
            self._cidrs.pop(old.name, None)

    def observe_address(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self.known[new.name] = new.object
        elif old is not None:
            self.known.pop(old.name, None)

    def ranges(self, family: str = "", *, ready: bool = True) -> list[AddressRange]:
        """Return the ranges of a family, once each."""
        found: dict[str, AddressRange] = {}
        for cidr in self._cidrs.values():
            for text in (cidr.get("spec") or {}).get("cidrs") or () if not ready or is_ready(cidr) else ():
                try:
                    found.setdefault(text, AddressRange.of(text))
                except ValueError:
                    log.warning("range ignored servicecidr=%s range=%s", cidr["metadata"]["name"], text)
        return [one for one in found.values() if not family or one.family == family]

    def check(self, address: str) -> None:
        """Raises CannotTake for an address outside of all ranges."""
        parsed = ipaddress.ip_address(address)
        if not any(parsed in one for one in self.ranges()):
            raise CannotTake("the provided network does not match the current range")

    async def take(self, address: str, service: Object) -> str:
        """Take this address; returns it in its canonical form. Raises CannotTake."""
        self.check(address)
        parsed = ipaddress.ip_address(address)
        network = next(str(one.network) for one in self.ranges() if parsed in one)
        began = self._clock.monotonic()
        if not await self._create(str(parsed), service):
            self._failed[network, counts.STATIC] += 1
            raise CannotTake("provided IP is already allocated")
        self._count(network, counts.STATIC, began)
        return str(parsed)

    async def take_any(self, family: str, service: Object) -> str:
        """Take a free address. Raises InternalError when all ranges are full."""
        for one in self.ranges(family):
            began = self._clock.monotonic()
            for address in one.candidates(self.known, self._random):
                if await self._create(address, service):
                    self._count(str(one.network), counts.DYNAMIC, began)
                    return address
            self._failed[str(one.network), counts.DYNAMIC] += 1
        raise InternalError.of("failed to allocate a serviceIP: range is full")

    def _count(self, network: str, scope: str, began: float) -> None:
        """Count an address that was taken just now."""
        self._taken[network, scope] += 1
        self._took[network].observe(self._clock.monotonic() - began)

    def any_for_dry_run(self, family: str) -> str:
        """Return what stands for an address that is not really taken: the first one of a range."""
        for one in self.ranges(family):
            return str(one.network.network_address)
        raise InternalError.of("failed to allocate a serviceIP: range is full")

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of addresses."""
        yield from counts.address_families(self.ranges(), self.known, self._taken, self._failed)
        yield counts.address_times(self._took)

    async def _create(self, address: str, service: Object) -> bool:
        try:
            made = await self._store.create(self._row, new_address(address, service, self._clock))
        except AlreadyExists:
            return False
        self.known.setdefault(address, made.object)
        return True

    async def release(self, address: str, service: Object) -> None:
        """Give an address back if it is this Service's."""
        meta = service["metadata"]
        try:
            name = str(ipaddress.ip_address(address))
            held = await self._store.get(self._row, "", name)
            parent = (held.object.get("spec") or {}).get("parentRef") or {}
            if (parent.get("namespace"), parent.get("name")) == (meta["namespace"], meta.get("name", "")):
                await self._store.delete(self._row, "", name, held.revision)
                self.known.pop(name, None)
        except (ValueError, NotFound):
            return
        except Conflict:
            log.info("address changed while it was released address=%s", address)
