"""Objects with their fields in the order that Go's types have them, in which a converter meets what is wrong.

Owns: that order. Refuses: reading values. Called by PATCH, once a strategic merge patch made something that
is no object of its kind; which of several faults is told depends on it.

Fields of a type stand in the order of their numbers in protobuf, but for those that came later in between.
Source: ``types.go`` of each group; ``runtime.DefaultUnstructuredConverter``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.schemas import schema_for, wire_facts

_FIRST: Final = ("kind", "apiVersion", "metadata")
_CONTAINER = (
    "ports<envFrom resources<resizePolicy<restartPolicy<restartPolicyRules volumeMounts<volumeDevices"
)
_CONTAINER += " readinessProbe<startupProbe terminationMessagePath<terminationMessagePolicy"
_LATE: Final = {
    "core.v1.PodSpec": (
        "volumes<initContainers containers<ephemeralContainers serviceAccount<automountServiceAccountToken "
        "hostIPC<shareProcessNamespace"
    ),
    "core.v1.Container": _CONTAINER,
    "core.v1.EphemeralContainerCommon": _CONTAINER,
    "core.v1.PodStatus": (
        "reason<nominatedNodeName hostIP<hostIPs podIP<podIPs startTime<initContainerStatuses"
    ),
    "core.v1.PodSecurityContext": (
        "seLinuxOptions<windowsOptions runAsUser<runAsGroup supplementalGroups<supplementalGroupsPolicy"
    ),
    "core.v1.SecurityContext": "seLinuxOptions<windowsOptions runAsUser<runAsGroup",
    "core.v1.VolumeMount": "readOnly<recursiveReadOnly",
    "core.v1.ServiceSpec": "clusterIP<clusterIPs sessionAffinityConfig<ipFamilies",
    "core.v1.ServicePort": "protocol<appProtocol",
    "core.v1.PersistentVolumeClaimSpec": "accessModes<selector",
    "core.v1.NodeSpec": "podCIDR<podCIDRs configSource<externalID",
    "core.v1.Secret": "metadata<immutable data<stringData",
    "core.v1.ConfigMap": "metadata<immutable",
    "core.v1.ReplicationControllerSpec": "replicas<minReadySeconds",
    "apps.v1.ReplicaSetSpec": "replicas<minReadySeconds",
    "batch.v1.JobSpec": (
        "activeDeadlineSeconds<podFailurePolicy<successPolicy<backoffLimit<backoffLimitPerIndex<maxFailedIndexes"
    ),
    "batch.v1.CronJobSpec": "schedule<timeZone",
    "networking.v1.IngressSpec": "<ingressClassName",
    "discovery.v1.EndpointSlice": "metadata<addressType",
}
"""By message: ``a<b<c``, b stands right after a, and c after b; nothing before ``<`` is the very first."""


def in_go_order(obj: Object, gvk: GVK) -> Object:
    """Return the object with the fields of every type in the order of Go; values are the very same."""
    found: Object = _ordered(obj, schema_for(gvk))
    return found


def _ordered(value: Any, schema: Schema | None) -> Any:
    if schema is None:
        return value
    if isinstance(value, list):
        return [_ordered(item, schema.items) for item in value]
    if not isinstance(value, dict):
        return value
    if not schema.properties:
        return {key: _ordered(item, schema.additional) for key, item in value.items()}
    known = [key for key in _fields(_message(schema)) if key in value]
    keys = [*known, *(key for key in value if key not in known)]
    return {key: _ordered(value[key], schema.child(key)) for key in keys}


def _message(schema: Schema) -> str:
    """``io.k8s.api.core.v1.Pod`` is the message ``core.v1.Pod``."""
    return ".".join((schema.name or "").split(".")[-3:])


@cache
def _fields(message: str) -> tuple[str, ...]:
    """Return the JSON names of a type's fields in Go's order, those of types inside of it in their place."""
    fields: list[str] = []
    for name, _number, kind in wire_facts()["messages"].get(message, ()):
        fields += [name] if name else _fields(kind)
    for chain in _LATE.get(message, "").split():
        before, *others = chain.split("<")
        for late in others:
            fields.remove(late)
            fields.insert(fields.index(before) + 1 if before else 0, late)
            before = late
    own = [key for key in fields if key not in _FIRST]
    return (*_FIRST, *own)
