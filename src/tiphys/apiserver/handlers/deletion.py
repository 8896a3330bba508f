"""What a deletion does to an object: marks it, waits for others, takes it away. Pure; called by ``delete``.

Source: the "Finalizers" and "Garbage collection" pages; graceful deletion of pods.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.strategy import Strategy
from tiphys.apiserver.crd.names import set_condition
from tiphys.apiserver.endpoints.params import DeleteOptions

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Keeps a definition that is being deleted until its objects are gone."""
_IN_STEPS = {("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition")}
"""Kinds whose first deletion only marks them: what they hold has to go before."""
_DEFAULT_GRACE_S = 30
_PENDING = (
    "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``write``: the marked object to store, None for nothing to write. ``remove``: take it away (then)."""

    write: Object | None
    remove: bool
    idle: bool = False
    """It waits for an earlier deletion: nothing happens, and admission is not asked."""


def check_preconditions(resource: Resource, old: Object, options: DeleteOptions) -> None:
    """Raise Conflict for an object that is not the one that was meant."""
    meta = old["metadata"]
    name, in_steps = meta["name"], (resource.group, resource.kind) in _IN_STEPS
    for word, wanted, found, what in (
        ("UID", options.uid, meta.get("uid", ""), "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"], "modified"),
    ):
        if not wanted or wanted == found:
            continue
        if in_steps:
            why = f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {found}"
            raise Conflict.of(resource.group, resource.plural, name, why)
        why = (
            f"the {word} in the precondition ({wanted}) does not match the {word} in record ({found}). "
            f"The object might have been {what}"
        )
        raise Conflict.of(resource.group, resource.kind, name, why)


def plan(resource: Resource, strategy: Strategy, old: Object, options: DeleteOptions, now: datetime) -> Plan:
    """Say what a deletion comes to for an object as it is."""
    if (resource.group, resource.kind) in _IN_STEPS:
        if not old["metadata"].get("deletionTimestamp"):
            begin = _begin_namespace if resource.kind == "Namespace" else _begin_definition
            return Plan(begin(strategy, old, options, rfc3339(now)), remove=False)
        if resource.kind == "Namespace" and (old.get("spec") or {}).get("finalizers"):
            return Plan(None, remove=False, idle=True)
    graceful, pending = False, False
    marked = {**old, "metadata": dict(old["metadata"])}  # the rest is shared: it may be large
    if strategy.graceful_deletion:
        graceful, pending = _grace(marked, options, now)
    if pending:
        return Plan(None, remove=False, idle=True)
    finalizers = _finalizers(strategy, old, options)
    meta = marked["metadata"]
    _put_finalizers(meta, finalizers)
    if finalizers:
        if not graceful:
            _mark(meta, now)
        return Plan(marked if marked != old else None, remove=False)
    if graceful:
        return Plan(marked, remove=meta["deletionGracePeriodSeconds"] == 0)
    return Plan(None, remove=True)


def _put_finalizers(meta: Object, finalizers: list[str]) -> None:
    if set(finalizers) != set(meta.get("finalizers") or ()):
        meta["finalizers"] = finalizers
        if not finalizers:
            del meta["finalizers"]


def _finalizers(strategy: Strategy, old: Object, options: DeleteOptions) -> list[str]:
    """Return the finalizers after the propagation policy, or else the kind, has had its say."""
    found: list[str] = list(old["metadata"].get("finalizers") or ())
    policy = options.propagation
    if not options.heeds_policy:
        return found
    if strategy.has_dependents and not policy:
        if ORPHAN in found or FOREGROUND in found or not strategy.orphans_dependents:
            return found
        policy = "Orphan"
    found = [name for name in found if name not in (ORPHAN, FOREGROUND)]
    if strategy.has_dependents:
        found += {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    return found


def _grace(pod: Object, options: DeleteOptions, now: datetime) -> tuple[bool, bool]:
    """Set a pod's deadline. Returns (deletion is graceful, an earlier deletion already waits)."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    wanted = options.grace_period_s
    if meta.get("deletionTimestamp"):
        left = meta.get("deletionGracePeriodSeconds")
        if not left:
            return False, False
        if wanted is None or wanted >= left:
            return False, True
        deadline = parse_time(meta["deletionTimestamp"]) - timedelta(seconds=left - wanted)
        if (
            deadline < now
        ):  # the shorter time is over already: what was asked for gently ends a second from it
            deadline, wanted = now, min(wanted, 1)
        meta["deletionTimestamp"] = rfc3339(deadline)
        meta["deletionGracePeriodSeconds"] = wanted
        return True, False
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        wanted = 0
    if wanted < 0:
        wanted = 1
    meta["deletionTimestamp"] = rfc3339(now + timedelta(seconds=wanted))
    meta["deletionGracePeriodSeconds"] = wanted
    if meta.get("generation"):
        meta["generation"] += 1
    return True, False


def _mark(meta: Object, now: datetime) -> None:
    """Mark as being deleted, without grace."""
    marked = meta.get("deletionTimestamp")
    if not marked and meta.get("generation"):
        meta["generation"] += 1
    if not marked or parse_time(marked) > now:
        meta["deletionTimestamp"] = rfc3339(now)
    meta["deletionGracePeriodSeconds"] = 0


def _begin_namespace(strategy: Strategy, old: Object, options: DeleteOptions, now: str) -> Object:
    """A namespace terminates first; its own finalizers hold it until its content is gone."""
    marked: Object = copy_object(old)
    marked["metadata"]["deletionTimestamp"] = now
    _put_finalizers(marked["metadata"], _finalizers(strategy, old, options))
    marked.setdefault("status", {})["phase"] = "Terminating"
    return marked


def _begin_definition(strategy: Strategy, old: Object, options: DeleteOptions, now: str) -> Object:
    """A definition says that its objects are about to go; the policy of its deletion is not heeded."""
    marked: Object = copy_object(old)
    meta = marked["metadata"]
    meta["deletionTimestamp"] = now
    if CLEANUP not in (meta.get("finalizers") or ()):
        meta["finalizers"] = [*(meta.get("finalizers") or ()), CLEANUP]
    marked.setdefault("status", {})
    set_condition(marked, "Terminating", "True", *_PENDING, now=now)
    return marked
