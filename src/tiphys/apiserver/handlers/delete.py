"""DELETE of one object: finalizers, grace periods, preconditions, propagation.

Source: the "Finalizers" and "Garbage collection" pages; graceful deletion of pods.
"""

from __future__ import annotations

from datetime import timedelta

from tiphys.apimachinery.clock import parse_time, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apis.strategy import Strategy
from tiphys.apiserver import bodies, machinery, respond
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.call import Call
from tiphys.apiserver.handlers.release import release
from tiphys.apiserver.objects import Cached
from tiphys.apiserver.params import DeleteOptions, delete_options
from tiphys.wire.message import Response

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Keeps a definition that is being deleted until its objects are gone."""
_DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
_DEFAULT_GRACE_S = 30
_RETURN_OBJECT = {
    ("", "pods"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"), ("", "podtemplates"),
    ("", "resourcequotas"), ("", "serviceaccounts"), ("", "services"), ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"), ("storage.k8s.io", "csinodes"), ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "volumeattributesclasses"), ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "devicetaintrules"), ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"), ("resource.k8s.io", "resourceslices"),
}  # fmt: skip
"""Kinds whose last state is the answer; the others answer with a Status."""


_LEFT_BEHIND = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or set propagationPolicy=Orphan to suppress this warning"
)


def warn_of_orphans(call: Call, options: DeleteOptions) -> None:
    """Jobs leave their pods behind unless they are told what to do: few expect it."""
    if (call.resource.group, call.resource.plural) == ("batch", "jobs") and not options.propagation:
        call.warn(_LEFT_BEHIND)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of an object: ``gone`` or marked as being deleted."""

    obj: Object
    gone: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """``write``: the marked object to store, None for nothing to write. ``remove``: take it away now."""

    write: Object | None
    remove: bool


async def handle(call: Call) -> Response:
    """Delete one object, now or once everybody has let go of it."""
    options = delete_options(call, bodies.decode_options(call))
    warn_of_orphans(call, options)
    deleted = await delete_object(call, call.name, options)
    resource = call.resource
    obj = deleted.obj
    if deleted.gone and (resource.group, resource.plural) not in _RETURN_OBJECT:
        meta = obj["metadata"]
        return respond.respond(
            call, respond.success(resource.group, resource.plural, meta["name"], meta["uid"])
        )
    status = 202 if options.cascades and not deleted.gone else 200
    return respond.respond_object(call, machinery.convert(obj, resource.gvk), status)


async def delete_object(
    call: Call, name: str, options: DeleteOptions, *, namespace: str | None = None, admits: bool = True
) -> Deleted:
    """Delete one object; lost races are retried unless the caller named a resourceVersion.

    ``admits`` False: admission has been asked about what leads to this.

    Raises:
        NotFound, Conflict (a precondition does not hold), Forbidden.
    """
    backend = call.backend
    stored = backend.table.stored(call.resource)
    where = call.namespace if namespace is None else namespace
    while True:
        cached = await backend.store.get(stored, where, name)
        old = cached.object
        check_preconditions(call, old, options)
        if admits:
            attributes = Attributes(call, "DELETE", None, old, dry_run=options.dry_run)
            await backend.admission.admit(attributes)
            await backend.admission.validate(attributes)
        plan = _plan(call, old, options)
        if options.dry_run:
            return Deleted(plan.write or old, plan.remove)
        try:
            return await _apply(call, cached, plan, where)
        except Conflict:
            if options.resource_version:
                raise


async def _apply(call: Call, cached: Cached, plan: _Plan, namespace: str) -> Deleted:
    backend = call.backend
    stored = backend.table.stored(call.resource)
    if plan.remove:
        last = await backend.store.delete(stored, namespace, cached.name, cached.revision)
        await release(call, last)
        return Deleted(last.object, gone=True)
    if plan.write is None:
        return Deleted(cached.object, gone=False)
    plan.write["metadata"].pop("resourceVersion", None)
    written = await backend.store.update(stored, plan.write, cached.revision)
    return Deleted(written.object, gone=False)


