"""Rules of Workloads and PodGroups: which pods are scheduled together, and how.

Upstream generates these rules: nothing that stays is asked about again.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    Struct,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    required,
    too_many,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, fill_optional, peek
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import conditions, one_of

_TEMPLATES_MAX = 8
_CLAIMS_MAX = 4
_PRIORITY_MAX = 1_000_000_000
_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")
_GATES = {
    "schedulingConstraints": "TopologyAwareWorkloadScheduling",
    "disruptionMode": "WorkloadAwarePreemption",
    "priorityClassName": "WorkloadAwarePreemption",
    "priority": "WorkloadAwarePreemption",
}
"""Fields of groups that are forbidden, rather than only left out, while a gate is off."""

Check = Callable[[str], list[str]]


def _named(value: object, path: str, check: Check) -> list[FieldError]:
    return invalid_all(path, value, check(str(value))) if value else [required(path)]


def _one_member(obj: Object, path: str, *members: str) -> list[FieldError]:
    """Exactly one of these is there."""
    given = [f"`{name}`" for name in members if obj.get(name) is not None]
    listed = ", ".join(f"`{name}`" for name in members)
    if len(given) > 1:
        return [invalid(path, f"{{{', '.join(given)}}}", f"must specify exactly one of: {listed}")]
    return [] if given else [invalid(path, "", f"must specify one of: {listed}")]


def _policy(policy: Object, path: str) -> list[FieldError]:
    faults, gang = _one_member(policy, path, "basic", "gang"), policy.get("gang")
    if not isinstance(gang, dict):
        return faults
    count, at = gang.get("minCount") or 0, f"{path}.gang.minCount"
    if not count:
        faults.append(required(at))
    elif count < 1:
        faults.append(invalid(at, count, "must be greater than or equal to 1"))
    return faults


def _late_fields(group: Object, path: str) -> list[FieldError]:
    """Faults of what a group, or the template of one, has behind gates."""
    faults = _constraints(group.get("schedulingConstraints"), f"{path}.schedulingConstraints")
    faults += _claims(list(each(group, "resourceClaims")), f"{path}.resourceClaims", _claim)
    modes = ("Pod", "PodGroup")
    faults += one_of(group.get("disruptionMode"), f"{path}.disruptionMode", modes, nullable=True)
    if name := group.get("priorityClassName"):
        faults += invalid_all(f"{path}.priorityClassName", name, names.is_dns1123_subdomain(name))
    if (priority := group.get("priority") or 0) > _PRIORITY_MAX:
        text = f"must be less than or equal to {_PRIORITY_MAX}"
        faults.append(invalid(f"{path}.priority", priority, text))
    return faults


def _constraints(constraints: Object | None, path: str) -> list[FieldError]:
    topology, at = list(each(constraints or {}, "topology")), f"{path}.topology"
    if len(topology) > 1:
        return [too_many(at, len(topology), 1)]
    return [
        fault
        for index, constraint in enumerate(topology)
        for fault in _named(constraint.get("key"), f"{at}[{index}].key", names.is_label_key)
    ]


def _claims(
    claims: list[Object], path: str, check: Callable[[Object, str], list[FieldError]]
) -> list[FieldError]:
    """Faults of claims, or of their statuses: a few, each with a name of its own."""
    if len(claims) > _CLAIMS_MAX:
        return [too_many(path, len(claims), _CLAIMS_MAX)]
    faults = _twice(claims, path)
    for index, claim in enumerate(claims):
        faults += check(claim, f"{path}[{index}]")
    return faults


def _twice(items: list[Object], path: str) -> list[FieldError]:
    faults, seen = list[FieldError](), set[str]()
    for index, item in enumerate(items):
        name = str(item.get("name") or "")
        if name in seen:
            faults.append(duplicate(f"{path}[{index}]", item))
        seen.add(name)
    return faults


def _claim(claim: Object, path: str) -> list[FieldError]:
    faults = _one_member(claim, path, *_CLAIM_SOURCES)
    faults += _named(claim.get("name"), f"{path}.name", names.is_dns1123_label)
    return faults + _claim_names(claim, path)


def _claim_names(claim: Object, path: str) -> list[FieldError]:
    return [
        fault
        for key in _CLAIM_SOURCES
        if (name := claim.get(key)) is not None
        for fault in invalid_all(f"{path}.{key}", name, names.is_dns1123_subdomain(name))
    ]


def default_workload(obj: Object) -> None:
    """Pods are disrupted one by one unless a template says otherwise."""
    for template in each(peek(obj, "spec"), "podGroupTemplates"):
        _default_mode(template)


def default_pod_group(obj: Object) -> None:
    """Pods are disrupted one by one unless the group says otherwise."""
    if isinstance(obj.get("spec"), dict):
        _default_mode(obj["spec"])


def _default_mode(group: Object) -> None:
    if on("WorkloadAwarePreemption"):
        fill_optional(group, "disruptionMode", "Pod")


def validate_workload(obj: Object) -> list[FieldError]:
    """Return every fault of a Workload."""
    spec = peek(obj, "spec")
    faults = _controller(spec.get("controllerRef"), "spec.controllerRef")
    templates, path = list(each(spec, "podGroupTemplates")), "spec.podGroupTemplates"
    if miscounted := _template_count(len(templates), path):
        return faults + miscounted
    faults += _twice(templates, path)
    for index, template in enumerate(templates):
        faults += _named(template.get("name"), f"{path}[{index}].name", names.is_dns1123_label)
        faults += _policy(peek(template, "schedulingPolicy"), f"{path}[{index}].schedulingPolicy")
        faults += _late_fields(template, f"{path}[{index}]")
    return faults


def _controller(reference: Object | None, path: str) -> list[FieldError]:
    if not isinstance(reference, dict):
        return []
    group, faults = reference.get("apiGroup"), list[FieldError]()
    if group:
        faults += invalid_all(f"{path}.apiGroup", group, names.is_dns1123_subdomain(group))
    for key in ("kind", "name"):
        faults += _named(reference.get(key), f"{path}.{key}", names.is_path_segment_name)
    return faults


def validate_workload_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Workload: it stays what it is."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = immutable("spec.controllerRef", spec.get("controllerRef"), before.get("controllerRef"))
    path, key = "spec.podGroupTemplates", "podGroupTemplates"
    templates = spec.get(key)
    if [_given(one) for one in each(spec, key)] == [_given(one) for one in each(before, key)]:
        return faults
    return [*faults, invalid(path, templates, IMMUTABLE), *_template_count(len(templates or ()), path)]


def _given(template: Object) -> Object:
    return {key: value for key, value in template.items() if value is not None}


def _template_count(count: int, path: str) -> list[FieldError]:
    if count > _TEMPLATES_MAX:
        return [too_many(path, count, _TEMPLATES_MAX)]
    return [] if count else [required(path)]


def validate_pod_group_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a PodGroup's conditions, and of what it says of its claims."""
    status, key = peek(new, "status"), "resourceClaimStatuses"
    path, statuses = f"status.{key}", list(each(status, key))
    known = {claim.get("name") for claim in each(peek(new, "spec"), "resourceClaims")}
    faults = conditions(status, "status.conditions")
    for index, one in enumerate(statuses):
        if one.get("name") not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            faults.append(invalid(f"{path}[{index}].name", one.get("name") or "", text))
    if statuses == list(each(peek(old, "status"), key)):
        return faults
    return faults + _claims(statuses, path, _claim_names)


