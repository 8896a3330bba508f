"""What may not be in FlowSchemas and PriorityLevelConfigurations."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Body = dict[str, Any]

SUBJECT = {"kind": "User", "user": {"name": "u"}}
READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}
R = "spec.rules[0]"
S = f"{R}.subjects[0]"
Q = "spec.limited.limitResponse.queuing"
VERBS = '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"'
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def kind(name: str, *, called: str = "x", **spec: Any) -> Body:
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": name,
        "metadata": {"name": called},
        "spec": spec,
    }


def schema(*rules: Body, **spec: Any) -> Body:
    return kind("FlowSchema", **{"priorityLevelConfiguration": {"name": "p"}, "rules": list(rules), **spec})


def rule(**parts: Any) -> Body:
    return schema({"subjects": [SUBJECT], "resourceRules": [READ], **parts})


def subject(**subject: Any) -> Body:
    return rule(subjects=[subject])


ROUND_TRIP = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


def level(**spec: Any) -> Body:
    return kind(
        "PriorityLevelConfiguration",
        **{"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}, **spec},
    )


def queue(**queuing: Any) -> Body:
    return level(limited={"limitResponse": {"type": "Queue", "queuing": queuing}})


def url(path: str) -> Body:
    return rule(resourceRules=[], nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": [path]}])


NEW: dict[str, tuple[Body, list[str]]] = {
    "fine": (rule(), []),
    "precedence": (
        schema(matchingPrecedence=-1, distinguisherMethod={"type": "X"}, priorityLevelConfiguration={}),
        [
            "spec.matchingPrecedence: Invalid value: -1: must be a positive value",
            'spec.distinguisherMethod.type: Unsupported value: {"Type":"X"}: supported values: "ByNamespace", "ByUser"',
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ],
    ),
    "high precedence": (
        schema(matchingPrecedence=10001),
        ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
    ),
    "first precedence": (
        schema(matchingPrecedence=1),
        [
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"
        ],
    ),
    "rule of nothing": (
        schema({}),
        [
            f"{R}.subjects: Required value: subjects must contain at least one value",
            f"{R}: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    ),
    "subject": (
        subject(kind="X"),
        [f'{S}.kind: Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"'],
    ),
    "subject missing": (
        subject(kind="User", group={"name": "g"}, serviceAccount={}),
        [
            f"{S}.user: Required value: user is required when subject kind is 'User'",
            f"{S}.serviceAccount: Forbidden: serviceAccount is forbidden when subject kind is not 'ServiceAccount'",
            f"{S}.group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ],
    ),
    "account": (
        subject(kind="ServiceAccount", serviceAccount={"name": "*"}),
        [f"{S}.serviceAccount.namespace: Required value: must specify namespace for service account"],
    ),
    "group": (subject(kind="Group", group={}), [f"{S}.group.name: Required value"]),
    "resources of nothing": (
        rule(resourceRules=[{}]),
        [
            f"{R}.resourceRules[0].verbs: Required value: verbs must contain at least one value",
            f"{R}.resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
            f"{R}.resourceRules[0].resources: Required value: resource rules must supply at least one resource",
            f"{R}.resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ],
    ),
    "stars beside others": (
        rule(
            resourceRules=[
                {
                    "verbs": ["*", "get"],
                    "apiGroups": ["*", ""],
                    "resources": ["*", "a"],
                    "namespaces": ["*", "a"],
                }
            ]
        ),
        [
            f'{R}.resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
            f'{R}.resourceRules[0].apiGroups: Invalid value: ["*",""]: if \'*\' is present, must not specify other api groups',
            f'{R}.resourceRules[0].resources: Invalid value: ["*","a"]: if \'*\' is present, must not specify other resources',
            f'{R}.resourceRules[0].namespaces: Invalid value: ["*","a"]: if \'*\' is present, must not specify other namespaces',
        ],
    ),
    "verbs and namespaces": (
        rule(resourceRules=[{**READ, "verbs": ["see"], "namespaces": ["A"]}]),
        [
            f'{R}.resourceRules[0].verbs: Unsupported value: ["see"]: supported values: {VERBS}',
            f"{R}.resourceRules[0].namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; {LABEL}",
        ],
    ),
    "level": (level(), []),
    "level type": (
        level(type="X"),
        ['spec.type: Unsupported value: "X": supported values: "Exempt", "Limited"'],
    ),
    "level exempt": (
        level(type="Exempt", exempt={"lendablePercent": 101}),
        [
            "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
            "spec.limited: Forbidden: must be nil if the type is not Limited",
            "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ],
    ),
    "level annotation": (
        {**level(), "metadata": {"name": "x", "annotations": {ROUND_TRIP: ""}}},
        [f"metadata.annotations: Forbidden: annotation '{ROUND_TRIP}' is forbidden"],
    ),
    "level limits": (
        level(
            exempt={},
            limited={
                "nominalConcurrencyShares": -1,
                "borrowingLimitPercent": -1,
                "lendablePercent": 101,
                "limitResponse": {"type": "X"},
            },
        ),
        [
            "spec.exempt: Forbidden: must be nil if the type is Limited",
            "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
            'spec.limited.limitResponse.type: Unsupported value: "X": supported values: "Queue", "Reject"',
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ],
    ),
    "no queues": (
        level(limited={"limitResponse": {"type": "Queue"}}),
        [f"{Q}: Required value: must not be empty if limited.limitResponse.type is Limited"],
    ),
    "queues for nobody": (
        level(limited={"limitResponse": {"type": "Reject", "queuing": {}}}),
        [f"{Q}: Forbidden: must be nil if limited.limitResponse.type is not Limited"],
    ),
    "queues": (
        queue(queueLengthLimit=-1, queues=-1, handSize=-1),
        [
            f"{Q}.queueLengthLimit: Invalid value: -1: must be positive",
            f"{Q}.queues: Invalid value: -1: must be positive",
            f"{Q}.handSize: Invalid value: -1: must be positive",
        ],
    ),
    "large hand": (
        queue(queues=4, handSize=5),
        [f"{Q}.handSize: Invalid value: 5: should not be greater than queues (4)"],
    ),
    "too many hands": (
        queue(queues=10_000, handSize=5),
        [
            f"{Q}.handSize: Invalid value: 5: required entropy bits of deckSize 10000 and handSize 5 should not be greater than 60"
        ],
    ),
}
NEW |= {
    f"path {path}": (
        url(path),
        [f'{R}.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "{path}": {text}'],
    )
    for path, text in {
        "": "must not be empty",
        "x": "must start with slash",
        "/a b": "must not contain white-space",
        "/a//b": "must not contain double slash",
        "/a*": "wildcard can only do suffix matching",
    }.items()
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_conditions(faults_of_status: Callable[[Body, Body, Body], list[str]]) -> None:
    assert faults_of_status(rule(), {}, {"conditions": [{"type": "A"}, {"type": "A"}, {}]}) == [
        'status.conditions[1].type: Duplicate value: "A"',
        "status.conditions[2].type: Required value",
    ]
