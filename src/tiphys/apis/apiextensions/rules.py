"""Compiles the CEL rules of a schema's node (``x-kubernetes-validations``). Pure.

Used when a definition is validated, which refuses what does not compile, and when its objects are.

Source: apiextensions.k8s.io/v1, ``ValidationRule``.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.cel import (
    CompileError,
    Declaration,
    Environment,
    Program,
    ResultTypeError,
    declare,
    spend,
    types,
)
from tiphys.apimachinery.cel.values import NONE, Optional
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apis.apiextensions.field_paths import follow

KEY = "x-kubernetes-validations"
SELF, OLD_SELF = "self", "oldSelf"
_COST = 2000
"""Of compiling a rule: about a millisecond."""
_TYPE_NAME = "selfType"
_NO_PROGRAM = "program instantiation failed"


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule; without a program ``fault`` says why, and so for the message's expression."""

    source: dict[str, Any]
    program: Program | None = None
    fault: str = ""
    message: Program | None = None
    said: Program | None = None
    """The message's expression as it is evaluated."""
    message_fault: str = ""
    field: str = ""
    """Where the fault is shown, below the node."""

    @property
    def uses_old_self(self) -> bool:
        if self.program is None:
            return self.fault.startswith(_NO_PROGRAM) and OLD_SELF in self.source["rule"]
        return OLD_SELF in self.program.variables

    @property
    def wants_optional(self) -> bool:
        return bool(self.source.get("optionalOldSelf"))


def rules_of(schema: Schema) -> list[dict[str, Any]]:
    return schema.constraints.get(KEY) or []


def declare_self(schema: Schema, *, root: bool) -> Declaration | None:
    """Declare the node that rules stand at; None where its values have no type."""
    return declare(schema, name=_TYPE_NAME, root=root)


def compile_rules(schema: Schema, declared: Declaration) -> list[CompiledRule]:
    """Compile all rules of one node, not of those below it. Raises TakesLong where nobody can wait."""
    plain = Environment({SELF: declared, OLD_SELF: declared})
    found: list[CompiledRule] = []
    for source in rules_of(schema):
        spend(_COST)
        if source.get("optionalOldSelf"):
            environment = plain.extend({OLD_SELF: _optional(declared)})
            # A message is checked as the rule is, and sees the old value bare: there, or not at all.
            bare = Declaration(types.DYN, known=False, wrap=declared.wrap)
            found.append(_compile(schema, source, environment, plain.extend({OLD_SELF: bare})))
        else:
            found.append(_compile(schema, source, plain, plain))
    return found


def _optional(declared: Declaration) -> Declaration:
    """An old value that may be absent, which MISSING stands for."""

    def wrap(raw: Any) -> Any:
        if raw is MISSING:
            return NONE
        return Optional(raw if declared.wrap is None else declared.wrap(raw))

    return Declaration(types.optional_of(declared.type), known=False, wrap=wrap)


def _compile(
    schema: Schema, source: dict[str, Any], environment: Environment, saying: Environment
) -> CompiledRule:
    """``saying`` is what the message is evaluated in."""
    text = source.get("rule") or ""
    if not text.strip():
        return CompiledRule(source)
    try:
        program = environment.compile(text, types.BOOL)
    except ResultTypeError:
        return CompiledRule(source, fault="cel expression must evaluate to a bool")
    except CompileError as error:
        return CompiledRule(source, fault=error.told())
    message, message_fault = _message(source.get("messageExpression") or "", environment)
    said = message
    if message is not None and saying is not environment and OLD_SELF in message.variables:
        said = saying.compile(message.expression)
    path = field_path(source.get("fieldPath") or "", schema)
    return CompiledRule(source, program, "", message, said, message_fault, path or "")


def _message(text: str, environment: Environment) -> tuple[Program | None, str]:
    if not text.strip():
        return None, ""
    try:
        return environment.compile(text, types.STRING), ""
    except ResultTypeError:
        return None, "messageExpression must evaluate to a string"
    except CompileError as error:
        return None, f"messageExpression {error.told().removeprefix('program ')}"


def field_path(path: str, schema: Schema) -> str | None:
    """Return a rule's field path as faults show it; None where the schema has no such field."""
    try:
        steps, _ = follow(path, schema)
    except ValueError:
        return None
    return "".join(steps).removeprefix(".")
