"""Pod ranges for nodes out of the cluster's ranges. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from tiphys.apimachinery.dataclass import dataclass

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Pool:
    """One cluster range, cut into nodes' ranges of ``mask`` bits."""

    network: Network
    mask: int


def pools(cluster_cidr: str, mask: int, mask_ipv6: int) -> list[Pool]:
    """Parse the option, in which addresses stand for their ranges.

    Raises ValueError for what is no range, or smaller than a node's.
    """
    result = []
    for text in filter(None, (part.strip() for part in cluster_cidr.split(","))):
        network = ipaddress.ip_network(text, strict=False)
        bits = mask if network.version == 4 else mask_ipv6
        if bits < network.prefixlen:
            raise ValueError(f"node range /{bits} is larger than the cluster range {text}")
        result.append(Pool(network, bits))
    return result


class Ledger:
    """Who has which ranges.

    They are given one after the other, and around: what a node gave back stays unused for as long as it can.
    """

    def __init__(self, all_pools: Iterable[Pool], reserved: Iterable[str] = ()) -> None:
        self._shares = [_Shares(pool) for pool in all_pools]
        self._held: dict[str, list[str]] = {}
        self.tries: list[int] = []
        """Of each pool: how many ranges in use were passed over for the last that was given."""
        self._book(reserved, 1)

    def held(self, name: str) -> list[str]:
        """Return a node's ranges."""
        return self._held.get(name, [])

    def hold(self, name: str, ranges: list[str]) -> None:
        """Note what a node has, in place of what it had."""
        if ranges != self._held.get(name):
            self.release(name)
            self._held[name] = ranges
            self._book(ranges, 1)

    def release(self, name: str) -> None:
        """Let a node's ranges be given to others."""
        self._book(self._held.pop(name, ()), -1)

    def allot(self, name: str) -> list[str] | None:
        """Give a node the next free range of each pool, or nothing when one is used up."""
        numbers = []
        for share in self._shares:
            number = share.next_free()
            if number is None:
                return None
            numbers.append(number)
        self.tries = [share.passed_over(number) for share, number in zip(self._shares, numbers, strict=True)]
        chosen = [str(share.give(number)) for share, number in zip(self._shares, numbers, strict=True)]
        self.hold(name, chosen)
        return chosen

    def usage(self) -> list[tuple[int, int]]:
        """Return of each pool how many of its ranges are in use, and how many there are."""
        return [share.usage() for share in self._shares]

    def _book(self, ranges: Iterable[str], amount: int) -> None:
        for text in ranges:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError:
                continue  # nobody can have it
            for share in self._shares:
                share.book(network, amount)


class _Shares:
    """One pool as numbers: its ranges, from 0."""

    def __init__(self, pool: Pool) -> None:
        self._network, self._mask = pool.network, pool.mask
        self._shift = pool.network.max_prefixlen - pool.mask
        self._numbers = 1 << (pool.mask - pool.network.prefixlen)
        self._taken: Counter[int] = Counter()
        self._wide: Counter[tuple[int, int]] = Counter()
        """First and last number of what takes more than one: Services, ranges that somebody else gave."""
        self._next = 0
        """Where to look first: behind what was given last."""

    def book(self, network: Network, amount: int) -> None:
        """Count who has a range (1), or has it no more (-1); one outside of the pool is nobody's concern."""
        if not _overlaps(network, self._network):
            return
        first, last = self._number(network.network_address), self._number(network.broadcast_address)
        first, last = max(first, 0), min(last, self._numbers - 1)
        if first == last:
            _count(self._taken, first, amount)
        else:
            _count(self._wide, (first, last), amount)

    def next_free(self) -> int | None:
        for start, stop in ((self._next, self._numbers), (0, self._next)):
            number = start
            while number < stop:
                end = next((last for first, last in self._wide if first <= number <= last), None)
                if end is not None:
                    number = end + 1
                elif number in self._taken:
                    number += 1
                else:
                    return number
        return None

    def passed_over(self, number: int) -> int:
        """Return how far a free number is from where it was looked for first."""
        return (number - self._next) % self._numbers

    def usage(self) -> tuple[int, int]:
        """Return how many ranges are in use, and how many there are."""
        wide = {number for first, last in self._wide for number in range(first, last + 1)}
        return len(wide | self._taken.keys()), self._numbers

    def give(self, number: int) -> Network:
        """Return the range of a free number; the next search begins behind it."""
        self._next = (number + 1) % self._numbers
        start = int(self._network.network_address) + (number << self._shift)
        return type(self._network)((start, self._mask))

    def _number(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
        return (int(address) - int(self._network.network_address)) >> self._shift


def _count(table: Counter[T], item: T, amount: int) -> None:
    table[item] += amount
    if not table[item]:
        del table[item]


def _overlaps(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
