"""What validation rules take: compiling and running common ones, without a server.

Prints one JSON line: microseconds to compile and to run each, nanoseconds for a unit of cost, and what a rule
that spends its whole budget takes and how long others wait meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import timeit
from functools import partial
from typing import Any

from tiphys.apimachinery.cel import Budget, CostExceeded, Environment, Program, declare, types
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apiserver.evaluating import evaluate

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "replicas": _NUMBER,
        "minReplicas": _NUMBER,
        "name": _TEXT,
        "ports": {"type": "array", "items": {"type": "object", "properties": {"port": _NUMBER}}},
    },
}
_OBJECT = {"replicas": 3, "minReplicas": 1, "name": "abc", "ports": [{"port": port} for port in range(5)]}
_RULES = {
    "compare": "self.minReplicas <= self.replicas",
    "immutable": "self.name == oldSelf.name",
    "pattern": "!has(self.name) || self.name.matches('^[a-z]+$')",
    "all": "self.ports.all(p, p.port < 65536)",
}
_RUNS = 20_000
_COSTLY = "self.ports.all(a, self.ports.all(b, a.port + b.port >= 0))"
_MANY = {**_OBJECT, "ports": [{"port": port} for port in range(1000)]}


async def _whole_budget(program: Program) -> dict[str, float]:
    """Spend a rule's whole budget; return the time, and the longest that the loop stood still."""
    gaps: list[float] = []
    done = False

    async def watch() -> None:
        last = timeit.default_timer()
        while not done:
            await asyncio.sleep(0)
            now = timeit.default_timer()
            gaps.append(now - last)
            last = now

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    start = timeit.default_timer()
    try:
        await evaluate(lambda: program.evaluate({"self": _MANY}))
    except CostExceeded:
        took = timeit.default_timer() - start
    done = True
    await watching
    return {"run_ms": round(took * 1e3), "longest_wait_ms": round(max(gaps) * 1e3, 1)}


def main() -> None:
    declared = declare(build_custom(_SCHEMA))
    assert declared is not None
    environment = Environment({"self": declared, "oldSelf": declared})
    activation = {"self": _OBJECT, "oldSelf": _OBJECT}
    result: dict[str, Any] = {"row": "cel_rules"}
    for name, text in _RULES.items():
        compiling = timeit.timeit(partial(environment.compile, text, types.BOOL), number=200) / 200
        program, budget = environment.compile(text, types.BOOL), Budget()
        running = timeit.timeit(partial(program.evaluate, activation, budget), number=_RUNS) / _RUNS
        result[name] = {"compile_us": round(compiling * 1e6, 1), "run_us": round(running * 1e6, 2)}
        result["unit_ns"] = round(running / budget.last * 1e9)
    result["whole_budget"] = asyncio.run(_whole_budget(environment.compile(_COSTLY, types.BOOL)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
