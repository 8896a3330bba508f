"""Strategies of the ``policy`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.strategy import Strategy


def prepare_budget(budget: Object) -> None:
    """A new budget allows nothing until its controller has counted."""
    budget["status"] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("policy", "v1", "PodDisruptionBudget"),
        prepare_create=prepare_budget,
        has_generation=True,
        unconditional_update=False,
    ),
)
