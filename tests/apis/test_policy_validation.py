"""Faults of admission policies, their bindings, and match conditions, in the API's words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import copy_object, gvk_of
from tiphys.apis.strategies import strategy_for

RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}


def written(kind: str, spec: dict[str, Any], name: str = "x") -> dict[str, Any]:
    api_version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def validating(**spec: Any) -> dict[str, Any]:
    base = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
    return written("ValidatingAdmissionPolicy", {**base, **spec})


def matching(**rule: Any) -> dict[str, Any]:
    return validating(matchConstraints={"resourceRules": [{**RULE, **rule}]})


def mutating(*mutations: Any, **spec: Any) -> dict[str, Any]:
    base = {
        "matchConstraints": {"resourceRules": [RULE]},
        "mutations": list(mutations),
        "reinvocationPolicy": "Never",
    }
    return written("MutatingAdmissionPolicy", {**base, **spec})


def patches(expression: str, **more: Any) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}, **more}


def applied(expression: str, **more: Any) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}, **more}


def bound(kind: str = "Validating", **spec: Any) -> dict[str, Any]:
    base = {"policyName": "p", **({"validationActions": ["Deny"]} if kind == "Validating" else {})}
    return written(f"{kind}AdmissionPolicyBinding", {**base, **spec})


def point(text: str, column: int, message: str) -> str:
    """What a fault of an expression looks like."""
    return f"compilation failed: ERROR: <input>:1:{column}: {message}\n | {text}\n | {'.' * (column - 1)}^"


V, M = "spec.validations[0]", "spec.mutations[0]"
PARAMS = {"apiVersion": "v1", "kind": "ConfigMap"}
REF = {"name": "n", "parameterNotFoundAction": "Deny"}
ACTION = {"parameterNotFoundAction": "Deny"}

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "good": (validating(), []),
    "no constraints": (validating(matchConstraints=None), ["spec.matchConstraints: Required value"]),
    "what cannot run": (
        validating(validations=[{"expression": "int('x') == 1", "messageExpression": "string(bool('x'))"}]),
        [
            f"{V}.expression: Internal error: program instantiation failed: "
            "type conversion error from 'string' to 'int'",
            f"{V}.messageExpression: Internal error: program instantiation failed: "
            "type conversion error from 'string' to 'bool'",
        ],
    ),
    "failure policy": (
        validating(failurePolicy="x"),
        ['spec.failurePolicy: Unsupported value: "x": supported values: "Fail", "Ignore"'],
    ),
    "no failure policy": (
        validating(failurePolicy=""),
        ['spec.failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"'],
    ),
    "operations": (
        matching(operations=["*", "X"]),
        [
            'spec.matchConstraints.resourceRules[0].operations: Invalid value: ["*","X"]: '
            "if '*' is present, must not specify other operations",
            'spec.matchConstraints.resourceRules[0].operations[1]: Unsupported value: "X": '
            'supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        ],
    ),
    "resources": (
        matching(resources=["*", "pods", ""]),
        [
            "spec.matchConstraints.resourceRules[0].resources[2]: Required value",
            'spec.matchConstraints.resourceRules[0].resources: Invalid value: ["*","pods",""]: '
            "if '*' is present, must not specify other resources without subresources",
        ],
    ),
    "subresources": (
        matching(resources=["pods/*", "pods/log", "*/scale", "deployments/scale"]),
        [
            'spec.matchConstraints.resourceRules[0].resources[1]: Invalid value: "pods/log": '
            "if 'pods/*' is present, must not specify pods/log",
            'spec.matchConstraints.resourceRules[0].resources[3]: Invalid value: "deployments/scale": '
            "if '*/scale' is present, must not specify deployments/scale",
        ],
    ),
    "everything": (
        matching(resources=["*/*", "a/b"]),
        [
            'spec.matchConstraints.resourceRules[0].resources: Invalid value: ["*/*","a/b"]: '
            "if '*/*' is present, must not specify other resources"
        ],
    ),
    "versions": (
        matching(apiVersions=[""]),
        ["spec.matchConstraints.resourceRules[0].apiVersions[0]: Required value"],
    ),
    "resource names": (
        matching(resourceNames=["a/b", "c", "c"]),
        [
            "spec.matchConstraints.resourceRules[0].resourceNames[0]: Invalid value: \"a/b\": "
            "may not contain '/'",
            'spec.matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: "c"',
        ],
    ),
    "match policy": (
        validating(matchConstraints={"resourceRules": [RULE], "matchPolicy": "x"}),
        [
            'spec.matchConstraints.matchPolicy: Unsupported value: "x": '
            'supported values: "Equivalent", "Exact"'
        ],
    ),
    "param kind": (
        validating(paramKind={"apiVersion": "a/b/c"}),
        [
            'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
            "spec.paramKind.kind: Required value",
        ],
    ),
    "param kind without version": (
        validating(paramKind={"apiVersion": "a/", "kind": "A"}),
        ['spec.paramKind.apiVersion: Invalid value: "a/": version must be specified'],
    ),
    "no expression": (
        validating(validations=[{}]), [f"{V}.expression: Required value: expression is not specified"]
    ),
    "unknown name": (
        validating(validations=[{"expression": "x"}]),
        [
            f'{V}.expression: Invalid value: "x": '
            + point("x", 1, "undeclared reference to 'x' (in container '')")
        ],
    ),
    "variables where there are none": (
        validating(validations=[{"expression": "variables.a"}]),
        [
            f'{V}.expression: Invalid value: "variables.a": '
            + point("variables.a", 1, "undeclared reference to 'variables' (in container '')")
        ],
    ),
    "wrong type": (
        validating(validations=[{"expression": "1"}]),
        [f'{V}.expression: Invalid value: "1": must evaluate to bool but got int'],
    ),
    "parameters without a kind": (
        validating(validations=[{"expression": "params == null"}]),
        [
            f'{V}.expression: Invalid value: "params == null": '
            + point("params == null", 1, "undeclared reference to 'params' (in container '')")
        ],
    ),
    "parameters": (validating(paramKind=PARAMS, validations=[{"expression": "params == null"}]), []),
    "message expression": (
        validating(validations=[{"expression": "true", "messageExpression": "authorizer == null"}]),
        [
            f'{V}.messageExpression: Invalid value: "authorizer == null": '
            + point("authorizer == null", 1, "undeclared reference to 'authorizer' (in container '')")
        ],
    ),
    "messages": (
        validating(validations=[{"expression": "true", "message": " ", "messageExpression": " "}]),
        [
            f'{V}.messageExpression: Invalid value: " ": must be non-empty if specified',
            f'{V}.message: Invalid value: " ": must be non-empty if specified',
        ],
    ),
    "message of two lines": (
        validating(validations=[{"expression": "true", "message": "a\nb"}]),
        [f'{V}.message: Invalid value: "a\\nb": must not contain line breaks'],
    ),
    "reason": (
        validating(validations=[{"expression": "true", "reason": "Gone"}]),
        [
            f'{V}.reason: Unsupported value: "Gone": '
            'supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"'
        ],
    ),
    "variables": (
        validating(variables=[{"name": "in", "expression": "1"}, {"name": "", "expression": " "}]),
        [
            'spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier',
            "spec.variables[1].name: Required value: name is not specified",
            "spec.variables[1].expression: Required value: expression is not specified",
        ],
    ),
    "variables have types": (
        validating(
            variables=[{"name": "n", "expression": "1"}],
            validations=[{"expression": "variables.n == 'a'"}],
        ),
        [
            f'{V}.expression: Invalid value: "variables.n == \'a\'": '
            + point(
                "variables.n == 'a'", 13, "found no matching overload for '_==_' applied to '(int, string)'"
            )
        ],
    ),
    "a variable that comes later": (
        validating(
            variables=[{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]
        ),
        [
            'spec.variables[0].expression: Invalid value: "variables.b": '
            + point("variables.b", 10, "undefined field 'b'")
        ],
    ),
    "audit annotations": (
        validating(
            auditAnnotations=[
                {"key": "a", "valueExpression": "1"},
                {"key": "a", "valueExpression": "null"},
                {"key": "b"},
            ]
        ),
        [
            'spec.auditAnnotations[0].valueExpression: Invalid value: "1": '
            "must evaluate to one of [string null_type] but got int",
            'spec.auditAnnotations[1].key: Duplicate value: "a"',
            "spec.auditAnnotations[2].valueExpression: Required value: valueExpression is not specified",
        ],
    ),
    "match conditions": (
        validating(
            matchConditions=[
                {"name": "a", "expression": "1"}, {"name": "a", "expression": "true"}, {"name": "/"},
                {"expression": "variables.x"},
            ]
        ),
        [
            'spec.matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int',
            'spec.matchConditions[1].name: Duplicate value: "a"',
            "spec.matchConditions[2].expression: Required value",
            'spec.matchConditions[2].name: Invalid value: "/": prefix part must be non-empty',
            'spec.matchConditions[2].name: Invalid value: "/": name part must be non-empty',
            "spec.matchConditions[2].name: Invalid value: \"/\": name part must consist of alphanumeric "
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
            "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            'spec.matchConditions[3].expression: Invalid value: "variables.x": '
            + point("variables.x", 1, "undeclared reference to 'variables' (in container '')"),
            "spec.matchConditions[3].name: Required value",
        ],
    ),
    "too many conditions": (
        validating(matchConditions=[{"name": f"c{n}", "expression": "true"} for n in range(65)]),
        ["spec.matchConditions: Too many: 65: must have at most 64 items"],
    ),
    "patch": (mutating(patches('[JSONPatch{op: "add", path: "/a", value: 1}]')), []),
    "apply": (mutating(applied("Object{spec: Object.spec{replicas: 1}}")), []),
    "escaped key": (mutating(patches('[JSONPatch{op: "test", path: jsonpatch.escapeKey("a/b")}]')), []),
    "no mutations": (
        mutating(reinvocationPolicy=None),
        [
            "spec.mutations: Required value: mutations must contain at least one item",
            "spec.reinvocationPolicy: Required value",
        ],
    ),
    "reinvocation": (
        mutating(applied("Object{}"), reinvocationPolicy="Always"),
        ['spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"'],
    ),
    "patch type": (mutating({}), [f"{M}.patchType: Required value"]),
    "other patch type": (
        mutating({"patchType": "x"}),
        [f'{M}.patchType: Unsupported value: "x": supported values: "ApplyConfiguration", "JSONPatch"'],
    ),
    "no patch": (
        mutating({"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}),
        [
            f"{M}.jsonPatch: Required value: must be specified when patchType is JSONPatch",
            f'{M}.applyConfiguration: Invalid value: "{{applyConfiguration}}": must not be specified when '
            "patchType is JSONPatch",
        ],
    ),
    "empty patch": (mutating(patches(" ")), [f"{M}.jsonPatch.expression: Required value"]),
    "patch of another type": (
        mutating(patches("[1]")),
        [
            f'{M}.jsonPatch.expression: Invalid value: "[1]": '
            "must evaluate to list(JSONPatch) but got list(int)"
        ],
    ),
    "object of another type": (
        mutating(applied("Object.spec{}")),
        [
            f'{M}.applyConfiguration.expression: Invalid value: "Object.spec{{}}": '
            "must evaluate to Object but got Object.spec"
        ],
    ),
    "a field that patches have not": (
        mutating(patches('[JSONPatch{what: "x"}]')),
        [
            f'{M}.jsonPatch.expression: Invalid value: "[JSONPatch{{what: \\"x\\"}}]": '
            + point('[JSONPatch{what: "x"}]', 16, "undefined field 'what'")
        ],
    ),
    "nothing is changed in what is deleted": (
        mutating(
            applied("Object{}"), matchConstraints={"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
        ),
        [
            'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": '
            'supported values: "*", "CONNECT", "CREATE", "UPDATE"'
        ],
    ),
    "binding": (bound(paramRef=REF), []),
    "binding of nothing": (
        bound(policyName="", validationActions=[]),
        [
            "spec.policyName: Required value",
            "spec.validationActions: Required value: at least one validation action is required",
        ],
    ),
    "actions": (
        bound(validationActions=["Deny", "Warn", "Deny", "x"]),
        [
            'spec.validationActions[2]: Duplicate value: "Deny"',
            'spec.validationActions[3]: Unsupported value: "x": supported values: "Audit", "Deny", "Warn"',
            'spec.validationActions: Invalid value: ["Deny","Warn","Deny","x"]: must not contain both Deny '
            "and Warn (repeating the same validation failure information in the API response and headers "
            "serves no purpose)",
        ],
    ),
    "empty reference": (
        bound(paramRef={}),
        [
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    ),
    "double reference": (
        bound(paramRef={**REF, "selector": {}}),
        [
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ],
    ),
    "reference to everything": (bound(paramRef={**ACTION, "selector": {}}), []),
    "not found action": (
        bound(paramRef={"name": "n", "parameterNotFoundAction": "x"}),
        [
            'spec.paramRef.parameterNotFoundAction: Unsupported value: "x": '
            'supported values: "Deny", "Allow"'
        ],
    ),
    "matched operations": (
        bound(matchResources={"resourceRules": [{**RULE, "operations": []}]}),
        ["spec.matchResources.resourceRules[0].operations: Required value"],
    ),
    "mutating binding": (bound("Mutating"), []),
    "mutating binding of deletions": (
        bound("Mutating", matchResources={"resourceRules": [{**RULE, "operations": ["DELETE"]}]}),
        [
            'spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": '
            'supported values: "*", "CONNECT", "CREATE", "UPDATE"'
        ],
    ),
}  # fmt: skip


def defaulted(obj: dict[str, Any]) -> dict[str, Any]:
    copy = copy_object(obj)
    strategy_for(gvk_of(obj)).default(copy)
    return copy


@pytest.mark.parametrize("case", CASES)
def test_faults(case: str) -> None:
    obj, expected = CASES[case]
    assert [str(fault) for fault in strategy_for(gvk_of(obj)).validate(defaulted(obj))] == expected


def test_conditions_that_stay_are_not_judged_again() -> None:
    old = defaulted(validating(matchConditions=[{"name": "c", "expression": "nonsense("}]))
    new = copy_object(old)
    new["spec"]["failurePolicy"] = "Ignore"
    check = strategy_for(gvk_of(old)).validate_update
    assert check(new, old) == []
    new["spec"]["paramKind"] = PARAMS  # which changes what the conditions see
    assert [fault.field for fault in check(new, old)] == ["spec.matchConditions[0].expression"]


def test_conditions_are_complete() -> None:
    obj = validating()
    condition = {"type": "a", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    obj["status"] = {"conditions": [condition]}
    faults = strategy_for(gvk_of(obj)).validate_status_update(obj, obj)
    assert [str(fault) for fault in faults] == ["status.conditions[0].reason: Required value: must be set"]


def test_status_warnings_need_their_fields() -> None:
    obj = validating()
    obj["status"] = {"typeChecking": {"expressionWarnings": [{"warning": "w", "fieldRef": "f"}, {}]}}
    path = "status.typeChecking.expressionWarnings[1]"
    faults = strategy_for(gvk_of(obj)).validate_status_update(obj, obj)
    assert [str(fault) for fault in faults] == [
        f"{path}.warning: Required value", f"{path}.fieldRef: Required value"
    ]  # fmt: skip


def test_status_warnings_are_of_a_field() -> None:
    obj = validating()
    refs = ("spec.validations[0].expression", " spec[foo] ")
    warnings = [{"warning": "w", "fieldRef": ref} for ref in refs]
    obj["status"] = {"typeChecking": {"expressionWarnings": warnings}}
    faults = strategy_for(gvk_of(obj)).validate_status_update(obj, obj)
    assert [str(fault) for fault in faults] == [
        'status.typeChecking.expressionWarnings[1].fieldRef: Invalid value: "spec[foo]": '
        "invalid JSONPath: invalid array index foo"
    ]
