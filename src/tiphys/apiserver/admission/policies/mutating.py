"""MutatingAdmissionPolicy: lets every policy that means a write change the object, one after the other.

Owns: order, what a failure means, defaults after each change, and the second round for policies that others'
changes concern. What a mutation gives is ``patches``'. Source: the "Mutating Admission Policy" page.
"""

from __future__ import annotations

from typing import Any, Self

from tiphys.apimachinery.cel.values import Struct
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden, InternalError, Invalid, StatusError, TiphysError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.admissionregistration.expressions import OBJECT, Compiled
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.changed_kind import NotConvertible
from tiphys.apiserver.admission.policies.conditions import ConditionsFailed
from tiphys.apiserver.admission.policies.evaluation import POLICY_BUDGET, Inputs, OutOfBudget, Run
from tiphys.apiserver.admission.policies.inputs import Rights, inputs_of, namespace_of
from tiphys.apiserver.admission.policies.params import Misconfigured, find_params, param_row
from tiphys.apiserver.admission.policies.patches import CannotPatch, apply_configuration, apply_patches
from tiphys.apiserver.admission.policies.policy import Binding, MutatingPolicy
from tiphys.apiserver.admission.policies.registry import Concerned, Registry
from tiphys.apiserver.admission.versions import Versions
from tiphys.apiserver.evaluating import aside, evaluate
from tiphys.apiserver.observe.expression_times import NO_ERROR, Conditioned, error_type
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import ObjectStore


class _MutationFailed(TiphysError):
    """An expression gave nothing that the object could be changed by."""


@dataclass(frozen=True, slots=True)
class _Invocation:
    """A policy with a binding and one of its parameters: what is called, and called again."""

    policy: MutatingPolicy
    binding: Binding
    row: Resource
    param: Object | None

    @property
    def key(self) -> str:
        meta = (self.param or {}).get("metadata") or {}
        parts = (self.policy.name, self.binding.name, meta.get("namespace", ""), meta.get("name", ""))
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a policy could not do its work."""

    policy: MutatingPolicy
    binding: Binding | None
    why: str
    reason: str = ""

    def __str__(self) -> str:
        if self.binding is None:
            return f'policy "{self.policy.name}" denied request: {self.why}'
        return f"policy '{self.policy.name}' with binding '{self.binding.name}' denied request: {self.why}"


class MutatingAdmissionPolicy:
    """The plugin; every server has its own."""

    NAME = "MutatingAdmissionPolicy"

    def __init__(self, document: Object | None = None) -> None:
        self._registry = Registry(
            MutatingPolicy, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"
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

    async def admit(self, attributes: Attributes) -> None:
        """Change the object. Raises a refusal where a policy that may not fail has failed."""
        if attributes.obj is None or attributes.operation == "CONNECT":
            return
        concerned = await self._registry.concerned(attributes)
        if not concerned:
            return
        failures: list[_Failure] = []
        invocations: list[_Invocation] = []
        for one in concerned:
            invocations += await _invocations(one, attributes, failures)
        await _invoke(invocations, attributes, failures)
        fatal = [failure for failure in failures if not failure.policy.ignores_failure]
        if fatal:
            raise _refusal(attributes, fatal)


async def _invocations(
    one: Concerned[MutatingPolicy], attributes: Attributes, failures: list[_Failure]
) -> list[_Invocation]:
    try:
        one.check()
        row = param_row(one.policy, attributes)
    except Misconfigured as error:
        failures.append(_Failure(one.policy, None, f"failed to configure policy: {error}"))
        return []
    found: list[_Invocation] = []
    for binding in one.bindings:
        try:
            one.check(binding.name)
            params = await find_params(row, binding, attributes)
        except Misconfigured as error:
            failures.append(_Failure(one.policy, binding, f"failed to configure binding: {error}"))
            continue
        found += [_Invocation(one.policy, binding, one.row, param) for param in params]
    return found


async def _invoke(invocations: list[_Invocation], attributes: Attributes, failures: list[_Failure]) -> None:
    memory, rights, versions = attributes.reinvocation, Rights(attributes.call), Versions(attributes)
    called = memory.policies
    if memory.again and attributes.obj != called.left:
        called.again()  # something else has changed the object since
    namespace = await namespace_of(attributes) if invocations else None
    for one in invocations:
        inputs = inputs_of(attributes, await versions.at(one.row), rights, namespace=namespace)
        inputs = Inputs({**inputs.values, "params": one.param})
        try:
            if not await _holds(one.policy, inputs, attributes):
                continue
        except ConditionsFailed as error:
            failures.append(_Failure(one.policy, one.binding, str(error), "Invalid"))
            continue
        if memory.again and one.key not in called.due:
            continue  # its conditions are asked all the same: one that fails refuses
        if one.policy.reinvocable:
            called.before.add(one.key)
        if await _mutate(one, inputs, versions, attributes, failures):
            memory.wanted = True
            called.again()
    called.left = await aside(attributes.call.size, copy_object, attributes.obj)


async def _holds(policy: MutatingPolicy, inputs: Inputs, attributes: Attributes) -> bool:
    """Tell whether a policy's conditions hold. Raises ConditionsFailed."""
    if not policy.conditions.compiled:
        return True
    backend = attributes.call.backend
    began = backend.clock.monotonic()
    weighed = await evaluate(lambda: policy.conditions.weigh(inputs))
    whose = Conditioned(policy.name, "policy", "admit", attributes.operation)
    took_s = backend.clock.monotonic() - began
    backend.admission.times.expressions.conditions(whose, took_s, weighed.failed)
    return weighed.holds(ignore_failure=policy.ignores_failure)


