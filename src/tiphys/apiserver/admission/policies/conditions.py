"""Match conditions of webhooks and policies: whether a write that fits the rules is meant after all. Pure.

Source: "Matching requests: matchConditions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from tiphys.apimachinery.cel import types
from tiphys.apimachinery.cel.frame import PER_CALL_LIMIT
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apis.admissionregistration.expressions import Compiled, Scope, compile_in, environment
from tiphys.apiserver.admission.policies.evaluation import CONDITIONS_BUDGET, Inputs, OutOfBudget, Run


class ConditionsFailed(TiphysError):
    """No condition says no, and some could not be evaluated."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What conditions came to: ``excluded`` by one that is false, or the texts of those that failed."""

    excluded: bool = False
    errors: tuple[str, ...] = ()
    out_of_budget: bool = False

    def holds(self, *, ignore_failure: bool) -> bool:
        """Tell whether all conditions are true; one that is false outweighs those that fail.

        Raises:
            ConditionsFailed: unless failures are to be ignored, which means that the write is not meant.
        """
        if self.excluded:
            return False
        if not self.errors:
            return True
        if ignore_failure:
            return False
        unique = list(dict.fromkeys(self.errors))
        raise ConditionsFailed(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")

    @property
    def failed(self) -> int:
        """How many conditions could not be evaluated, each by itself."""
        return 0 if self.out_of_budget else len(self.errors)


HELD = Weighed()


@dataclass(frozen=True, slots=True)
class Conditions:
    """Compiled conditions, and the variables they may use."""

    compiled: Sequence[Compiled] = ()
    variables: Mapping[str, Compiled] = field(default_factory=dict)

    def weigh(self, inputs: Inputs) -> Weighed:
        """Evaluate until one is false; beyond it, too, where the rest may cost more than there is left.

        That they cost too much together outweighs one that is false.
        """
        if not self.compiled:
            return HELD
        run = Run(self.variables, inputs, CONDITIONS_BUDGET)
        errors: list[str] = []
        excluded = False
        try:
            for index, compiled in enumerate(self.compiled, 1):
                result = run.one(compiled)
                if not excluded and result.error:
                    errors.append(result.error)
                excluded = excluded or (result.value is False and not result.error)
                left = len(self.compiled) - index + len(self.variables)
                if excluded and run.remaining >= left * PER_CALL_LIMIT:
                    break
        except OutOfBudget as error:
            return Weighed(errors=(str(error),), out_of_budget=True)
        return Weighed(excluded, tuple(errors))


def read_conditions(conditions: Sequence[Object] | None) -> Conditions:
    """Compile the conditions of a webhook."""
    if not conditions:
        return _NONE
    env = environment(Scope(authorizer=True))
    return Conditions([compile_in(env, one.get("expression") or "", types.BOOL) for one in conditions])


_NONE = Conditions()
