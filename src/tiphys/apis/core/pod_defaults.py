"""Defaults of pods and of the pod templates inside every workload kind.

What needs the cluster to know (service account, priority, tolerations, limit ranges) is admission's.
"""

from __future__ import annotations

from tiphys.apimachinery.memo import Rewritten
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.amount_defaults import round_amounts
from tiphys.apis.core.container_defaults import default_container, default_host_ports, default_requests
from tiphys.apis.core.containers import CONTAINER_LISTS
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.apis.core.volume_defaults import default_volume
from tiphys.apis.defaulting import each, fill, fill_optional, section

_HUGE = "hugepages-"
_SHARED = ("cpu", "memory")


def default_pod_spec(spec: Object) -> None:
    """Complete a pod's spec, in a pod or in a template."""
    fill(spec, "restartPolicy", "Always")
    fill(spec, "dnsPolicy", "ClusterFirst")
    fill(spec, "schedulerName", "default-scheduler")
    fill_optional(spec, "terminationGracePeriodSeconds", 30)
    fill_optional(spec, "securityContext", {})
    mirror_service_account(spec)
    round_amounts(spec, "overhead")
    round_amounts(spec.get("resources"), "limits", "requests")
    for name in CONTAINER_LISTS:
        for container in each(spec, name):
            default_container(container)
    for volume in each(spec, "volumes"):
        default_volume(volume)


def mirror_service_account(spec: Object) -> None:
    """Keep ``serviceAccount``, the old name, equal to ``serviceAccountName``."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def default_template(template: Object) -> None:
    """Complete a pod template."""
    section(template, "metadata")
    default_pod_spec(section(template, "spec"))


def default_pod(pod: Object) -> None:
    """Complete a pod: what a template's pod gets, and what only real pods get."""
    _defaulted.apply(section(pod, "spec"), _default_spec)
    default_pod_status(pod)


def default_pod_status(pod: Object) -> None:
    """A pod's address is the first of its addresses, whichever of the two somebody says."""
    status: Object = pod.get("status") or {}
    address, listed = status.get("podIP"), status.get("podIPs")
    if address and (not listed or listed[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif listed and not address and listed[0].get("ip"):
        status["podIP"] = listed[0]["ip"]


_defaulted = Rewritten()


def _default_spec(spec: Object) -> bool:
    default_pod_spec(spec)
    fill_optional(spec, "enableServiceLinks", True)  # what templates leave open, they leave to their pods
    for name in ("initContainers", "containers"):
        for container in each(spec, name):
            default_requests(container)
            if spec.get("hostNetwork"):
                default_host_ports(container)
    _default_pod_resources(spec)
    return True


def _default_pod_resources(spec: Object) -> None:
    """What the pod as a whole is given in part follows from what its containers ask for.

    Limits of huge pages do; requests of what can be shared do; all other requests are as the limits.
    """
    resources = spec.get("resources")
    if not isinstance(resources, dict) or not (resources.get("limits") or resources.get("requests")):
        return
    huge = aggregate_requests(spec, "limits").items()
    limits = {name: str(amount) for name, amount in huge if name.startswith(_HUGE)}
    limits |= resources.get("limits") or {}
    wanted = {name: str(value) for name, value in aggregate_requests(spec).items() if name in _SHARED}
    requests = {**wanted, **(resources.get("requests") or {})}
    for name, amount in limits.items():
        if name in _SHARED or name.startswith(_HUGE):
            requests.setdefault(name, amount)
    for key, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            resources[key] = amounts
