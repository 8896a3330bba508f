"""What is wrong with the CEL rules of a definition: texts, types, and what they may cost. Pure.

A rule's cost is that of one run times how often its node can occur; both have limits, for each rule and for
all rules of a schema together.

Source: apiextensions.k8s.io/v1, ``ValidationRule``; "Resource use by validation functions".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import field, replace
from typing import Any

import orjson

from tiphys.apimachinery.cel import Declaration
from tiphys.apimachinery.cel.declarations import MAX_REQUEST_BYTES
from tiphys.apimachinery.cel.ranges import product
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, internal, invalid, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.apiextensions.rules import (
    KEY,
    CompiledRule,
    compile_rules,
    declare_self,
    field_path,
    rules_of,
)

RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
_SHOWN_SHARE = RULE_LIMIT // 10
"""Rules below one hundredth of the schema's limit are not named among the most expensive."""
_MOST_SHOWN = 4
_MAP_TYPES = ("granular", "atomic")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and "
    "strings are declared)"
)
_NOT_EMPTY, _ONE_LINE = "must be non-empty if specified", "must not contain line breaks"
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}

Faults = Iterator[FieldError]


def text_faults(node: Object, path: str) -> Faults:
    """Yield what is wrong with the rules of one node as they are written."""
    rules = node.get(KEY)
    schema = build_custom(node) if rules else Schema()
    for index, rule in enumerate(rules or ()):
        place = f"{path}.{KEY}[{index}]"
        yield from _message_faults(rule, place)
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            yield not_supported(f"{place}.reason", reason, _REASONS)
        yield from _path_faults(rule.get("fieldPath") or "", schema, place)


