"""What is counted of Services' addresses and ports, with upstream's names: taken, free, refused, mended."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import Durations
from tiphys.apiserver.services.ranges import AddressRange, PortSet

STATIC: Final = "static"
"""Asked for by number; else it is ``DYNAMIC``."""
DYNAMIC: Final = "dynamic"
TIMES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
_ADDRESSES: Final = "kube_apiserver_clusterip_allocator"
_PORTS: Final = "kube_apiserver_nodeport_allocator"
_TYPES: Final = {
    "ClusterIPNotValid": "invalid",
    "ClusterIPOutOfRange": "outOfRange",
    "ClusterIPNotAllocated": "repair",
    "ClusterIPAlreadyAllocated": "duplicate",
    "IPAddressNotAllocated": "leak",
    "PortOutOfRange": "outOfRange",
    "PortAlreadyAllocated": "duplicate",
    "PortNotAllocated": "repair",
}
"""What upstream counts a reason as."""


def address_families(
    ranges: Iterable[AddressRange],
    known: Iterable[str],
    taken: Mapping[tuple[str, ...], int],
    failed: Mapping[tuple[str, ...], int],
) -> Iterator[Metric]:
    """Yield the families of addresses; ``taken`` and ``failed`` are by range and scope."""
    held = [ipaddress.ip_address(one) for one in known]
    allocated = GaugeMetricFamily(f"{_ADDRESSES}_allocated_ips", "[ALPHA] Addresses taken.", labels=("cidr",))
    free = GaugeMetricFamily(f"{_ADDRESSES}_available_ips", "[ALPHA] Addresses free.", labels=("cidr",))
    for one in ranges:
        count = sum(address in one for address in held)
        allocated.add_metric([str(one.network)], count)
        free.add_metric([str(one.network)], one.last - one.first + 1 - count)
    yield from (allocated, free)
    yield _counter(f"{_ADDRESSES}_allocation", "Addresses that were taken.", ("cidr", "scope"), taken)
    yield _counter(f"{_ADDRESSES}_allocation_errors", "Those that could not be.", ("cidr", "scope"), failed)


def address_times(took: Mapping[str, Durations]) -> Metric:
    """Return how long it took to take addresses, by range."""
    family = HistogramMetricFamily(
        f"{_ADDRESSES}_allocation_duration_seconds",
        "[ALPHA] Duration in seconds to allocate a Cluster IP by ServiceCIDR",
        labels=("cidr",),
    )
    for network, times in took.items():
        times.add_to(family, (network,))
    return family


def port_families(
    ports: PortSet | None, taken: Mapping[str, int], failed: Mapping[str, int]
) -> Iterator[Metric]:
    """Yield the families of node ports; ``taken`` and ``failed`` are by scope."""
    if ports is not None:
        count = ports.bits.bit_count()
        size = ports.high - ports.low + 1
        yield GaugeMetricFamily(f"{_PORTS}_allocated_ports", "[ALPHA] Node ports taken.", value=count)
        yield GaugeMetricFamily(f"{_PORTS}_available_ports", "[ALPHA] Node ports free.", value=size - count)
    for name, text, counts in (
        ("allocation", "Node ports that were taken.", taken),
        ("allocation_errors", "Those that could not be.", failed),
    ):
        yield _counter(f"{_PORTS}_{name}", text, ("scope",), {(scope,): one for scope, one in counts.items()})


class RepairCounts:
    """What the repair of one server has found."""

    def __init__(self) -> None:
        self._found: dict[str, Counter[tuple[str, ...]]] = {"clusterip": Counter(), "nodeport": Counter()}
        self.failed = {"clusterip": 0, "nodeport": 0}
        """Looks at everything that did not come to their end."""

    def found(self, reason: str) -> None:
        """Count a fault by the reason of its event."""
        kind = _TYPES.get(reason)
        if kind is not None:
            self._found["nodeport" if reason.startswith("Port") else "clusterip"][kind,] += 1

    def leaked(self) -> None:
        """Count a port that nobody has."""
        self._found["nodeport"]["leak",] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        for what, thing in (("clusterip", "ip"), ("nodeport", "port")):
            name = f"apiserver_{what}_repair"
            yield _counter(f"{name}_{thing}_errors", "Faults that were found.", ("type",), self._found[what])
            text = "[ALPHA] Looks at everything that failed."
            yield CounterMetricFamily(f"{name}_reconcile_errors", text, value=self.failed[what])


def _counter(
    name: str, text: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, f"[ALPHA] {text}", labels=labels)
    family.add_all(counts)
    return family
