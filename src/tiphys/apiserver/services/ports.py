"""Node ports: one record in the store holds a bit for each, changed by compare-and-swap.

Which ports a Service needs is decided by pure functions over a ``PortSet``; ``PortAllocator`` runs them
against the record until no other server came in between.

Source: core/v1 RangeAllocation.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError, InternalError, Invalid, ServiceUnavailable
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.service_validation import has_health_port
from tiphys.apiserver.cache.foreign import decode
from tiphys.apiserver.services import counts
from tiphys.apiserver.services.fields import (
    entry_ports,
    gives_node_ports,
    has_node_ports,
    node_ports,
)
from tiphys.apiserver.services.ranges import PortSet
from tiphys.storage.base import CompareFailed, Put, Record, Store, StoreUnavailable

KEY = "/registry/ranges/servicenodeports"
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Ports:
    """What a Service is to have: a number for each entry of ``spec.ports`` and the health check's."""

    numbers: tuple[int, ...]
    health: int


def choose(spec: Object, old: Object | None, ports: PortSet, rng: Random) -> Ports:
    """Take what a spec needs from ``ports`` beyond what it held before.

    Raises Invalid (nameless: the caller names the Service) and InternalError.
    """
    numbers = [port.get("nodePort") or 0 for port in spec.get("ports") or ()]
    if has_node_ports(spec):
        automatic = gives_node_ports(spec)
        chooser = _Chooser(ports, rng, entry_ports(old or {}))
        if old is None:
            numbers = chooser.for_new(spec, automatic=automatic)
        else:
            numbers = chooser.for_changed(spec, automatic=automatic)
    return Ports(tuple(numbers), _health(spec, old, ports, rng))


def _health(spec: Object, old: Object | None, ports: PortSet, rng: Random) -> int:
    asked = int(spec.get("healthCheckNodePort") or 0)
    if not has_health_port(spec) or (old is not None and has_health_port(old)):
        return asked
    if asked:
        fault = ports.take(asked)
        if fault:
            text = f"failed to allocate requested HealthCheck NodePort {asked}: {fault}"
            raise InternalError.of(text)
        return asked
    port = ports.take_any(rng)
    if not port:
        raise InternalError.of("failed to allocate a HealthCheck NodePort 0: range is full")
    return port


@dataclass(frozen=True, slots=True)
class _Chooser:
    ports: PortSet
    rng: Random
    held: set[int]

    def for_new(self, spec: Object, *, automatic: bool) -> list[int]:
        """Entries with one ``port`` (say TCP and UDP of DNS) share a node port."""
        entries = spec.get("ports") or []
        asked: dict[int, int] = {}
        for entry in entries:
            if entry.get("nodePort"):
                asked.setdefault(entry.get("port") or 0, entry["nodePort"])
        given: dict[int, int] = {}
        numbers: list[int] = []
        for index, entry in enumerate(entries):
            port, number = entry.get("port") or 0, entry.get("nodePort") or 0
            if not number and not automatic:
                numbers.append(0)
                continue
            if port not in given:
                given[port] = self._take(index, asked[port]) if port in asked else self._any()
                number = given[port]
            elif number and number != given[port]:
                self._take(index, number)
            numbers.append(number or given[port])
        return numbers

    def for_changed(self, spec: Object, *, automatic: bool) -> list[int]:
        numbers: list[int] = []
        taken: set[int] = set()
        seen: set[tuple[str, int]] = set()
        for index, entry in enumerate(spec.get("ports") or ()):
            number = entry.get("nodePort") or 0
            if not number and not automatic:
                numbers.append(0)
                continue
            if not number:
                number = self._any()
            elif number not in self.held and number not in taken:
                taken.add(self._take(index, number))
            protocol = entry.get("protocol") or "TCP"
            if (protocol, number) in seen:
                raise InternalError.of(f"duplicate nodePort: {{{protocol} {number}}}")
            seen.add((protocol, number))
            numbers.append(number)
        return numbers

    def _take(self, index: int, number: int) -> int:
        fault = self.ports.take(number)
        if fault:
            raise Refused(invalid(f"spec.ports[{index}].nodePort", number, fault))
        return number

    def _any(self) -> int:
        number = self.ports.take_any(self.rng)
        if not number:
            raise InternalError.of("failed to allocate a nodePort: range is full")
        return number


class Refused(Exception):
    """A port that was asked for cannot be had."""

    def __init__(self, fault: FieldError) -> None:
        super().__init__(str(fault))
        self.fault = fault