def _message_faults(rule: Object, place: str) -> Faults:
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        yield required(f"{place}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{place}.message", message, _NOT_EMPTY)
    elif _has_lines(message.strip()):
        yield invalid(f"{place}.message", message, _ONE_LINE)
    elif _has_lines(text.strip()) and not message.strip():
        yield required(f"{place}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield required(f"{place}.messageExpression", "messageExpression must be non-empty if specified")


def _has_lines(text: str) -> bool:
    return "\n" in text or "\r" in text


def _path_faults(path: str, schema: Schema, place: str) -> Faults:
    place = f"{place}.fieldPath"
    if path and not path.strip():
        yield invalid(place, path, _NOT_EMPTY)
    if _has_lines(path):
        yield invalid(place, path, _ONE_LINE)
    if path and field_path(path, schema) is None:
        yield invalid(place, path, "must be a valid path")


@dataclass(slots=True)
class _Costs:
    """What all rules of a schema cost together."""

    total: int = 0
    highest: list[tuple[int, str]] = field(default_factory=list)
    broken: tuple[str, ...] = ()

    def add(self, place: str, cost: int) -> None:
        self.total += cost
        if cost >= _SHOWN_SHARE:
            self.highest.append((cost, place))
            self.highest = sorted(self.highest, key=lambda each: -each[0])[:_MOST_SHOWN]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: how often the node can occur, and what is around it that hides its old value."""

    path: str
    count: int | None = 1
    uncorrelated: str = ""
    root: bool = False

    def below(self, schema: Schema, suffix: str) -> _Place:
        if schema.type == "array" or schema.additional is not None:
            limit = schema.constraints.get("maxItems" if schema.type == "array" else "maxProperties")
        else:
            limit = 1
        count = None if self.count is None or limit is None else product(self.count, max(limit, 0))
        loose = schema.type == "array" and schema.list_type != "map"
        loose = loose or (bool(schema.properties) and schema.map_type not in _MAP_TYPES)
        uncorrelated = self.uncorrelated or (self.path if loose else "")
        return _Place(self.path + suffix, count, uncorrelated)


def compile_faults(
    source: Object, path: str, *, limits: bool = True, broken: Collection[str] = ()
) -> list[FieldError]:
    """Return what is wrong with the rules of a whole structural schema.

    Without ``limits`` single rules may cost what they want: they were let through before. Rules of nodes
    that are ``broken`` themselves, or have such below, are not looked at.
    """
    if KEY.encode() not in orjson.dumps(source):  # most schemas have no rules, and are large
        return []
    costs = _Costs(broken=tuple(broken))
    faults = list(_node(build_custom(source), _Place(path, root=True), costs, limits=limits))
    if costs.total > SCHEMA_LIMIT:
        share = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        faults += [forbidden(place, share) for _, place in costs.highest]
        whole = f"{KEY} estimated rule cost total for entire OpenAPIv3 schema"
        faults.append(forbidden(path, too_costly(whole, costs.total, SCHEMA_LIMIT)))
    return faults


def _node(schema: Schema, place: _Place, costs: _Costs, *, limits: bool) -> Faults:
    if rules_of(schema) and not any(fault.startswith(place.path) for fault in costs.broken):
        declared = declare_self(schema, root=place.root or schema.embedded_resource)
        if declared is None:
            text = (
                "internal error: failed to construct type information for x-kubernetes-validations rules: "
                "unable to convert structural schema to CEL declarations"
            )
            yield internal(f"{place.path}.{KEY}", text)
        else:
            for index, rule in enumerate(compile_rules(schema, declared)):
                at = replace(place, path=f"{place.path}.{KEY}[{index}]")
                yield from _rule(rule, declared, at, costs, limits=limits)
    for key, child in schema.properties.items():
        yield from _node(child, place.below(schema, f".properties[{key}]"), costs, limits=limits)
    if schema.items is not None:
        yield from _node(schema.items, place.below(schema, ".items"), costs, limits=limits)
    if schema.additional is not None:
        yield from _node(
            schema.additional, place.below(schema, ".additionalProperties"), costs, limits=limits
        )


def _rule(rule: CompiledRule, declared: Declaration, place: _Place, costs: _Costs, *, limits: bool) -> Faults:
    if rule.fault:
        yield _invalid_rule(f"{place.path}.rule", rule.source, rule.fault)
    if rule.program is not None:
        count = place.count if place.count is not None else MAX_REQUEST_BYTES // (declared.least + 1)
        cost = product(rule.program.cost_estimate().most, count)
        costs.add(f"{place.path}.rule", cost)
        if limits and cost > RULE_LIMIT:
            yield forbidden(f"{place.path}.rule", too_costly("estimated rule cost", cost, RULE_LIMIT))
    if rule.message_fault:
        yield _invalid_rule(f"{place.path}.messageExpression", rule.source, rule.message_fault)
    if rule.message is not None:
        cost = rule.message.cost_estimate().most
        costs.add(f"{place.path}.messageExpression", cost)
        if limits and cost > RULE_LIMIT:
            text = too_costly("estimated messageExpression cost", cost, RULE_LIMIT)
            yield forbidden(f"{place.path}.messageExpression", text)
    if rule.uses_old_self:
        if place.uncorrelated:
            text = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
            yield invalid(f"{place.path}.rule", rule.source["rule"], f"{text} {place.uncorrelated}")
    elif rule.source.get("optionalOldSelf") is not None:
        text = "may not be set if oldSelf is not used in rule"
        yield invalid(f"{place.path}.optionalOldSelf", rule.source["optionalOldSelf"], text)


def _invalid_rule(place: str, source: dict[str, Any], detail: str) -> FieldError:
    """The whole rule is the value that is wrong, shown as the API's own type is encoded."""
    shown = {
        "Rule": source.get("rule") or "",
        "Message": source.get("message") or "",
        "MessageExpression": source.get("messageExpression") or "",
        "Reason": source.get("reason"),
        "FieldPath": source.get("fieldPath") or "",
        "OptionalOldSelf": source.get("optionalOldSelf"),
    }
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    for letter, escaped in _HTML.items():
        text = text.replace(letter, escaped)
    return FieldError("FieldValueInvalid", place, f"Invalid value: {text}: {detail}")


def too_costly(what: str, cost: int, limit: int) -> str:
    """Say by how much a limit is exceeded."""
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"
