"""One range of cluster IPs: which of its addresses may be given out, and in which order they are tried. Pure.

Source: KEP-3070, the lower part of a range is used last, so that people may choose addresses there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator
from random import Random

from tiphys.apimachinery.dataclass import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def band(size: int, *, step: int, least: int = 16, most: int = 256) -> int:
    """Return how many values at the start of a range of ``size`` are given out last."""
    return 0 if size <= least else min(max(size // step, least), most)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A range of addresses, without its first one and, in IPv4, its last."""

    network: Network

    @classmethod
    def of(cls, text: str) -> AddressRange:
        """Raises ValueError."""
        return cls(ipaddress.ip_network(text))

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    @property
    def first(self) -> int:
        return int(self.network.network_address) + 1

    @property
    def last(self) -> int:
        last = int(self.network.broadcast_address)
        return last - 1 if self.network.version == 4 else last

    def __contains__(self, address: Address) -> bool:
        return address.version == self.network.version and self.first <= int(address) <= self.last

    def candidates(self, used: Container[str], rng: Random) -> Iterator[str]:
        """Yield the free addresses: from anywhere in the upper part on and around, then the lower part."""
        split = self.first + band(self.network.num_addresses, step=16)
        for low, high in ((split, self.last), (self.first, min(split - 1, self.last))):
            if low > high:
                continue
            start = rng.randint(low, high)
            for number in _around(low, high, start):
                address = str(self._address(number))
                if address not in used:
                    yield address

    def _address(self, number: int) -> Address:
        return ipaddress.IPv4Address(number) if self.network.version == 4 else ipaddress.IPv6Address(number)


def _around(low: int, high: int, start: int) -> Iterator[int]:
    yield from range(start, high + 1)
    yield from range(low, start)


class PortSet:
    """Node ports that are taken: a bit for each port of the range."""

    def __init__(self, low: int, high: int, bits: int = 0) -> None:
        self.low, self.high, self.bits = low, high, bits

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high and bool(self.bits >> (port - self.low) & 1)

    def __iter__(self) -> Iterator[int]:
        left = self.bits
        while left:
            lowest = left & -left
            yield self.low + lowest.bit_length() - 1
            left ^= lowest

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    def copy(self) -> PortSet:
        return PortSet(self.low, self.high, self.bits)

    def take(self, port: int) -> str:
        """Take one port; returns what is wrong with that, empty when it worked."""
        if not self.low <= port <= self.high:
            return f"provided port is not in the valid range. The range of valid ports is {self}"
        if port in self:
            return "provided port is already allocated"
        self.bits |= 1 << (port - self.low)
        return ""

    def take_any(self, rng: Random) -> int:
        """Take a free port, from the upper part while there is one; 0 when all are taken."""
        size = self.high - self.low + 1
        split = self.low + band(size, step=32, most=128)
        for low, high in ((split, self.high), (self.low, split - 1)):
            if low > high:
                continue
            for port in _around(low, high, rng.randint(low, high)):
                if port not in self:
                    self.bits |= 1 << (port - self.low)
                    return port
        return 0

    def release(self, ports: Iterable[int]) -> None:
        for port in ports:
            if self.low <= port <= self.high:
                self.bits &= ~(1 << (port - self.low))
