"""What the authenticators need of CEL: a text turned into something that is evaluated on one variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class ExpressionError(Exception):
    """A text that is no expression, or one that failed; the text says why."""


class Expression(Protocol):
    """One compiled expression."""

    @property
    def text(self) -> str: ...

    def evaluate(self, value: Any) -> Any:
        """Return a plain value for the value of the expression's variable. Raises ExpressionError."""
        ...


Compile = Callable[[str, str], Expression]
"""(text, name of its one variable) -> expression. Raises ExpressionError."""


def no_expressions(text: str, variable: str) -> Expression:
    """Refuse every expression."""
    raise ExpressionError("expressions are not supported here")
