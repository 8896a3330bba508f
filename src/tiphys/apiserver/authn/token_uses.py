"""How often tokens of service accounts were used, by kind, with upstream's metric names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric

_FAMILIES: Final = (
    ("legacy", "serviceaccount_legacy_tokens", "Cumulative legacy service account tokens used"),
    ("auto", "serviceaccount_legacy_auto_token_uses", "Cumulative auto-generated legacy tokens used"),
    ("manual", "serviceaccount_legacy_manual_token_uses", "Cumulative manually created legacy tokens used"),
    (
        "invalid_auto",
        "serviceaccount_invalid_legacy_auto_token_uses",
        "Cumulative invalid auto-generated legacy tokens used",
    ),
    ("stale", "serviceaccount_stale_tokens", "Cumulative stale projected service account tokens used"),
    ("valid", "serviceaccount_valid_tokens", "Cumulative valid projected service account tokens used"),
)


class TokenUses:
    """Bare counts: they are on the path of requests."""

    __slots__ = tuple(name for name, _, _ in _FAMILIES)

    def __init__(self) -> None:
        self.legacy = self.auto = self.manual = self.invalid_auto = self.stale = self.valid = 0

    def collect(self) -> Iterator[Metric]:
        """Yield the counters as they stand."""
        for name, family, text in _FAMILIES:
            yield CounterMetricFamily(family, f"[ALPHA] {text}", value=getattr(self, name))
