"""How deep expressions nest and how long their chains are: what the API takes, every pass here takes."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from tiphys.apimachinery.cel import (
    Budget,
    CompileError,
    CostExceeded,
    Environment,
    EvaluationError,
    TakesLong,
    depth,
    patience,
    to_json,
    types,
)
from tiphys.apimachinery.cel.depth import on_new_stack
from tiphys.apimachinery.cel.parser import parse
from tiphys.apimachinery.cel.values import equals

ENVIRONMENT = Environment({"b": types.BOOL, "d": types.DYN, "i": types.INT, "l": types.list_of(types.INT)})
VALUES = {"b": False, "d": {"a": 1}, "i": 1, "l": [1]}
WITHIN = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250"
UPON = "ERROR: <input>:-1:0: max recursion depth exceeded"
Build = Callable[[int], str]


def nested(before: str, inner: str, after: str) -> Build:
    return lambda levels: before * levels + inner + after * levels


def chained(first: str, link: str) -> Build:
    return lambda links: first + link * links


# Each takes so many levels or links, and is refused with one more.
LIMITS: dict[str, tuple[Build, int, str, Any]] = {
    "parentheses": (nested("(", "i", ")"), 249, WITHIN, 1),
    "calls": (nested("dyn(", "i", ")"), 249, WITHIN, 1),
    "nots": (nested("!(", "b", ")"), 249, WITHIN, True),
    "minuses": (nested("-(", "i", ")"), 249, WITHIN, -1),
    "loops": (nested("[1].all(x, ", "b", ")"), 249, WITHIN, False),
    "keys": (nested("{'a': 1}[{1: 'a'}[", "1", "]]"), 124, WITHIN, 1),
    "ternaries": (chained("b ? 1 : ", "b ? 1 : "), 248, WITHIN, None),
    "sums on the right": (nested("1 + (", "i", ")"), 124, WITHIN, 125),
    "products in sums on the right": (nested("1 + i * (", "i", ")"), 83, WITHIN, 84),
    "relations on the right": (nested("true == (", "b", ")"), 124, WITHIN, False),
    "sums": (chained("i", " + 1"), 250, UPON, 251),
    "products": (chained("i", " * 1"), 250, UPON, 1),
    "texts": (chained("'a'", " + 'a'"), 250, UPON, "a" * 251),
    "relations": (chained("b", " == true"), 250, UPON, False),
    "fields": (chained("d", ".a"), 250, UPON, EvaluationError),
    "optional fields": (chained("d", ".?b"), 250, UPON, None),
    "items": (chained("d", "['b']"), 250, UPON, EvaluationError),
    "calls of members": (chained("'A'", ".lowerAscii()"), 250, UPON, "a"),
    "loops over loops": (chained("l", ".map(x, x)"), 250, UPON, [1]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_the_api_takes_is_taken(name: str) -> None:
    build, most, _, wanted = LIMITS[name]
    text = build(most) + ("2" if name == "ternaries" else "")
    program = ENVIRONMENT.compile(text)
    assert program.cost_estimate().most > 0 or name == "ternaries"
    if wanted is EvaluationError:
        with pytest.raises(EvaluationError, match="no such key"):
            program.evaluate(VALUES)
    elif wanted is not None:
        assert program.evaluate(VALUES) == wanted


@pytest.mark.parametrize("name", LIMITS)
def test_and_no_more(name: str) -> None:
    build, most, fault, _ = LIMITS[name]
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(build(most + 1) + ("2" if name == "ternaries" else ""))
    assert str(caught.value) == fault


LONG = {
    "and": " && ".join(["i == 1"] * 1500),
    "or": " || ".join(["b"] * 1500) + " || true",
    "a list": "size([" + ", ".join(["i"] * 4000) + "]) == 4000",
    "a map": "size({" + ", ".join(f"{n}: i" for n in range(1500)) + "}) == 1500",
    "alternatives at every level": "[b && b || b, " * 40 + "true" + "].exists(x, dyn(x) == true)" * 40,
    "signs": "!" * 20_000 + "true",
}


@pytest.mark.parametrize("name", LONG)
def test_what_is_beside_each_other_is_not_deep(name: str) -> None:
    program = ENVIRONMENT.compile(LONG[name])
    program.cost_estimate()
    assert program.evaluate(VALUES) is True


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_values_nest_deeper_than_calls_can(wrap: Callable[[Any], Any]) -> None:
    value, same, other = 1, 1, 2
    for _ in range(3000):
        value, same, other = wrap(value), wrap(same), wrap(other)
    environment = Environment({"v": types.DYN, "w": types.DYN})
    for expression, wanted in {"v == w": True, "[v, 1] == [w, 1]": True, "w in [1, v]": True}.items():
        program = environment.compile(expression)
        assert program.evaluate({"v": value, "w": same}) is wanted
        assert program.evaluate({"v": value, "w": other}) is not wanted
    found = to_json(environment.compile("v").evaluate({"v": value}))
    assert equals(found, same)
    assert not equals(found, other)


LEAST: dict[str, int] = {
    "((1 + ((7))))": 6,
    "(((1 + 2 + 3 + 4 + (5 + 6))))": 7,
    "(1 + 1 + 1) + 1 + 1 + 1": 5,
    "(((1 + 1 + 1))) + 1 + 1 + 1": 5,
    "1 + (1 + 1 + 1 + 1 + 1)": 5,
    "(a.b.c).d.e.f": 5,
    "f(a.b.c.d).e": 4,
    "x + f(a.b.c.d, 1) + y": 5,
    "x + a[b.c.d.e] + y": 6,
    "x + a.f(b.c.d.e, 1) + y": 6,
    "x + Msg{f: a.b.c.d, g: 1} + y": 5,
    "x + [[a.b.c.d, 1], 1][0] + y": 6,
    "x + {'k': a.b.c.d, 'j': 1}['k'] + y": 6,
    "x + {a.b.c.d.e: 1, 'j': 2}['j'] + y": 7,
    "((a && b && c.d.e).f)": 3,
    "-a.b / c.d - e.f": 3,
    "[a.b.c.d.e]": 4,
    "{1: {2: {3: a.b.c}}}": 4,
    "a.b.c.d.e.Msg{f: x.y.z}.g": 3,
    "a.b.c.d ? x : y": 4,
    "(a ? b : c) + 1 + 1 + 1": 4,
    "(-a.b / c.d - e.f || x)": 3,
    "a == b * (c == d + e * (f))": 6,
    "a" + "[1]" * 20 + (" != a" + "[1]" * 20) * 13: 33,
}


@pytest.mark.parametrize("text", LEAST)
def test_levels_are_counted_as_the_api_counts_them(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (LEAST[text], LEAST[text] - 1):
        monkeypatch.setattr(depth, "MAX_DEPTH", most)
        if most == LEAST[text]:
            parse(text, {})
        else:
            with pytest.raises(CompileError, match="exceeded"):
                parse(text, {})


def test_types_nest_as_deep() -> None:
    one = "[" * 246 + "i" + "]" * 246
    program = ENVIRONMENT.compile(f"{one} == {one}")
    assert program.evaluate(VALUES) is True
    with pytest.raises(CompileError, match=r"found no matching overload for '_\+_' applied to '\(int, list"):
        ENVIRONMENT.compile(f"1 + {one}")


def test_faults_of_syntax_are_told_before_it_nests_too_deep() -> None:
    for text, faults in {
        "@ * " + "(" * 300: [(1, "token recognition"), (3, "extraneous input '*'")],
        "* 1 + (" + "2 * i + (" * 200 + "@": [(1, "extraneous input '*'")],
        "* " + "true == (" * 200: [(1, "extraneous input '*'")],
        "(" * 300 + "@": [],
        "as.b + (" + "(" * 300: [],
    }.items():
        with pytest.raises(CompileError) as caught:
            ENVIRONMENT.compile(text)
        found = [(issue.offset + 1, issue.message) for issue in caught.value.issues]
        assert found[0] == (0, "expression recursion limit exceeded: 250")
        assert [offset for offset, _ in found[1:]] == [offset for offset, _ in faults]
        assert all(told in message for (_, message), (_, told) in zip(found[1:], faults, strict=True))


def test_chains_that_are_too_long_are_told_beside_faults_of_syntax() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("1" + "+1" * 300 + "+")
    assert [issue.message.split(" expecting")[0] for issue in caught.value.issues] == [
        "max recursion depth exceeded",
        "Syntax error: mismatched input '<EOF>'",
    ]


def test_far_up_the_stack_there_is_room_too() -> None:
    text = "[1].map(x, " * 246 + "[{'a': 1}]" + ")" * 246

    def call(frames: int) -> Any:
        return call(frames - 1) if frames else ENVIRONMENT.compile(text).evaluate(VALUES)

    found = call(250)
    for _ in range(246):
        (found,) = found
    assert found == [{"a": 1}]


def test_limits_of_cost_hold_as_deep() -> None:
    program = ENVIRONMENT.compile("[" * 240 + "l.map(x, x)" + "]" * 240)
    many = {"l": list(range(5000))}
    with pytest.raises(CostExceeded):
        program.evaluate(many, Budget(per_call=1000))
    with patience(1000), pytest.raises(TakesLong):
        program.evaluate(many)
    budget = Budget()
    program.evaluate(many, budget)
    assert budget.last > 5000


def test_a_new_stack_is_as_the_old_one() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    token = variable.set("seen")
    assert on_new_stack(variable.get) == "seen"
    assert on_new_stack(sorted, [2, 1], reverse=False) == [1, 2]
    assert on_new_stack(threading.get_ident) != threading.get_ident()
    with pytest.raises(KeyError, match="why"):
        on_new_stack(VALUES.__getitem__, "why")
    variable.reset(token)


def test_a_stack_is_kept_for_the_next_call_and_no_more_than_one() -> None:
    def stacks() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "deep-expression"]

    def within(levels: int) -> list[str]:
        deeper = on_new_stack(within, levels - 1) if levels else []
        return [threading.current_thread().name, *deeper]

    assert on_new_stack(within, 3) == ["deep-expression"] * 4
    used = {on_new_stack(threading.get_ident) for _ in range(5)}
    assert len(used) == 1
    for one in stacks():
        if one.ident not in used:
            one.join(10)
    assert [one.ident for one in stacks()] == list(used)


def test_a_forked_process_has_stacks_of_its_own() -> None:
    on_new_stack(threading.get_ident)
    child = os.fork()
    if child == 0:
        os._exit(on_new_stack(lambda: 7))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_stack_that_is_kept_holds_nothing_of_what_was_done() -> None:
    class Large:
        pass

    gone, large = threading.Event(), Large()
    weakref.finalize(large, gone.set)
    assert on_new_stack(lambda one: type(one).__name__, large) == "Large"
    del large
    assert gone.wait(30)
