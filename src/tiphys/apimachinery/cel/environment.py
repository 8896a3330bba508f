"""The way in: an environment says what expressions may refer to, and compiles them to programs.

Source: cel-spec and "Common Expression Language in Kubernetes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.apimachinery.cel import estimate, types
from tiphys.apimachinery.cel.ast import Call, Ident, Literal, Node, Select, children
from tiphys.apimachinery.cel.checker import Checker, Scope
from tiphys.apimachinery.cel.declarations import Declaration, plain
from tiphys.apimachinery.cel.errors import (
    CompileError,
    CostExceeded,
    EvaluationError,
    InstantiationError,
    ResultTypeError,
)
from tiphys.apimachinery.cel.evaluate import Compiler
from tiphys.apimachinery.cel.frame import Budget, Frame, Run
from tiphys.apimachinery.cel.functions import FunctionTable, Library
from tiphys.apimachinery.cel.libraries import KUBERNETES
from tiphys.apimachinery.cel.messages import MESSAGES
from tiphys.apimachinery.cel.parser import Macros, parse
from tiphys.apimachinery.cel.patience import PATIENCE
from tiphys.apimachinery.cel.ranges import Range
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.cel.values import ABSENT

_TYPE_NAMES: dict[str, Type] = {
    "bool": types.BOOL, "int": types.INT, "uint": types.UINT, "double": types.DOUBLE, "string": types.STRING,
    "bytes": types.BYTES, "null_type": types.NULL, "type": types.TYPE,
    "list": types.list_of(types.DYN), "map": types.map_of(types.DYN, types.DYN),
    **{name: message.type for name, message in MESSAGES.items()},
}  # fmt: skip


_VALUES = {"timestamp": plain(types.TIMESTAMP), "duration": plain(types.DURATION)}
"""Names of types that the checker takes for variables of these types. No value is ever given to them."""


def _no_struct(name: str) -> Type | None:
    return None


class Environment:
    """What is declared; make one for each set of variables and keep it.

    ``structs`` finds the types of objects that expressions may make, by name.
    """

    def __init__(
        self,
        variables: Mapping[str, Type | Declaration],
        libraries: Iterable[Library] = KUBERNETES,
        *,
        structs: Callable[[str], Type | None] = _no_struct,
    ) -> None:
        self._libraries = tuple(libraries)
        self._structs = structs
        self.variables: dict[str, Declaration] = {
            name: plain(given) if isinstance(given, Type) else given for name, given in variables.items()
        }
        functions, self._macros, names = _tables(self._libraries)
        declared = {name: one.type for name, one in (_VALUES | self.variables).items()}
        self._scope = Scope(declared, functions, names, structs)

    def extend(self, variables: Mapping[str, Type | Declaration]) -> Environment:
        """Return an environment with more variables."""
        return Environment({**self.variables, **variables}, self._libraries, structs=self._structs)

    def compile(self, expression: str, expected: Type | None = None) -> Program:
        """Parse, check and compile.

        Raises:
            CompileError: the text is no expression, refers to what is not there, or mixes types.
            ResultTypeError: its type is not the expected one.
            InstantiationError: there is no running it.
        """
        try:
            node, source = parse(expression, self._macros)
            checker = Checker(source, self._scope)
            result = checker.check(node)
            if expected is not None and result != expected:
                raise ResultTypeError(f"must evaluate to {expected}")
            declared = _VALUES | self.variables
            names = [name for name in declared if name in checker.used]
            compiler = Compiler(names)
            step = compiler.visit(node)
        except EvaluationError as error:
            raise InstantiationError(str(error)) from error
        used = {name: declared[name] for name in names}
        bounds = estimate.Bounds(used, self.variables.get(_NAMES_LIKE))
        return Program(expression, node, bounds, step.run, compiler.slots)


_NAMES_LIKE = "self"
"""Where rules stand at a value, the API takes the names of types for as large as it."""
_Tables = tuple[FunctionTable, Macros, Mapping[str, Type]]
_made: dict[tuple[str, ...], _Tables] = {}


def _tables(libraries: tuple[Library, ...]) -> _Tables:
    """Join libraries; the few sets that are in use are joined once."""
    key = tuple(library.name for library in libraries)
    found = _made.get(key)
    if found is None:
        macros: Macros = dict(macro for library in libraries for macro in library.macros)
        names = {type_.name: type_ for library in libraries for type_ in library.types}
        found = _made[key] = (FunctionTable(libraries), macros, {**_TYPE_NAMES, **names})
    return found


class Program:
    """A compiled expression; evaluate it as often as needed, from any one thread at a time."""

    def __init__(self, expression: str, node: Node, bounds: estimate.Bounds, run: Run, slots: int) -> None:
        self.expression = expression
        self.result: Type = node.type
        self._node = node
        self._bounds = bounds
        self._variables = bounds.variables
        self._run = run
        self._empty = [ABSENT] * slots

    @property
    def variables(self) -> frozenset[str]:
        """Names of the declared variables that the expression refers to."""
        return frozenset(self._variables)

    def selects(self, variable: str, name: str) -> bool:
        """Tell whether the field of that name of a variable is selected anywhere, optionally too."""
        waiting = [self._node]
        while waiting:
            node = waiting.pop()
            match node:
                case Select(operand=Ident(name=whose), name=field) if (whose, field) == (variable, name):
                    return True
                case Call(function="_?._", args=[Ident(name=whose), Literal(value=field)]) if (
                    whose,
                    field,
                ) == (variable, name):
                    return True
            waiting += children(node)
        return False

    def cost_estimate(self) -> Range:
        """Return the least and the most that it can cost, by the bounds of its variables' declarations."""
        return estimate.estimate(self._node, self._bounds)

    def evaluate(self, activation: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Return the value for these variables (JSON where they are declared by schema).

        Raises:
            EvaluationError: there is none.
            CostExceeded: it cost more than one call may; the budget is charged in any case.
            TakesLong: it cost more than there is patience for.
        """
        budget = budget or Budget()
        slots = self._empty.copy()
        for index, (name, declared) in enumerate(self._variables.items()):
            if name in activation:
                given = activation[name]
                slots[index] = given if declared.wrap is None or given is None else declared.wrap(given)
        patience = PATIENCE.get()
        frame = Frame(slots, budget.per_call, patience)
        try:
            value = self._run(frame)
        except EvaluationError:
            frame.settle()
            raise
        except RecursionError as error:
            raise EvaluationError("expression recursion limit exceeded") from error
        finally:
            budget.spend(frame.cost)
            if patience is not None:
                patience.left -= frame.cost
        frame.settle()
        return value


__all__ = [
    "Budget",
    "CompileError",
    "CostExceeded",
    "Environment",
    "EvaluationError",
    "InstantiationError",
    "Program",
    "ResultTypeError",
]
