"""What a validating policy says of a write: decisions and audit annotations. Pure.

Source: the "Validating Admission Policy" page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.apiserver.admission.policies.conditions import ConditionsFailed
from tiphys.apiserver.admission.policies.evaluation import POLICY_BUDGET, Inputs, OutOfBudget, Result, Run
from tiphys.apiserver.admission.policies.policy import Rule, ValidatingPolicy

_MAX_MESSAGE_BYTES = 5 * 1024
_MAX_ANNOTATION_BYTES = 10 * 1024


@dataclass(frozen=True, slots=True)
class Denial:
    """A validation that failed, or could not be evaluated; ``index`` is its place in the policy."""

    message: str
    reason: str = "Invalid"
    index: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says with one binding's parameters."""

    denials: tuple[Denial, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()
    """Annotations that could not be made: the write is refused, whatever the binding's actions are."""


NOTHING = Verdict()


def judge(policy: ValidatingPolicy, inputs: Inputs) -> Verdict:
    """Return what a policy says of a write."""
    try:
        if not policy.conditions.hold(inputs, ignore_failure=policy.ignores_failure):
            return NOTHING
        run = Run(policy.composition.variables, inputs, POLICY_BUDGET)
        results = run.evaluate([rule.expression for rule in policy.rules])
    except (ConditionsFailed, OutOfBudget) as error:
        return _failed(policy, str(error))
    # Messages see no authorizer, and pay from what the validations have left.
    seen = inputs.without("authorizer", "authorizer.requestResource")
    speaking = Run(policy.composition.variables, seen, run.remaining)
    messages = _messages(policy, speaking, results)
    denials: list[Denial] = []
    for index, (rule, result) in enumerate(zip(policy.rules, results, strict=True)):
        if result.error:
            if not policy.ignores_failure:
                denials.append(Denial(result.error, index=index))
        elif isinstance(messages, str):
            if not policy.ignores_failure:
                denials.append(Denial(f"failed messageExpression: {messages}", index=index))
        elif result.value is not True:
            denials.append(Denial(_message(rule, messages.get(index)), rule.reason, index))
    try:
        annotations, faults = _annotations(policy, inputs)
    except OutOfBudget as error:
        return _failed(policy, str(error))
    return Verdict(tuple(denials), annotations, faults)


def _failed(policy: ValidatingPolicy, why: str) -> Verdict:
    return NOTHING if policy.ignores_failure else Verdict((Denial(why),))


def _messages(policy: ValidatingPolicy, run: Run, results: list[Result]) -> Mapping[int, Result] | str:
    """Return what the expressions of messages give; a text where they have cost too much."""
    if all(result.value is True for result in results):
        return {}  # nobody would read them
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
    policy: ValidatingPolicy, inputs: Inputs
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    if not policy.annotations:
        return (), ()
    run = Run(policy.composition.variables, inputs, POLICY_BUDGET)
    made: list[tuple[str, str]] = []
    faults: list[str] = []
    for key, compiled in policy.annotations:
        result = run.one(compiled)
        if result.error:
            faults += [] if policy.ignores_failure else [result.error]
        elif isinstance(result.value, str) and result.value.strip():
            made.append((key, _cut(result.value.strip())))
    return tuple(made), tuple(faults)


def _cut(text: str) -> str:
    return text.encode()[:_MAX_ANNOTATION_BYTES].decode(errors="ignore")
