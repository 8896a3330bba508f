"""Which requests a policy keeps, and what is wrong with a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.audit.assembly import AuditOptions, assemble
from tiphys.apiserver.audit.policy import BadPolicy, parse
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import parse as words

ALICE = User("alice", groups=("dev",))
POD = "/api/v1/namespaces/default/pods/p"


def policy(*rules: Any, **rest: Any) -> str:
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


@pytest.mark.parametrize(
    ("rule", "kept"),
    [({"users": ["alice"]}, False), ({"userGroups": ["dev"]}, False), ({"verbs": ["get"]}, True), ({}, True)],
)
def test_a_stranger_is_of_no_users_rule(rule: dict[str, Any], kept: bool) -> None:
    found = parse(policy({"level": "Metadata", **rule})).judge(None, words("GET", POD))
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


GONE = "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy"
BOTH = "rules cannot apply to both regular resources and non-resource URLs"
LEVELS = 'supported values: "None", "Metadata", "Request", "RequestResponse"'
STAGES = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "failed decoding: yaml: line 1: "),
        ("[]", "failed decoding: couldn't get version/kind; json parse error: "),
        ("", GONE),
        ("rules: [{level: None}]", GONE),
        ("kind: Pod\napiVersion: v1", 'failed decoding: no kind "Pod" is registered for version "v1"'),
        ("kind: Policy\napiVersion: audit.k8s.io/v1beta1",
         'failed decoding: no kind "Policy" is registered for version "audit.k8s.io/v1beta1"'),
        (policy(), "loaded illegal policy with 0 rules"),
        (policy({}), "rules[0].level: Required value"),
        (policy({"level": "All"}), f'rules[0].level: Unsupported value: "All": {LEVELS}'),
        (policy({"level": "None", "nonResourceURLs": ["/x"], "namespaces": ["a"]}),
         f'rules[0].nonResourceURLs: Invalid value: ["/x"]: {BOTH}'),
        (policy({"level": "None", "nonResourceURLs": ["x"]}), "must begin with a '/' character"),
        (policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "must be the final character"),
        (policy({"level": "None", "resources": [{"group": "**"}]}),
         'rules[0].resources.group: Invalid value: "**": a lowercase RFC 1123 subdomain must consist'),
        (policy({"level": "None", "resources": [{"group": "apps/v1"}]}), "rules[0].resources.group: Invalid"),
        (policy({"level": "None", "resources": [{"resourceNames": ["leader"]}]}),
         'rules[0].resources.resourceNames: Invalid value: ["leader"]: '
         "using resourceNames requires at least one resource"),
        (policy({"level": "None", "omitStages": ["End"]}),
         f'rules[0].omitStages[0]: Invalid value: "End": {STAGES}'),
        (policy({"level": "None"}, omitStages=["End"]), f'omitStages[0]: Invalid value: "End": {STAGES}'),
        (policy("x"), "failed decoding: a field of the Policy has the wrong type"),
    ],
)  # fmt: skip
def test_faults(text: str, fault: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        parse(text)
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    rule = {"level": "None", "nonResourceURLs": ["a*b"], "omitStages": ["x"]}
    with pytest.raises(BadPolicy) as caught:
        parse(policy({}, rule, omitStages=["w"]))
    assert str(caught.value) == (
        f'[omitStages[0]: Invalid value: "w": {STAGES}, rules[0].level: Required value, '
        "rules[1].nonResourceURLs[0]: Invalid value: \"a*b\": non-resource URL rules must begin with a '/' "
        "character, rules[1].nonResourceURLs[0]: Invalid value: \"a*b\": non-resource URL wildcards '*' must "
        f'be the final character of the rule, rules[1].omitStages[0]: Invalid value: "x": {STAGES}]'
    )


def test_a_kind_is_not_needed_and_strange_fields_are_passed_over() -> None:
    found = parse("apiVersion: audit.k8s.io/v1\nrules: [{level: Request, level: None, user: [a]}]")
    assert found.judge(ALICE, words("GET", POD)).level == "None"
    assert found.strange == (
        'strict decoding error: yaml: unmarshal errors:\n  line 2: key "level" already set in map, '
        'unknown field "rules[0].user"'
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none", 'failed to read file path "{0}/none": open {0}/none: no such file or directory'),
        ("", 'failed to read file path "{0}": read {0}: is a directory'),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        assemble(AuditOptions(tmp_path / name), RealClock())
    assert str(caught.value) == f"loading audit policy file: {text.format(tmp_path)}"
