"""Rules of what makes a Job fail or succeed early: its pod failure policy and its success policy."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    invalid,
    invalid_all,
    invalid_unshown,
    not_supported,
    required,
    too_long,
    too_many,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.batch.index_ranges import MalformedIndexes, count_indexes
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import not_negative

_RULES_MAX = 20
_CODES_MAX = 255
_PATTERNS_MAX = 20
_INDEXES_MAX = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def _choice(value: str, path: str, known: Iterable[str]) -> list[FieldError]:
    """One of these; when it is missing they are named."""
    if not value:
        shown = " ".join(f'"{name}"' for name in known)
        return [required(path, f"valid values: [{shown}]")]
    return [] if value in known else [not_supported(path, value, known)]


def failure_policy_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod failure policy."""
    rules, at = list(each(spec, "podFailurePolicy", "rules")), f"{path}.rules"
    faults = [too_many(at, len(rules), _RULES_MAX)] if len(rules) > _RULES_MAX else []
    pod = peek(spec, "template", "spec")
    containers = {str(one.get("name")) for key in ("containers", "initContainers") for one in each(pod, key)}
    per_index = spec.get("backoffLimitPerIndex") is not None
    for index, rule in enumerate(rules):
        faults += _rule(rule, f"{at}[{index}]", containers, per_index=per_index)
    return faults


def _rule(rule: Object, path: str, containers: set[str], *, per_index: bool) -> list[FieldError]:
    action = rule.get("action") or ""
    if action == "FailIndex" and not per_index:
        faults = [invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")]
    else:
        faults = _choice(action, f"{path}.action", _ACTIONS)
    codes, patterns = rule.get("onExitCodes"), list(each(rule, "onPodConditions"))
    if isinstance(codes, dict):
        faults += _exit_codes(codes, f"{path}.onExitCodes", containers)
    faults += _patterns(patterns, f"{path}.onPodConditions")
    if isinstance(codes, dict) and patterns:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        faults.append(invalid_unshown(path, text))
    if not isinstance(codes, dict) and not patterns:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        faults.append(invalid_unshown(path, text))
    return faults


def _patterns(patterns: list[Object], path: str) -> list[FieldError]:
    faults = [too_many(path, len(patterns), _PATTERNS_MAX)] if len(patterns) > _PATTERNS_MAX else []
    for index, pattern in enumerate(patterns):
        at, kind = f"{path}[{index}]", pattern.get("type") or ""
        faults += invalid_all(f"{at}.type", kind, names.is_qualified_name(kind))
        faults += _choice(pattern.get("status") or "", f"{at}.status", _STATUSES)
    return faults


def _exit_codes(codes: Object, path: str, containers: set[str]) -> list[FieldError]:
    operator, name = codes.get("operator") or "", codes.get("containerName")
    faults = _choice(operator, f"{path}.operator", _OPERATORS)
    if name is not None and name not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        faults.append(invalid(f"{path}.containerName", name, text))
    values, at = codes.get("values"), f"{path}.values"
    if not values:
        return [*faults, invalid(at, values, "at least one value is required")]
    if len(values) > _CODES_MAX:
        faults.append(too_many(at, len(values), _CODES_MAX))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            faults.append(invalid(f"{at}[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            faults.append(duplicate(f"{at}[{index}]", value))
    if any(one > other for one, other in pairwise(values)):
        faults.append(invalid(at, values, "must be ordered"))
    return faults


def success_policy_faults(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of the success policy of an Indexed Job."""
    rules, at = list(each(spec, "successPolicy", "rules")), f"{path}.rules"
    faults: list[FieldError] = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        faults.append(required(at, text))
    if len(rules) > _RULES_MAX:
        faults.append(too_many(at, len(rules), _RULES_MAX))
    completions = spec.get("completions") or 0
    for index, rule in enumerate(rules):
        faults += _success_rule(rule, completions, f"{at}[{index}]")
    return faults


def _success_rule(rule: Object, completions: int, path: str) -> list[FieldError]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    faults: list[FieldError] = []
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        faults.append(required(path, text))
    total, at = 0, f"{path}.succeededIndexes"
    if indexes is not None:
        if len(indexes) > _INDEXES_MAX:
            faults.append(too_long(at, _INDEXES_MAX))
        try:
            total = count_indexes(indexes, completions)
        except MalformedIndexes as error:
            faults.append(invalid(at, indexes, f"error parsing succeededIndexes: {error}"))
    if count is None:
        return faults
    faults += not_negative(rule, path, "succeededCount")
    at = f"{path}.succeededCount"
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        faults.append(invalid(at, count, text))
    if indexes is not None and count > total:
        text = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes "
            "field)"
        )
        faults.append(invalid(at, count, text))
    return faults
