"""What a device claim counts for under the names of extended resources, too. Pure.

A device may be asked for by a claim, or by a pod under the name of its class's extended resource; both count
alike. The claim that the scheduler makes for such a pod counts for what the pod does not.
Source: the "Resource Quotas" page, "Quota for DRA resource claims"; KEP-5004.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import Quantity

ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"
BY_CLASS: Final = ".deviceclass.resource.k8s.io/devices"
IMPLICIT: Final = "requests.deviceclass.resource.kubernetes.io/"
_REQUESTS: Final = "requests."


def names_by_class(classes: Iterable[Object]) -> dict[str, str]:
    """Return the extended resource that each device class stands for; empty for one without."""
    return {
        str(one["metadata"]["name"]): str((one.get("spec") or {}).get("extendedResourceName") or "")
        for one in classes
    }


def names_devices(name: str, resources: Mapping[str, str]) -> bool:
    """Tell whether a quota's name is that of an extended resource that a class stands for."""
    if name.startswith(IMPLICIT):
        return name.removeprefix(IMPLICIT) in resources
    return name.startswith(_REQUESTS) and name.removeprefix(_REQUESTS) in (set(resources.values()) - {""})


@dataclass(frozen=True, slots=True)
class Devices:
    """What is known of devices where claims are counted: ``names_by_class``, pods by name, and claims."""

    resources: Mapping[str, str]
    pods: Mapping[str, Object]
    claims: Sequence[Object] = ()

    def payer(self, claim: Object) -> Object | None:
        """Return the pod that pays for a claim which was made for its extended resources."""
        meta = claim.get("metadata") or {}
        owner = made_for(claim)
        pod = self.pods.get(str(owner.get("name"))) if owner else None
        if owner is None or pod is None or pod["metadata"].get("uid") != owner.get("uid"):
            return None
        status = (pod.get("status") or {}).get("extendedResourceClaimStatus")
        if status is not None:
            return pod if status.get("resourceClaimName") == meta.get("name") else None
        others = (one for one in self.claims if (made_for(one) or {}).get("uid") == owner.get("uid"))
        return None if any(_age(one) < _age(claim) for one in others) else pod

    def more(self, used: Mapping[str, Quantity], paid: Mapping[str, Quantity]) -> dict[str, Quantity]:
        """Return what a claim uses under the names of extended resources beside what its pod ``paid``."""
        found: dict[str, Quantity] = {}
        for name, amount in used.items():
            device_class = name.removesuffix(BY_CLASS)
            if device_class in ("", name):
                continue
            found[IMPLICIT + device_class] = amount
            if resource := self.resources.get(device_class):
                found[_REQUESTS + resource] = amount
        left = {name: amount - paid[name] if name in paid else amount for name, amount in found.items()}
        return {name: amount for name, amount in left.items() if amount.amount > 0}


def made_for(claim: Object) -> Object | None:
    """Return the reference to the pod for whose extended resources a claim was made."""
    meta = claim.get("metadata") or {}
    if (meta.get("annotations") or {}).get(ANNOTATION) != "true":
        return None
    owner: Object = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), {})
    return owner if (owner.get("kind"), owner.get("apiVersion")) == ("Pod", "v1") else None


def _age(claim: Object) -> tuple[str, str]:
    meta = claim.get("metadata") or {}
    return str(meta.get("creationTimestamp") or ""), str(meta.get("name") or "")
