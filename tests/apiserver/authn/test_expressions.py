"""Expressions of configuration files: their variables, their results, their failures."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authn.expressions import ExpressionError, compile_expression

CLAIMS = {"sub": "jane", "groups": ["a", "b"], "n": 1, "address": {"city": "x"}, "empty": None}
USER = {"username": "jane", "groups": ["dev"], "extra": {"k": ["v"]}}
REQUEST = {
    "user": "jane", "uid": "", "groups": ["dev"], "extra": {},
    "resourceAttributes": {"namespace": "a", "verb": "get", "resource": "pods", "name": ""},
}  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "text", "want"),
    [
        ("claims", CLAIMS, "claims.sub", "jane"),
        ("claims", CLAIMS, "'x:' + claims.sub", "x:jane"),
        ("claims", CLAIMS, "dyn(claims.groups).map(g, 'g:' + g)", ["g:a", "g:b"]),
        ("claims", CLAIMS, "claims.groups", ["a", "b"]),
        ("claims", CLAIMS, "claims.?none.orValue('y')", "y"),
        ("claims", CLAIMS, "claims.address.city", "x"),
        ("claims", CLAIMS, "claims.empty", None),
        ("claims", CLAIMS, "claims.n == 1 && has(claims.sub)", True),
        ("user", USER, "user.username.startsWith('j') && 'dev' in user.groups", True),
        ("user", USER, "user.extra['k'][0]", "v"),
        ("request", REQUEST, "request.resourceAttributes.verb in ['get', 'list']", True),
        ("request", REQUEST, "has(request.nonResourceAttributes)", False),
        ("request", REQUEST, "request.resourceAttributes.name == ''", True),
    ],
)
def test_results(variable: str, value: Any, text: str, want: Any) -> None:
    assert compile_expression(text, variable).evaluate(value) == want


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("claims", "claims.x +", "compilation failed: ERROR: <input>"),
        (
            "claims",
            'size(claims.groups.filter(g, g == "a")) == 1',
            "<input>:1:12: expression of type 'any' cannot be range of a comprehension",
        ),
        ("claims", "request.user", "undeclared reference to 'request'"),
        ("claims", "claims + 1", r"overload for '_\+_' applied to '\(map\(string, any\), int\)'"),
        ("user", "user.nobody", "undefined field 'nobody'"),
    ],
)
def test_what_does_not_compile(variable: str, text: str, fault: str) -> None:
    with pytest.raises(ExpressionError, match=fault):
        compile_expression(text, variable)


def test_rules_give_booleans() -> None:
    with pytest.raises(ExpressionError, match="must evaluate to bool"):
        compile_expression("'a'", "claims", boolean=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'true'", "string"),
        ("dyn(true)", "dyn"),
        ("request.groups", "list(string)"),
        ("request.resourceAttributes", "kubernetes.ResourceAttributes"),
        ("request.resourceAttributes.fieldSelector", "kubernetes.FieldSelectorAttributes"),
        ("request.resourceAttributes.labelSelector", "kubernetes.LabelSelectorAttributes"),
        ("request.resourceAttributes.labelSelector.requirements", "list(kubernetes.SelectorRequirement)"),
    ],
)
def test_match_conditions_give_booleans(text: str, shown: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, "request", boolean=True)
    assert str(caught.value) == f"must evaluate to bool but got {shown}"


def test_what_fails_says_so() -> None:
    with pytest.raises(
        ExpressionError, match=r"expression 'claims\.none' resulted in error: no such key: none"
    ):
        compile_expression("claims.none", "claims").evaluate(CLAIMS)


def test_equal_texts_are_equal() -> None:
    one, two = (compile_expression("claims.sub", "claims") for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != compile_expression("claims.n", "claims")
