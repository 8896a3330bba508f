"""The state of one run, and the budget that several runs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.cel.errors import CostExceeded

PER_CALL_LIMIT = 1_000_000
"""What one expression may cost: about a tenth of a second on the API's reference machine."""
PER_OBJECT_LIMIT = 10_000_000
"""What all rules of one object may cost together."""


@dataclass(slots=True)
class Budget:
    """What runs may cost, one by one and together. ``remaining`` falls below zero when it is overdrawn."""

    remaining: int = PER_OBJECT_LIMIT
    per_call: int = PER_CALL_LIMIT
    last: int = 0
    """The cost of the latest run."""

    def spend(self, cost: int) -> None:
        self.last = cost
        self.remaining -= cost

    @property
    def overdrawn(self) -> bool:
        return self.remaining < 0


class Frame:
    """Variables by number, and the cost so far."""

    __slots__ = ("cost", "limit", "slots")

    def __init__(self, slots: list[Any], limit: int) -> None:
        self.slots = slots
        self.cost = 0
        self.limit = limit

    def check(self) -> None:
        """Raises CostExceeded once the limit is passed."""
        if self.cost > self.limit:
            raise CostExceeded


Run = Callable[[Frame], Any]
