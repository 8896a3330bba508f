"""Annotations that say what once was a field, or became one: how they are read where objects come in.

Those of init containers are dropped from pods and their templates, since there is a field for them. The count
of a DaemonSet's templates and the revision that a Deployment is to go back to have to be whole numbers.

Pure. Refuses: what follows from them (``apps.defaults``, ``apps.validation``). Called for what is decoded.

Source: upstream's conversions of ``v1`` and ``apps/v1``.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.atoi import atoi, atoi_fault
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.mismatch import DecodeError

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
ROLLBACK = "deprecated.deployment.rollback.to"
_INIT_CONTAINERS = frozenset(
    f"pod.{stage}.kubernetes.io/init-container{what}"
    for stage in ("alpha", "beta")
    for what in ("s", "-statuses")
)
_SPEC = ("spec", "template")
TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _SPEC,
    ("apps", "DaemonSet"): _SPEC,
    ("apps", "Deployment"): _SPEC,
    ("apps", "ReplicaSet"): _SPEC,
    ("apps", "StatefulSet"): _SPEC,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_SPEC),
    ("batch", "Job"): _SPEC,
}
"""Where a kind has what pods are made of."""


class Unconvertible(DecodeError):
    """An annotation that cannot be read as what it stands for."""


def read_annotations(obj: Object, gvk: GVK) -> None:
    """Bring the annotations of an object of this kind up to date, in place; parts of it may be shared.

    Raises:
        Unconvertible: one is no number where it has to be.
    """
    kind = (gvk.group, gvk.kind)
    path = TEMPLATES.get(kind)
    if path is None:
        return
    changed = _lightened(obj, path)
    if changed is not obj:
        obj.update(changed)
    own = _OWN.get(kind)
    if own is not None and (annotations := (obj.get("metadata") or {}).get("annotations")):
        own(obj, annotations)


def _lightened(holder: Object, path: tuple[str, ...]) -> Object:
    """Return a holder of a template, or a template, without outdated annotations; itself if it has none."""
    if path:
        inner = holder.get(path[0])
        if not isinstance(inner, dict):
            return holder
        changed = _lightened(inner, path[1:])
        return holder if changed is inner else {**holder, path[0]: changed}
    annotations = (holder.get("metadata") or {}).get("annotations")
    if not annotations or _INIT_CONTAINERS.isdisjoint(annotations):
        return holder
    return _annotated(holder, {key: annotations[key] for key in annotations if key not in _INIT_CONTAINERS})


def _annotated(holder: Object, annotations: Object) -> Object:
    meta = {key: value for key, value in holder["metadata"].items() if key != "annotations"}
    return {**holder, "metadata": {**meta, "annotations": annotations} if annotations else meta}


def _number(text: str) -> int:
    number = atoi(text)
    if number is None:
        raise Unconvertible(atoi_fault(text, "ParseInt"))
    return number


def _read_count(_obj: Object, annotations: Object) -> None:
    if TEMPLATE_GENERATION in annotations:
        _number(annotations[TEMPLATE_GENERATION])


def _read_rollback(obj: Object, annotations: Object) -> None:
    """The number is shown as Go writes it, and an empty text is none."""
    text = annotations.get(ROLLBACK)
    if text is None:
        return
    told = {key: value for key, value in annotations.items() if key != ROLLBACK}
    if text:
        try:
            told[ROLLBACK] = str(_number(text))
        except Unconvertible as error:
            raise Unconvertible(f"failed to parse annotation[{ROLLBACK}]={text} as int64: {error}") from None
    obj.update(_annotated(obj, told))


_OWN: dict[tuple[str, str], Callable[[Object, Object], None]] = {
    ("apps", "DaemonSet"): _read_count,
    ("apps", "Deployment"): _read_rollback,
}
