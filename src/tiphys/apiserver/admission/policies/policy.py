"""One policy or binding as the plugins use it: what it matches, and its expressions, compiled when needed.

Pure. Source: the admission policies' pages.
"""

from __future__ import annotations

from functools import cached_property

from tiphys.apimachinery.cel import types
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVK, Object, split_api_version
from tiphys.apis.admissionregistration.expressions import OBJECT, PATCHES, Compiled, Composition, Scope
from tiphys.apis.admissionregistration.policies import message_scope, mutation_scope
from tiphys.apiserver.admission.matching import Match, read_match
from tiphys.apiserver.admission.policies.conditions import Conditions


class Policy:
    """What policies of both kinds have."""

    def __init__(self, obj: Object) -> None:
        self.name: str = obj["metadata"]["name"]
        self.spec: Object = obj.get("spec") or {}
        self.match: Match = read_match(
            self.spec.get("matchConstraints") or {}, "resourceRules", "excludeResourceRules"
        )

    @property
    def ignores_failure(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    @property
    def param_kind(self) -> GVK | None:
        """The kind of its parameters, if it has any."""
        found = self.spec.get("paramKind")
        return None if found is None else GVK(*split_api_version(found["apiVersion"]), found["kind"])

    @cached_property
    def composition(self) -> Composition:
        """The compiler of its expressions, with its variables."""
        made = Composition(Scope(params=self.param_kind is not None, authorizer=True))
        for variable in self.spec.get("variables") or ():
            made.add(variable["name"], variable["expression"])
        return made

    @cached_property
    def conditions(self) -> Conditions:
        compiled = [
            self.composition.compile(one.get("expression") or "", types.BOOL)
            for one in self.spec.get("matchConditions") or ()
        ]
        return Conditions(compiled, self.composition.variables)


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation: when it fails, and what is said then."""

    expression: Compiled
    message: str
    by_expression: Compiled | None
    reason: str


class ValidatingPolicy(Policy):
    """A ValidatingAdmissionPolicy."""

    @cached_property
    def rules(self) -> list[Rule]:
        scope = message_scope(self.composition)
        return [
            Rule(
                self.composition.compile(one.get("expression") or "", types.BOOL),
                (one.get("message") or "").strip(),
                self.composition.compile(one["messageExpression"], types.STRING, scope=scope)
                if one.get("messageExpression")
                else None,
                one.get("reason") or "Invalid",
            )
            for one in self.spec.get("validations") or ()
        ]

    @cached_property
    def annotations(self) -> list[tuple[str, Compiled]]:
        """Keys of audit annotations with the expressions of their values."""
        return [
            (one["key"], self.composition.compile(one["valueExpression"], types.STRING, types.NULL))
            for one in self.spec.get("auditAnnotations") or ()
        ]


class MutatingPolicy(Policy):
    """A MutatingAdmissionPolicy."""

    @property
    def reinvocable(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"

    @cached_property
    def mutations(self) -> list[Compiled]:
        """Expressions that give an apply configuration or a list of patches; their type tells which."""
        scope = mutation_scope(self.composition)
        made = []
        for one in self.spec.get("mutations") or ():
            applies = one.get("patchType") == "ApplyConfiguration"
            body = one.get("applyConfiguration" if applies else "jsonPatch") or {}
            wanted = OBJECT if applies else PATCHES
            made.append(self.composition.compile(body.get("expression") or "", wanted, scope=scope))
        return made


class Binding:
    """A binding of either kind."""

    def __init__(self, obj: Object) -> None:
        self.name: str = obj["metadata"]["name"]
        self.spec: Object = obj.get("spec") or {}
        self.policy: str = self.spec.get("policyName") or ""
        self.match: Match = read_match(
            self.spec.get("matchResources") or {}, "resourceRules", "excludeResourceRules"
        )

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(self.spec.get("validationActions") or ())
