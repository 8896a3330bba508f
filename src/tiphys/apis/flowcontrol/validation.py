"""Rules of FlowSchemas and PriorityLevelConfigurations."""

from __future__ import annotations

import math

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    Struct,
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.flowcontrol import mandatory

_PRECEDENCE_MAX = 10000
_QUEUES_MAX = 10_000_000
_HASH_BITS = 60
_METHODS = ("ByNamespace", "ByUser")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_KINDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_ROUND_TRIP = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
_LOOKED_AT = ("serviceAccount", "user", "group")
_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "


def validate_flow_schema(obj: Object) -> list[FieldError]:
    """Return every fault of a FlowSchema."""
    spec, path = peek(obj, "spec"), "spec.matchingPrecedence"
    precedence = spec.get("matchingPrecedence") or 0
    faults: list[FieldError] = []
    if precedence <= 0:
        faults.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _PRECEDENCE_MAX:
        faults.append(invalid(path, precedence, f"must not be greater than {_PRECEDENCE_MAX}"))
    if precedence == 1 and peek(obj, "metadata").get("name") != mandatory.EXEMPT:
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        faults.append(invalid(path, precedence, text))
    method = spec.get("distinguisherMethod")
    if isinstance(method, dict) and method.get("type") not in _METHODS:
        shown = Struct(Type=method.get("type") or "")
        faults.append(not_supported("spec.distinguisherMethod.type", shown, _METHODS))
    level, path = (
        peek(spec, "priorityLevelConfiguration").get("name") or "",
        "spec.priorityLevelConfiguration.name",
    )
    if level:
        faults += invalid_all(path, level, names.is_dns1123_subdomain(level))
    else:
        faults.append(required(path, "must reference a priority level"))
    for index, rule in enumerate(each(spec, "rules")):
        faults += _rule(rule, f"spec.rules[{index}]")
    return faults + mandatory.schema_faults(obj) + validate_flow_status(obj, {})


