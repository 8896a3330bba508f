"""ValidatingAdmissionPolicy: asks every policy that means a write, and does what the bindings say.

Owns: actions, the texts of refusals and warnings, audit annotations. What a policy says is ``judge``'s.
Source: the "Validating Admission Policy" page.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Self

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.policies.conditions import HELD
from tiphys.apiserver.admission.policies.evaluation import Inputs
from tiphys.apiserver.admission.policies.inputs import Rights, inputs_of, namespace_of
from tiphys.apiserver.admission.policies.judge import Denial, Verdict, judge
from tiphys.apiserver.admission.policies.params import Misconfigured, find_params, param_row
from tiphys.apiserver.admission.policies.policy import Binding, ValidatingPolicy
from tiphys.apiserver.admission.policies.registry import Concerned, Registry
from tiphys.apiserver.admission.versions import Versions
from tiphys.apiserver.evaluating import evaluate
from tiphys.apiserver.observe.expression_times import Conditioned, error_type
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import ObjectStore

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_FAILURE = "validation.policy.admission.k8s.io/validation_failure"


@dataclass(slots=True)
class _Hearing:
    """What has been said about one write so far."""

    attributes: Attributes
    rights: Rights
    versions: Versions
    namespace: Object | NotFound | None
    denied: list[tuple[str, Denial]] = field(default_factory=list)
    """Who refuses, and why."""

    def misconfigured(self, policy: ValidatingPolicy, binding: Binding | None, why: str) -> None:
        if not policy.ignores_failure:
            what = "policy" if binding is None else "binding"
            self.denied.append((_who(policy, binding), Denial(f"failed to configure {what}: {why}")))


def _who(policy: ValidatingPolicy, binding: Binding | None) -> str:
    name = f"ValidatingAdmissionPolicy '{policy.name}'"
    return name if binding is None else f"{name} with binding '{binding.name}'"


class ValidatingAdmissionPolicy:
    """The plugin; every server has its own."""

    NAME = "ValidatingAdmissionPolicy"

    def __init__(self, document: Object | None = None) -> None:
        self._registry = Registry(
            ValidatingPolicy, "validatingadmissionpolicies", "validatingadmissionpolicybindings"
        )
        self.manifests = self._registry.read_manifests(self.NAME, document)

    @classmethod
    def configured(cls, document: Object | None) -> Self:
        """Raises BadConfiguration."""
        return cls(document)

    def feeds(self, store: ObjectStore, table: Any) -> list[Feed]:
        """Return what must be followed while the server runs."""
        return self._registry.feeds(store, table)

    def idle(self, attributes: Attributes | None = None) -> bool:
        """Tell whether no policy is bound."""
        return self._registry.is_empty

    async def validate(self, attributes: Attributes) -> None:
        """Raises the refusal of the first policy that denies; all of them are heard.

        NotFound where one is to be heard about a namespace that is not there.
        """
        concerned = await self._registry.concerned(attributes)
        if not concerned:
            return
        namespace: Object | NotFound | None
        try:
            namespace = await namespace_of(attributes)
        except NotFound as error:
            namespace = error
        hearing = _Hearing(attributes, Rights(attributes.call), Versions(attributes), namespace)
        for one in concerned:
            await _hear(one, hearing)
        if hearing.denied:
            raise _refusal(attributes, *hearing.denied[0])


async def _hear(one: Concerned[ValidatingPolicy], hearing: _Hearing) -> None:
    """Ask one policy with each of its bindings."""
    policy, attributes = one.policy, hearing.attributes
    try:
        one.check()
        row = param_row(policy, attributes)
    except Misconfigured as error:
        hearing.misconfigured(policy, None, str(error))
        return
    shown = await hearing.versions.at(one.row)
    namespace = hearing.namespace
    known = None if isinstance(namespace, NotFound) else namespace
    inputs = inputs_of(attributes, shown, hearing.rights, namespace=known)
    annotations: dict[str, list[str]] = {}
    timer = attributes.call.backend.clock.monotonic
    for binding in one.bindings:
        try:
            one.check(binding.name)
            params = await find_params(row, binding, attributes)
        except Misconfigured as error:
            hearing.misconfigured(policy, binding, str(error))
            continue
        if isinstance(namespace, NotFound):
            raise namespace
        for param in params:
            own = Inputs({**inputs.values, "params": param})
            verdict = await evaluate(lambda own=own: judge(policy, own, timer))  # type: ignore[misc]
            _heed(policy, binding, verdict, hearing)
            for key, value in verdict.annotations:
                kept = annotations.setdefault(key, [])
                if value not in kept:
                    kept.append(value)
    for key, values in annotations.items():
        attributes.annotate(f"{policy.name}/{key}", ", ".join(values))


def _heed(policy: ValidatingPolicy, binding: Binding, verdict: Verdict, hearing: _Hearing) -> None:
    """Do what a binding says is to be done about each denial, and count it."""
    who, attributes = _who(policy, binding), hearing.attributes
    times = attributes.call.backend.admission.times.expressions
    if verdict.weighed is not HELD:
        whose = Conditioned(policy.name, "policy", "validate", attributes.operation)
        times.conditions(whose, verdict.weighing_s, verdict.weighed.failed)

    def count(denial: Denial, action: str) -> None:
        times.validated(policy.name, binding.name, error_type(denial.message), action, denial.seconds)

    for denial in verdict.ignored:
        count(denial, "allow")
    for denial in verdict.denials:
        for action in binding.actions:
            count(denial, action.lower())
            if action == "Deny":
                hearing.denied.append((who, denial))
            elif action == "Warn":
                attributes.call.warn(f"Validation failed for {who}: {denial.message}")
            elif action == "Audit":
                _audit(policy, binding, denial, attributes)
    for fault in verdict.faults:
        count(fault, "deny")
        hearing.denied.append((who, fault))


def _audit(policy: ValidatingPolicy, binding: Binding, denial: Denial, attributes: Attributes) -> None:
    failure = {
        "message": denial.message,
        "policy": policy.name,
        "binding": binding.name,
        "expressionIndex": denial.index,
        "validationActions": list(binding.actions),
    }
    attributes.annotate(_FAILURE, orjson.dumps([failure]).decode())


def _refusal(attributes: Attributes, who: str, denial: Denial) -> Forbidden:
    """Return the answer: worded like any refusal of admission, with the validation's reason and code."""
    message = f"{who} denied request: {denial.message}"
    error = attributes.refuse(message)
    error.status_reason = denial.reason
    error.status_code = _CODES.get(denial.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error