def validate_pod_group(obj: Object) -> list[FieldError]:
    """Return every fault of a PodGroup."""
    spec, path = peek(obj, "spec"), "spec.podGroupTemplateRef"
    reference, faults = spec.get("podGroupTemplateRef"), list[FieldError]()
    if isinstance(reference, dict):
        faults += _one_member(reference, path, "workload")
        workload = reference.get("workload")
        if isinstance(workload, dict):
            at = f"{path}.workload"
            faults += _named(workload.get("workloadName"), f"{at}.workloadName", names.is_dns1123_subdomain)
            name = workload.get("podGroupTemplateName")
            faults += _named(name, f"{at}.podGroupTemplateName", names.is_dns1123_label)
    faults += _policy(peek(spec, "schedulingPolicy"), "spec.schedulingPolicy")
    return faults + _late_fields(spec, "spec")


def validate_pod_group_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodGroup: it stays what it is."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    now, then = (one.get("podGroupTemplateRef") for one in (spec, before))
    faults = immutable("spec.podGroupTemplateRef", _shown(now), _shown(then))
    key = "schedulingPolicy"
    faults += immutable(f"spec.{key}", spec.get(key) or {}, before.get(key) or {})
    for key, empty in (
        ("schedulingConstraints", None),
        ("resourceClaims", []),
        ("disruptionMode", None),
        ("priorityClassName", ""),
        ("priority", None),
    ):
        faults += _kept(f"spec.{key}", spec.get(key), before.get(key), empty)
    return faults


def _kept(path: str, now: object, then: object, empty: object) -> list[FieldError]:
    """A field stays; what is behind a gate that is off by now may go, but not change."""
    now, then = (empty if value is None else value for value in (now, then))
    gate = _GATES.get(path.removeprefix("spec."), "")
    if not gate or on(gate):
        return immutable(path, now, then)
    return [forbidden(path, "")] if now not in (empty, then) else []


def _shown(reference: Object | None) -> Struct | None:
    if reference is None:
        return None
    workload = reference.get("workload")
    if not isinstance(workload, dict):
        return Struct()
    keys = ("workloadName", "podGroupTemplateName")
    return Struct(workload=Struct({key: workload.get(key) or "" for key in keys}))


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("scheduling.k8s.io", "v1alpha2", "Workload"),
        default=default_workload,
        validate=validate_workload,
        validate_update=validate_workload_update,
    ),
    Strategy(
        GVK("scheduling.k8s.io", "v1alpha2", "PodGroup"),
        default=default_pod_group,
        validate=validate_pod_group,
        validate_update=validate_pod_group_update,
        validate_status_update=validate_pod_group_status,
    ),
)
