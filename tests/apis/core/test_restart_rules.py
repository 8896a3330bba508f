"""Faults of a container's restart rules, and of secrets that must be JSON."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.apis.core.test_pod_validation import faults, make

from tiphys.apis.core.config_validation import validate_secret

AT = "spec.containers[0]"
RULES = f"{AT}.restartPolicyRules"
CODES = {"operator": "In", "values": [3]}


def ruled(*rules: dict[str, Any], policy: str | None = "Never") -> dict[str, Any]:
    chosen = {"restartPolicy": policy} if policy else {}
    return make(restartPolicyRules=list(rules), **chosen)


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "restart": (ruled({"action": "Restart", "exitCodes": CODES}), []),
    "all of them": (ruled({"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn"}}), []),
    "no policy": (
        ruled({"action": "Restart", "exitCodes": CODES}, policy=None),
        [f"{AT}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    "policy": (
        make(restartPolicy="Sometimes"),
        [
            f'{AT}.restartPolicy: Unsupported value: "Sometimes": supported values: '
            '"Always", "Never", "OnFailure"'
        ],
    ),
    "action": (
        ruled({"action": "DoNotRestart", "exitCodes": CODES}),
        [
            f'{RULES}[0].action: Unsupported value: "DoNotRestart": supported values: "Restart", '
            '"RestartAllContainers"'
        ],
    ),
    "operator": (
        ruled({"action": "Restart", "exitCodes": {"values": [1]}}),
        [f'{RULES}[0].exitCodes.operator: Unsupported value: "": supported values: "In", "NotIn"'],
    ),
    "no codes": (ruled({"action": "Restart"}), [f"{RULES}[0].exitCodes: Required value: must be specified"]),
    "too many codes": (
        ruled({"action": "Restart", "exitCodes": {"operator": "In", "values": list(range(256))}}),
        [f"{RULES}[0].exitCodes.values: Too many: 256: must have at most 255 items"],
    ),
    "too many rules": (
        ruled(*[{"action": "Restart", "exitCodes": CODES}] * 21),
        [f"{RULES}: Too many: 21: must have at most 20 items"],
    ),
}


@pytest.mark.parametrize(("pod", "expected"), CASES.values(), ids=CASES)
def test_rules(pod: dict[str, Any], expected: list[str]) -> None:
    assert faults(pod) == expected


def test_rules_of_an_init_container() -> None:
    init = {"name": "i", "image": "x", "restartPolicyRules": [{"action": "Restart", "exitCodes": CODES}]}
    assert faults(make({"initContainers": [init]})) == [
        "spec.initContainers[0].restartPolicy: Required value: "
        "must specify restartPolicy when restart rules are used"
    ]


JSON = {
    "object": ('{"auths":{}}', ""),
    "null": ("null", ""),
    "empty": ("", "unexpected end of JSON input"),
    "cut off": ('{"auths":', "unexpected end of JSON input"),
    "word": ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
    "mark": ("<a>", "invalid character '<' looking for beginning of value"),
    "list": ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    "number": ("5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    "truth": ("true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
}


@pytest.mark.parametrize(("text", "expected"), JSON.values(), ids=JSON)
def test_docker_config(text: str, expected: str) -> None:
    data = {".dockerconfigjson": base64.b64encode(text.encode()).decode()}
    found = validate_secret({"type": "kubernetes.io/dockerconfigjson", "data": data})
    redacted = 'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
    assert [str(fault) for fault in found] == ([redacted + expected] if expected else [])
