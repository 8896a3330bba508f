"""Which pods go so that a critical one finds room on its node. Pure.

As few as can be, and little of each: of those that asked for nothing first, of the guaranteed last.
Source: "Guaranteed Scheduling For Critical Add-On Pods"; the kubelet's own preemption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import Rejection, Shortage
from tiphys.kubelet.cm.qos import BEST_EFFORT, BURSTABLE, GUARANTEED, is_critical, qos_class
from tiphys.kubelet.cm.resources import pod_amount

PREEMPTED = Rejection(
    "Preempting",
    "Preempted in order to admit critical pod",
    disruption=True,
    condition="Pod was preempted by Kubelet to accommodate a critical pod.",
)
"""What becomes of those that go."""
_PODS = "pods"

Wanted = Mapping[str, int]
"""What is missing, by resource: more than nothing of each."""


class NoRoom(TiphysError):
    """All that may go would not be enough."""


def victims(pod: Object, others: Iterable[Object], short: Sequence[Shortage]) -> list[Object]:
    """Return the pods to give up for a critical one. Raises NoRoom."""
    wanted = {item.resource: item.missing for item in short}
    by_class: dict[str, list[Object]] = {BEST_EFFORT: [], BURSTABLE: [], GUARANTEED: []}
    for other in others:
        if _may_go(pod, other):
            by_class[qos_class(other)].append(other)
    small, middle, large = by_class.values()
    if left := _without(wanted, [*small, *middle, *large]):
        raise NoRoom(_said(left))
    last = _fewest(large, _without(wanted, [*small, *middle]))
    then = _fewest(middle, _without(wanted, [*small, *last]))
    first = _fewest(small, _without(wanted, [*then, *last]))
    return [*first, *then, *last]


def _may_go(pod: Object, other: Object) -> bool:
    if is_critical(pod) and not is_critical(other):
        return True
    own, its = pod["spec"].get("priority"), other["spec"].get("priority")
    return own is not None and its is not None and own > its


def _fewest(pods: Sequence[Object], wanted: Wanted) -> list[Object]:
    """Take the pod that leaves the least missing, again and again: of two such the smaller."""
    left, chosen = list(pods), []
    while wanted:
        if not left:
            raise NoRoom(_said(wanted))
        best = min(reversed(left), key=lambda one: (_distance(one, wanted), _size(one)))
        left.remove(best)
        chosen.append(best)
        wanted = _without(wanted, [best])
    return chosen


def _distance(pod: Object, wanted: Wanted) -> float:
    return sum((max(amount - _amount(pod, name), 0) / amount) ** 2 for name, amount in wanted.items())


def _size(pod: Object) -> tuple[int, int]:
    return _amount(pod, "memory"), _amount(pod, "cpu")


def _without(wanted: Wanted, pods: Sequence[Object]) -> dict[str, int]:
    """Return what is still missing once these are gone."""
    left = {name: amount - sum(_amount(pod, name) for pod in pods) for name, amount in wanted.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _amount(pod: Object, name: str) -> int:
    return 1 if name == _PODS else pod_amount(pod, "requests", name)


def _said(wanted: Wanted) -> str:
    named = "".join(f"(res: {name}, q: {amount}), " for name, amount in wanted.items())
    return (
        "preemption: error finding a set of pods to preempt: "
        f"no set of running pods found to reclaim resources: [{named}]"
    )
