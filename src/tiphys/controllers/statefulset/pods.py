"""A StatefulSet's pods and claims by ordinal: names, identity, storage. Pure. Source: apps/v1 StatefulSet."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiphys.apimachinery.meta import Object, copy_object, owner_reference
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.podtemplate import pod_from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"^(.*)-([0-9]+)$")


def first_ordinal(owner: Object) -> int:
    return int((owner["spec"].get("ordinals") or {}).get("start") or 0)


def replicas_of(owner: Object) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def ordinal_of(owner: Object, pod: Object) -> int | None:
    """The pod's ordinal, None if its name is not of this set."""
    matched = _ORDINAL.match(pod["metadata"]["name"])
    if matched is None or matched.group(1) != owner["metadata"]["name"]:
        return None
    return int(matched.group(2))


def pod_name(owner: Object, ordinal: int) -> str:
    return f"{owner['metadata']['name']}-{ordinal}"


def identity(pod: Object) -> dict[str, str]:
    """Return the labels that tell which pod of its set this is, by its name."""
    name = pod["metadata"]["name"]
    return {POD_NAME: name, POD_INDEX: name.rpartition("-")[2]}


def build_pod(owner: Object, template: Object, ordinal: int, revision: str) -> Object:
    """Build the pod of one ordinal at one revision, with its stable name and claims."""
    pod = pod_from_template(template, owner)
    meta, name = pod["metadata"], pod_name(owner, ordinal)
    del meta["generateName"]
    meta["name"] = name
    meta["labels"].update({**identity(pod), HASH_LABEL: revision})
    pod["spec"]["hostname"] = name
    pod["spec"]["subdomain"] = owner["spec"].get("serviceName") or ""
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates") or ()}
    if claims:
        others = [item for item in pod["spec"].get("volumes") or () if item["name"] not in claims]
        mounted = [
            {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}}
            for claim in sorted(claims)
        ]
        pod["spec"]["volumes"] = [*mounted, *others]
    return pod


def build_claims(owner: Object, ordinal: int) -> list[Object]:
    """Build the PersistentVolumeClaims of one ordinal; they outlive the pod."""
    result = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = copy_object(template)
        meta = claim["metadata"]
        meta["name"] = f"{meta['name']}-{pod_name(owner, ordinal)}"
        meta["namespace"] = owner["metadata"]["namespace"]
        selected = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
        meta["labels"] = {**(meta.get("labels") or {}), **selected}
        if _policy(owner, "whenDeleted") == "Delete":
            meta["ownerReferences"] = [owner_reference(owner)]
        claim.pop("status", None)
        result.append({**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim"})
    return result


def claim_owners(owner: Object, claim: Object, pod: Object) -> list[Object] | None:
    """Return the owners that the retention policy gives a pod's claim; None where they are right.

    A claim follows the set when the set goes, and its pod when the pod is scaled away. One that somebody else
    controls is left to them, and so is one of a former set or pod of the same name.
    """
    mine = (owner_reference(owner), _pod_reference(pod))
    present = list(claim["metadata"].get("ownerReferences") or ())
    ours = [ref for ref in present if any(_same_name(ref, one) for one in mine)]
    wanted = [] if _is_anothers(owner, present, mine) else _wanted_owners(owner, pod)
    if [(ref["uid"], True) for ref in wanted] == [
        (ref.get("uid"), bool(ref.get("controller"))) for ref in ours
    ]:
        return None
    return [*(ref for ref in present if ref not in ours), *wanted]


def follows_a_former_pod(owner: Object, claim: Object, name: str) -> bool:
    """Whether a claim is to go with a pod of this name that was scaled away: the next waits for that."""
    if _policy(owner, "whenScaled") != "Delete":
        return False
    former = {"apiVersion": "v1", "kind": "Pod", "name": name}
    return any(_same_name(ref, former) for ref in claim["metadata"].get("ownerReferences") or ())


def _wanted_owners(owner: Object, pod: Object) -> list[Object]:
    wanted_ordinals = range(first_ordinal(owner), first_ordinal(owner) + replicas_of(owner))
    if ordinal_of(owner, pod) not in wanted_ordinals and _policy(owner, "whenScaled") == "Delete":
        return [_pod_reference(pod)]
    return [owner_reference(owner)] if _policy(owner, "whenDeleted") == "Delete" else []


def _is_anothers(owner: Object, present: Sequence[Object], mine: Sequence[Object]) -> bool:
    if {_policy(owner, "whenScaled"), _policy(owner, "whenDeleted")} == {"Retain"}:
        return False
    for ref in present:
        same = next((one for one in mine if _same_name(ref, one)), None)
        if same["uid"] != ref.get("uid") if same else ref.get("controller"):
            return True
    return False


def _same_name(ref: Object, other: Object) -> bool:
    return all(ref.get(key) == other[key] for key in ("apiVersion", "kind", "name"))


def _pod_reference(pod: Object) -> Object:
    return owner_reference({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]})


def claim_keys(owner: Object, pod: Object) -> list[str]:
    """Return the keys of the claims that a pod has by the set's templates."""
    meta = pod["metadata"]
    names = [item["metadata"]["name"] for item in owner["spec"].get("volumeClaimTemplates") or ()]
    return [f"{meta['namespace']}/{name}-{meta['name']}" for name in names]


def _policy(owner: Object, when: str) -> str:
    return str((owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(when) or "Retain")
