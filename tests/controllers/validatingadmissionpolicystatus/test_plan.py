"""Which types a policy is checked for, and what is said of expressions that do not fit them."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, GVR
from tiphys.apis import schemas
from tiphys.controllers.validatingadmissionpolicystatus import plan

DEPLOYMENT, POD = GVK("apps", "v1", "Deployment"), GVK("", "v1", "Pod")
KINDS = {GVR("apps", "v1", "deployments"): DEPLOYMENT, GVR("", "v1", "pods"): POD}


def rule(group: str = "apps", plural: str = "deployments", version: str = "v1") -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": [version], "resources": [plural], "operations": ["CREATE"]}


def policy(*validations: Any, rules: Any = None, generation: int = 1, **spec: Any) -> dict[str, Any]:
    written = [{"expression": one} if isinstance(one, str) else one for one in validations]
    match = {"resourceRules": rules or [rule()]}
    return {
        "metadata": {"name": "p", "generation": generation},
        "spec": {"matchConstraints": match, "validations": written, **spec},
    }


def checked(gvk: GVK) -> plan.Checked:
    declared = plan.declared(gvk, schemas.schema_for(gvk), schemas.object_meta())
    assert declared is not None
    return plan.Checked(gvk, declared)


NAMED: dict[str, tuple[list[dict[str, Any]], list[GVK]]] = {
    "one": ([rule()], [DEPLOYMENT]),
    "two, in order": ([rule(), rule("", "pods")], [POD, DEPLOYMENT]),
    "any group": ([rule("*")], []),
    "any version": ([rule(version="*")], []),
    "any resource": ([rule(plural="*")], []),
    "a subresource": ([rule(plural="deployments/scale")], []),
    "not served": ([rule(plural="boats")], []),
}


@pytest.mark.parametrize("case", NAMED)
def test_kinds(case: str) -> None:
    rules, expected = NAMED[case]
    assert plan.kinds_to_check(plan.named_resources(policy(rules=rules)), KINDS.get) == expected


def test_a_rule_is_checked_for_ten_kinds_at_most() -> None:
    plurals = [f"r{index:02}" for index in range(20)]
    named = [[GVR("g", "v1", plural) for plural in plurals]]
    found = plan.kinds_to_check(named, lambda gvr: GVK(gvr.group, gvr.version, gvr.resource.upper()))
    assert [kind.kind for kind in found] == [plural.upper() for plural in plurals[:10]]


def test_what_fits_gives_no_warning() -> None:
    made = policy(
        {
            "expression": "object.spec.replicas > 1 && variables.first.name != '' && authorizer != null",
            "messageExpression": "'got ' + string(object.spec.replicas)",
        },
        "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp < request.options.x",
        "object.spec.template.spec.containers.all(c, c.image.startsWith('x'))",
        "!has(oldObject.status.replicas) || namespaceObject.metadata.name == 'a'",
        variables=[{"name": "first", "expression": "object.spec.template.spec.containers[0]"}],
    )
    assert plan.warnings(made, [checked(DEPLOYMENT)], None) == []


def test_confused_types_give_a_warning_each() -> None:
    made = policy({
        "expression": "object.spec.replicas > '1'",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    })  # fmt: skip
    assert plan.warnings(made, [checked(DEPLOYMENT)], None) == [
        {
            "fieldRef": "spec.validations[0].expression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' "
            "applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
        },
        {
            "fieldRef": "spec.validations[0].messageExpression",
            "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:28: found no matching overload for '_+_' "
            "applied to '(string, int)'\n | 'wants replicas > 1, got ' + object.spec.replicas\n | "
            "...........................^\n",
        },
    ]


def test_each_kind_is_named_that_does_not_fit() -> None:
    found = plan.warnings(policy("object.spec.replicas > 1"), [checked(POD), checked(DEPLOYMENT)], None)
    assert [one["warning"].split("\n")[0] for one in found] == [
        "/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'"
    ]


def test_parameters_have_types_where_they_are_known() -> None:
    made = policy("params.data.max == 1", paramKind={"apiVersion": "v1", "kind": "ConfigMap"})
    config_map = checked(GVK("", "v1", "ConfigMap")).type
    (typed,) = plan.warnings(made, [checked(DEPLOYMENT)], config_map)
    assert "'_==_' applied to '(string, int)'" in typed["warning"]
    (untyped,) = plan.warnings(made, [checked(DEPLOYMENT)], None)
    assert "undeclared reference to 'params'" in untyped["warning"]


NAME, AUTHORIZER = "object.metadata.name", "kubernetes.authorization.Authorizer"
ENDPOINTS = "authorizer.group('').resource('endpoints')"
CHECKED: dict[str, tuple[str, str, str]] = {
    "an authorizer": (f"{ENDPOINTS}.check('create').allowed()", "", ""),
    "an authorizer asked wrongly": (
        "authorizer.allowed()", "", f"no matching overload for 'allowed' applied to '{AUTHORIZER}"
    ),
    "a variable": ("variables.v == 'x'", NAME, ""),
    "no such variable": ("variables.none == 'x'", NAME, "undefined field 'none'"),
    "a variable of another type": ("variables.v == 1", NAME, "'_==_' applied to '(string, int)'"),
    "a variable that does not compile": ("variables.v == 'x'", "object.none == 1", ""),
    "two faults": ("object.foo < 4 || object.bar > 3", NAME, "undefined field 'bar'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKED)
def test_checked(case: str) -> None:
    expression, variable, text = CHECKED[case]
    made = policy(expression, variables=[{"name": "v", "expression": variable}] if variable else [])
    found = [one["warning"] for one in plan.warnings(made, [checked(DEPLOYMENT)], None)]
    assert [text in one for one in found] == ([True] if text else [])


def test_every_generation_is_checked_once() -> None:
    made = policy("true", generation=2)
    assert plan.is_due(made)
    made["status"] = plan.status(made, [])
    assert made["status"] == {"observedGeneration": 2, "typeChecking": {}}
    assert not plan.is_due(made)
    made["metadata"]["generation"] = 3
    assert plan.is_due(made)
    assert plan.status(made, [{"fieldRef": "f", "warning": "w"}]) == {
        "observedGeneration": 3, "typeChecking": {"expressionWarnings": [{"fieldRef": "f", "warning": "w"}]}
    }  # fmt: skip
