"""Which volume suits a claim. Pure. Source: core/v1 PersistentVolumeClaimSpec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object

_DEFAULTS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_ATTRIBUTES = "volumeAttributesClassName"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Object) -> str:
    """Return the storage class of a claim or a volume; empty for none."""
    annotated = (obj["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    return str(annotated if annotated is not None else obj["spec"].get("storageClassName") or "")


def has_no_class(claim: Object) -> bool:
    """True for a claim that says nothing of a class; one that says "" wants none."""
    annotated = (claim["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    return annotated is None and claim["spec"].get("storageClassName") is None


def default_class(classes: Iterable[Object]) -> Object | None:
    """Return the class for claims that name none: of several the newest, then the first by name."""
    found = [
        item
        for item in classes
        if any((item["metadata"].get("annotations") or {}).get(name) == "true" for name in _DEFAULTS)
    ]
    found.sort(key=lambda item: str(item["metadata"]["name"]))
    return max(found, key=lambda item: str(item["metadata"].get("creationTimestamp") or ""), default=None)


def is_ref_to(ref: dict[str, Any] | None, claim: Object) -> bool:
    """Tell whether a volume's claimRef means this claim; a reference without uid means any of the name."""
    meta = claim["metadata"]
    return (
        ref is not None
        and (ref.get("namespace"), ref.get("name")) == (meta["namespace"], meta["name"])
        and ref.get("uid") in (None, "", meta["uid"])
    )


def misfit(volume: Object, claim: Object) -> str:
    """Say why a volume named by a claim cannot serve it; empty if it can."""
    if volume["metadata"].get("deletionTimestamp"):
        return f'the volume is marked for deletion "{volume["metadata"]["name"]}"'
    if _storage(volume["spec"].get("capacity")) < _storage(_requests(claim)):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (volume["spec"].get(_ATTRIBUTES) or "") != (claim["spec"].get(_ATTRIBUTES) or ""):
        return "volumeAttributesClassName does not match"
    if volume["spec"].get("volumeMode", "Filesystem") != claim["spec"].get("volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    if not set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def best_volume(claim: Object, volumes: Iterable[Object], *, only_given: bool) -> Object | None:
    """Return the volume kept for the claim, whatever its storage class, else the best free one that fits.

    The best lets itself be used in the fewest ways; of these it is the smallest.

    ``only_given``: the scheduler chooses; a volume counts only once it was given to the claim.
    """
    found = list(volumes)
    for volume in found:
        if is_ref_to(volume["spec"].get("claimRef"), claim) and not misfit(
            volume, _in_class_of(volume, claim)
        ):
            return volume
    if only_given:
        return None
    selector = from_label_selector(claim["spec"]["selector"]) if claim["spec"].get("selector") else None
    free = [
        volume
        for volume in found
        if not misfit(volume, claim)
        and not volume["spec"].get("claimRef")
        and (volume.get("status") or {}).get("phase") in (None, "", "Pending", "Available")
        and (selector is None or selector.matches(volume["metadata"].get("labels") or {}))
    ]
    return min(free, key=_rank, default=None)


def _in_class_of(volume: Object, claim: Object) -> Object:
    """The claim as if it asked for the storage class that a volume has."""
    meta = {**claim["metadata"], "annotations": {}}
    return {**claim, "metadata": meta, "spec": {**claim["spec"], "storageClassName": class_of(volume)}}


def _rank(volume: Object) -> tuple[int, Any, str]:
    modes = set(volume["spec"].get("accessModes") or ())
    return len(modes), _storage(volume["spec"].get("capacity")), volume["metadata"]["name"]


def _requests(claim: Object) -> Object:
    return (claim["spec"].get("resources") or {}).get("requests") or {}


def _storage(amounts: Object | None) -> Any:
    return quantity.parse(str((amounts or {}).get("storage") or 0)).amount
