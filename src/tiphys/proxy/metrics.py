"""What a proxy counts of its work, with upstream's names (``kubeproxy_*``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tiphys.apimachinery.clock import Clock, parse_time
from tiphys.apimachinery.meta import Object
from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.client.metrics import registry_of

REGISTRY: Final = registry_of("kube-proxy")

_PREFIX: Final = "kubeproxy_sync_proxy_rules"
_FAMILY: Final = ("ip_family",)
_SECONDS: Final = tuple(0.001 * 2**power for power in range(15))
_PROGRAMMING: Final = (
    0.25, 0.5, *(float(seconds) for seconds in range(1, 61)), *(float(at) for at in range(65, 125, 5)),
    *(float(at) for at in range(150, 330, 30)),
)  # fmt: skip
_TRIGGER_TIME: Final = "endpoints.kubernetes.io/last-change-trigger-time"

DURATION = Spreads(
    f"{_PREFIX}_duration_seconds", "SyncProxyRules latency in seconds", _FAMILY, _SECONDS, REGISTRY
)
FULL = Spreads(
    "kubeproxy_sync_full_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for full resyncs", _FAMILY, _SECONDS, REGISTRY,
)  # fmt: skip
PARTIAL = Spreads(
    "kubeproxy_sync_partial_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for partial resyncs", _FAMILY, _SECONDS, REGISTRY,
)  # fmt: skip
LAST = Levels(
    f"{_PREFIX}_last_timestamp_seconds", "The last time proxy rules were successfully synced", _FAMILY,
    REGISTRY,
)  # fmt: skip
QUEUED = Levels(
    f"{_PREFIX}_last_queued_timestamp_seconds", "The last time a sync of proxy rules was queued", _FAMILY,
    REGISTRY,
)  # fmt: skip
FAILURES = Counts(
    f"{_PREFIX}_nftables_sync_failures", "Cumulative proxy nftables sync failures", _FAMILY, REGISTRY
)
NO_LOCAL = Levels(
    f"{_PREFIX}_no_local_endpoints_total",
    "Number of services with a Local traffic policy and no endpoints", (*_FAMILY, "traffic_policy"), REGISTRY,
)  # fmt: skip
FORGETTING = Spreads(
    "kubeproxy_conntrack_reconciler_sync_duration_seconds",
    "ReconcileConntrackFlowsLatency latency in seconds", _FAMILY, _SECONDS, REGISTRY,
)  # fmt: skip
FORGOTTEN = Counts(
    "kubeproxy_conntrack_reconciler_deleted_entries",
    "Cumulative conntrack flows deleted by conntrack reconciler", _FAMILY, REGISTRY,
)  # fmt: skip
HEALTHZ = Counts("kubeproxy_proxy_healthz", "Cumulative proxy healthz HTTP status", ["code"], REGISTRY)
LIVEZ = Counts("kubeproxy_proxy_livez", "Cumulative proxy livez HTTP status", ["code"], REGISTRY)
_SERVICES = Counts(f"{_PREFIX}_service_changes", "Cumulative proxy rules Service changes", (), REGISTRY)
_ENDPOINTS = Counts(f"{_PREFIX}_endpoint_changes", "Cumulative proxy rules Endpoint changes", (), REGISTRY)
_PENDING_SERVICES = Levels(
    f"{_PREFIX}_service_changes_pending", "Pending proxy rules Service changes", (), REGISTRY
)
_PENDING_ENDPOINTS = Levels(
    f"{_PREFIX}_endpoint_changes_pending", "Pending proxy rules Endpoint changes", (), REGISTRY
)
_PROGRAMMED = Spreads(
    "kubeproxy_network_programming_duration_seconds", "In Cluster Network Programming Latency in seconds",
    _FAMILY, _PROGRAMMING, REGISTRY,
)  # fmt: skip


class Changes:
    """What has changed since rules were last planned, and since when that was so in the cluster."""

    def __init__(self, families: Sequence[str], clock: Clock) -> None:
        self._families = tuple(families)
        self._clock = clock
        self._began = clock.now()
        self._services: set[str] = set()
        self._endpoints: set[str] = set()
        self._since: list[datetime] = []

    def service(self, key: str) -> None:
        """Count a change of a Service."""
        self._services.add(key)
        self._count(_SERVICES)

    def endpoints(self, service: str, new: Object | None) -> None:
        """Count a change of what stands behind a Service; ``new``: a slice as it is now."""
        self._endpoints.add(service)
        self._count(_ENDPOINTS)
        told = ((new or {"metadata": {}})["metadata"].get("annotations") or {}).get(_TRIGGER_TIME)
        try:
            since = parse_time(told) if told else self._began
        except ValueError:
            return
        if since > self._began:  # what had changed before nobody here could have written in time
            self._since.append(since)

    def _count(self, changes: Counts) -> None:
        changes.labels().inc(len(self._families))
        for family in self._families:
            QUEUED.labels(family).set(self._clock.now().timestamp())
        self._show()

    def _show(self) -> None:
        _PENDING_SERVICES.labels().set(len(self._services))
        _PENDING_ENDPOINTS.labels().set(len(self._endpoints))

    def take(self) -> list[datetime]:
        """Begin to plan: nothing is pending from now on. Return since when each change was so."""
        self._services.clear()
        self._endpoints.clear()
        self._show()
        since, self._since = self._since, []
        return since

    def written(self, family: str, since: Sequence[datetime]) -> None:
        """Note that the rules of a family have all changes up to now."""
        now = self._clock.now()
        LAST.labels(family).set(now.timestamp())
        for time in since:
            _PROGRAMMED.labels(family).observe((now - time).total_seconds())
