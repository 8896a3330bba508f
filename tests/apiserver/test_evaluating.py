"""Long evaluations make way for the event loop; short ones stay on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import pytest

from tiphys.apimachinery.cel import Budget, CostExceeded, Environment, EvaluationError, declare, types
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis import meta_validation
from tiphys.apis.apiextensions.rule_checks import Rules
from tiphys.apiserver.evaluating import LARGE_BYTES, UNITS, aside, evaluate
from tiphys.apiserver.registry import machinery, ownership, raw_values

NUMBERS = build_custom({"type": "array", "items": {"type": "integer"}})
DECLARED = declare(NUMBERS)
assert DECLARED is not None
ENVIRONMENT = Environment({"self": DECLARED})
SHORT = "self.size() > 0"
LONG = "self.all(a, self.all(b, a + b >= 0))"


def ruled(names: Iterable[str]) -> Schema:
    """A schema with a rule at each of these fields, none of which may be zero."""
    rules = [{"rule": "self > 0"}]
    fields = {name: {"type": "integer", "x-kubernetes-validations": rules} for name in names}
    return build_custom({"type": "object", "properties": fields})


def running(text: str, values: list[int], budget: Budget, threads: list[str]) -> Any:
    program = ENVIRONMENT.compile(text, types.BOOL)

    def run() -> Any:
        threads.append(threading.current_thread().name)
        return program.evaluate({"self": values}, budget)

    return run


async def test_short_ones_stay() -> None:
    threads: list[str] = []
    assert await evaluate(running(SHORT, [1], Budget(), threads)) is True
    assert threads == [threading.current_thread().name]


async def test_many_in_a_row_let_others_in() -> None:
    """As one write's do, that a hundred policies are asked about."""
    others: list[int] = []
    count = 40
    for done in range(count):
        asyncio.get_running_loop().call_soon(others.append, done)
        assert await evaluate(running(SHORT, [1], Budget(), [])) is True
        if others:
            break
    assert others


async def test_long_ones_start_over_on_a_thread() -> None:
    threads: list[str] = []
    ticks = 0
    running_still = True

    async def tick() -> None:
        nonlocal ticks
        while running_still:
            await asyncio.sleep(0)
            ticks += 1

    other = asyncio.ensure_future(tick())
    budget = Budget()
    assert await evaluate(running(LONG, list(range(60)), budget, threads)) is True
    running_still = False
    await other
    assert budget.last > UNITS
    assert threads[0] == threading.current_thread().name
    assert threads[1].startswith("evaluate")
    assert ticks > 1


@pytest.mark.parametrize(("values", "error"), [(list(range(60)), CostExceeded), ([-1, 0], EvaluationError)])
async def test_what_a_thread_raises_is_raised(values: list[int], error: type[Exception]) -> None:
    threads: list[str] = []
    text = LONG if error is CostExceeded else "self[5] == 1"
    with pytest.raises(error):
        await evaluate(running(text, values, Budget(per_call=2 * UNITS), threads))
    assert len(threads) == (2 if error is CostExceeded else 1)


async def test_many_short_ones_are_long_together() -> None:
    threads: list[str] = []
    program = ENVIRONMENT.compile(LONG, types.BOOL)

    def run() -> list[Any]:
        threads.append(threading.current_thread().name)
        return [program.evaluate({"self": list(range(10))}) for _ in range(30)]

    assert await evaluate(run) == [True] * 30
    assert len(threads) == 2


async def test_a_spent_budget_is_not_long_but_over() -> None:
    """What may not cost more than was spent before patience ended is refused at once."""
    threads: list[str] = []
    with pytest.raises(CostExceeded):
        await evaluate(running(LONG, list(range(60)), Budget(per_call=100), threads))
    assert len(threads) == 1


async def test_rules_are_compiled_on_a_thread_where_they_are_many() -> None:
    """A rule is compiled when it is first asked: one stays, many do not, and that once."""
    threads: list[str] = []

    async def check(count: int, rules: Rules, value: dict[str, int]) -> None:
        def run() -> list[FieldError]:
            threads.append(threading.current_thread().name)
            return rules.check(value)

        assert len(await evaluate(run)) == count

    own = threading.current_thread().name
    few, many = (dict.fromkeys("abcdefghijklmnop"[:count], 0) for count in (1, 16))
    await check(1, Rules(ruled(few)), few)
    assert threads == [own]
    rules = Rules(ruled(many))
    await check(16, rules, many)
    assert (threads[1], threads[2][:8]) == (own, "evaluate")
    await check(16, rules, many)
    assert threads[3:] == [own]


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES])
async def test_what_is_done_elsewhere_knows_for_whom(size: int) -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    whose.set("this request's")

    def where() -> tuple[str, bool]:
        return whose.get(), threading.current_thread() is threading.main_thread()

    told = ("this request's", size < LARGE_BYTES)
    assert await aside(size, where) == await evaluate(where, size) == told


@pytest.mark.parametrize("large", [False, True])
async def test_large_objects_are_looked_through_on_a_thread(
    api: Any, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Reading, completing, checking and warning, whether it is the body that is large or what it changes."""
    seen: dict[str, set[bool]] = {}
    on_loop = threading.current_thread()

    def watched(module: Any, name: str) -> None:
        run = getattr(module, name)

        def watching(*args: Any, **named: Any) -> Any:
            seen.setdefault(name, set()).add(threading.current_thread() is on_loop)
            return run(*args, **named)

        monkeypatch.setattr(module, name, watching)

    for module, names in (
        (machinery, ("decode_in_place", "validate_create")),
        (meta_validation, ("validate_meta_update", "validate_labels")),
        (ownership, ("manage_update", "apply_managed")),
        (machinery, ("respelled",)),
        (raw_values, ("stored",)),
    ):
        for name in names:
            watched(module, name)
    labels = {f"k{number}": "v" for number in range(12_000 if large else 10)}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}}
    path = "/api/v1/namespaces/default/configmaps"
    await api.create(path, config)
    await api.put(f"{path}/a", config)
    applied = await api.patch(f"{path}/a?fieldManager=m&force=true", config, "apply")
    assert applied.status == 200
    assert (await api.patch(f"{path}/a", {"metadata": {"labels": {"b": "c"}}})).status == 200
    assert len(seen) == 8
    assert set().union(*seen.values()) == {not large}
