"""Which requests a policy keeps, and what is wrong with a policy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tiphys.apiserver.audit.policy import BadPolicy, parse
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.requestinfo import parse as words

ALICE = User("alice", groups=("dev",))
POD = "/api/v1/namespaces/default/pods/p"


def policy(*rules: dict[str, Any], **rest: Any) -> str:
    return yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **rest})


@pytest.mark.parametrize(
    ("rule", "method", "path", "kept"),
    [
        ({}, "GET", POD, True),
        ({"users": ["alice"]}, "GET", POD, True),
        ({"users": ["bob"]}, "GET", POD, False),
        ({"userGroups": ["ops", "dev"]}, "GET", POD, True),
        ({"userGroups": ["ops"]}, "GET", POD, False),
        ({"verbs": ["create"]}, "GET", POD, False),
        ({"verbs": ["get"]}, "GET", POD, True),
        ({"namespaces": ["default"]}, "GET", POD, True),
        ({"namespaces": ["kube-system"]}, "GET", POD, False),
        ({"namespaces": [""]}, "GET", "/api/v1/nodes/n", True),
        ({"namespaces": [""]}, "GET", "/livez", False),
        ({"resources": [{"group": ""}]}, "GET", POD, True),
        ({"resources": [{"group": "apps"}]}, "GET", POD, False),
        ({"resources": [{"group": "*", "resources": ["pods"]}]}, "GET", POD, True),
        ({"resources": [{"group": "*", "resources": ["nodes"]}]}, "GET", POD, False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, "GET", POD, True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, "GET", f"{POD}/log", False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, "GET", f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, "GET", f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, "GET", f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["*"]}]}, "GET", f"{POD}/log", True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["p"]}]}, "GET", POD, True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["q"]}]}, "GET", POD, False),
        ({"nonResourceURLs": ["/livez*"]}, "GET", "/livez/ping", True),
        ({"nonResourceURLs": ["/livez"]}, "GET", "/livez/ping", False),
        ({"nonResourceURLs": ["*"]}, "GET", POD, False),
    ],
)
def test_rules(rule: dict[str, Any], method: str, path: str, kept: bool) -> None:
    found = parse(policy({"level": "Metadata", **rule})).judge(ALICE, words(method, path))
    assert found.level == ("Metadata" if kept else "None")


def test_the_first_rule_that_matches_counts() -> None:
    rules = parse(policy({"level": "None", "users": ["alice"]}, {"level": "Request"}))
    assert rules.judge(ALICE, words("GET", POD)).level == "None"
    assert rules.judge(User("bob"), words("GET", POD)).level == "Request"


def test_stages_of_policy_and_rule_are_left_out_together() -> None:
    text = policy({"level": "Request", "omitStages": ["Panic"]}, omitStages=["RequestReceived"])
    found = parse(text).judge(ALICE, words("GET", POD))
    assert found.omit_stages == {"Panic", "RequestReceived"}


@pytest.mark.parametrize(("whole", "own", "wanted"), [(True, None, True), (True, False, False),
                                                      (None, True, True), (None, None, False)])  # fmt: skip
def test_managed_fields(whole: bool | None, own: bool | None, wanted: bool) -> None:
    rule = {"level": "Request"} | ({} if own is None else {"omitManagedFields": own})
    rest = {} if whole is None else {"omitManagedFields": whole}
    found = parse(policy(rule, **rest)).judge(ALICE, words("GET", POD))
    assert found.omit_managed_fields is wanted


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "failed decoding"),
        ("[]", "expected an object"),
        ("kind: Pod\napiVersion: v1", "expected audit.k8s.io/v1 Policy"),
        (policy(), "loaded illegal policy with 0 rules"),
        (policy({}), "rules[0].level: Required value"),
        (policy({"level": "All"}), 'rules[0].level: Unsupported value: "All"'),
        (policy({"level": "None", "nonResourceURLs": ["/x"], "namespaces": ["a"]}),
         "rules cannot apply to both regular resources and non-resource URLs"),
        (policy({"level": "None", "nonResourceURLs": ["x"]}), "must begin with a '/' character"),
        (policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "must be the final character"),
        (policy({"level": "None", "omitStages": ["End"]}), "rules[0].omitStages[0]: Invalid value"),
        (policy({"level": "None"}, omitStages=["End"]), "omitStages[0]: Invalid value"),
    ],
)  # fmt: skip
def test_faults(text: str, fault: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        parse(text)
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BadPolicy) as caught:
        parse(policy({}, {"level": "x"}))
    assert "rules[0]" in str(caught.value)
    assert "rules[1]" in str(caught.value)
