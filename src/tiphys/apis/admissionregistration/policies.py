"""Rules of admission policies and their bindings; their expressions must compile.

Source: the "Validating Admission Policy" and "Mutating Admission Policy" pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiphys.apimachinery import jsonpath, names
from tiphys.apimachinery.cel import Type, types
from tiphys.apimachinery.cel.lexer import KEYWORDS, RESERVED
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.admissionregistration.expressions import OBJECT, PATCHES, Composition, Scope
from tiphys.apis.admissionregistration.match import condition_faults, match_faults, operation_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import conditions, label_selector, one_of

_MAX_ANNOTATIONS = 20
_MAX_ANNOTATION_BYTES = 5 * 1024
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = KEYWORDS | RESERVED
_ACTIONS = ("Audit", "Deny", "Warn")
_PATCH_FIELDS = {"JSONPatch": "jsonPatch", "ApplyConfiguration": "applyConfiguration"}
_RESULTS: dict[str, Type] = {"JSONPatch": PATCHES, "ApplyConfiguration": OBJECT}
_NOT_EMPTY = "must be non-empty if specified"
_TWICE = "name and selector are mutually exclusive"


def validate_policy(obj: Object) -> list[FieldError]:
    """Return every fault of a new ValidatingAdmissionPolicy or MutatingAdmissionPolicy."""
    return _policy_faults(obj, conditions=True)


def validate_policy_update(new: Object, old: Object) -> list[FieldError]:
    """The same for a changed one; match conditions that did not change are let be."""
    keys = ("paramKind", "matchConditions")
    same = all(peek(new, "spec").get(key) == peek(old, "spec").get(key) for key in keys)
    return _policy_faults(new, conditions=not same)


def _policy_faults(obj: Object, *, conditions: bool) -> list[FieldError]:
    spec, mutating = peek(obj, "spec"), obj.get("kind") == "MutatingAdmissionPolicy"
    faults = one_of(spec.get("failurePolicy"), "spec.failurePolicy", ("Fail", "Ignore"), nullable=True)
    params = spec.get("paramKind") is not None
    if params:
        faults += _param_kind(spec["paramKind"], "spec.paramKind")
    faults += _constraints(spec.get("matchConstraints"), "spec.matchConstraints", mutating=mutating)
    if conditions:
        faults += condition_faults(spec.get("matchConditions"), "spec.matchConditions", params=params)
    composed = mutating or bool(spec.get("variables"))
    composition = Composition(Scope(params=params, authorizer=True), composed=composed)
    for index, variable in enumerate(each(spec, "variables")):
        faults += _variable(composition, variable, f"spec.variables[{index}]")
    if mutating:
        return faults + _mutations(spec, composition)
    return faults + _validations(obj, spec, composition)


def _constraints(match: Object | None, path: str, *, mutating: bool) -> list[FieldError]:
    if match is None:
        return [required(path)]
    faults = match_faults(match, path)
    if not match.get("resourceRules"):
        faults.append(required(f"{path}.resourceRules"))
    return faults + (operation_faults(match, path) if mutating else [])


def _param_kind(kind: Object, path: str) -> list[FieldError]:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    faults: list[FieldError] = []
    if not version:
        faults.append(required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        faults.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, plain = version.rpartition("/")
        if group and names.is_dns1123_subdomain(group):
            faults.append(invalid(f"{path}.apiVersion", group, ",".join(names.is_dns1123_subdomain(group))))
        if not plain:
            faults.append(invalid(f"{path}.apiVersion", version, "version must be specified"))
        elif names.is_dns1035_label(plain):
            faults.append(invalid(f"{path}.apiVersion", plain, ",".join(names.is_dns1035_label(plain))))
    if not name:
        faults.append(required(f"{path}.kind"))
    elif wrong := names.is_dns1035_label(name.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
        faults.append(invalid(f"{path}.kind", name, text))
    return faults


def _variable(composition: Composition, variable: Object, path: str) -> list[FieldError]:
    name, text = variable.get("name") or "", variable.get("expression") or ""
    faults: list[FieldError] = []
    if not name.strip():
        faults.append(required(f"{path}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        faults.append(invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    if not text.strip():
        return [*faults, required(f"{path}.expression", "expression is not specified")]
    return faults + composition.add(name, text).faults(f"{path}.expression")


def _validations(obj: Object, spec: Object, composition: Composition) -> list[FieldError]:
    annotations = spec.get("auditAnnotations") or []
    if not spec.get("validations") and not annotations:
        text = "validations or auditAnnotations must contain at least one item"
        return [required("spec.validations", text), required("spec.auditAnnotations", text)]
    faults: list[FieldError] = []
    for index, rule in enumerate(each(spec, "validations")):
        faults += _validation(composition, rule, f"spec.validations[{index}]")
    if len(annotations) > _MAX_ANNOTATIONS:
        text = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        faults.append(invalid("spec.auditAnnotations", annotations, text))
    seen: set[str] = set()
    for index, annotation in enumerate(each(spec, "auditAnnotations")):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        faults += _annotation(composition, obj, annotation, path)
        if key in seen:
            faults.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return faults


def _validation(composition: Composition, rule: Object, path: str) -> list[FieldError]:
    text, message = rule.get("expression") or "", rule.get("message") or ""
    by_expression = rule.get("messageExpression") or ""
    faults: list[FieldError] = []
    if not text.strip():
        faults.append(required(f"{path}.expression", "expression is not specified"))
    else:
        faults += composition.compile(text, types.BOOL).faults(f"{path}.expression")
    if by_expression and not by_expression.strip():
        faults.append(invalid(f"{path}.messageExpression", by_expression, _NOT_EMPTY))
    elif by_expression:
        scope = message_scope(composition)
        compiled = composition.compile(by_expression, types.STRING, scope=scope)
        faults += compiled.faults(f"{path}.messageExpression")
    if message and not message.strip():
        faults.append(invalid(f"{path}.message", message, _NOT_EMPTY))
    elif any(end in message.strip() for end in "\n\r"):
        faults.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    return faults + one_of(rule.get("reason"), f"{path}.reason", _REASONS, nullable=True)


def message_scope(composition: Composition) -> Scope:
    """Messages are made without asking what somebody may do."""
    return Scope(params=composition.scope.params)


def _annotation(composition: Composition, obj: Object, annotation: Object, path: str) -> list[FieldError]:
    name, key = peek(obj, "metadata").get("name") or "", annotation.get("key") or ""
    given = annotation.get("valueExpression") or ""
    text = given.strip()
    faults: list[FieldError] = []
    if name:
        faults += invalid_all(f"{path}.key", f"{name}/{key}", names.is_qualified_name(f"{name}/{key}"))
    else:
        faults.append(invalid(f"{path}.key", key, "requires metadata.name be non-empty"))
    at = f"{path}.valueExpression"
    if not text:
        return [*faults, required(at, "valueExpression is not specified")]
    if len(text.encode()) > _MAX_ANNOTATION_BYTES:
        return [*faults, required(at, f"must not exceed {_MAX_ANNOTATION_BYTES} bytes in length")]
    return faults + composition.compile(text, types.STRING, types.NULL).faults(at, given)


def _mutations(spec: Object, composition: Composition) -> list[FieldError]:
    faults: list[FieldError] = []
    if not spec.get("mutations"):
        faults.append(required("spec.mutations", "mutations must contain at least one item"))
    scope = mutation_scope(composition)
    for index, mutation in enumerate(each(spec, "mutations")):
        faults += _mutation(composition, scope, mutation, f"spec.mutations[{index}]")
    return faults + one_of(spec.get("reinvocationPolicy"), "spec.reinvocationPolicy", ("IfNeeded", "Never"))


def mutation_scope(composition: Composition) -> Scope:
    """Mutations make objects and patches."""
    return Scope(params=composition.scope.params, authorizer=True, patches=True)


def _mutation(composition: Composition, scope: Scope, mutation: Object, path: str) -> list[FieldError]:
    kind = mutation.get("patchType") or ""
    if kind not in _PATCH_FIELDS:
        return one_of(kind, f"{path}.patchType", tuple(_PATCH_FIELDS))
    field = _PATCH_FIELDS[kind]
    other = next(one for one in _PATCH_FIELDS.values() if one != field)
    faults: list[FieldError] = []
    if mutation.get(field) is None:
        faults.append(required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
    else:
        text = str(mutation[field].get("expression") or "").strip()
        at = f"{path}.{field}.expression"
        compiled = composition.compile(text, _RESULTS[kind], scope=scope) if text else None
        faults += [required(at)] if compiled is None else compiled.faults(at)
    if mutation.get(other) is not None:
        text = f"must not be specified when patchType is {kind}"
        faults.append(invalid(f"{path}.{other}", f"{{{other}}}", text))
    return faults


def validate_policy_binding(obj: Object) -> list[FieldError]:
    """Return every fault of the binding of an admission policy."""
    spec, mutating = peek(obj, "spec"), obj.get("kind") == "MutatingAdmissionPolicyBinding"
    name = spec.get("policyName") or ""
    faults = invalid_all("spec.policyName", name, names.is_dns1123_subdomain(name)) if name else []
    if not name:
        faults.append(required("spec.policyName"))
    if spec.get("paramRef") is not None:
        faults += _param_ref(spec["paramRef"], "spec.paramRef")
    match = spec.get("matchResources")
    if match is not None:
        faults += match_faults(match, "spec.matchResources")
        faults += operation_faults(match, "spec.matchResources") if mutating else []
    if not mutating:
        faults += _actions(spec.get("validationActions") or [], "spec.validationActions")
    return faults


def _param_ref(ref: Object, path: str) -> list[FieldError]:
    name, selector = ref.get("name") or "", ref.get("selector")
    faults = invalid_all(f"{path}.name", name, names.is_path_segment_name(name))
    twice = bool(name) and selector is not None
    faults += [forbidden(f"{path}.name", _TWICE)] if twice else []
    faults += label_selector(selector, f"{path}.selector")
    faults += [forbidden(f"{path}.selector", _TWICE)] if twice else []
    if not name and selector is None:
        faults.append(required(path, "one of name or selector must be specified"))
    at, actions = f"{path}.parameterNotFoundAction", ("Deny", "Allow")
    return faults + one_of(ref.get("parameterNotFoundAction"), at, actions, as_given=True)


def _actions(actions: Sequence[str], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            faults.append(not_supported(f"{path}[{index}]", action, _ACTIONS))
        if action in actions[:index]:
            faults.append(duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in "
            "the API response and headers serves no purpose)"
        )
        faults.append(invalid(path, actions, text))
    if not actions:
        faults.append(required(path, "at least one validation action is required"))
    return faults


def validate_policy_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of what a type check reports, and of conditions."""
    faults: list[FieldError] = []
    for index, warning in enumerate(each(new, "status", "typeChecking", "expressionWarnings")):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not warning.get("warning"):
            faults.append(required(f"{path}.warning"))
        faults += _field_ref(str(warning.get("fieldRef") or "").strip(), f"{path}.fieldRef")
    return faults + conditions(peek(new, "status"), "status.conditions")


def _field_ref(ref: str, path: str) -> list[FieldError]:
    if not ref:
        return [required(path)]
    try:
        jsonpath.parse(ref)
    except jsonpath.PathError as error:
        return [invalid(path, ref, f"invalid JSONPath: {error}")]
    return []
