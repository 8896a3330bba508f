"""Which types a policy's expressions meet, and what does not fit them. Pure.

A policy is let in if its expressions compile for objects of any type; here they are compiled for the types
that its rules name, and faults become warnings: they never change what the policy does.

Source: "Type checking" of the "Validating Admission Policy" page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tiphys.apimachinery.cel import Declaration, declare
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVK, GVR, Object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.admissionregistration.expressions import Composition, Scope

MAX_TYPES = 10
"""Rules that name more are checked for so many."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A kind that the expressions meet, and its type."""

    gvk: GVK
    type: Declaration


def is_due(policy: Object) -> bool:
    """Tell whether a policy has changed since it was last checked."""
    observed = (policy.get("status") or {}).get("observedGeneration") or 0
    return bool((policy["metadata"].get("generation") or 0) > observed)


def named_resources(policy: Object) -> list[list[GVR]]:
    """Return the resources that each rule names; rules with wildcards name none."""
    rules = ((policy.get("spec") or {}).get("matchConstraints") or {}).get("resourceRules") or ()
    return [list(_named(rule)) for rule in rules]


def _named(rule: Object) -> Iterator[GVR]:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if any("*" in text for text in (*groups, *versions)):
        return
    plurals = [text for text in rule.get("resources") or () if not set("*/") & set(text)]
    for group in sorted(groups):
        for version in sorted(versions):
            for plural in sorted(plurals):
                yield GVR(group, version, plural)


def kinds_to_check(named: Sequence[Sequence[GVR]], kind_of: Callable[[GVR], GVK | None]) -> list[GVK]:
    """Return the kinds of these resources in order; what is not served has none."""
    found: set[GVK] = set()
    for gvrs in named:
        count = 0
        for gvr in gvrs:
            kind = kind_of(gvr)
            if kind is None:
                continue
            found.add(kind)
            count += 1
            if count == MAX_TYPES:
                return sorted(found)
    return sorted(found)


def declared(gvk: GVK, schema: Schema, metadata: Schema) -> Declaration | None:
    """Return the type of a kind's objects; None where its schema says nothing."""
    text = Schema(type="string")
    own = {"apiVersion": text, "kind": text, "metadata": metadata}
    return declare(replace(schema, properties={**schema.properties, **own}), name=gvk.kind)


def warnings(policy: Object, kinds: Sequence[Checked], params: Declaration | None) -> list[Object]:
    """Return the ExpressionWarnings of a policy."""
    found: list[Object] = []
    compositions = [(one.gvk, _composition(policy, one, params)) for one in kinds]
    message = Scope(params=params is not None, authorizer=True)
    for index, rule in enumerate((policy.get("spec") or {}).get("validations") or ()):
        for key in ("expression", "messageExpression"):
            text = rule.get(key)
            if not text:
                continue
            faults = [
                f"{_shown(gvk)}: {compiled.fault.removeprefix('compilation failed: ')}\n"
                for gvk, composition in compositions
                if (compiled := composition.compile(text, scope=message)).fault
            ]
            if faults:
                found.append({"fieldRef": f"spec.validations[{index}].{key}", "warning": "\n".join(faults)})
    return found


def _composition(policy: Object, kind: Checked, params: Declaration | None) -> Composition:
    known = {"object": kind.type, "oldObject": kind.type}
    if params is not None:
        known["params"] = params
    made = Composition(Scope(params=params is not None, authorizer=True), known)
    for variable in (policy.get("spec") or {}).get("variables") or ():
        made.add(variable["name"], variable["expression"])
    return made


def _shown(gvk: GVK) -> str:
    return f"{gvk.group}/{gvk.version}, Kind={gvk.kind}"


def status(policy: Object, found: list[Object]) -> Object:
    """Return the status that says what was found, for this generation."""
    checking: Object = {"expressionWarnings": found} if found else {}
    return {"observedGeneration": policy["metadata"]["generation"], "typeChecking": checking}
