"""Rules of where pods may run: affinity, tolerations and taints, spreading."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tiphys.apimachinery import names
from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import POSITIVE, label_selector, one_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_TOLERATES = ("Equal", "Exists")
_COMPARES = ("Lt", "Gt")
"""Behind the gate TaintTolerationComparisonOperators: known, and not supported while it is off."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]*").fullmatch
_READABLE = re.compile(r"[+-]?[0-9]+").fullmatch
_NOT_DECIMAL = "must be a valid decimal integer in canonical form"
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def validate_affinity(affinity: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's affinity."""
    faults = _node_affinity(peek(affinity, "nodeAffinity"), f"{path}.nodeAffinity")
    for key in ("podAffinity", "podAntiAffinity"):
        part = peek(affinity, key)
        for index, term in enumerate(each(part, _REQUIRED)):
            faults += _pod_term(term, f"{path}.{key}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(each(part, _PREFERRED)):
            at = f"{path}.{key}.{_PREFERRED}[{index}]"
            faults += _weight(weighted, at)
            faults += _pod_term(peek(weighted, "podAffinityTerm"), f"{at}.podAffinityTerm")
    return faults


def _weight(weighted: Object, path: str) -> list[FieldError]:
    weight = weighted.get("weight") or 0
    return [] if 1 <= weight <= 100 else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _node_affinity(affinity: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    needed = affinity.get(_REQUIRED)
    if isinstance(needed, dict):
        faults += node_selector(needed, f"{path}.{_REQUIRED}")
    for index, weighted in enumerate(each(affinity, _PREFERRED)):
        at = f"{path}.{_PREFERRED}[{index}]"
        faults += _weight(weighted, at)
        faults += _node_term(peek(weighted, "preference"), f"{at}.preference", any_value=True)
    return faults


def node_selector(selector: Object, path: str) -> list[FieldError]:
    """Return every fault of a node selector (of pods, volumes, device slices)."""
    terms = list(each(selector, "nodeSelectorTerms"))
    if not terms:
        text = "must have at least one node selector term"
        return [required(f"{path}.nodeSelectorTerms", text)]
    faults: list[FieldError] = []
    for index, term in enumerate(terms):
        faults += _node_term(term, f"{path}.nodeSelectorTerms[{index}]")
    return faults


def _node_term(term: Object, path: str, *, any_value: bool = False) -> list[FieldError]:
    """``any_value``: what is only preferred may name labels that no node can have."""
    faults: list[FieldError] = []
    for index, requirement in enumerate(each(term, "matchExpressions")):
        faults += _node_requirement(requirement, f"{path}.matchExpressions[{index}]", any_value=any_value)
    for index, requirement in enumerate(each(term, "matchFields")):
        at = f"{path}.matchFields[{index}]"
        values = requirement.get("values") or []
        if requirement.get("operator") not in ("In", "NotIn"):
            faults.append(
                invalid(f"{at}.operator", requirement.get("operator") or "", "not a valid selector operator")
            )
        elif len(values) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            faults.append(required(f"{at}.values", text))
        if requirement.get("key") != "metadata.name":
            faults.append(
                invalid(f"{at}.key", requirement.get("key") or "", "not a valid field selector key")
            )
            continue
        for place, value in enumerate(values):
            texts = names.is_dns1123_subdomain(str(value))
            faults += invalid_all(f"{at}.values[{place}]", value, texts)
    return faults


def _node_requirement(requirement: Object, path: str, *, any_value: bool) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    faults: list[FieldError] = []
    if operator in ("In", "NotIn") and not values:
        faults.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        faults.append(forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt") and len(values) != 1:
        text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        faults.append(required(f"{path}.values", text))
    elif operator not in _NODE_OPERATORS:
        faults.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key") or ""
    faults += invalid_all(f"{path}.key", key, names.is_qualified_name(key))
    for index, value in enumerate(() if any_value else values):
        faults += invalid_all(f"{path}.values[{index}]", value, names.is_label_value(str(value)))
    return faults


def _pod_term(term: Object, path: str) -> list[FieldError]:
    faults = label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    faults += label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        faults += invalid_all(f"{path}.namespace", name, names.is_dns1123_label(name))
    faults += _label_keys(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        faults.append(required(f"{path}.topologyKey", "can not be empty"))
    return faults + invalid_all(f"{path}.topologyKey", key, names.is_qualified_name(key))


def _label_keys(term: Object, path: str) -> list[FieldError]:
    """Keys whose values are taken from the pod itself."""
    faults: list[FieldError] = []
    selector = term.get("labelSelector")
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        keys, at = term.get(name) or [], f"{path}.{name}"
        if keys and selector is None:
            faults.append(forbidden(at, "must not be specified when labelSelector is not set"))
            continue
        for index, key in enumerate(keys):
            faults += invalid_all(f"{at}[{index}]", key, names.is_qualified_name(key))
    wanted = list(term.get("matchLabelKeys") or ())
    seen = set(peek(selector or {}, "matchLabels"))
    for requirement in each(selector or {}, "matchExpressions"):
        key = requirement.get("key") or ""
        if key in wanted and key in seen:
            text = "exists in both matchLabelKeys and labelSelector"
            faults.append(invalid(f"{path}[{wanted.index(key)}]", key, text))
        seen.add(key)
    for index, key in enumerate(wanted):
        if key in (term.get("mismatchLabelKeys") or ()):
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            faults.append(invalid(f"{path}.matchLabelKeys[{index}]", key, text))
    return faults


def validate_tolerations(spec: Object, path: str, *, may_compare: bool = True) -> list[FieldError]:
    """Return every fault of a pod's tolerations; ``may_compare`` numbers, if the gate says so too."""
    faults: list[FieldError] = []
    for index, toleration in enumerate(each(spec, "tolerations")):
        faults += validate_toleration(toleration, f"{path}[{index}]", may_compare=may_compare)
    return faults


def validate_toleration(toleration: Object, path: str, *, may_compare: bool = True) -> list[FieldError]:
    """Return every fault of one toleration."""
    faults: list[FieldError] = []
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        faults += invalid_all(f"{path}.key", key, names.is_qualified_name(key))
    elif operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        faults.append(invalid(f"{path}.operator", operator, text))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        faults.append(invalid(f"{path}.effect", effect, text))
    if operator in ("Equal", ""):
        texts = names.is_label_value(value)
        if texts:
            faults.append(invalid(f"{path}.operator", value, ";".join(texts)))
    elif operator == "Exists":
        if value:
            text = "value must be empty when `operator` is 'Exists'"
            faults.append(invalid(f"{path}.operator", value, text))
    elif may_compare and operator in _COMPARES and on("TaintTolerationComparisonOperators"):
        faults += invalid_all(f"{path}.value", value, _number(value))
    else:
        known = (*_TOLERATES, *_COMPARES) if operator in _COMPARES else _TOLERATES
        faults.append(not_supported(f"{path}.operator", operator, known))
    return faults + one_of(effect, f"{path}.effect", EFFECTS, optional=True, as_given=True)


def _number(value: str) -> list[str]:
    """Return what is wrong with a number as it is written, and with what it is read as."""
    texts = [] if _INTEGER(value) else [_NOT_DECIMAL if value else "must be non-empty"]
    read = atoi(value)
    if read is None:
        reason = "value out of range" if _READABLE(value) else "invalid syntax"
        texts.append(f"strconv.ParseInt: parsing {json.dumps(value, ensure_ascii=False)}: {reason}")
    return texts


def validate_spread(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's topology spread constraints."""
    faults: list[FieldError] = []
    constraints = list(each(spec, "topologySpreadConstraints"))
    pairs = [(item.get("topologyKey") or "", item.get("whenUnsatisfiable") or "") for item in constraints]
    last = {pair: index for index, pair in enumerate(pairs)}
    for index, constraint in enumerate(constraints):
        at, (key, unsatisfiable) = f"{path}[{index}]", pairs[index]
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            faults.append(invalid(f"{at}.maxSkew", skew, POSITIVE))
        if not key:
            faults.append(required(f"{at}.topologyKey", "can not be empty"))
        if unsatisfiable not in _ACTIONS:
            faults.append(not_supported(f"{at}.whenUnsatisfiable", unsatisfiable, _ACTIONS))
        if last[pairs[index]] > index:
            shown = f"{{{key}, {unsatisfiable}}}"
            faults.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", shown))
        faults += _min_domains(constraint, at, unsatisfiable)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            value = constraint.get(name)
            if value is not None and value not in ("Honor", "Ignore"):
                faults.append(not_supported(f"{at}.{name}", value, ("Honor", "Ignore")))
        faults += _label_keys({**constraint, "mismatchLabelKeys": None}, at)
        faults += label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")
    return faults


def _min_domains(constraint: Object, path: str, unsatisfiable: str) -> list[FieldError]:
    least, faults = constraint.get("minDomains"), []
    if least is not None and least <= 0:
        faults.append(invalid(f"{path}.minDomains", least, POSITIVE))
    if least is not None and unsatisfiable != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}"
        faults.append(invalid(f"{path}.minDomains", least, text))
    return faults


def validate_taints(taints: Sequence[Object], path: str) -> list[FieldError]:
    """Return every fault of a node's taints."""
    faults: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"{path}[{index}]"
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        faults += invalid_all(f"{at}.key", key, names.is_qualified_name(key))
        texts = names.is_label_value(value)
        if texts:
            faults.append(invalid(f"{at}.value", value, ";".join(texts)))
        faults += one_of(effect, f"{at}.effect", EFFECTS, as_given=True)
        if (key, effect) in seen:
            shown = inside("Taint", taint)
            faults.append(duplicate(at, shown, "taints must be unique by key and effect pair"))
        seen.add((key, effect))
    return faults