def _rule(rule: Object, path: str) -> list[FieldError]:
    subjects = list(each(rule, "subjects"))
    faults = [] if subjects else [required(f"{path}.subjects", "subjects must contain at least one value")]
    for index, subject in enumerate(subjects):
        faults += _subject(subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        faults.append(required(path, text))
    for index, inner in enumerate(each(rule, "resourceRules")):
        faults += _resources(inner, f"{path}.resourceRules[{index}]")
    for index, inner in enumerate(each(rule, "nonResourceRules")):
        at = f"{path}.nonResourceRules[{index}]"
        faults += _verbs(inner, f"{at}.verbs") + _urls(inner, f"{at}.nonResourceURLs")
    return faults


def _subject(subject: Object, path: str) -> list[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _KINDS:
        return [not_supported(f"{path}.kind", kind, sorted(_KINDS))]
    own = _KINDS[kind]
    faults = _named(subject.get(own), kind, own, f"{path}.{own}")
    for key in _LOOKED_AT:
        if key != own and subject.get(key) is not None:
            text = f"{key} is forbidden when subject kind is not '{key[0].upper()}{key[1:]}'"
            faults.append(forbidden(f"{path}.{key}", text))
    return faults


def _named(given: Object | None, kind: str, key: str, path: str) -> list[FieldError]:
    if given is None:
        return [required(path, f"{key} is required when subject kind is '{kind}'")]
    name, namespace = given.get("name") or "", given.get("namespace") or ""
    faults = [] if name else [required(f"{path}.name")]
    if kind != "ServiceAccount":
        return faults
    if name not in ("", "*"):
        faults += invalid_all(f"{path}.name", name, names.is_dns1123_subdomain(name))
    if namespace:
        return faults + invalid_all(f"{path}.namespace", namespace, names.is_dns1123_label(namespace))
    return [*faults, required(f"{path}.namespace", "must specify namespace for service account")]


def _alone(values: list[str], path: str, noun: str) -> list[FieldError]:
    """A star says it all."""
    if "*" not in values or len(values) == 1:
        return []
    return [invalid(path, values, f"if '*' is present, must not specify other {noun}")]


def _verbs(rule: Object, path: str) -> list[FieldError]:
    verbs: list[str] = list(rule.get("verbs") or ())
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, path, "verbs")
    return [] if set(verbs) <= set(_VERBS) else [not_supported(path, verbs, _VERBS)]


def _resources(rule: Object, path: str) -> list[FieldError]:
    faults = _verbs(rule, f"{path}.verbs")
    for key, noun, one in (("apiGroups", "api groups", "api group"), ("resources", "resources", "resource")):
        values: list[str] = list(rule.get(key) or ())
        at = f"{path}.{key}"
        if not values:
            faults.append(required(at, f"resource rules must supply at least one {one}"))
        faults += _alone(values, at, noun)
    namespaces: list[str] = list(rule.get("namespaces") or ())
    at = f"{path}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        faults.append(required(at, text))
    elif "*" in namespaces:
        faults += _alone(namespaces, at, "namespaces")
    else:
        for index, name in enumerate(namespaces):
            texts = [_NAMESPACE + text for text in names.is_dns1123_label(str(name))]
            faults += invalid_all(f"{at}[{index}]", name, texts)
    return faults


def _urls(rule: Object, path: str) -> list[FieldError]:
    urls: list[str] = list(rule.get("nonResourceURLs") or ())
    if not urls:
        return [required(path, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return _alone(urls, path, "non-resource URLs")
    return [
        invalid(f"{path}[{index}]", url, text) for index, url in enumerate(urls) if (text := _url(str(url)))
    ]


def _url(url: str) -> str:
    """Return the first thing that is wrong with the path of a request."""
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    if stars > 1 or (stars == 1 and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def validate_priority_level(obj: Object) -> list[FieldError]:
    """Return every fault of a PriorityLevelConfiguration."""
    spec, name = peek(obj, "spec"), peek(obj, "metadata").get("name")
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    faults: list[FieldError] = []
    if _ROUND_TRIP in peek(obj, "metadata", "annotations"):
        faults.append(forbidden("metadata.annotations", f"annotation '{_ROUND_TRIP}' is forbidden"))
    if (name == mandatory.EXEMPT) != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        faults.append(invalid("spec.type", kind, text))
    if kind == "Exempt":
        if limited is not None:
            faults.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        faults += _shares(exempt or {}, "spec.exempt") + _lent(exempt or {}, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            faults.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if not isinstance(limited, dict):
            faults.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            faults += _limited(limited, "spec.limited")
    else:
        faults.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    return faults + mandatory.level_faults(obj) + validate_flow_status(obj, {})


def _shares(settings: Object, path: str) -> list[FieldError]:
    shares = settings.get("nominalConcurrencyShares") or 0
    if shares >= 0:
        return []
    return [invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")]


def _lent(settings: Object, path: str) -> list[FieldError]:
    percent = settings.get("lendablePercent") or 0
    if 0 <= percent <= 100:
        return []
    return [invalid(f"{path}.lendablePercent", percent, "must be between 0 and 100, inclusive")]


def _limited(limited: Object, path: str) -> list[FieldError]:
    faults = _shares(limited, path)
    response = peek(limited, "limitResponse")
    kind, queuing, at = response.get("type") or "", response.get("queuing"), f"{path}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            text = "must be nil if limited.limitResponse.type is not Limited"
            faults.append(forbidden(f"{at}.queuing", text))
    elif kind != "Queue":
        faults.append(not_supported(f"{at}.type", kind, ("Queue", "Reject")))
    elif not isinstance(queuing, dict):
        text = "must not be empty if limited.limitResponse.type is Limited"
        faults.append(required(f"{at}.queuing", text))
    else:
        faults += _queuing(queuing, f"{at}.queuing")
    faults += _lent(limited, path)
    percent = limited.get("borrowingLimitPercent")
    if percent is not None and percent < 0:
        text = "if specified, must be a non-negative integer"
        faults.append(invalid(f"{path}.borrowingLimitPercent", percent, text))
    return faults


def _queuing(queuing: Object, path: str) -> list[FieldError]:
    length, queues, hand = (queuing.get(key) or 0 for key in ("queueLengthLimit", "queues", "handSize"))
    faults = [] if length > 0 else [invalid(f"{path}.queueLengthLimit", length, "must be positive")]
    if queues <= 0:
        faults.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        faults.append(invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}"))
    at = f"{path}.handSize"
    if hand <= 0:
        faults.append(invalid(at, hand, "must be positive"))
    elif hand > queues:
        faults.append(invalid(at, hand, f"should not be greater than queues ({queues})"))
    elif _entropy_bits(queues, hand) > _HASH_BITS:
        text = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than "
            f"{_HASH_BITS}"
        )
        faults.append(invalid(at, hand, text))
    return faults


def _entropy_bits(deck: int, hand: int) -> int:
    """How many bits of a hash it takes to deal a hand from a deck."""
    return math.ceil(sum(math.log2(deck - dealt) for dealt in range(hand)))


def validate_flow_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of the conditions of either kind."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(each(new, "status", "conditions")):
        at, kind = f"status.conditions[{index}].type", str(condition.get("type") or "")
        if kind in seen:
            faults.append(duplicate(at, kind))
        seen.add(kind)
        if not kind:
            faults.append(required(at))
    return faults
