"""Which ResourceClaims a pod needs made, and who still uses one. Pure.

Source: KEP-4381; resource.k8s.io/v1 ResourceClaim; "Dynamic Resource Allocation".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, owner_reference
from tiphys.controllers import podstate

POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"
FINALIZER = "resource.kubernetes.io/delete-protection"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"


@dataclass(frozen=True, slots=True)
class PodPlan:
    """Claims to make, by the pod's name for each, and those that exist already."""

    make: tuple[tuple[str, Object], ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    """The pod's name for a claim, and the claim's own."""
    missing_templates: tuple[tuple[str, str], ...] = ()
    reserve: tuple[str, ...] = ()
    """Claims whose consumer the pod must become, for nobody scheduled it."""


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What a claim should be: None where nothing is to change."""

    status: Object | None = None
    without_finalizer: Object | None = None
    delete: bool = False


def plan_pod(pod: Object, claims: Sequence[Object], templates: Mapping[str, Object]) -> PodPlan:
    """Plan a pod's claims; ``claims`` are those of its namespace, ``templates`` by name."""
    if podstate.is_deleting(pod) or podstate.is_terminal(pod):
        return PodPlan()
    make: list[tuple[str, Object]] = []
    found: list[tuple[str, str]] = []
    missing: list[tuple[str, str]] = []
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    names = {one["name"]: one.get("resourceClaimName") for one in statuses}
    for asked in pod["spec"].get("resourceClaims") or ():
        template = asked.get("resourceClaimTemplateName")
        if not template:
            continue
        own = _made_for(pod, asked["name"], claims)
        if own is not None:
            found.append((asked["name"], own["metadata"]["name"]))
        elif asked["name"] in names and names[asked["name"]] is None:
            continue  # none is needed
        elif template in templates:
            make.append((asked["name"], new_claim(pod, asked["name"], templates[template])))
        else:
            missing.append((asked["name"], template))
    return PodPlan(tuple(make), tuple(found), tuple(missing), _to_reserve(pod, claims))


def _made_for(pod: Object, name: str, claims: Sequence[Object]) -> Object | None:
    for claim in claims:
        meta = claim["metadata"]
        if (meta.get("annotations") or {}).get(POD_CLAIM_NAME) == name and podstate.is_owner(pod, claim):
            return claim
    return None


def new_claim(pod: Object, name: str, template: Object) -> Object:
    """Return the claim that a template makes for a pod."""
    meta, spec = pod["metadata"], template["spec"]
    own = spec.get("metadata") or {}
    metadata = {
        "generateName": f"{meta['name']}-{name}-",
        "namespace": meta["namespace"],
        "labels": dict(own.get("labels") or {}),
        "annotations": {**(own.get("annotations") or {}), POD_CLAIM_NAME: name},
        "ownerReferences": [owner_reference(pod)],
    }
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": spec.get("spec") or {},
    }


def _to_reserve(pod: Object, claims: Sequence[Object]) -> tuple[str, ...]:
    """A pod that was bound without the scheduler must become a consumer of claims that have devices."""
    if not pod["spec"].get("nodeName"):
        return ()
    used = set(claim_names(pod))
    return tuple(
        claim["metadata"]["name"]
        for claim in claims
        if claim["metadata"]["name"] in used
        and (claim.get("status") or {}).get("allocation")
        and not any(one.get("uid") == pod["metadata"]["uid"] for one in _consumers(claim))
    )


def traits(claim: Object) -> tuple[str, str, str]:
    """Return what claims are counted by: whether they have devices, whether by admin access, their source."""
    notes = claim["metadata"].get("annotations") or {}
    source = ""
    if notes.get(POD_CLAIM_NAME):
        source = "resource_claim_template"
    elif notes.get(EXTENDED) == "true":
        source = "extended_resource"
    requests = ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ()
    by_admin = any((one.get("exactly") or {}).get("adminAccess") for one in requests)
    allocated = bool((claim.get("status") or {}).get("allocation"))
    return str(allocated).lower(), str(by_admin).lower(), source


def claim_names(pod: Object) -> list[str]:
    """Return the names of the claims that a pod uses, as far as they are known."""
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    made = {one["name"]: one.get("resourceClaimName") for one in statuses}
    found = [one.get("resourceClaimName") or made.get(one["name"]) for one in _asked(pod)]
    return [name for name in found if name]


def _asked(pod: Object) -> Sequence[Mapping[str, Any]]:
    return pod["spec"].get("resourceClaims") or ()


def pod_statuses(pod: Object, claims: Mapping[str, str]) -> list[Object] | None:
    """Return ``status.resourceClaimStatuses`` with these claims; None when it says so already."""
    present = list((pod.get("status") or {}).get("resourceClaimStatuses") or ())
    wanted = [one for one in present if one["name"] not in claims]
    wanted += [{"name": name, "resourceClaimName": claim} for name, claim in claims.items()]
    key = _by_name
    return None if sorted(wanted, key=key) == sorted(present, key=key) else sorted(wanted, key=key)


def _by_name(status: Object) -> str:
    return str(status["name"])


def _consumers(claim: Object) -> Sequence[Object]:
    return (claim.get("status") or {}).get("reservedFor") or ()


def plan_claim(claim: Object, pod_of: Callable[[str], Object | None]) -> ClaimPlan:
    """Plan one claim; ``pod_of`` finds a pod of its namespace by name.

    Consumers that are gone or done are taken off; without any the devices go back, and a claim that is being
    deleted may go. A claim made for a pod goes as soon as the pod is done.
    """
    status = claim.get("status") or {}
    kept = [one for one in _consumers(claim) if _is_using(one, pod_of)]
    allocated = bool(status.get("allocation"))
    leaving = bool(claim["metadata"].get("deletionTimestamp"))
    changed = len(kept) != len(_consumers(claim))
    finalizers = claim["metadata"].get("finalizers") or ()
    cleared = dict(status)
    if changed:
        cleared["reservedFor"] = kept
    if not kept:
        cleared.pop("reservedFor", None)
        if allocated and (changed or leaving):
            del cleared["allocation"]
    without = None
    if not kept and "allocation" not in cleared and FINALIZER in finalizers:
        rest = [one for one in finalizers if one != FINALIZER]
        without = {**claim, "metadata": {**claim["metadata"], "finalizers": rest}}
    return ClaimPlan(
        status={**claim, "status": cleared} if cleared != status else None,
        without_finalizer=without,
        delete=not kept and not leaving and _owner_is_done(claim, pod_of),
    )


def _is_using(consumer: Object, pod_of: Callable[[str], Object | None]) -> bool:
    if consumer.get("apiGroup") or consumer.get("resource") != "pods":
        return True  # nobody here knows of others than pods
    pod = pod_of(str(consumer["name"]))
    return pod is not None and pod["metadata"]["uid"] == consumer.get("uid") and not is_done(pod)


def is_done(pod: Object) -> bool:
    """Say whether a pod has ended, or will never run."""
    return podstate.is_terminal(pod) or (podstate.is_deleting(pod) and not pod["spec"].get("nodeName"))


def _owner_is_done(claim: Object, pod_of: Callable[[str], Object | None]) -> bool:
    for one in claim["metadata"].get("ownerReferences") or ():
        if one.get("controller") and one.get("kind") == "Pod" and one.get("apiVersion") == "v1":
            pod = pod_of(str(one["name"]))
            return pod is not None and (pod["metadata"]["uid"] != one.get("uid") or is_done(pod))
    return False
