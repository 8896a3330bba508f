"""The state of one run, and the budget that several runs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel.errors import CostExceeded
from tiphys.apimachinery.cel.patience import Patience, TakesLong
from tiphys.apimachinery.dataclass import dataclass

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

    def exhaust(self) -> None:
        """Leave nothing for other runs."""
        self.remaining = min(self.remaining, -1)

    @property
    def overdrawn(self) -> bool:
        return self.remaining < 0


class Frame:
    """Variables by number, and the cost so far; ``limit`` is where ``check`` has to be asked."""

    __slots__ = ("_most", "_patience", "cost", "limit", "slots")

    def __init__(self, slots: list[Any], most: int, patience: Patience | None = None) -> None:
        self.slots = slots
        self.cost = 0
        self._most = most
        self._patience = patience
        self.limit = most if patience is None else min(most, patience.left)

    def check(self) -> None:
        """Raises CostExceeded once it has cost too much, TakesLong once patience ends."""
        self.settle()
        if self._patience is not None:
            if self.cost > self._patience.left:
                raise TakesLong
            self.limit = min(self._most, self._patience.left)

    def settle(self) -> None:
        """Raises CostExceeded if it has cost too much; for runs that are over, patience or not."""
        if self.cost > self._most:
            raise CostExceeded


Run = Callable[[Frame], Any]
