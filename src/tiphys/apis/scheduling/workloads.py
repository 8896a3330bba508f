"""Rules of Workloads and PodGroups: which pods are scheduled together, and how.

Upstream generates these rules: nothing that stays is asked about again.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    IMMUTABLE,
    Struct,
    duplicate,
    immutable,
    invalid,
    invalid_all,
    required,
    too_many,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import conditions

_TEMPLATES_MAX = 8

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


def validate_workload(obj: Object) -> list[FieldError]:
    """Return every fault of a Workload."""
    spec = peek(obj, "spec")
    faults = _controller(spec.get("controllerRef"), "spec.controllerRef")
    templates, path = list(each(spec, "podGroupTemplates")), "spec.podGroupTemplates"
    if miscounted := _template_count(len(templates), path):
        return faults + miscounted
    seen: set[str] = set()
    for index, template in enumerate(templates):
        name = str(template.get("name") or "")
        if name in seen:
            faults.append(duplicate(f"{path}[{index}]", template))
        seen.add(name)
    for index, template in enumerate(templates):
        faults += _named(template.get("name"), f"{path}[{index}].name", names.is_dns1123_label)
        faults += _policy(peek(template, "schedulingPolicy"), f"{path}[{index}].schedulingPolicy")
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
    if (templates or []) == (before.get(key) or []):
        return faults
    return [*faults, invalid(path, templates, IMMUTABLE), *_template_count(len(templates or ()), path)]


def _template_count(count: int, path: str) -> list[FieldError]:
    if count > _TEMPLATES_MAX:
        return [too_many(path, count, _TEMPLATES_MAX)]
    return [] if count else [required(path)]


def validate_pod_group_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of a PodGroup's conditions."""
    return conditions(peek(new, "status"), "status.conditions")


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
    return faults + _policy(peek(spec, "schedulingPolicy"), "spec.schedulingPolicy")


def validate_pod_group_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodGroup: it stays what it is."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    now, then = (one.get("podGroupTemplateRef") for one in (spec, before))
    faults = immutable("spec.podGroupTemplateRef", _shown(now), _shown(then))
    key = "schedulingPolicy"
    return faults + immutable(f"spec.{key}", spec.get(key) or {}, before.get(key) or {})


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
        validate=validate_workload,
        validate_update=validate_workload_update,
    ),
    Strategy(
        GVK("scheduling.k8s.io", "v1alpha2", "PodGroup"),
        validate=validate_pod_group,
        validate_update=validate_pod_group_update,
        validate_status_update=validate_pod_group_status,
    ),
)
