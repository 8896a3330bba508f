"""Runs the CEL rules of a schema (``x-kubernetes-validations``) over custom objects.

Owns: which rules run at a node, what ``oldSelf`` is there, the budget of one object, and the faults that
broken rules become. A rule that does not compile, or cannot be paid for, is a fault: none is let through.
What a rule says of a part that an update leaves as it was is a warning and does not stop the update.

Source: "Validation rules" and "Validation ratcheting" of CustomResourceDefinitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.cel import Budget, CostExceeded, EvaluationError
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.correlation import TYPE_FIELDS, Partners, unchanged
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.warnings import warn
from tiphys.apis.apiextensions.rules import (
    OLD_SELF,
    SELF,
    CompiledRule,
    compile_rules,
    declare_self,
    rules_of,
)

_MAX_MESSAGE_BYTES = 5 * 1024
_OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class _Exhausted(Exception):
    """The budget is spent: no other rule of the object runs."""


class _NoMessage(Exception):
    """The expression gave no message; the rule's own is used."""


@dataclass(slots=True)
class _Walk:
    """The state of one check."""

    budget: Budget
    ratchets: bool = True
    faults: list[FieldError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """A value, what it was before, and whether it (or what is around it) stayed the same."""

    new: Any
    old: Any
    path: str
    unchanged: bool

    @property
    def place(self) -> str:
        return self.path or "<nil>"


class Rules:
    """The rules of one schema, by the node that they stand at; each is compiled when it is first asked."""

    def __init__(self, schema: Schema, *, root: bool = True) -> None:
        self._schema = schema
        self._root = root
        self._rules: dict[int, list[CompiledRule] | None] = {}
        """None: the node has no type."""
        self._below: dict[int, bool] = {}
        self._look(schema)

    def __bool__(self) -> bool:
        return self._below[id(self._schema)]

    def _look(self, node: Schema) -> bool:
        """Tell whether a node, or any below it, has rules."""
        children = [*node.properties.values(), node.items, node.additional]
        below = [self._look(child) for child in children if child is not None]
        found = self._below[id(node)] = bool(rules_of(node)) or any(below)
        return found

    def _compiled(self, node: Schema) -> list[CompiledRule] | None:
        """Return a node's own rules, None where it has no type. Threads may both compile the same."""
        if id(node) not in self._rules:
            root = self._root and node is self._schema
            declared = declare_self(node, root=root or node.embedded_resource)
            self._rules[id(node)] = None if declared is None else compile_rules(node, declared)
        return self._rules[id(node)]

    def check(
        self,
        new: Any,
        old: Any = MISSING,
        budget: Budget | None = None,
        path: str = "",
        *,
        ratchets: bool = True,
    ) -> list[FieldError]:
        """Return the faults of an object at a path; ``old`` is what it was before an update.

        Where it ``ratchets``, parts that are as they were are excused. What stops the check for its cost
        leaves the budget overdrawn.
        """
        walk = _Walk(budget or Budget(), ratchets=ratchets)
        excused = old is not MISSING and unchanged(new, old, self._schema)
        try:
            self._node(walk, _Part(new, old, path, excused), self._schema)
        except _Exhausted:
            walk.budget.exhaust()
        return walk.faults

    def _node(self, walk: _Walk, part: _Part, node: Schema) -> None:
        if part.new is None or not self._below.get(id(node)):
            return
        rules = self._compiled(node) if rules_of(node) else []
        if rules is None:
            why = "rule declared on schema that does not support validation rules"
            text = f"rule compiler initialization error: {why}"
            walk.faults.append(field_errors.invalid(part.place, node.type or "", text))
        looking = part
        if rules and part.old is not MISSING and not any(rule.uses_old_self for rule in rules):
            looking = _Part(part.new, MISSING, part.path, part.unchanged)  # messages see no more than rules
        for rule in rules or ():
            self._rule(walk, looking, node, rule)
        for child, inner in _parts(part, node):
            self._node(walk, inner, child)

    def _rule(self, walk: _Walk, part: _Part, node: Schema, rule: CompiledRule) -> None:
        kind = node.type or ""
        if rule.program is None:
            if rule.fault:
                text = f"rule compile error: {rule.fault}"
                walk.faults.append(field_errors.invalid(part.place, kind, text))
            return
        if walk.budget.remaining <= 0:
            walk.faults.append(field_errors.invalid(part.place, kind, _OUT_OF_BUDGET))
            raise _Exhausted
        has_old = part.old is not MISSING and part.old is not None
        if rule.uses_old_self and not has_old and not rule.wants_optional:
            return
        activation = {SELF: part.new}
        if has_old or rule.wants_optional:
            activation[OLD_SELF] = part.old if has_old else MISSING
        holds = _holds(walk, part, kind, rule, activation)
        if holds:
            return
        fault = _fault(walk, part, node, rule, activation)
        # What speaks of the change itself is never excused by there being none.
        if rule.uses_old_self or not (walk.ratchets and part.unchanged):
            walk.faults.append(fault)
        else:
            warn(str(fault))


def _parts(part: _Part, node: Schema) -> Iterator[tuple[Schema, _Part]]:
    """Yield what is inside of a value, each with its schema and what it was before."""
    if type(part.new) is dict:
        before = part.old if type(part.old) is dict else {}
        for key, item in part.new.items():
            child = node.child(key)
            if child is not None:
                named = key in node.properties
                path = f"{part.path}.{key}".removeprefix(".") if named else f"{part.path}[{key}]"
                excusable = bool(part.path) or key not in TYPE_FIELDS
                yield child, _inner(part, item, before.get(key, MISSING), path, child, excusable=excusable)
    elif type(part.new) is list and node.items is not None:
        partners = Partners(part.old, node)
        for index, item in enumerate(part.new):
            old = partners.of(item, index)
            yield node.items, _inner(part, item, old, f"{part.path}[{index}]", node.items)


def _inner(part: _Part, new: Any, old: Any, path: str, node: Schema, *, excusable: bool = True) -> _Part:
    """What has no old value of its own is unchanged when what it stands in is."""
    excused = excusable and (part.unchanged if old is MISSING else unchanged(new, old, node))
    return _Part(new, old, path, excused)


def _shown(rule: CompiledRule) -> str:
    return (rule.source.get("message") or "").strip() or str(rule.source["rule"]).strip()


def _holds(walk: _Walk, part: _Part, kind: str, rule: CompiledRule, activation: dict[str, Any]) -> bool:
    """Run a rule. One that gives no answer is a fault of its own, and nothing more is said of it."""
    assert rule.program is not None
    text = ""
    try:
        holds = rule.program.evaluate(activation, walk.budget) is True
    except EvaluationError as error:
        holds, why = True, str(error)
        if why.startswith("no such overload"):
            text = (
                f"'{why}': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {_shown(rule)}"
            )
        else:
            text = f"{why} evaluating rule: {_shown(rule)}"
    except CostExceeded as error:
        if not walk.budget.overdrawn:
            text = (
                f"'{error}': no further validation rules will be run due to call cost exceeds limit for "
                f"rule: {_shown(rule)}"
            )
            walk.faults.append(field_errors.invalid(part.place, kind, text))
            raise _Exhausted from error
        holds = True
    if walk.budget.overdrawn:
        walk.faults.append(field_errors.invalid(part.place, kind, _OUT_OF_BUDGET))
        raise _Exhausted
    if text:
        walk.faults.append(field_errors.invalid(part.place, kind, text))
    return holds


def _fault(
    walk: _Walk, part: _Part, node: Schema, rule: CompiledRule, activation: dict[str, Any]
) -> FieldError:
    """Return what a broken rule says. Objects and lists are not shown: they are long."""
    path = ".".join(each for each in (part.path, rule.field) if each) or "<nil>"
    message = (rule.source.get("message") or "").strip()
    detail = message or f"failed rule: {str(rule.source['rule']).strip()}"
    if rule.said is not None:
        try:
            detail = _said(walk, path, node.type or "", rule, activation)
        except _NoMessage:
            pass
    match rule.source.get("reason"):
        case "FieldValueForbidden":
            return field_errors.forbidden(path, detail)
        case "FieldValueRequired":
            return field_errors.required(path, detail)
        case "FieldValueDuplicate":
            return (
                field_errors.duplicate_unshown(path)
                if node.type in ("object", "array")
                else field_errors.duplicate(path, part.new)
            )
    if node.type in ("object", "array"):
        return field_errors.invalid_unshown(path, detail)
    return field_errors.invalid(path, part.new, detail)


def _said(walk: _Walk, path: str, kind: str, rule: CompiledRule, activation: dict[str, Any]) -> str:
    """Return what the message's expression gives, if that is a message."""
    assert rule.said is not None
    why = ""
    seen = {name: value for name, value in activation.items() if value is not MISSING}
    try:
        value = rule.said.evaluate(seen, walk.budget)
        text = value.strip() if isinstance(value, str) else ""
    except EvaluationError as error:
        raise _NoMessage from error
    except CostExceeded:
        text, why = (
            "",
            (
                "no further validation rules will be run due to call cost exceeds limit for "
                f'messageExpression: "{rule.source["messageExpression"]}"'
            ),
        )
    if walk.budget.overdrawn:
        why = (
            "messageExpression evaluation failed due to running out of cost budget, no further validation "
            "rules will be run"
        )
    if why:
        walk.faults.append(field_errors.invalid(path, kind, why))
        raise _Exhausted
    if not text or "\n" in text or len(text.encode()) > _MAX_MESSAGE_BYTES:
        raise _NoMessage
    return text
