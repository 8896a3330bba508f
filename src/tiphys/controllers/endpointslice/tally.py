"""Counts what a look at a Service changed in its EndpointSlices, and what there is of them.

Called by the controllers of slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.client.counting import Counts, Level, Levels
from tiphys.controllers import metrics
from tiphys.controllers.endpointslice.plan import MAX_ENDPOINTS, Plan

PREFER_CLOSE: Final = "PreferClose"


_Endpoint = tuple[str, str]
"""Its address, and the type of that."""


def _endpoints(items: Sequence[Object]) -> dict[_Endpoint, Object]:
    return {
        (str(item.get("addressType")), address): endpoint
        for item in items
        for endpoint in item.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    }


def after(planned: Plan, slices: Sequence[Object]) -> list[Object]:
    """Return the slices that there are once a plan is done; ``slices`` are those of before."""
    left = {item["metadata"]["name"] for item in (*planned.update, *planned.delete)}
    kept = [item for item in slices if item["metadata"]["name"] not in left]
    return [*kept, *planned.update, *planned.create]


def moves(before: Sequence[Object], now: Sequence[Object]) -> tuple[int, int, int]:
    """Return how many endpoints came, changed and went between two states of slices."""
    old, new = _endpoints(before), _endpoints(now)
    stayed = old.keys() & new.keys()
    return len(new) - len(stayed), sum(old[one] != new[one] for one in stayed), len(old) - len(stayed)


class Fill:
    """How full the slices of a controller are, as the sums that gauges show; of several controllers too."""

    def __init__(self, families: tuple[Levels, Levels, Levels], *, placeholders: bool = False) -> None:
        """``placeholders``: what has no endpoints has a slice all the same."""
        self._levels = [family.labels() for family in families]
        self._least = int(placeholders)
        self._known: dict[str, tuple[int, int, int]] = {}

    def note(self, key: str, slices: Sequence[Object]) -> None:
        """Take in the slices of a key."""
        counts: Counter[str] = Counter()
        for item in slices:
            counts[f"{item.get('addressType')} {item.get('ports')}"] += len(item.get("endpoints") or ())
        wanted = sum(-(-count // MAX_ENDPOINTS) for count in counts.values())
        self._replace(key, (counts.total(), max(wanted, self._least), len(slices)))

    def forget(self, key: str) -> None:
        """Take out what is no more."""
        self._replace(key, (0, 0, 0))
        del self._known[key]

    def _replace(self, key: str, new: tuple[int, int, int]) -> None:
        old = self._known.get(key, (0, 0, 0))
        self._known[key] = new
        for level, before, now in zip(self._levels, old, new, strict=True):
            level.value += now - before


class Distributions:
    """How many services say which of their endpoints are to be preferred."""

    def __init__(self) -> None:
        self._known: dict[str, Level] = {}

    def note(self, key: str, said: str) -> None:
        """Take in what a service says, if anything."""
        before = self._known.pop(key, None)
        if before is not None:
            before.value -= 1
        if said:
            shown = said if said == PREFER_CLOSE else "ImplementationSpecific"
            level = self._known[key] = metrics.SERVICES_BY_DISTRIBUTION.labels(shown)
            level.value += 1


def changed(family: Counts, planned: Plan) -> None:
    """Count what was written."""
    for operation in ("create", "update", "delete"):
        count = len(getattr(planned, operation))
        if count:
            family.labels(operation).inc(count)
