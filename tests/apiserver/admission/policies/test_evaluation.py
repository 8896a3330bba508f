"""Budgets, variables on demand and questions about rights, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apimachinery.cel import types
from tiphys.apimachinery.cel.library.authorizers import Authorizer
from tiphys.apis.admissionregistration.expressions import Compiled, Composition, Scope
from tiphys.apiserver.admission.policies import conditions as conditions_module
from tiphys.apiserver.admission.policies.conditions import Conditions, ConditionsFailed
from tiphys.apiserver.admission.policies.evaluation import Inputs, OutOfBudget, Result, Run
from tiphys.apiserver.admission.policies.inputs import Rights
from tiphys.apiserver.authz.attributes import Decision as Answer
from tiphys.apiserver.evaluating import evaluate
from tiphys.apiserver.filters.requestinfo import RequestInfo

OBJECT = {"metadata": {"name": "n"}, "items": list(range(10))}


def composition(**variables: str) -> Composition:
    made = Composition(Scope(authorizer=True))
    for name, text in variables.items():
        made.add(name, text)
    return made


def run(made: Composition, remaining: int = 10_000, **values: Any) -> Run:
    return Run(made.variables, Inputs({"object": OBJECT, **values}), remaining)


def test_values_and_errors() -> None:
    made = composition()
    one = run(made)
    assert one.evaluate([made.compile("object.metadata.name"), made.compile("object.none")]) == [
        Result("n"), Result(error="expression 'object.none' resulted in error: no such key: none")
    ]  # fmt: skip
    assert one.one(Compiled("x", None, "compilation failed: y")).error == (
        "compilation error: compilation failed: y"
    )


def test_which_types_variables_show() -> None:
    made = composition(
        number="1", texts="['a']", wrapped="google.protobuf.Int64Value{value: 1}", where="url('https://x')",
        maybe="optional.of(1)", all="google.protobuf.Struct{}", any="google.protobuf.Value{}",
    )  # fmt: skip
    programs = {name: made.compile(f"[variables.{name}]").program for name in made.variables}
    shown = {name: str(program.result) for name, program in programs.items() if program is not None}
    assert shown == {
        "number": "list(int)", "texts": "list(list(string))", "wrapped": "list(dyn)", "where": "list(dyn)",
        "maybe": "list(dyn)", "all": "list(map(string, dyn))", "any": "list(dyn)",
    }  # fmt: skip


def test_what_is_spent_is_gone() -> None:
    made = composition()
    expression = made.compile("object.items.all(i, i < 100)")
    once = run(made)
    once.one(expression)
    cost = 10_000 - once.remaining
    assert cost > 10
    short = run(made, 2 * cost - 1)
    short.one(expression)
    with pytest.raises(OutOfBudget, match="running out of cost budget"):
        short.one(expression)


def test_a_variable_is_paid_for_once() -> None:
    made = composition(small="object.items.filter(i, i < 5)")
    expression = made.compile("size(variables.small) == 5")
    both = run(made)
    both.one(expression)
    first = 10_000 - both.remaining
    both.one(expression)
    assert 10_000 - both.remaining - first < first


def test_variables_fail_where_they_are_used() -> None:
    made = composition(bad="object.none", worse="variables.bad")
    found = run(made).one(made.compile("variables.worse"))
    assert found.error == (
        "expression 'variables.worse' resulted in error: composited variable \"worse\" fails to evaluate: "
        'composited variable "bad" fails to evaluate: no such key: none'
    )
    assert run(made).one(made.compile("has(object.items) || variables.bad")).value is True


def test_variables_that_do_not_compile_fail_when_they_are_used() -> None:
    made = composition(bad="nonsense(")
    error = run(made).one(made.compile("variables.bad")).error
    assert 'composited variable "bad" fails to compile: compilation failed: ERROR' in error


KEPT = {
    "a list": ("[1, 2]", "variables.v[0] == 'a'", "'_==_' applied to '(int, string)'"),
    "a map": ("{'a': 1}", "variables.v['a'] == 'a'", "'_==_' applied to '(int, string)'"),
    "a time": ("timestamp('2020-01-01T00:00:00Z')", "variables.v == 1", "'(timestamp, int)'"),
}


@pytest.mark.parametrize("case", KEPT)
def test_variables_show_the_types_of_what_they_hold(case: str) -> None:
    text, use, fault = KEPT[case]
    assert fault in composition(v=text).compile(use).fault


def test_variables_show_nothing_of_objects() -> None:
    assert not composition(v="request").compile("variables.v.nothing == 1").fault


def conditions(*texts: str) -> Conditions:
    made = composition()
    return Conditions([made.compile(text, types.BOOL) for text in texts], {})


def test_errors_of_conditions_are_told_together() -> None:
    with pytest.raises(ConditionsFailed) as caught:
        conditions("object.a == 1", "object.b == 1").weigh(Inputs({"object": OBJECT})).holds(
            ignore_failure=False
        )
    assert str(caught.value) == (
        "[expression 'object.a == 1' resulted in error: no such key: a, "
        "expression 'object.b == 1' resulted in error: no such key: b]"
    )


COSTLY = "object.items.all(i, i < 100)"
FAILS = "object.none == 1"
WEIGHED: dict[str, tuple[list[str], bool | None, bool | None]] = {
    # conditions, whether they hold where failures are refusals (None: they are told), and where they are not
    "none": ([], True, True),
    "one is true": (["true"], True, True),
    "all are true": (["true", "true"], True, True),
    "one is false": (["false"], False, False),
    "all are false": (["false", "false"], False, False),
    "the first is false": (["false", "true"], False, False),
    "the last is false": (["true", "false"], False, False),
    "one between is false": (["true", "false", "true"], False, False),
    "one is false among some that fail": (["true", FAILS, "false", "true", FAILS], False, False),
    "one fails": ([FAILS], None, False),
    "some fail": (["true", FAILS, "true", FAILS], None, False),
    "they cost too much": (["true", COSTLY], None, False),
    "one is false before they cost too much": (["false", COSTLY], None, False),
    "one is false that costs too much": ([f"!{COSTLY}"], None, False),
}


@pytest.mark.parametrize("case", WEIGHED)
def test_what_conditions_come_to(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(conditions_module, "CONDITIONS_BUDGET", 30)
    texts, strictly, leniently = WEIGHED[case]
    weighed = conditions(*texts).weigh(Inputs({"object": OBJECT}))
    assert weighed.holds(ignore_failure=True) is leniently
    if strictly is not None:
        assert weighed.holds(ignore_failure=False) is strictly
        return
    with pytest.raises(ConditionsFailed, match=r"no such key: none|running out of cost budget"):
        weighed.holds(ignore_failure=False)


def test_few_conditions_are_not_evaluated_beyond_a_false_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rest costs, it is no more than there is left."""
    evaluated: list[str] = []
    one = Run.one

    def noted(run: Run, compiled: Compiled) -> Result:
        evaluated.append(compiled.text)
        return one(run, compiled)

    monkeypatch.setattr(Run, "one", noted)
    inputs = Inputs({"object": OBJECT})
    assert conditions("false", "true", "1 == 1").weigh(inputs).excluded
    assert evaluated == ["false"]
    assert conditions("false", "true", "1 == 1", "2 == 2").weigh(inputs).excluded
    assert evaluated == ["false", "false", "true"]


