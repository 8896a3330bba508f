"""Rules and strategies of the ``policy`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import Struct, invalid, not_supported, shown_selector
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import peek
from tiphys.apis.ratchet import SELECTOR_VALUES, ratcheted
from tiphys.apis.strategy import Strategy, nothing
from tiphys.apis.value_validation import (
    at_most_all,
    conditions,
    count_or_percent,
    label_selector,
    not_negative,
)

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_EMPTY = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"


def prepare_budget(budget: Object) -> None:
    """A new budget allows nothing until its controller has counted."""
    budget["status"] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }


def default_budget(budget: Object) -> None:
    """What v1beta1 said of empty selectors is not asked of pods, but where it is all that is asked."""
    selector = peek(budget, "spec", "selector")
    requirements = selector.get("matchExpressions")
    if not requirements or selector == {"matchExpressions": [{"key": _EMPTY, "operator": "Exists"}]}:
        return
    left = [one for one in requirements if one.get("key") != _EMPTY]
    if left:
        selector["matchExpressions"] = left
    else:
        selector.pop("matchExpressions")


def validate_budget(budget: Object) -> list[FieldError]:
    """Return every fault of a PodDisruptionBudget."""
    spec = peek(budget, "spec")
    faults: list[FieldError] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        faults.append(invalid("spec", _shown(spec), text))
    for key in ("minAvailable", "maxUnavailable"):
        path = f"spec.{key}"
        faults += count_or_percent(spec.get(key), path) + at_most_all(spec.get(key), path)
    faults += label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _POLICIES:
        faults.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES))
    return faults


def _shown(spec: Object) -> Struct:
    """A budget as the API shows it."""
    selector = spec.get("selector")
    return Struct(
        MinAvailable=spec.get("minAvailable"),
        Selector=shown_selector(selector) if isinstance(selector, dict) else None,
        MaxUnavailable=spec.get("maxUnavailable"),
        UnhealthyPodEvictionPolicy=spec.get("unhealthyPodEvictionPolicy"),
    )


def validate_budget_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodDisruptionBudget."""
    return validate_budget(new)


def validate_budget_status(new: Object, _old: Object) -> list[FieldError]:
    """Conditions are complete, and counts not negative."""
    status = peek(new, "status")
    counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    return conditions(status, "status.conditions") + not_negative(status, "status", *counts)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("policy", "v1", "PodDisruptionBudget"),
        metadata_after=True,
        default=default_budget,
        default_status=nothing,
        prepare_create=prepare_budget,
        validate=validate_budget,
        validate_name=names.is_path_segment_name,
        validate_update=ratcheted(validate_budget_update, validate_budget, SELECTOR_VALUES),
        validate_status_update=validate_budget_status,
        status_resets=(),
        has_generation=True,
        unconditional_update=False,
    ),
)
