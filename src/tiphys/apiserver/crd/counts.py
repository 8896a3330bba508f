"""How often definitions had OpenAPI documents made anew, with upstream's name.

Owns: ``apiextensions_openapi_v2_regeneration_count``. What was served when a server began is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tiphys.apimachinery.families import BareCounterMetricFamily, Metric


class Regenerations:
    """One server's. Counts nothing until it is ``open``."""

    def __init__(self) -> None:
        self.open = False
        self._counts: Counter[tuple[str, str]] = Counter()

    def changed(self, crd: str, before: object, now: object) -> None:
        """Count a change of what a definition publishes; nothing (None) where it publishes no kinds."""
        if self.open and before != now:
            reason = "add" if before is None else "remove" if now is None else "update"
            self._counts[crd, reason] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the family as it stands."""
        family = BareCounterMetricFamily(
            "apiextensions_openapi_v2_regeneration_count",
            "[ALPHA] Changes of the document by the definition and the reason.", labels=("crd", "reason"),
        )  # fmt: skip
        for key, count in self._counts.items():
            family.add_metric(key, count)
        yield family
