"""Rules of what webhooks and policies match: rules, selectors, match conditions.

Source: the "Dynamic Admission Control" and "Validating Admission Policy" pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiphys.apimachinery import names
from tiphys.apimachinery.cel import types
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.admissionregistration.expressions import Scope, compile_in, environment
from tiphys.apis.defaulting import each
from tiphys.apis.value_validation import label_selector, one_of

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
MUTATING_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_MAX_CONDITIONS = 64
_NOUNS = {"apiGroups": "API groups", "apiVersions": "API versions", "operations": "operations"}


def rule_faults(rule: Object, path: str) -> list[FieldError]:
    """Return every fault of a rule that says which requests are meant."""
    faults = _listed(rule, "operations", path)
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in OPERATIONS:
            faults.append(not_supported(f"{path}.operations[{index}]", operation, OPERATIONS))
    faults += _listed(rule, "apiGroups", path) + _listed(rule, "apiVersions", path)
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            faults.append(required(f"{path}.apiVersions[{index}]"))
    faults += _resources(rule.get("resources") or [], f"{path}.resources")
    return faults + one_of(rule.get("scope"), f"{path}.scope", ("*", "Cluster", "Namespaced"), nullable=True)


def _listed(rule: Object, key: str, path: str) -> list[FieldError]:
    values = rule.get(key) or []
    if not values:
        return [required(f"{path}.{key}")]
    if len(values) > 1 and "*" in values:
        text = f"if '*' is present, must not specify other {_NOUNS[key]}"
        return [invalid(f"{path}.{key}", values, text)]
    return []


def _resources(values: Sequence[str], path: str) -> list[FieldError]:
    faults = [] if values else [required(path)]
    all_subresources: set[str] = set()
    of_all: set[str] = set()
    plain = False
    for index, value in enumerate(values):
        if not value:
            faults.append(required(f"{path}[{index}]"))
            continue
        resource, slash, sub = value.partition("/")
        if not slash:
            plain = value != "*"
            continue
        if resource in all_subresources:
            text = f"if '{resource}/*' is present, must not specify {value}"
            faults.append(invalid(f"{path}[{index}]", value, text))
        if sub in of_all:
            text = f"if '*/{sub}' is present, must not specify {value}"
            faults.append(invalid(f"{path}[{index}]", value, text))
        if sub == "*":
            all_subresources.add(resource)
        if resource == "*":
            of_all.add(sub)
    if len(values) > 1 and "*/*" in values:
        faults.append(invalid(path, values, "if '*/*' is present, must not specify other resources"))
    if "*" in values and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        faults.append(invalid(path, values, text))
    return faults


def match_faults(match: Object, path: str) -> list[FieldError]:
    """Return every fault of what a policy or a binding matches."""
    faults = one_of(match.get("matchPolicy"), f"{path}.matchPolicy", ("Equivalent", "Exact"))
    for key in ("namespaceSelector", "objectSelector"):
        faults += (
            [required(f"{path}.{key}")]
            if match.get(key) is None
            else label_selector(match[key], f"{path}.{key}")
        )
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(each(match, key)):
            faults += _resource_names(rule.get("resourceNames") or (), f"{path}.{key}[{index}].resourceNames")
            faults += rule_faults(rule, f"{path}.{key}[{index}]")
    return faults


def _resource_names(values: Iterable[str], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, value in enumerate(values):
        faults += invalid_all(f"{path}[{index}]", value, names.is_path_segment_name(value))
        if value in seen:
            faults.append(duplicate(f"{path}[{index}]", value))
        seen.add(value)
    return faults


def operation_faults(match: Object, path: str) -> list[FieldError]:
    """Mutations have nothing to work on where an object is deleted."""
    return [
        not_supported(f"{path}.resourceRules.operations", operation, MUTATING_OPERATIONS)
        for rule in each(match, "resourceRules")
        for operation in rule.get("operations") or ()
        if operation not in MUTATING_OPERATIONS
    ]


def condition_faults(
    conditions: Sequence[Object] | None, path: str, *, params: bool = False
) -> list[FieldError]:
    """Return every fault of match conditions."""
    conditions = conditions or ()
    faults: list[FieldError] = []
    if len(conditions) > _MAX_CONDITIONS:
        faults.append(too_many(path, len(conditions), _MAX_CONDITIONS))
    scope = Scope(params=params, authorizer=True)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        text = str(condition.get("expression") or "").strip()
        if not text:
            faults.append(required(f"{at}.expression"))
        else:
            faults += compile_in(environment(scope), text, types.BOOL).faults(f"{at}.expression")
        if not name:
            faults.append(required(f"{at}.name"))
            continue
        faults += invalid_all(f"{at}.name", name, names.is_qualified_name(name))
        if name in seen:
            faults.append(duplicate(f"{at}.name", name))
        seen.add(name)
    return faults
