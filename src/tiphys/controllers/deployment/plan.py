"""One step of a deployment: sets to create, resize, annotate or delete, and the status. Pure.

The shell applies a plan and comes back when the cache shows it; each plan takes one safe step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate
from tiphys.controllers.deployment import progress, revisions, scaling
from tiphys.controllers.deployment.revisions import replicas_of


@dataclass(frozen=True, slots=True)
class Resize:
    """A replica set as it should become, and its former size."""

    desired: Object
    before: int

    @property
    def after(self) -> int:
        return replicas_of(self.desired)


@dataclass(slots=True)
class Plan:
    """Written in this order: annotations, create, resize, delete, status."""

    status: Object = field(default_factory=dict)
    create: Object | None = None
    resize: list[Resize] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """Annotations to set on the deployment itself."""
    recheck_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Rollout:
    """A deployment and its sets: the one of the present template, if there is one, and the others."""

    deployment: Object
    new: Object | None
    olds: list[Object]
    now: datetime


def plan(
    deployment: Object, sets: Sequence[Object], now: datetime, *, old_pods_running: bool = False
) -> Plan:
    """Plan the next step. ``old_pods_running``: pods of old sets are still there (for Recreate)."""
    new, olds = revisions.split(deployment, sets)
    if podstate.is_deleting(deployment):
        kept: list[Object] = list((deployment.get("status") or {}).get("conditions") or ())
        return Plan(status=progress.counts(deployment, new, olds, kept, now))
    found = progress.base_conditions(deployment, now)
    rollout = _Rollout(deployment, new, olds, now)
    if deployment["spec"].get("paused") or scaling.is_scaling(deployment, sets):
        return _plan_sync(rollout, found)
    if scaling.is_rolling(deployment):
        result, found = _plan_rolling(rollout, found)
    else:
        result, found = _plan_recreate(rollout, found, old_pods_running=old_pods_running)
    result.status = progress.rollout(deployment, new, olds, found, now)
    if not result.create and not result.resize and progress.is_complete(deployment, result.status):
        result.delete = revisions.plan_cleanup(deployment, olds)
    result.recheck_s = progress.recheck_s(deployment, result.status, now)
    return result


def _plan_sync(rollout: _Rollout, found: list[Object]) -> Plan:
    """Scale without rolling anything out."""
    deployment, new, olds = rollout.deployment, rollout.new, rollout.olds
    result = Plan()
    if new is not None:
        _annotate(result, deployment, new, olds)
    sizes = scaling.plan_scale(deployment, new, olds)
    _resize(result, deployment, [*([new] if new else []), *olds], sizes, only_active=True)
    if deployment["spec"].get("paused"):
        result.delete = revisions.plan_cleanup(deployment, olds)
    result.status = progress.counts(deployment, new, olds, found, rollout.now)
    return result


def _plan_rolling(rollout: _Rollout, found: list[Object]) -> tuple[Plan, list[Object]]:
    deployment, new, olds = rollout.deployment, rollout.new, rollout.olds
    if new is None:
        return _plan_create(rollout, scaling.new_set_size(deployment, 0, scaling.total(olds)), found)
    result = Plan()
    found = progress.note_new_set(deployment, found, new["metadata"]["name"], rollout.now, created=False)
    _annotate(result, deployment, new, olds)
    sizes = scaling.plan_new(deployment, new, olds) or scaling.plan_olds(deployment, new, olds)
    _resize(result, deployment, [new, *olds], sizes)
    return result, found


def _plan_recreate(
    rollout: _Rollout, found: list[Object], *, old_pods_running: bool
) -> tuple[Plan, list[Object]]:
    deployment, new, olds = rollout.deployment, rollout.new, rollout.olds
    result = Plan()
    if new is not None:
        _annotate(result, deployment, new, olds)
    stopping = {rs["metadata"]["name"]: 0 for rs in scaling.active(olds)}
    if stopping:
        _resize(result, deployment, olds, stopping)
    elif old_pods_running:
        pass  # the new ones start when the last old one is gone
    elif new is None:
        return _plan_create(rollout, replicas_of(deployment), found)
    else:
        found = progress.note_new_set(deployment, found, new["metadata"]["name"], rollout.now, created=False)
        _resize(result, deployment, [new], scaling.plan_new(deployment, new, []))
    return result, found


def _plan_create(rollout: _Rollout, size: int, found: list[Object]) -> tuple[Plan, list[Object]]:
    deployment = rollout.deployment
    revision = revisions.next_revision(rollout.olds)
    made = revisions.build_set(deployment, revision, size, scaling.bounds(deployment).surge)
    result = Plan(create=made, annotations=_revision(deployment, str(revision)))
    name = made["metadata"]["name"]
    return result, progress.note_new_set(deployment, found, name, rollout.now, created=True)


def _annotate(result: Plan, deployment: Object, new: Object, olds: list[Object]) -> None:
    """Keep the new set's revision, annotations and minReadySeconds in step with the deployment."""
    present = revisions.annotations_of(new)
    revision = revisions.next_revision(olds)
    wanted = revisions.set_annotations(deployment, present, revision, fresh=False)
    min_ready_s = deployment["spec"].get("minReadySeconds") or 0
    if wanted != present or (new["spec"].get("minReadySeconds") or 0) != min_ready_s:
        desired = {
            **new,
            "metadata": {**new["metadata"], "annotations": wanted},
            "spec": {**new["spec"], "minReadySeconds": min_ready_s},
        }
        result.resize.append(Resize(desired, replicas_of(new)))
    result.annotations = _revision(deployment, wanted[revisions.REVISION])


def _revision(deployment: Object, revision: str) -> dict[str, str]:
    present = revisions.annotations_of(deployment).get(revisions.REVISION)
    return {} if present == revision else {revisions.REVISION: revision}


def _resize(
    result: Plan, deployment: Object, sets: list[Object], sizes: scaling.Sizes, *, only_active: bool = False
) -> None:
    """Add the resizes, and put the size annotations right where a set is touched or scaled."""
    extra = revisions.size_annotations(deployment, scaling.bounds(deployment).surge)
    pending = {item.desired["metadata"]["name"]: item.desired for item in result.resize}
    for rs in sets:
        name = rs["metadata"]["name"]
        base = pending.get(name, rs)
        size = sizes.get(name, replicas_of(rs))
        annotations = {**revisions.annotations_of(base), **extra}
        stale = only_active and replicas_of(rs) > 0 and annotations != revisions.annotations_of(base)
        if name not in sizes and not stale:
            continue
        desired = {
            **base,
            "metadata": {**base["metadata"], "annotations": annotations},
            "spec": {**base["spec"], "replicas": size},
        }
        result.resize = [item for item in result.resize if item.desired["metadata"]["name"] != name]
        result.resize.append(Resize(desired, replicas_of(rs)))
