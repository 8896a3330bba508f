"""Runs compiled expressions about one write: variables on demand, and what everything together may cost.

Pure: what somebody may do is asked through the ``Authorizer`` in the inputs.

Source: "CEL in Kubernetes", resource constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from tiphys.apimachinery.cel import Budget, CostExceeded, EvaluationError
from tiphys.apimachinery.cel.values import ABSENT, MapView
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apis.admissionregistration.expressions import VARIABLES, Compiled

POLICY_BUDGET = 10_000_000
"""What the expressions of one policy may cost together, for one write."""
CONDITIONS_BUDGET = 2_500_000
"""The same for match conditions."""
_UNBOUNDED = 2**62


def no_time() -> float:
    """Time stands still for who does not want to know it."""
    return 0.0


class OutOfBudget(TiphysError):
    """Expressions have cost more than they may together."""

    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, no further validation rules will be run"
        )


@dataclass(frozen=True, slots=True)
class Inputs:
    """The variables of expressions about one write, by name."""

    values: Mapping[str, Any]

    def without(self, *names: str) -> Inputs:
        """Return the inputs without some variables."""
        return Inputs({key: value for key, value in self.values.items() if key not in names})


class Variables(MapView):
    """What ``variables`` is: each is evaluated once, when it is first asked for."""

    __slots__ = ("_activation", "_compiled", "_known", "cost")
    type_name = "kubernetes.variables"

    def __init__(self, compiled: Mapping[str, Compiled], activation: Mapping[str, Any]) -> None:
        self._compiled = compiled
        self._activation = activation
        self._known: dict[str, Any] = {}
        self.cost = 0
        """What has been evaluated since this was last set to zero."""

    def __len__(self) -> int:
        return len(self._compiled)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._compiled)

    def equals(self, other: Any) -> bool:
        return other is self

    def find(self, key: Any) -> Any:
        if key not in self._known:
            compiled = self._compiled.get(key)
            if compiled is None:
                return ABSENT
            self._known[key] = self._evaluate(key, compiled)
        found = self._known[key]
        if isinstance(found, EvaluationError):
            raise found
        return found

    def _evaluate(self, name: str, compiled: Compiled) -> Any:
        if compiled.program is None:
            return EvaluationError(f'composited variable "{name}" fails to compile: {compiled.fault}')
        budget = Budget(remaining=_UNBOUNDED)
        try:
            return compiled.program.evaluate(self._activation, budget)
        except (EvaluationError, CostExceeded) as error:
            return EvaluationError(f'composited variable "{name}" fails to evaluate: {error}')
        finally:
            self.cost += budget.last


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one expression: a value, or why there is none."""

    value: Any = None
    error: str = ""
    seconds: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class Run:
    """One pass over expressions that share variables and a budget."""

    variables: Mapping[str, Compiled]
    inputs: Inputs
    remaining: int
    timer: Callable[[], float] = no_time
    """Tells the time: what an expression took is in its result."""
    _activation: dict[str, Any] = field(init=False)
    _lazy: Variables = field(init=False)

    def __post_init__(self) -> None:
        self._activation = dict(self.inputs.values)
        self._lazy = self._activation[VARIABLES] = Variables(self.variables, self._activation)

    def evaluate(self, expressions: Sequence[Compiled]) -> list[Result]:
        """Return what comes of each expression. Raises OutOfBudget."""
        return [self.one(compiled) for compiled in expressions]

    def one(self, compiled: Compiled) -> Result:
        """Return what comes of one expression. Raises OutOfBudget."""
        if compiled.program is None:
            return Result(error=f"compilation error: {compiled.fault}")
        budget, error, value, began = Budget(remaining=_UNBOUNDED), "", None, self.timer()
        try:
            value = compiled.program.evaluate(self._activation, budget)
        except (EvaluationError, CostExceeded) as why:
            error = f"expression '{compiled.text}' resulted in error: {why}"
        spent, self._lazy.cost = self._lazy.cost + budget.last, 0
        if spent > self.remaining:
            raise OutOfBudget
        self.remaining -= spent
        return Result(value, error, self.timer() - began)
