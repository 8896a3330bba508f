"""Counts what a look at a Service changed in its EndpointSlices. Called by the controllers of slices."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.meta import Object
from tiphys.client.counting import Counts
from tiphys.controllers import metrics
from tiphys.controllers.endpointslice.plan import Plan


def _addresses(items: Sequence[Object]) -> set[tuple[str, str]]:
    return {
        (str(item.get("addressType")), address)
        for item in items
        for endpoint in item.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    }


def planned_endpoints(planned: Plan, slices: Sequence[Object]) -> None:
    """Count the endpoints that come and go with a plan; ``slices`` are those of before."""
    left = {item["metadata"]["name"] for item in (*planned.update, *planned.delete)}
    kept = [item for item in slices if item["metadata"]["name"] not in left]
    before, after = _addresses(slices), _addresses([*kept, *planned.update, *planned.create])
    metrics.SLICE_ADDED.labels().observe(len(after - before))
    metrics.SLICE_REMOVED.labels().observe(len(before - after))


def changed(family: Counts, planned: Plan) -> None:
    """Count what was written."""
    for operation in ("create", "update", "delete"):
        count = len(getattr(planned, operation))
        if count:
            family.labels(operation).inc(count)
