"""CEL in configuration files of authentication and authorization: one text, one variable.

Owns: what ``claims``, ``user`` and ``request`` are to an expression, and turning what comes of one into plain
values. Source: the "Authenticating" and "Authorization" pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from tiphys.apimachinery.cel import (
    CompileError,
    CostExceeded,
    Declaration,
    Environment,
    EvaluationError,
    Program,
    ResultTypeError,
    object_declaration,
    types,
)
from tiphys.apimachinery.cel.declarations import plain
from tiphys.apimachinery.cel.values import is_list, is_map


class ExpressionError(Exception):
    """A text that is no expression, or one that failed; the text says why."""


class Expression(Protocol):
    """One compiled expression."""

    @property
    def text(self) -> str: ...

    def selects(self, field: str) -> bool:
        """Tell whether it reads that field of its variable."""
        ...

    def evaluate(self, value: Any) -> Any:
        """Return a plain value for the value of the expression's variable. Raises ExpressionError."""
        ...


class CelExpression:
    """A program over one variable. Equal texts are equal: files that are read again change nothing."""

    def __init__(self, text: str, variable: str, program: Program) -> None:
        self.text = text
        self._variable = variable
        self._program = program

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelExpression) and (self.text, self._variable) == (
            other.text,
            other._variable,
        )

    def __hash__(self) -> int:
        return hash((self.text, self._variable))

    def selects(self, field: str) -> bool:
        return self._program.selects(self._variable, field)

    def evaluate(self, value: Any) -> Any:
        try:
            return _plain(self._program.evaluate({self._variable: value}))
        except (EvaluationError, CostExceeded) as error:
            raise ExpressionError(f"expression '{self.text}' resulted in error: {error}") from error


def compile_expression(text: str, variable: str, *, boolean: bool = False) -> Expression:
    """Compile a text over ``claims``, ``user`` or ``request``. Raises ExpressionError."""
    told = variable == "request"  # upstream tells what type it is instead only of match conditions
    try:
        program = _environment(variable).compile(text, types.BOOL if boolean and not told else None)
        if boolean and program.result != types.BOOL:
            raise ResultTypeError(f"must evaluate to bool but got {program.result}")
    except CompileError as error:
        raise ExpressionError(error.told()) from error
    return CelExpression(text, variable, program)


@cache
def _environment(variable: str) -> Environment:
    return Environment({variable: _VARIABLES[variable]()})


def _object(name: str, *strings: str, **others: Declaration) -> Declaration:
    fields: Mapping[str, Declaration] = {**{key: plain(types.STRING) for key in strings}, **others}
    return object_declaration(name, fields)


def _claims() -> Declaration:
    return plain(types.map_of(types.STRING, types.ANY))


def _user() -> Declaration:
    return _object("kubernetes.UserInfo", "username", "uid", **_groups_and_extra())


def _groups_and_extra() -> dict[str, Declaration]:
    strings = types.list_of(types.STRING)
    return {"groups": plain(strings), "extra": plain(types.map_of(types.STRING, strings))}


def _selector(name: str) -> Declaration:
    requirement = types.object_of(
        "kubernetes.SelectorRequirement",
        {"key": types.STRING, "operator": types.STRING, "values": types.list_of(types.STRING)},
    )
    return _object(f"kubernetes.{name}", "rawSelector", requirements=plain(types.list_of(requirement)))


def _request() -> Declaration:
    return _object(
        "kubernetes.SubjectAccessReviewSpec",
        "user",
        "uid",
        **_groups_and_extra(),
        resourceAttributes=_object(
            "kubernetes.ResourceAttributes",
            "namespace", "verb", "group", "version", "resource", "subresource", "name",
            fieldSelector=_selector("FieldSelectorAttributes"),
            labelSelector=_selector("LabelSelectorAttributes"),
        ),
        nonResourceAttributes=_object("kubernetes.NonResourceAttributes", "path", "verb"),
    )  # fmt: skip


_VARIABLES = {"claims": _claims, "user": _user, "request": _request}


def _plain(value: Any) -> Any:
    if is_list(value):
        return [_plain(one) for one in value]
    if is_map(value):
        return {key: _plain(value[key]) for key in value}
    return value


class Compile(Protocol):
    """Turns a text over a variable into an expression."""

    def __call__(self, text: str, variable: str, *, boolean: bool = False) -> Expression:
        """Raises ExpressionError, also where ``boolean`` is wanted and something else comes of it."""
        ...