async def _mutate(
    one: _Invocation, inputs: Inputs, versions: Versions, attributes: Attributes, failures: list[_Failure]
) -> bool:
    """Run the mutations of a policy, each on what the one before has made. Tells whether any changed it."""
    changed = False
    backend = attributes.call.backend
    for compiled in one.policy.mutations:
        began, error = backend.clock.monotonic(), NO_ERROR
        try:
            changed = await _mutate_once(one, inputs, versions, compiled, attributes.call.size) or changed
        except _MutationFailed as failed:
            error = error_type(str(failed))
            failures.append(_Failure(one.policy, one.binding, str(failed), "Invalid"))
        except StatusError as failed:
            error = error_type(failed.message)
            raise
        finally:
            took_s = backend.clock.monotonic() - began
            backend.admission.times.expressions.mutated(one.policy.name, one.binding.name, error, took_s)
    return changed


async def _mutate_once(
    one: _Invocation, inputs: Inputs, versions: Versions, compiled: Compiled, size: int
) -> bool:
    """Run one mutation. Raises _MutationFailed; InternalError where the server is to blame."""
    shown = (await versions.at(one.row)).obj
    assert shown is not None
    own = Inputs({**inputs.values, "object": shown})
    try:
        after = await evaluate(lambda: _mutated(one, own, shown, compiled), size)
        return await versions.take(after, one.row, strict=True)
    except (CannotPatch, OutOfBudget) as error:
        raise _MutationFailed(str(error)) from error
    except (InternalError, Invalid, NotConvertible):
        raise
    except StatusError as error:
        if compiled.program is None or compiled.program.result != OBJECT:
            raise InternalError.of(error.message) from error
        raise _MutationFailed(
            f"error applying patch: failed to convert patch object to typed object: {error.message}"
        ) from error


def _mutated(one: _Invocation, inputs: Inputs, shown: Object, compiled: Compiled) -> Object:
    """Return the object as one mutation makes it."""
    result = Run(one.policy.composition.variables, inputs, POLICY_BUDGET).one(compiled)
    if result.error:
        raise _MutationFailed(result.error)
    if isinstance(result.value, Struct):
        return apply_configuration(shown, result.value, machinery.schema_for(one.row.gvk, one.row))
    return apply_patches(shown, result.value)


def _refusal(attributes: Attributes, failures: list[_Failure]) -> Forbidden:
    """Return the answer: the words of the first failure, with all of them as causes."""
    error = attributes.refuse("admission request denied by policy")
    error.message = str(failures[0])
    error.status_reason = failures[0].reason or error.status_reason
    causes = [{"message": str(failure)} for failure in failures]
    error.details = {**(error.details or {}), "causes": causes}
    return error
