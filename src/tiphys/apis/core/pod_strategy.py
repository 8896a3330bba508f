"""What creating and updating a Pod resets, beyond defaults."""

from __future__ import annotations

from collections import deque

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_creation import adopt_profiles, merge_label_keys
from tiphys.apis.core.pod_defaults import mirror_service_account
from tiphys.apis.core.qos import pod_qos
from tiphys.apis.defaulting import each, peek, restore, section

_SEEN = "observedGeneration"
_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
    "lastProbeTime": None,
    "lastTransitionTime": None,
}


def prepare_pod(pod: Object) -> None:
    """A new pod is Pending; its status says what follows from its spec."""
    spec = section(pod, "spec")
    mirror_service_account(spec)
    status: Object = {"phase": "Pending", "qosClass": pod_qos(pod)}
    if spec.get("schedulingGates"):
        status["conditions"] = [dict(_GATED)]
    pod["status"] = status
    merge_label_keys(pod)
    adopt_profiles(pod)


def prepare_pod_status(new: Object, old: Object) -> None:
    """The class of service is fixed at creation; kubelets that leave it out mean no other.

    Nor does who leaves out which generation was seen unsee it, in the status and in each condition.
    """
    status, before = section(new, "status"), peek(old, "status")
    for key in ("qosClass", _SEEN):
        if not status.get(key):
            restore(status, before, key)
    if any(_SEEN in condition for condition in each(before, "conditions")):
        status["conditions"] = _seen(status, before)


def _seen(status: Object, before: Object) -> list[Object]:
    """Return the conditions of a status; of several of one type each follows its own."""
    known: dict[object, deque[object]] = {}
    for condition in each(before, "conditions"):
        known.setdefault(condition.get("type"), deque()).append(condition.get(_SEEN))
    found: list[Object] = []
    for condition in each(status, "conditions"):
        earlier = known.get(condition.get("type"))
        seen = earlier.popleft() if earlier else None
        found.append({**condition, _SEEN: seen} if seen and not condition.get(_SEEN) else condition)
    return found


def prepare_pod_update(new: Object, old: Object) -> None:
    """Status has its own subresource. So have ephemeral containers: to change them here is refused."""
    restore(new, old, "status")
