"""Where faults of an object's metadata stand among a kind's own, when it is updated. Data, and its reading.

The server looks at changed metadata first, whatever the kind. A kind's own rules look at it again, some
several times: as at that of a new object (``new``) and as changed (``changed``), between what they say of a
new object (``own``) and of the change (``rest``). What they say at each place is told anew.

Source: ``ValidateUpdate`` of each kind's strategy and what it calls in ``pkg/apis/*/validation``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from tiphys.apimachinery.errors import FieldError

Part = Literal["new", "changed", "own", "rest"]
_USUAL: Final[tuple[Part, ...]] = ("changed", "rest")
_BOTH: Final = "new own changed rest"

_UPDATES: Final[Mapping[str, str]] = {
    "Pod": "changed new rest",
    "Service": "changed rest new own",
    "ReplicationController": _BOTH,
    "Endpoints": "changed new rest",
    "ConfigMap": "changed rest new own",
    "Secret": "changed rest new own",
    "Namespace": _BOTH,
    "Node": _BOTH,
    "ServiceAccount": "changed new rest",
    "PersistentVolume": "new own new rest",
    "PersistentVolumeClaim": "new own changed new rest",
    "LimitRange": "new rest",
    "Event": "rest",
    "ReplicaSet.apps": _BOTH,
    "DaemonSet.apps": _BOTH,
    "ControllerRevision.apps": "changed new rest",
    "Job.batch": _BOTH,
    "Ingress.networking.k8s.io": "changed new rest",
    "IngressClass.networking.k8s.io": "changed rest new own",
    "NetworkPolicy.networking.k8s.io": _BOTH,
    "IPAddress.networking.k8s.io": _BOTH,
    "Role.rbac.authorization.k8s.io": "new own new own changed rest",
    "ClusterRole.rbac.authorization.k8s.io": "new own new own changed rest",
    "RoleBinding.rbac.authorization.k8s.io": "new own new own changed rest",
    "ClusterRoleBinding.rbac.authorization.k8s.io": "new own new own changed rest",
    "PodDisruptionBudget.policy": "rest",
    "StorageClass.storage.k8s.io": _BOTH,
    "CSINode.storage.k8s.io": "new own new rest",
    "VolumeAttachment.storage.k8s.io": "new own new rest",
    "CSIStorageCapacity.storage.k8s.io": "new rest",
    "VolumeAttributesClass.storage.k8s.io": "changed rest new own",
    "RuntimeClass.node.k8s.io": _BOTH,
    "CertificateSigningRequest.certificates.k8s.io": "new rest changed",
    "ClusterTrustBundle.certificates.k8s.io": _BOTH,
    "APIService.apiregistration.k8s.io": "changed new rest",
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": "new rest",
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": "new rest",
    "ValidatingAdmissionPolicy.admissionregistration.k8s.io": "new rest",
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": "new rest",
    "MutatingAdmissionPolicy.admissionregistration.k8s.io": "new rest",
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": "new rest",
    "FlowSchema.flowcontrol.apiserver.k8s.io": "new rest",
    "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io": "new rest",
    "EndpointSlice.discovery.k8s.io": "new rest",
    "StorageVersion.internal.apiserver.k8s.io": "rest",
}
"""Of those that do otherwise than most: these look at the change first."""
_STATUSES: Final[Mapping[str, str]] = {
    "CertificateSigningRequest.certificates.k8s.io": "new rest changed",
    "VolumeAttachment.storage.k8s.io": "new own new rest",
    "CronJob.batch": "rest",
    "PodDisruptionBudget.policy": "rest",
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": "rest",
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": "rest",
    "ValidatingAdmissionPolicy.admissionregistration.k8s.io": "rest",
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": "rest",
    "MutatingAdmissionPolicy.admissionregistration.k8s.io": "rest",
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": "rest",
    "FlowSchema.flowcontrol.apiserver.k8s.io": "rest",
    "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io": "rest",
    "StorageVersion.internal.apiserver.k8s.io": "rest",
}
"""The same of writes to the status, or to another part."""


def order_of(kind: str, group: str, *, status: bool = False) -> Sequence[Part]:
    """Return what an update's faults consist of, in order; ``rest`` is what no other part takes."""
    given = (_STATUSES if status else _UPDATES).get(f"{kind}.{group}" if group else kind)
    return _USUAL if given is None else given.split()  # type: ignore[return-value]


def placed(
    order: Sequence[Part],
    metadata: Mapping[str, list[FieldError]],
    found: list[FieldError],
    of_new: Callable[[], list[FieldError]],
) -> list[FieldError]:
    """Return the metadata's faults (by ``new`` and ``changed``) in their places among the kind's own.

    ``found`` are those, all that its rules find; ``of_new``: what they find in the object as a new one.
    """
    parts: list[list[FieldError]] = []
    left, own = found, of_new() if found and "own" in order else []
    reverse = order.index("rest") < order.index("own") if "own" in order else False
    for part in reversed(order) if reverse else order:
        if part in metadata:
            parts.append(metadata[part])
        elif part == "own":
            taken = _common(left, own, reverse=reverse)
            parts.append(left[len(left) - taken :] if reverse else left[:taken])
            left = left[: len(left) - taken] if reverse else left[taken:]
        else:
            parts.append(left)
    return [fault for part in (reversed(parts) if reverse else parts) for fault in part]


def _common(found: list[FieldError], own: list[FieldError], *, reverse: bool) -> int:
    """Return how many of the first faults (or of the last) are such that a new object has, in that order."""
    taken = 0
    for fault in reversed(own) if reverse else own:
        at = len(found) - 1 - taken if reverse else taken
        if 0 <= at < len(found) and found[at] == fault:
            taken += 1
    return taken
