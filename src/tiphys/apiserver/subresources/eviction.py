"""pods/eviction: deleting a pod when its disruption budget lets it go.

Source: the "API-initiated Eviction" page and policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from dataclasses import replace

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, Conflict, Forbidden, StatusError, TooManyRequests
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import GVK, Object, copy_object, get_condition
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import DeleteOptions, delete_options, write_options
from tiphys.apiserver.handlers.delete import delete_object
from tiphys.apiserver.handlers.deletion import check_preconditions
from tiphys.apiserver.registry import meta_rules
from tiphys.apiserver.registry.objects import Selection
from tiphys.wire.message import Response

_EVICTION = GVK("policy", "v1", "Eviction")
_MAX_DISRUPTED = 2000
_ATTEMPTS = 20
_CONDITION = {
    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}  # fmt: skip
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


async def handle(call: Call) -> Response:
    """Evict one pod.

    Raises:
        BadRequest: the body names another pod. TooManyRequests: its budget allows no disruption now.
        StatusError: it has several budgets.
    """
    options = write_options(call, "CreateOptions")
    eviction = await bodies.decode_aside(call, _EVICTION, options.field_validation)
    meta_rules.check_namespace(eviction, call.resource, call.namespace)
    if eviction["metadata"].get("name") != call.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    admitted = await admission.admit(call, eviction, dry_run=options.dry_run)
    await admission.validate(admitted)
    wanted = delete_options(call, eviction.get("deleteOptions") or {})
    if options.dry_run:
        wanted = replace(wanted, dry_run=True)
    pod = await _evict_unguarded(call, wanted)
    if pod is not None:
        await _evict_guarded(call, pod, wanted)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return respond.respond(call, status, 201)


async def _evict_unguarded(call: Call, wanted: DeleteOptions) -> Object | None:
    """Delete a pod that no budget counts; return one that needs a budget's leave.

    One that has not run yet goes only while that is so, unless the client named a version itself.
    """
    pods = call.backend.table.by_path("", "v1", "pods")
    for attempt in range(_ATTEMPTS):
        pod: Object = (await call.backend.store.get(pods, call.namespace, call.name)).object
        if not _needs_no_budget(pod):
            return pod
        options = wanted
        if (pod.get("status") or {}).get("phase") == "Pending" and not wanted.resource_version:
            options = _as_it_is(wanted, pod)
        try:
            await _delete(call, options)
        except Conflict:
            if wanted.resource_version or attempt == _ATTEMPTS - 1:
                raise
        else:
            return None
    raise AssertionError("every attempt returns or raises")


async def _evict_guarded(call: Call, pod: Object, wanted: DeleteOptions) -> None:
    """Delete a pod when its budget lets it go.

    One that does not count, as it is not ready, goes only while that is so.
    """
    spared = await _take_disruption(call, pod, dry_run=wanted.dry_run)
    if spared is None or wanted.resource_version:
        await _delete(call, replace(wanted, uid=wanted.uid or pod["metadata"]["uid"]))
        return
    try:
        await _delete(call, _as_it_is(wanted, pod))
    except Conflict as error:
        raise _processed(spared) from error


def _as_it_is(wanted: DeleteOptions, pod: Object) -> DeleteOptions:
    return replace(wanted, resource_version=pod["metadata"]["resourceVersion"])


async def _delete(call: Call, wanted: DeleteOptions) -> None:
    if not wanted.dry_run:
        wanted = await _say_why(call, wanted)
    await delete_object(call, call.name, wanted, admits=False)


async def _say_why(call: Call, wanted: DeleteOptions) -> DeleteOptions:
    """Write into the pod's status that it is evicted: policies of Jobs tell this from a failure.

    A precondition on the version holds for what was written.
    """
    pods = call.backend.table.by_path("", "v1", "pods")
    while True:
        cached = await call.backend.store.get(pods, call.namespace, call.name)
        check_preconditions(call.resource, cached.object, wanted)
        changed = copy_object(cached.object)
        changed["metadata"].pop("resourceVersion", None)
        _put_condition(changed, rfc3339(call.backend.clock.now()))
        try:
            written = await call.backend.store.update(pods, changed, cached.revision)
        except Conflict:
            continue
        return replace(wanted, resource_version=str(written.revision)) if wanted.resource_version else wanted


def _put_condition(pod: Object, now: str) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    old = get_condition(pod, _CONDITION["type"]) or {}
    since = old.get("lastTransitionTime") if old.get("status") == "True" else None
    condition = {**_CONDITION, "lastProbeTime": None, "lastTransitionTime": since or now}
    if generation := pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    if old:
        conditions[conditions.index(old)] = condition
    else:
        conditions.append(condition)


def _needs_no_budget(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _ready(pod: Object) -> bool:
    condition = get_condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


async def _take_disruption(call: Call, pod: Object, *, dry_run: bool) -> str | None:
    """Take a disruption from the pod's budget; return the budget's name where that spares it.

    Raises:
        TooManyRequests, Forbidden: the budget has none to give. StatusError: there are several budgets.
    """
    store = call.backend.store
    row = call.backend.table.by_path("policy", "v1", "poddisruptionbudgets")
    while True:
        page = await store.list(row, Selection(namespace=call.namespace))
        labels = pod["metadata"].get("labels") or {}
        matching = [
            item
            for item in page.items
            if (selector := item.object["spec"].get("selector")) is not None
            and from_label_selector(selector).matches(labels)
        ]
        if not matching:
            return None
        if len(matching) > 1:
            raise StatusError(
                "This pod has more than one PodDisruptionBudget, "
                "which the eviction subresource does not support."
            )
        if _is_spared(matching[0].object, pod):
            return matching[0].name
        changed = _decremented(call, matching[0].object, pod)
        if dry_run:
            return None
        try:
            await store.update(row, changed, matching[0].revision)
        except Conflict:
            continue
        return None


def _is_spared(budget: Object, pod: Object) -> bool:
    """Tell whether a budget has nothing to say: the pod is not ready, and there are enough others."""
    if _ready(pod):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired: int = status.get("desiredHealthy", 0)
    healthy: int = status.get("currentHealthy", 0)
    return healthy >= desired > 0


def _decremented(call: Call, budget: Object, pod: Object) -> Object:
    """Return the budget with one disruption taken. Raises TooManyRequests, Forbidden."""
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _processed(name)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise Forbidden.of("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise Forbidden.of("policy", "poddisruptionbudget", name, why)
    if allowed == 0:
        raise _refused(f"The disruption budget {name} {_used_up(budget)}")
    changed: Object = copy_object(budget)
    changed["metadata"].pop("resourceVersion", None)
    now = rfc3339(call.backend.clock.now())
    changed["status"]["disruptionsAllowed"] = allowed - 1
    changed["status"].setdefault("disruptedPods", {})[pod["metadata"]["name"]] = now
    if allowed == 1:
        _say_used_up(changed, now)
    return changed


def _used_up(budget: Object) -> str:
    """Why a budget has no disruption to give. Its counts mean nothing where its controller failed."""
    status, condition = budget["status"], get_condition(budget, "DisruptionAllowed") or {}
    reason, told = condition.get("reason") or "", condition.get("message")
    told = told if condition.get("status") == "False" else ""
    if told and reason == "SyncFailed":
        return f"does not allow evicting pods currently because it failed sync: {told}"
    desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    if healthy <= desired:
        return f"needs {desired} healthy pods and has {healthy} currently"
    return "does not allow evicting pods currently" + (f" ({reason}): {told}" if told else "")


def _say_used_up(budget: Object, now: str) -> None:
    """Have the budget's condition say that no pod may go."""
    status = budget["status"]
    old = get_condition(budget, "DisruptionAllowed") or {}
    condition = {
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "lastTransitionTime": (old.get("status") == "False" and old.get("lastTransitionTime")) or now,
    }  # fmt: skip
    if observed := status.get("observedGeneration"):
        condition["observedGeneration"] = observed
    others = status.get("conditions") or []
    status["conditions"] = [condition if one == old else one for one in others]
    if not old:
        status["conditions"].append(condition)


def _processed(name: str) -> TooManyRequests:
    return _refused(f"The disruption budget {name} is still being processed by the server.", 10)


def _refused(why: str, retry_after_s: int = 0) -> TooManyRequests:
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return TooManyRequests(_REFUSED, retry_after_s=retry_after_s, details={"causes": causes})
