"""How many pods each replica set of a deployment should have at this moment. Pure.

Every function returns ``{name: replicas}`` for the sets that change size.
Source: apps/v1 RollingUpdateDeployment; upstream's rolling and proportional scaling.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.intstr import scaled
from tiphys.apimachinery.meta import Object
from tiphys.controllers.deployment.revisions import (
    DESIRED,
    MAXIMUM,
    annotations_of,
    by_age,
    replicas_of,
)

Sizes = dict[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The room a rolling update has, in pods."""

    surge: int = 0
    unavailable: int = 0


def bounds(deployment: Object) -> Bounds:
    """Resolve maxSurge (rounded up) and maxUnavailable (rounded down); both zero would never move."""
    if not is_rolling(deployment):
        return Bounds()
    settings = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas_of(deployment)
    surge = scaled(settings.get("maxSurge", "25%"), total, round_up=True)
    unavailable = scaled(settings.get("maxUnavailable", "25%"), total, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(surge, min(unavailable, total))


def is_rolling(deployment: Object) -> bool:
    strategy = (deployment["spec"].get("strategy") or {}).get("type") or "RollingUpdate"
    return bool(strategy == "RollingUpdate")


def total(sets: Sequence[Object]) -> int:
    return sum(replicas_of(rs) for rs in sets)


def available(sets: Sequence[Object]) -> int:
    return sum((rs.get("status") or {}).get("availableReplicas") or 0 for rs in sets)


def _sure(rs: Object) -> int:
    """Available pods that will be there when the set has its size: its status may tell of a larger one."""
    return min(available([rs]), replicas_of(rs))


def active(sets: Sequence[Object]) -> list[Object]:
    return [rs for rs in sets if replicas_of(rs) > 0]


def new_set_size(deployment: Object, new_replicas: int, current_total: int) -> int:
    """How far the new set may grow now."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + bounds(deployment).surge - current_total
    if room <= 0:
        return new_replicas
    return new_replicas + min(room, wanted - new_replicas)


def plan_new(deployment: Object, new: Object, olds: Sequence[Object]) -> Sizes:
    """Grow the new set into the surge, or shrink it to the wish."""
    wanted, present = replicas_of(deployment), replicas_of(new)
    if present == wanted:
        return {}
    if present > wanted:
        return {_name(new): wanted}
    size = new_set_size(deployment, present, total([new, *olds]))
    return {} if size == present else {_name(new): size}


def plan_olds(deployment: Object, new: Object | None, olds: Sequence[Object]) -> Sizes:
    """Shrink old sets: first what is broken anyway, then as far as availability allows."""
    everything = [*olds, *([new] if new else [])]
    if total(olds) == 0:
        return {}
    least = replicas_of(deployment) - bounds(deployment).unavailable
    pending = replicas_of(new) - available([new]) if new else 0
    removable = total(everything) - least - pending
    if removable <= 0:
        return {}
    sizes = {_name(rs): replicas_of(rs) for rs in olds}
    for rs in by_age(olds):
        broken = replicas_of(rs) - available([rs])
        step = min(removable, broken)
        if step > 0:
            sizes[_name(rs)] -= step
            removable -= step
    spare = sum(_sure(rs) for rs in everything) - least
    for rs in by_age(olds):
        step = min(sizes[_name(rs)], spare)
        if step > 0:
            sizes[_name(rs)] -= step
            spare -= step
    return {_name(rs): sizes[_name(rs)] for rs in olds if sizes[_name(rs)] != replicas_of(rs)}


def is_scaling(deployment: Object, sets: Sequence[Object]) -> bool:
    """True when ``spec.replicas`` was changed since the sets were last sized."""
    wanted = replicas_of(deployment)
    return any(_desired(rs) not in (None, wanted) for rs in active(sets))


def _desired(rs: Object) -> int | None:
    """The size of the deployment that a set was made for, where it bears one."""
    return atoi(annotations_of(rs).get(DESIRED, ""))


def plan_scale(deployment: Object, new: Object | None, olds: Sequence[Object]) -> Sizes:
    """Spread a change of ``spec.replicas`` over the sets, in proportion to their sizes."""
    wanted = replicas_of(deployment)
    everything = [*([new] if new else []), *olds]
    only = _active_or_latest(new, olds)
    if only is not None:
        return {} if replicas_of(only) == wanted else {_name(only): wanted}
    if new is not None and _is_saturated(deployment, new):
        return {_name(rs): 0 for rs in active(olds)}
    if not is_rolling(deployment):
        return {}
    return _spread(deployment, active(everything))


def _spread(deployment: Object, sets: list[Object]) -> Sizes:
    wanted = replicas_of(deployment)
    allowed = wanted + bounds(deployment).surge if wanted > 0 else 0
    to_add = allowed - total(sets)
    # Ties go to the newest set when growing, to the oldest when shrinking.
    ordered = by_age(sets)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=replicas_of, reverse=True)
    sizes: Sizes = {}
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added)
        sizes[_name(rs)] = replicas_of(rs) + share
        added += share
    if ordered and to_add != added:
        first = _name(ordered[0])
        sizes[first] = max(sizes[first] + to_add - added, 0)
    return {_name(rs): sizes[_name(rs)] for rs in ordered if sizes[_name(rs)] != replicas_of(rs)}


def _share(deployment: Object, rs: Object, to_add: int, added: int) -> int:
    present = replicas_of(rs)
    if present == 0 or to_add in (0, added):
        return 0
    if replicas_of(deployment) == 0:
        fraction = -present
    else:
        annotated = annotations_of(rs).get(MAXIMUM, "")
        before = atoi(annotated) or (deployment.get("status") or {}).get("replicas") or 0
        size = replicas_of(deployment) + bounds(deployment).surge
        # Half away from zero, as upstream rounds.
        fraction = int(present * size / before + 0.5) - present if before else 0
    rest = to_add - added
    return min(fraction, rest) if to_add > 0 else max(fraction, rest)


def _active_or_latest(new: Object | None, olds: Sequence[Object]) -> Object | None:
    running = active([*([new] if new else []), *olds])
    if len(running) == 1:
        return running[0]
    if running:
        return None
    if new is not None:
        return new
    return by_age(olds)[-1] if olds else None


def _is_saturated(deployment: Object, rs: Object) -> bool:
    wanted = replicas_of(deployment)
    return replicas_of(rs) == wanted and _desired(rs) == wanted and available([rs]) == wanted


def _name(rs: Object) -> str:
    return str(rs["metadata"]["name"])