def check_preconditions(call: Call, old: Object, options: DeleteOptions) -> None:
    """Raise Conflict for an object that is not the one that was meant."""
    meta, resource = old["metadata"], call.resource
    if options.uid and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise Conflict.of(resource.group, resource.kind, meta["name"], why)
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({meta['resourceVersion']}). The object might have been modified"
        )
        raise Conflict.of(resource.group, resource.kind, meta["name"], why)


def _finalizers(strategy: Strategy, old: Object, options: DeleteOptions) -> list[str]:
    """Return the finalizers after the propagation policy, or else the kind, has had its say."""
    found: list[str] = list(old["metadata"].get("finalizers") or ())
    policy = options.propagation
    if strategy.has_dependents and not policy:
        if ORPHAN in found or FOREGROUND in found or not strategy.orphans_dependents:
            return found
        policy = "Orphan"
    found = [name for name in found if name not in (ORPHAN, FOREGROUND)]
    if strategy.has_dependents:
        found += {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    return found


def _plan(call: Call, old: Object, options: DeleteOptions) -> _Plan:
    if call.resource.plural == "namespaces" and not call.resource.group:
        return _plan_namespace(call, old, options)
    strategy = machinery.strategy_for(call.resource)
    graceful, pending, marked = False, False, copy_object(old)
    if strategy.graceful_deletion:
        graceful, pending = _grace(call, marked, options)
    if pending:
        return _Plan(None, remove=False)
    finalizers = _finalizers(strategy, old, options)
    defines = (call.resource.group, call.resource.kind) == _DEFINITION
    if defines and CLEANUP not in finalizers and not old["metadata"].get("deletionTimestamp"):
        finalizers.append(CLEANUP)
    meta = marked["metadata"]
    if set(finalizers) != set(old["metadata"].get("finalizers") or ()):
        meta["finalizers"] = finalizers
        if not finalizers:
            del meta["finalizers"]
    if finalizers:
        if not graceful:
            _mark(call, marked)
        return _Plan(marked if marked != old else None, remove=False)
    if graceful and meta["deletionGracePeriodSeconds"] > 0:
        return _Plan(marked, remove=False)
    return _Plan(None, remove=True)


def _grace(call: Call, pod: Object, options: DeleteOptions) -> tuple[bool, bool]:
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
        meta["deletionTimestamp"] = rfc3339(deadline)
        meta["deletionGracePeriodSeconds"] = wanted
        return True, False
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        wanted = 0
    if wanted < 0:
        wanted = 1
    meta["deletionTimestamp"] = rfc3339(call.backend.clock.now() + timedelta(seconds=wanted))
    meta["deletionGracePeriodSeconds"] = wanted
    if meta.get("generation"):
        meta["generation"] += 1
    return True, False


def _mark(call: Call, obj: Object) -> None:
    """Mark as being deleted, without grace."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = rfc3339(call.backend.clock.now())
        if meta.get("generation"):
            meta["generation"] += 1
    meta["deletionGracePeriodSeconds"] = 0


def _plan_namespace(call: Call, old: Object, options: DeleteOptions) -> _Plan:
    """A namespace terminates first; its own finalizers hold it until its content is gone."""
    marked = copy_object(old)
    meta = marked["metadata"]
    held = bool((old.get("spec") or {}).get("finalizers"))
    finalizers = _finalizers(machinery.strategy_for(call.resource), old, options)
    if not held and not finalizers:
        return _Plan(None, remove=True)
    if meta.get("deletionTimestamp"):
        return _Plan(None, remove=False)
    meta["deletionTimestamp"] = rfc3339(call.backend.clock.now())
    if finalizers:
        meta["finalizers"] = finalizers
    marked.setdefault("status", {})["phase"] = "Terminating"
    return _Plan(marked, remove=False)


async def delete_quietly(call: Call, name: str, options: DeleteOptions, namespace: str) -> Deleted | None:
    """Delete one of many: what is already gone is no fault."""
    try:
        return await delete_object(call, name, options, namespace=namespace)
    except NotFound:
        return None
