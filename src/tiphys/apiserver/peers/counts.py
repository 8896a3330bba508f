"""How often peers were asked and what went wrong, under upstream's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apiserver.peers.serving import Resource

DISCOVERY: Final[Resource] = ("", "", "")
"""In the place of a resource: what was asked for is what the peer serves."""
ENDPOINT_RESOLUTION, PROXY_TRANSPORT = "endpoint_resolution", "proxy_transport"
LEASE_LIST, HOSTPORT_RESOLUTION, FETCH_DISCOVERY = "lease_list", "hostport_resolution", "fetch_discovery"
_RESOURCE: Final = ("group", "version", "resource")


class Counts:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._rerouted: Counter[tuple[int, Resource]] = Counter()
        self._errors: Counter[tuple[str, Resource]] = Counter()
        self._sync_errors: Counter[str] = Counter()

    def rerouted(self, status: int, resource: Resource) -> None:
        """Note that a peer was asked, and what came back."""
        self._rerouted[status, resource] += 1

    def failed(self, kind: str, resource: Resource) -> None:
        """Note that a request could not even be sent on."""
        self._errors[kind, resource] += 1

    def not_learned(self, kind: str) -> None:
        """Note that it was not found out what a peer serves."""
        self._sync_errors[kind] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the counters as they stand."""
        family = CounterMetricFamily(
            "apiserver_rerouted_request",
            "Requests that peers answered, as this server could not; without a resource: discovery.",
            labels=("code", *_RESOURCE),
        )
        for (status, resource), count in self._rerouted.items():
            family.add_metric([str(status), *resource], count)
        yield family
        family = CounterMetricFamily(
            "apiserver_peer_proxy_errors", "Requests that could not be sent on to a peer.",
            labels=("type", *_RESOURCE),
        )  # fmt: skip
        for (kind, resource), count in self._errors.items():
            family.add_metric([kind, *resource], count)
        yield family
        family = CounterMetricFamily(
            "apiserver_peer_discovery_sync_errors", "Times that a peer's discovery could not be read.",
            labels=("type",),
        )  # fmt: skip
        family.add_all(self._sync_errors)
        yield family
