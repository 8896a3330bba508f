"""Rules of where pods may run: affinity, tolerations, spreading."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import POSITIVE, label_selector, one_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
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
        faults += _node_term(peek(weighted, "preference"), f"{at}.preference")
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


def _node_term(term: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, requirement in enumerate(each(term, "matchExpressions")):
        faults += _node_requirement(requirement, f"{path}.matchExpressions[{index}]")
    for index, requirement in enumerate(each(term, "matchFields")):
        at = f"{path}.matchFields[{index}]"
        values = requirement.get("values") or []
        if requirement.get("operator") not in ("In", "NotIn"):
            faults.append(
                invalid(f"{at}.operator", requirement.get("operator"), "not a valid selector operator")
            )
        elif len(values) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            faults.append(required(f"{at}.values", text))
        if requirement.get("key") != "metadata.name":
            faults.append(invalid(f"{at}.key", requirement.get("key"), "not a valid field selector key"))
    return faults


def _node_requirement(requirement: Object, path: str) -> list[FieldError]:
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
    for index, value in enumerate(values):
        faults += invalid_all(f"{path}.values[{index}]", value, names.is_label_value(str(value)))
    return faults


def _pod_term(term: Object, path: str) -> list[FieldError]:
    faults = label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    faults += label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        faults += invalid_all(f"{path}.namespace", name, names.is_dns1123_label(name))
    key = term.get("topologyKey") or ""
    if not key:
        return [*faults, required(f"{path}.topologyKey", "can not be empty")]
    return faults + invalid_all(f"{path}.topologyKey", key, names.is_qualified_name(key))


def validate_tolerations(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's tolerations."""
    faults: list[FieldError] = []
    for index, toleration in enumerate(each(spec, "tolerations")):
        faults += validate_toleration(toleration, f"{path}[{index}]")
    return faults


def validate_toleration(toleration: Object, path: str) -> list[FieldError]:
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
        faults += invalid_all(f"{path}.operator", value, names.is_label_value(value))
    elif operator == "Exists":
        if value:
            text = "value must be empty when `operator` is 'Exists'"
            faults.append(invalid(f"{path}.operator", toleration, text))
    else:
        faults += one_of(operator, f"{path}.operator", ("Equal", "Exists"))
    return faults + one_of(effect, f"{path}.effect", _EFFECTS, optional=True)


def validate_spread(spec: Object, path: str) -> list[FieldError]:
    """Return every fault of a pod's topology spread constraints."""
    faults: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(each(spec, "topologySpreadConstraints")):
        at = f"{path}[{index}]"
        skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
        unsatisfiable = constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            faults.append(invalid(f"{at}.maxSkew", skew, POSITIVE))
        if not key:
            faults.append(required(f"{at}.topologyKey", "can not be empty"))
        else:
            faults += invalid_all(f"{at}.topologyKey", key, names.is_qualified_name(key))
        actions = ("DoNotSchedule", "ScheduleAnyway")
        faults += one_of(unsatisfiable, f"{at}.whenUnsatisfiable", actions)
        if (key, unsatisfiable) in seen:
            faults.append(
                duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {unsatisfiable}}}")
            )
        seen.add((key, unsatisfiable))
        least = constraint.get("minDomains")
        if least is not None and least <= 0:
            faults.append(invalid(f"{at}.minDomains", least, POSITIVE))
        if least is not None and unsatisfiable != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}"
            faults.append(invalid(f"{at}.minDomains", least, text))
        faults += label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")
    return faults
