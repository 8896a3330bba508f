"""pods/eviction: deleting a pod when its disruption budget lets it go.

Source: the "API-initiated Eviction" page and policy/v1 PodDisruptionBudget.
"""

from __future__ import annotations

from dataclasses import replace

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import Conflict, Forbidden, InternalError, TooManyRequests
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import GVK, Object, copy_object, get_condition
from tiphys.apiserver import bodies, meta_rules, respond
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.call import Call
from tiphys.apiserver.handlers.delete import check_preconditions, delete_object
from tiphys.apiserver.objects import Cached, Selection
from tiphys.apiserver.params import DeleteOptions, delete_options, write_options
from tiphys.wire.message import Response

_EVICTION = GVK("policy", "v1", "Eviction")
_MAX_DISRUPTED = 2000
_CONDITION = {
    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}  # fmt: skip
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


async def handle(call: Call) -> Response:
    """Evict one pod.

    Raises:
        TooManyRequests: its budget allows no disruption now. InternalError: it has several budgets.
    """
    options = write_options(call, "CreateOptions")
    eviction = bodies.decode(call, _EVICTION, options.field_validation)
    meta_rules.check_name(eviction, call.name)
    admitted = await admission.admit(call, eviction, dry_run=options.dry_run)
    await admission.validate(admitted)
    pods = call.backend.table.by_path("", "v1", "pods")
    wanted = delete_options(call, eviction.get("deleteOptions") or {})
    if options.dry_run:
        wanted = replace(wanted, dry_run=True)
    pod = (await call.backend.store.get(pods, call.namespace, call.name)).object
    if not _needs_no_budget(pod):
        await _take_disruption(call, pod, dry_run=wanted.dry_run)
        wanted = replace(wanted, uid=wanted.uid or pod["metadata"]["uid"])
    if not wanted.dry_run:
        wanted = await _say_why(call, wanted)
    await delete_object(call, call.name, wanted, admits=False)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return respond.respond(call, status, 201)


async def _say_why(call: Call, wanted: DeleteOptions) -> DeleteOptions:
    """Write into the pod's status that it is evicted: policies of Jobs tell this from a failure.

    A precondition on the version holds for what was written.
    """
    pods = call.backend.table.by_path("", "v1", "pods")
    while True:
        cached = await call.backend.store.get(pods, call.namespace, call.name)
        check_preconditions(call, cached.object, wanted)
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


async def _take_disruption(call: Call, pod: Object, *, dry_run: bool) -> None:
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
            return
        if len(matching) > 1:
            raise InternalError(
                "This pod has more than one PodDisruptionBudget, "
                "which the eviction subresource does not support."
            )
        changed = _plan(call, matching[0], pod)
        if changed is None or dry_run:
            return
        try:
            await store.update(row, changed, matching[0].revision)
            return
        except Conflict:
            continue


def _plan(call: Call, cached: Cached, pod: Object) -> Object | None:
    """Return the budget with one disruption taken, None when the pod is let go without one."""
    budget = cached.object
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if not _ready(pod):
        if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            return None
        if healthy >= desired > 0:
            return None
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _refused(name, f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise Forbidden.of("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
        raise Forbidden.of(
            "policy", "poddisruptionbudgets", name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )  # fmt: skip
    if allowed == 0:
        raise _refused(
            name, f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently", 0
        )
    changed = copy_object(budget)
    changed["metadata"].pop("resourceVersion", None)
    changed["status"]["disruptionsAllowed"] = allowed - 1
    disrupted = changed["status"].setdefault("disruptedPods", {})
    disrupted[pod["metadata"]["name"]] = rfc3339(call.backend.clock.now())
    return changed  # type: ignore[no-any-return]


def _refused(name: str, why: str, retry_after_s: int) -> TooManyRequests:
    causes = [{"reason": "DisruptionBudget", "message": why}]
    error = TooManyRequests(_REFUSED, retry_after_s=retry_after_s, details={"causes": causes})
    if not retry_after_s and error.details:
        error.details.pop("retryAfterSeconds", None)
    return error
