"""When must pods leave a tainted node? Pure.

Source: "Taints and tolerations", taint based evictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.taints import covers


def undated(taints: Sequence[Object], seen: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    """Return when the NoExecute taints were seen first that do not say when they were added."""
    found = (taint_id(one) for one in taints if one.get("effect") == "NoExecute" and not one.get("timeAdded"))
    return {key: seen.get(key, now) for key in found}


def taint_id(taint: Object) -> str:
    """Return a taint as kubectl writes it."""
    return f"{taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')}"


def evict_at(
    pod: Object, taints: Sequence[Object], now: datetime, seen: Mapping[str, datetime]
) -> datetime | None:
    """When a pod must leave for its node's NoExecute taints; None: never, ``now`` or earlier: at once.

    A taint that is not tolerated at all evicts at once; of limited tolerations the shortest counts, from
    the moment the taint was added or, if it does not say, ``seen``; for later pods from their creation.
    """
    created = (pod.get("metadata") or {}).get("creationTimestamp")
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    times: list[datetime] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        matching = [item for item in tolerations if covers(item, taint)]
        if not matching:
            return now
        limits = [item["tolerationSeconds"] for item in matching if item.get("tolerationSeconds") is not None]
        if limits:
            added = taint.get("timeAdded")
            since = parse_time(added) if added else seen.get(taint_id(taint), now)
            since = max(since, parse_time(created)) if created else since
            times.append(since + timedelta(seconds=max(min(limits), 0)))
    return min(times, default=None)
