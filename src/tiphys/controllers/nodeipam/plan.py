"""Pod ranges for nodes out of the cluster's ranges. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Pool:
    """One cluster range, cut into nodes' ranges of ``mask`` bits."""

    network: Network
    mask: int


def pools(cluster_cidr: str, mask: int, mask_ipv6: int) -> list[Pool]:
    """Parse the option. Raises ValueError for what is no range, or smaller than a node's."""
    result = []
    for text in filter(None, (part.strip() for part in cluster_cidr.split(","))):
        network = ipaddress.ip_network(text)
        bits = mask if network.version == 4 else mask_ipv6
        if bits < network.prefixlen:
            raise ValueError(f"node range /{bits} is larger than the cluster range {text}")
        result.append(Pool(network, bits))
    return result


def allot(all_pools: Iterable[Pool], taken: Collection[str]) -> list[str] | None:
    """Return a node's ranges, one of each pool, or None when a pool is used up."""
    used = [ipaddress.ip_network(text) for text in taken]
    chosen = []
    for pool in all_pools:
        free = _first_free(pool, [net for net in used if net.version == pool.network.version])
        if free is None:
            return None
        chosen.append(str(free))
    return chosen


def _first_free(pool: Pool, used: list[Network]) -> Network | None:
    same = {net for net in used if net.prefixlen == pool.mask}
    odd = [net for net in used if net.prefixlen != pool.mask]
    for candidate in pool.network.subnets(new_prefix=pool.mask):
        if candidate not in same and not any(_overlaps(candidate, net) for net in odd):
            return candidate
    return None


def _overlaps(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
