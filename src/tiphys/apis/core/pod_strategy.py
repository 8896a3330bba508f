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


def prepare_pod_status(new: Object, old: Object) -> None:
    """The class of service is fixed at creation; kubelets that leave it out mean no other."""
    status = section(new, "status")
    if not status.get("qosClass"):
        restore(status, old.get("status") or {}, "qosClass")


def prepare_pod_update(new: Object, old: Object) -> None:
    """Status and ephemeral containers have their own subresources."""
    restore(new, old, "status")
    restore(section(new, "spec"), old.get("spec") or {}, "ephemeralContainers")
