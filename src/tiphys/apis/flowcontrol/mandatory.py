"""The FlowSchemas and PriorityLevelConfigurations without which no server can be reached, and that they stay.

Owns: their ``spec``s, which the server writes and nobody may change, but for the shares of what is exempt.

Source: "API Priority and Fairness", mandatory configuration objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import Struct, invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

EXEMPT: Final = "exempt"
CATCH_ALL: Final = "catch-all"
MANDATORY: Final = (EXEMPT, CATCH_ALL)
"""Names of the objects, of both kinds."""


def _everything(*groups: str) -> list[Object]:
    return [
        {
            "subjects": [{"kind": "Group", "group": {"name": name}} for name in groups],
            "resourceRules": [
                {
                    "verbs": ["*"],
                    "apiGroups": ["*"],
                    "resources": ["*"],
                    "clusterScope": True,
                    "namespaces": ["*"],
                }
            ],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ]


SCHEMAS: Final[dict[str, Object]] = {
    EXEMPT: {
        "priorityLevelConfiguration": {"name": EXEMPT},
        "matchingPrecedence": 1,
        "rules": _everything("system:masters"),
    },
    CATCH_ALL: {
        "priorityLevelConfiguration": {"name": CATCH_ALL},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _everything("system:unauthenticated", "system:authenticated"),
    },
}
LEVELS: Final[dict[str, Object]] = {
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "limitResponse": {"type": "Reject"},
            "lendablePercent": 0,
        },
    },
}


def _told(value: Any) -> Any:
    """Return a value without what says nothing: empty lists and fields that are not set."""
    if isinstance(value, dict):
        told = {key: _told(one) for key, one in value.items()}
        return {key: one for key, one in told.items() if one not in (None, [], False)}
    return [_told(one) for one in value] if isinstance(value, list) else value


def schema_faults(schema: Object) -> list[FieldError]:
    """The spec of a mandatory FlowSchema never changes."""
    name, spec = peek(schema, "metadata").get("name"), peek(schema, "spec")
    if name not in SCHEMAS or _told(spec) == _told(SCHEMAS[name]):
        return []
    return [invalid("spec", _shown_schema(spec), f"spec of '{name}' must equal the fixed value")]


def level_faults(level: Object) -> list[FieldError]:
    """The spec of a mandatory level never changes; what is exempt may get other shares."""
    name, spec = peek(level, "metadata").get("name"), peek(level, "spec")
    if name not in LEVELS:
        return []
    have, but = _told(spec), ""
    if name == EXEMPT:
        have, but = {**have, "exempt": _told(LEVELS[EXEMPT]["exempt"])}, " except the 'spec.exempt' field"
    if have == _told(LEVELS[name]):
        return []
    return [invalid("spec", _shown_level(spec), f"spec of '{name}'{but} must equal the fixed value")]


def _shown_level(spec: Object) -> Struct:
    return Struct(
        Type=spec.get("type") or "",
        Limited=_shown_limited(spec.get("limited")),
        Exempt=_shares(spec["exempt"]) if isinstance(spec.get("exempt"), dict) else None,
    )


def _shares(settings: Object) -> Struct:
    keys = {"NominalConcurrencyShares": "nominalConcurrencyShares", "LendablePercent": "lendablePercent"}
    return Struct({shown: settings.get(key) for shown, key in keys.items()})


def _shown_limited(limited: Object | None) -> Struct | None:
    if limited is None:
        return None
    response = peek(limited, "limitResponse")
    queuing = response.get("queuing")
    queues = None
    if isinstance(queuing, dict):
        queues = Struct(
            Queues=queuing.get("queues") or 0,
            HandSize=queuing.get("handSize") or 0,
            QueueLengthLimit=queuing.get("queueLengthLimit") or 0,
        )
    return Struct(
        NominalConcurrencyShares=limited.get("nominalConcurrencyShares") or 0,
        LimitResponse=Struct(Type=response.get("type") or "", Queuing=queues),
        LendablePercent=limited.get("lendablePercent"),
        BorrowingLimitPercent=limited.get("borrowingLimitPercent"),
    )


def _shown_schema(spec: Object) -> Struct:
    method = spec.get("distinguisherMethod")
    return Struct(
        PriorityLevelConfiguration=Struct(Name=peek(spec, "priorityLevelConfiguration").get("name") or ""),
        MatchingPrecedence=spec.get("matchingPrecedence") or 0,
        DistinguisherMethod=Struct(Type=method.get("type") or "") if isinstance(method, dict) else None,
        Rules=_shown_each(spec, "rules", _shown_rule),
    )


def _shown_each(obj: Object, key: str, shown: Any) -> list[Struct] | None:
    return None if obj.get(key) is None else [shown(one) for one in each(obj, key)]


def _shown_rule(rule: Object) -> Struct:
    return Struct(
        Subjects=_shown_each(rule, "subjects", _shown_subject),
        ResourceRules=_shown_each(rule, "resourceRules", _shown_resources),
        NonResourceRules=_shown_each(rule, "nonResourceRules", _shown_urls),
    )


def _shown_subject(subject: Object) -> Struct:
    def one(key: str, fields: Sequence[str] = ("name",)) -> Struct | None:
        given = subject.get(key)
        if not isinstance(given, dict):
            return None
        return Struct({field.capitalize(): given.get(field) or "" for field in fields})

    return Struct(
        Kind=subject.get("kind") or "",
        User=one("user"),
        Group=one("group"),
        ServiceAccount=one("serviceAccount", ("namespace", "name")),
    )


def _shown_resources(rule: Object) -> Struct:
    return Struct(
        Verbs=rule.get("verbs"),
        APIGroups=rule.get("apiGroups"),
        Resources=rule.get("resources"),
        ClusterScope=bool(rule.get("clusterScope")),
        Namespaces=rule.get("namespaces"),
    )


def _shown_urls(rule: Object) -> Struct:
    return Struct(Verbs=rule.get("verbs"), NonResourceURLs=rule.get("nonResourceURLs"))
