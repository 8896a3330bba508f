"""What of a pod, or of a template, is behind gates that v1.36 has off: dropped, but where it was before.

Three fields, which nothing here acts on: the group that a pod is scheduled with (GenericWorkload), signals
that stop containers (ContainerStopSignals), certificates in volumes (PodCertificateRequest).
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def drop_gated(spec: Object, before: Object) -> None:
    """Leave in a pod's spec only what is not gated or was in use already."""
    if before.get("schedulingGroup") is None:
        spec.pop("schedulingGroup", None)
    if not any(_signals(before)):
        for container in list(_signals(spec)):
            lifecycle = container["lifecycle"]
            lifecycle.pop("stopSignal")
            if not lifecycle:
                container.pop("lifecycle")
    if not any(_certificates(before)):
        for source in list(_certificates(spec)):
            source.pop("podCertificate")


def _signals(spec: Object) -> Iterator[Object]:
    """Yield the containers that say how they are stopped."""
    for kind in _CONTAINERS:
        for container in each(spec, kind):
            if peek(container, "lifecycle").get("stopSignal") is not None:
                yield container


def _certificates(spec: Object) -> Iterator[Object]:
    """Yield the parts of volumes that are a pod's own certificate."""
    for volume in each(spec, "volumes"):
        for source in each(volume, "projected", "sources"):
            if source.get("podCertificate") is not None:
                yield source