def apply_ports(spec: Object, chosen: Ports) -> None:
    """Write what was chosen into a spec."""
    for entry, number in zip(spec.get("ports") or (), chosen.numbers, strict=True):
        if number:
            entry["nodePort"] = number
    if chosen.health:
        spec["healthCheckNodePort"] = chosen.health


def _left(spec: Object, before: Object) -> list[int]:
    """Return what an update lets go of.

    An external name may show node ports that were never its own, so between two types without any none goes.
    """
    if not (has_node_ports(spec) or has_node_ports(before)):
        return []
    kept = set(node_ports(spec)) if has_node_ports(spec) else set()
    if not has_health_port(spec):
        kept.discard(int(before.get("healthCheckNodePort") or 0))
    return [port for port in node_ports(before) if port not in kept]


class PortAllocator:
    """The ports of one cluster. Changes of one server go one after the other."""

    def __init__(self, store: Store, low: int, high: int, rng: Random | None = None) -> None:
        self._store = store
        self.low, self.high = low, high
        self._random = rng or Random()
        self._lock = asyncio.Lock()
        self._seen: PortSet | None = None
        """What was taken at the last look."""
        self._taken: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    async def take(
        self, service: Object, old: Object | None, *, dry_run: bool
    ) -> tuple[list[int], list[int]]:
        """Give ``service`` the ports it needs, in its spec.

        Returns the ports taken, and those that it lets go of and that are to be released once it is written.
        """
        spec, before = service["spec"], (old or {}).get("spec") or {}
        if not (has_node_ports(spec) or has_health_port(spec) or node_ports(before)):
            return [], []
        chosen: list[Ports] = []
        asked = set(node_ports(spec))

        def change(ports: PortSet) -> None:
            chosen[:] = [choose(spec, None if old is None else before, ports, self._random)]

        try:
            taken = await self._change(change, write=not dry_run)
        except Refused as error:
            self._note_failure(counts.STATIC, dry_run=dry_run)
            raise Invalid.of("", "Service", service["metadata"].get("name", ""), [error.fault]) from None
        except InternalError:
            self._note_failure(counts.DYNAMIC, dry_run=dry_run)
            raise
        if not dry_run:
            self._taken.update(counts.STATIC if port in asked else counts.DYNAMIC for port in taken)
        apply_ports(spec, chosen[0])
        return taken, _left(spec, before)

    def _note_failure(self, scope: str, *, dry_run: bool) -> None:
        if not dry_run:
            self._failed[scope] += 1

    async def release(self, ports: Iterable[int]) -> None:
        """Give ports back."""
        wanted = list(ports)
        if wanted:
            await self._change(lambda taken: taken.release(wanted))

    async def read(self) -> PortSet:
        """Return what is taken now."""
        self._seen = self._decode(await self._record())
        return self._seen.copy()

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of ports."""
        yield from counts.port_families(self._seen, self._taken, self._failed)

    async def change(self, change: Callable[[PortSet], None]) -> None:
        """Run a change against the record."""
        await self._change(change)

    async def _change(self, change: Callable[[PortSet], None], *, write: bool = True) -> list[int]:
        async with self._lock:
            for _ in range(_ATTEMPTS):
                record = await self._record()
                ports = self._decode(record)
                before = ports.copy()
                change(ports)
                if ports.bits == before.bits:
                    return []
                taken = list(PortSet(self.low, self.high, ports.bits & ~before.bits))
                expect = record.mod_revision if record is not None else 0
                try:
                    if write:
                        await self._store.commit([Put(KEY, _encode(ports), expect=expect)])
                        self._seen = ports
                    return taken
                except CompareFailed:
                    continue
                except StoreUnavailable as error:
                    raise ServiceUnavailable(str(error)) from error
        raise InternalError.of("failed to allocate a nodePort: too many servers at once")

    async def _record(self) -> Record | None:
        try:
            return await self._store.get(KEY)
        except StoreUnavailable as error:
            raise ServiceUnavailable(str(error)) from error

    def _decode(self, record: Record | None) -> PortSet:
        """Read the record; one of another range is carried over as far as the ranges meet."""
        ports = PortSet(self.low, self.high)
        if record is None:
            return ports
        allocation = decode(record.value)
        low, high = (int(part) for part in allocation["range"].split("-"))
        stored = PortSet(low, high, int.from_bytes(base64.b64decode(allocation.get("data") or "")))
        if (low, high) == (self.low, self.high):
            return stored
        for port in stored:
            ports.take(port)
        return ports


def _encode(ports: PortSet) -> bytes:
    data = ports.bits.to_bytes((ports.bits.bit_length() + 7) // 8)
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "RangeAllocation",
            "metadata": {},
            "range": str(ports),
            "data": base64.b64encode(data).decode(),
        }
    )
