"""Which replica set is the new one, what is written on it, and which old ones may go. Pure.

Source: apps/v1 Deployment; upstream's ``deployment.kubernetes.io`` annotations.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object, copy_object, owner_reference
from tiphys.controllers.podtemplate import TEMPLATE_HASH, same_template, template_hash, without_hash

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}
_HISTORY_MAX = 2000


def annotations_of(obj: Object) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})


def revision_of(obj: Object) -> int:
    """The revision number an object bears, 0 for none."""
    text = annotations_of(obj).get(REVISION, "0")
    return atoi(text) or 0


def replicas_of(obj: Object) -> int:
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def by_age(sets: Sequence[Object]) -> list[Object]:
    """Oldest first, by name where the time is the same."""
    return sorted(
        sets, key=lambda rs: (rs["metadata"].get("creationTimestamp") or "", rs["metadata"]["name"])
    )


def split(deployment: Object, sets: Sequence[Object]) -> tuple[Object | None, list[Object]]:
    """Return the replica set with the deployment's template (the oldest, of several) and the others."""
    wanted = without_hash(deployment["spec"]["template"])
    new = next(
        (rs for rs in by_age(sets) if same_template(without_hash(rs["spec"]["template"]), wanted)), None
    )
    return new, [rs for rs in sets if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]


def next_revision(olds: Sequence[Object]) -> int:
    return max((revision_of(rs) for rs in olds), default=0) + 1


def set_annotations(
    deployment: Object, present: dict[str, str], revision: int, *, fresh: bool
) -> dict[str, str]:
    """Return the annotations of the new replica set: the deployment's own, and its revision.

    The revision only grows; the former one is kept in the history when an old set becomes new again.
    """
    own = {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    result = {**present, **own}
    before = result.get(REVISION, "")
    number = atoi(before or "0")
    if number is not None and number < revision:  # what is no number is left as it is
        result[REVISION] = str(revision)
        if before and not fresh:
            history = [item for item in result.get(REVISION_HISTORY, "").split(",") if item]
            if before not in history:
                history.append(before)
            while len(",".join(history)) > _HISTORY_MAX:
                history.pop(0)
            result[REVISION_HISTORY] = ",".join(history)
    return result


def size_annotations(deployment: Object, surge: int) -> dict[str, str]:
    wanted = replicas_of(deployment)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + surge)}


def build_set(deployment: Object, revision: int, replicas: int, surge: int) -> Object:
    """Build the replica set for the deployment's present template."""
    spec = deployment["spec"]
    collisions = (deployment.get("status") or {}).get("collisionCount") or 0
    template = copy_object(spec["template"])
    digest = template_hash(without_hash(template), collisions)
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), TEMPLATE_HASH: digest}
    selector = copy_object(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: digest}
    annotations = set_annotations(deployment, {}, revision, fresh=True)
    result: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{digest}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(metadata["labels"]),
            "annotations": {**annotations, **size_annotations(deployment, surge)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        result["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return result


def plan_cleanup(deployment: Object, olds: Sequence[Object]) -> list[Object]:
    """Return the old, empty sets beyond ``revisionHistoryLimit``, oldest revisions first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = [rs for rs in olds if not rs["metadata"].get("deletionTimestamp")]
    surplus = max(len(alive) - int(limit), 0)
    ordered = sorted(by_age(alive), key=revision_of)
    return [rs for rs in ordered[:surplus] if _is_empty(rs)]


def _is_empty(rs: Object) -> bool:
    status = rs.get("status") or {}
    seen = status.get("observedGeneration", 0) >= rs["metadata"].get("generation", 0)
    return not status.get("replicas") and replicas_of(rs) == 0 and seen
