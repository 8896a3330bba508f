"""What a proxy counts of its work, with upstream's names (``kubeproxy_sync_proxy_rules_*``)."""

from __future__ import annotations

from typing import Final

from tiphys.client.counting import Counts, Levels, Spreads
from tiphys.client.metrics import REGISTRY

_PREFIX: Final = "kubeproxy_sync_proxy_rules"
_SECONDS: Final = tuple(0.001 * 2**power for power in range(15))

DURATION = Spreads(
    f"{_PREFIX}_duration_seconds", "Time of one writing of rules.", ["ip_family"], _SECONDS,
    REGISTRY,
)  # fmt: skip
LAST = Levels(f"{_PREFIX}_last_timestamp_seconds", "When rules were last written.", ["ip_family"], REGISTRY)
QUEUED = Levels(
    f"{_PREFIX}_last_queued_timestamp_seconds", "When a change last asked for it.", ["ip_family"],
    REGISTRY,
)  # fmt: skip
SERVICES = Counts(f"{_PREFIX}_service_changes", "Changes of services.", ["ip_family"], REGISTRY)
ENDPOINTS = Counts(f"{_PREFIX}_endpoint_changes", "Changes of endpoints.", ["ip_family"], REGISTRY)
FAILURES = Counts(f"{_PREFIX}_nftables_sync_failures", "Writings that failed.", ["ip_family"], REGISTRY)