class Webhook:
    """An authorizer that knows nothing at once, or everything."""

    def __init__(self, *, local: bool) -> None:
        self.local = local
        self.asked: list[str] = []
        self.waited: list[str] = []

    def decide_nowait(self, user: Any, info: RequestInfo) -> Answer | None:
        if not self.local:
            return None
        self.asked.append(info.verb)
        return Answer(allowed=info.verb == "get")

    async def decide(self, user: Any, info: RequestInfo) -> Answer:
        await asyncio.sleep(0)
        self.waited.append(info.verb)
        return Answer(allowed=info.verb == "get")


@pytest.mark.parametrize(("local", "runs"), [(True, 1), (False, 2)])
async def test_rights_are_asked_as_an_expression_goes_on(local: bool, runs: int) -> None:
    """However many answers an expression waits for, it is started once more at most: on a thread."""
    authorizer, begun = Webhook(local=local), 0
    call: Any = SimpleNamespace(user=None, backend=SimpleNamespace(authorizer=authorizer))
    rights, made = Rights(call), composition()
    text = " && ".join(
        f"{'' if verb == 'get' else '!'}authorizer.path('/a').check('{verb}').allowed()"
        for verb in ("get", "put")
    )
    compiled = made.compile(text, types.BOOL)

    def once() -> Result:
        nonlocal begun
        begun += 1
        return run(made, 10_000_000, authorizer=Authorizer(rights.decide)).one(compiled)

    assert (await evaluate(once)).value is True
    assert begun == runs
    assert (authorizer.asked if local else authorizer.waited) == ["get", "put"]
    assert (await evaluate(once)).value is True
    assert begun == runs + 1  # answers are kept for the request
