"""Defaults of pods and of the pod templates inside every workload kind.

What needs the cluster to know (service account, priority, tolerations, limit ranges) is admission's.
"""

from __future__ import annotations

from tiphys.apimachinery.memo import Rewritten
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.container_defaults import default_container, default_host_ports, default_requests
from tiphys.apis.core.pod_requests import aggregate_requests
from tiphys.apis.core.volume_defaults import default_volume
from tiphys.apis.defaulting import each, fill, fill_optional, section

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def default_pod_spec(spec: Object) -> None:
    """Complete a pod's spec, in a pod or in a template."""
    fill(spec, "restartPolicy", "Always")
    fill(spec, "dnsPolicy", "ClusterFirst")
    fill(spec, "schedulerName", "default-scheduler")
    fill_optional(spec, "terminationGracePeriodSeconds", 30)
    fill_optional(spec, "securityContext", {})
    fill_optional(spec, "enableServiceLinks", True)
    mirror_service_account(spec)
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


_defaulted = Rewritten()


def _default_spec(spec: Object) -> bool:
    default_pod_spec(spec)
    for name in ("initContainers", "containers"):
        for container in each(spec, name):
            default_requests(container)
            if spec.get("hostNetwork"):
                default_host_ports(container)
    _default_pod_requests(spec)
    return True


def _default_pod_requests(spec: Object) -> None:
    """Requests of the pod as a whole follow what its containers ask for, else its own limits."""
    resources = spec.get("resources")
    limits = resources.get("limits") if isinstance(resources, dict) else None
    if not limits:
        return
    requests = section(section(spec, "resources"), "requests")
    wanted = {name: str(amount) for name, amount in aggregate_requests(spec).items()}
    for name, amount in {**limits, **wanted}.items():
        if name in ("cpu", "memory") or name.startswith("hugepages-"):
            requests.setdefault(name, amount)
