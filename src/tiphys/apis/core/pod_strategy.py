"""What creating and updating a Pod resets, beyond defaults."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_defaults import mirror_service_account
from tiphys.apis.core.qos import pod_qos
from tiphys.apis.defaulting import restore, section

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def refresh_status(pod: Object) -> None:
    """Set what the status of a new pod says of its spec; again once admission has changed it."""
    spec = section(pod, "spec")
    mirror_service_account(spec)
    status = section(pod, "status")
    status["phase"] = "Pending"
    status["qosClass"] = pod_qos(pod)
    conditions = [c for c in status.get("conditions") or () if c.get("reason") != "SchedulingGated"]
    if spec.get("schedulingGates"):
        conditions.append(dict(_GATED))
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)


def prepare_pod(pod: Object) -> None:
    """A new pod is Pending."""
    pod["status"] = {}
    refresh_status(pod)


def prepare_pod_update(new: Object, old: Object) -> None:
    """Status and ephemeral containers have their own subresources."""
    restore(new, old, "status")
    restore(section(new, "spec"), old.get("spec") or {}, "ephemeralContainers")
