"""The objects that keep a server reachable stay as they are, but for the shares of what is exempt."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.meta import copy_object
from tiphys.apis.flowcontrol.mandatory import LEVELS, MANDATORY, SCHEMAS

Body = dict[str, Any]


def changed(kind: str, name: str, change: Callable[[Body], object] = lambda _spec: None) -> Body:
    spec = copy_object((SCHEMAS if kind == "FlowSchema" else LEVELS)[name])
    change(spec)
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def schema_text(
    rules: str, name: str = "catch-all", precedence: int = 10000, method: str = '{"Type":"ByUser"}'
) -> str:
    return (
        f'spec: Invalid value: {{"PriorityLevelConfiguration":{{"Name":"{name}"}},"MatchingPrecedence":{precedence},'
        f'"DistinguisherMethod":{method},"Rules":{rules}}}: spec of \'{name}\' must equal the fixed value'
    )


EVERYTHING = (
    '"ResourceRules":[{"Verbs":["*"],"APIGroups":["*"],"Resources":["*"],"ClusterScope":true,"Namespaces":["*"]}],'
    '"NonResourceRules":[{"Verbs":["*"],"NonResourceURLs":["*"]}]'
)

CASES: dict[str, tuple[Body, list[str]]] = {
    **{f"the schema {name}": (changed("FlowSchema", name), []) for name in MANDATORY},
    **{f"the level {name}": (changed("PriorityLevelConfiguration", name), []) for name in MANDATORY},
    "a schema with less": (
        changed("FlowSchema", "catch-all", lambda spec: spec.update(rules=None)),
        [schema_text("null")],
    ),
    "a schema with other flows": (
        changed("FlowSchema", "exempt", lambda spec: spec.update(distinguisherMethod={"type": "ByUser"})),
        [
            schema_text(
                '[{"Subjects":[{"Kind":"Group","User":null,"Group":{"Name":"system:masters"},"ServiceAccount":null}],'
                + EVERYTHING
                + "}]",
                "exempt",
                1,
            )
        ],
    ),
    "a schema for an account": (
        changed(
            "FlowSchema",
            "catch-all",
            lambda spec: spec["rules"][0].update(
                subjects=[{"kind": "ServiceAccount", "serviceAccount": {"namespace": "n", "name": "s"}}]
            ),
        ),
        [
            schema_text(
                '[{"Subjects":[{"Kind":"ServiceAccount","User":null,"Group":null,'
                '"ServiceAccount":{"Namespace":"n","Name":"s"}}],' + EVERYTHING + "}]"
            )
        ],
    ),
    "what is exempt may get shares": (
        changed(
            "PriorityLevelConfiguration", "exempt", lambda spec: spec["exempt"].update(lendablePercent=50)
        ),
        [],
    ),
    "what is exempt stays exempt": (
        changed("PriorityLevelConfiguration", "exempt", lambda spec: spec.update(limited={})),
        [
            "spec.limited: Forbidden: must be nil if the type is not Limited",
            'spec: Invalid value: {"Type":"Exempt","Limited":{"NominalConcurrencyShares":30,"LimitResponse":{"Type":"",'
            '"Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":{"NominalConcurrencyShares":0,'
            "\"LendablePercent\":0}}: spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
        ],
    ),
    "what is left over keeps its shares": (
        changed(
            "PriorityLevelConfiguration",
            "catch-all",
            lambda spec: spec["limited"].update(
                nominalConcurrencyShares=6, limitResponse={"type": "Queue", "queuing": {}}
            ),
        ),
        [
            'spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":6,"LimitResponse":{"Type":"Queue",'
            '"Queuing":{"Queues":64,"HandSize":8,"QueueLengthLimit":50}},"LendablePercent":0,"BorrowingLimitPercent":null},'
            "\"Exempt\":null}: spec of 'catch-all' must equal the fixed value"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_mandatory(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_whoever_is_unknown_comes_first_in_what_is_left_over() -> None:
    subjects = SCHEMAS["catch-all"]["rules"][0]["subjects"]
    assert [one["group"]["name"] for one in subjects] == ["system:unauthenticated", "system:authenticated"]
