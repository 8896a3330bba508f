"""Rules and strategies of the ``policy`` group."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import peek
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import at_most_all, count_or_percent, label_selector, not_negative, one_of


def prepare_budget(budget: Object) -> None:
    """A new budget allows nothing until its controller has counted."""
    budget["status"] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }


def validate_budget(budget: Object) -> list[FieldError]:
    """Return every fault of a PodDisruptionBudget."""
    spec = peek(budget, "spec")
    faults: list[FieldError] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        faults.append(invalid("spec", spec, text))
    for key in ("minAvailable", "maxUnavailable"):
        path = f"spec.{key}"
        faults += count_or_percent(spec.get(key), path) + at_most_all(spec.get(key), path)
    policies = ("AlwaysAllow", "IfHealthyBudget")
    path = "spec.unhealthyPodEvictionPolicy"
    faults += one_of(spec.get("unhealthyPodEvictionPolicy"), path, policies, optional=True)
    return faults + label_selector(spec.get("selector"), "spec.selector")


def validate_budget_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodDisruptionBudget."""
    return validate_budget(new)


def validate_budget_status(new: Object, _old: Object) -> list[FieldError]:
    """Counts are not negative."""
    counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    return not_negative(peek(new, "status"), "status", *counts)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("policy", "v1", "PodDisruptionBudget"),
        prepare_create=prepare_budget,
        validate=validate_budget,
        validate_update=validate_budget_update,
        validate_status_update=validate_budget_status,
        has_generation=True,
        unconditional_update=False,
    ),
)
