"""What a validating policy says of a write: decisions and audit annotations. Pure.

Source: the "Validating Admission Policy" page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace

from tiphys.apimachinery.cel.frame import PER_CALL_LIMIT
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.admission.policies.conditions import HELD, ConditionsFailed, Weighed
from tiphys.apiserver.admission.policies.evaluation import (
    POLICY_BUDGET,
    Inputs,
    OutOfBudget,
    Result,
    Run,
    no_time,
)
from tiphys.apiserver.admission.policies.policy import Rule, ValidatingPolicy

_MAX_MESSAGE_BYTES = 5 * 1024
_MAX_ANNOTATION_BYTES = 10 * 1024


@dataclass(frozen=True, slots=True)
class Denial:
    """A validation that failed, or could not be evaluated; ``index`` is its place in the policy."""

    message: str
    reason: str = "Invalid"
    index: int = 0
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says with one binding's parameters."""

    denials: tuple[Denial, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    faults: tuple[Denial, ...] = ()
    """Annotations that could not be made: the write is refused, whatever the binding's actions are."""
    ignored: tuple[Denial, ...] = ()
    """What could not be evaluated, and is passed over."""
    weighed: Weighed = HELD
    weighing_s: float = field(default=0.0, compare=False)


def judge(policy: ValidatingPolicy, inputs: Inputs, timer: Callable[[], float] = no_time) -> Verdict:
    """Return what a policy says of a write; ``timer`` tells the time."""
    began = timer()
    weighed = policy.conditions.weigh(inputs)
    took_s = timer() - began
    try:
        held = weighed.holds(ignore_failure=policy.ignores_failure)
    except ConditionsFailed as error:
        verdict = _failed(policy, str(error))
    else:
        verdict = _heard(policy, inputs, timer) if held else Verdict()
    return verdict if weighed is HELD else replace(verdict, weighed=weighed, weighing_s=took_s)


def _heard(policy: ValidatingPolicy, inputs: Inputs, timer: Callable[[], float]) -> Verdict:
    """Return what the validations and annotations of a policy come to."""
    try:
        run = Run(policy.composition.variables, inputs, POLICY_BUDGET, timer)
        results = run.evaluate([rule.expression for rule in policy.rules])
    except OutOfBudget as error:
        return _failed(policy, str(error))
    # Messages and annotations see no authorizer; messages pay from what the validations have left.
    seen = inputs.without("authorizer", "authorizer.requestResource")
    speaking = Run(policy.composition.variables, seen, run.remaining)
    messages = _messages(policy, speaking, results)
    denials: list[Denial] = []
    failures: list[Denial] = []
    for index, (rule, result) in enumerate(zip(policy.rules, results, strict=True)):
        if result.error:
            failures.append(Denial(result.error, index=index, seconds=result.seconds))
        elif isinstance(messages, str):
            failures.append(
                Denial(f"failed messageExpression: {messages}", index=index, seconds=result.seconds)
            )
        elif result.value is not True:
            message = _message(rule, messages.get(index))
            denials.append(Denial(message, rule.reason, index, result.seconds))
    try:
        annotations, faults = _annotations(policy, seen, timer)
    except OutOfBudget as error:
        return _failed(policy, str(error))
    if policy.ignores_failure:
        return Verdict(tuple(denials), annotations, (), tuple(failures))
    found = sorted(denials + failures, key=lambda denial: denial.index)
    return Verdict(tuple(found), annotations, faults)


def _failed(policy: ValidatingPolicy, why: str) -> Verdict:
    denial = Denial(why)
    return Verdict(ignored=(denial,)) if policy.ignores_failure else Verdict((denial,))


def _messages(policy: ValidatingPolicy, run: Run, results: list[Result]) -> Mapping[int, Result] | str:
    """Return what the expressions of messages give; a text where they have cost too much.

    What they cost counts even where nobody reads them: a write is refused by a policy that says too much.
    """
    said = sum(rule.by_expression is not None for rule in policy.rules)
    most = PER_CALL_LIMIT * (len(policy.composition.variables) + said) if said else 0
    if run.remaining >= most and all(result.value is True for result in results):
        return {}  # nobody would read them, and they cannot cost too much
    try:
        return {
            index: run.one(rule.by_expression)
            for index, rule in enumerate(policy.rules)
            if rule.by_expression is not None
        }
    except OutOfBudget as error:
        return str(error)


def _message(rule: Rule, made: Result | None) -> str:
    """Return the first that there is: what the expression says, the message, the expression itself."""
    if made is not None and not made.error and isinstance(made.value, str):
        text = made.value.strip()
        if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE_BYTES:
            return text
    return rule.message or f"failed expression: {rule.expression.text.strip()}"


def _annotations(
    policy: ValidatingPolicy, inputs: Inputs, timer: Callable[[], float]
) -> tuple[tuple[tuple[str, str], ...], tuple[Denial, ...]]:
    if not policy.annotations:
        return (), ()
    run = Run(policy.composition.variables, inputs, POLICY_BUDGET, timer)
    made: list[tuple[str, str]] = []
    faults: list[Denial] = []
    for key, compiled in policy.annotations:
        result = run.one(compiled)
        if result.error:
            faults.append(Denial(result.error, seconds=result.seconds))
        elif isinstance(result.value, str) and result.value.strip():
            made.append((key, _cut(result.value.strip())))
    return tuple(made), tuple(faults)


def _cut(text: str) -> str:
    return text.encode()[:_MAX_ANNOTATION_BYTES].decode(errors="ignore")
