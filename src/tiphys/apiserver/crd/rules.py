"""Runs the CEL rules of a schema (``x-kubernetes-validations``) over custom objects.

Owns: what ``self`` and ``oldSelf`` are at each node, and the faults that broken rules become. The language is
the ``cel`` package's; rules that use what it lacks (optionals, quantities) are let through, and the log says
so when the definition is served.

Source: "Validation rules" of CustomResourceDefinitions.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.node import MISSING, Schema

log = logging.getLogger(__name__)
KEY = "x-kubernetes-validations"
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_ROOT_META = ("name", "generateName")
_REASONS = {
    "FieldValueForbidden": "FieldValueForbidden",
    "FieldValueRequired": "FieldValueRequired",
    "FieldValueDuplicate": "FieldValueDuplicate",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule; ``of_update`` rules speak of ``oldSelf`` and so need one."""

    program: Any
    message_program: Any
    of_update: bool
    source: dict[str, Any]

    @property
    def message(self) -> str:
        return (self.source.get("message") or "").strip() or f"failed rule: {self.source['rule'].strip()}"


class Rules:
    """The rules of one schema, by the node that they stand at."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rules: dict[int, list[Rule]] = {}
        self._below: dict[int, bool] = {}
        self._compile(schema)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def _compile(self, node: Schema) -> bool:
        """Compile the rules of a node and all below it; tell whether there are any."""
        own = [rule for source in node.constraints.get(KEY) or () if (rule := _compiled(source)) is not None]
        if own:
            self._rules[id(node)] = own
        children = [*node.properties.values(), node.items, node.additional]
        below = [self._compile(child) for child in children if child is not None]
        found = self._below[id(node)] = bool(own) or any(below)
        return found

    def check(self, new: Any, old: Any = MISSING) -> list[FieldError]:
        """Return the faults of an object; ``old`` is what it was before an update."""
        return list(self._node(new, old, self._schema, "", root=True))

    def _node(
        self, new: Any, old: Any, node: Schema, path: str, *, root: bool = False
    ) -> Iterator[FieldError]:
        if new is None or not self._below.get(id(node)):
            return
        rules = self._rules.get(id(node), ())
        if rules:
            variables = {"self": _value(new, node, root=root)}
            before = MISSING if old is None or old is MISSING else _value(old, node, root=root)
            for rule in rules:
                if not rule.of_update:
                    yield from _run(rule, variables, node, path)
                elif before is not MISSING:
                    yield from _run(rule, {**variables, "oldSelf": before}, node, path)
        if type(new) is dict:
            for key, item in new.items():
                child = node.child(key)
                if child is not None:
                    earlier = old.get(key, MISSING) if type(old) is dict else MISSING
                    named = key in node.properties
                    inner = f"{path}.{key}".removeprefix(".") if named else f"{path}[{key}]"
                    yield from self._node(item, earlier, child, inner)
        elif type(new) is list and node.items is not None:
            for index, item in enumerate(new):
                yield from self._node(item, _partner(item, old, node), node.items, f"{path}[{index}]")


def _partner(item: Any, old: Any, node: Schema) -> Any:
    """Return what an item of a list map was before; items of other lists have no identity."""
    if node.list_type != "map" or type(old) is not list or type(item) is not dict:
        return MISSING
    keys = node.list_map_keys
    for one in old:
        if type(one) is dict and all(one.get(key) == item.get(key) for key in keys):
            return one
    return MISSING


def _compiled(source: dict[str, Any]) -> Rule | None:
    import cel

    try:
        program = cel.compile(source["rule"])
        message = source.get("messageExpression")
        said = cel.compile(message) if message else None
    except ValueError as error:
        log.warning("a validation rule is left out: %s", str(error).splitlines()[0])
        return None
    return Rule(program, said, "oldSelf" in program.variables(), source)


def _run(rule: Rule, variables: dict[str, Any], node: Schema, path: str) -> Iterator[FieldError]:
    shown = node.type or ("" if not node.int_or_string else "integer or string")
    place = path or "<nil>"
    if rule.source.get("fieldPath"):
        place = f"{path}{rule.source['fieldPath']}".removeprefix(".")
    try:
        if rule.program.execute(_context(variables)) is True:
            return
    except KeyError as error:
        text = f"no such key: {error.args[0]} evaluating rule: {rule.message}"
        yield field_errors.invalid(place, shown, text)
        return
    except RuntimeError as error:
        if "Undefined variable or function" in str(error):
            return
        yield field_errors.invalid(place, shown, f"{error} evaluating rule: {rule.message}")
        return
    except (TypeError, ValueError) as error:
        yield field_errors.invalid(place, shown, f"{error} evaluating rule: {rule.message}")
        return
    fault = field_errors.invalid(place, shown, _message(rule, variables))
    reason = _REASONS.get(rule.source.get("reason") or "")
    yield FieldError(reason, fault.field, fault.detail) if reason else fault


def _message(rule: Rule, variables: dict[str, Any]) -> str:
    if rule.message_program is not None:
        try:
            text = rule.message_program.execute(_context(variables))
        except (KeyError, RuntimeError, TypeError, ValueError):
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return rule.message


def _context(variables: dict[str, Any]) -> Any:
    import cel
    from cel.stdlib import add_stdlib_to_context

    context = cel.Context(variables)
    add_stdlib_to_context(context)
    context.add_function("find", _find)
    context.add_function("findAll", lambda text, pattern: re.compile(pattern).findall(text))
    context.add_function("isSorted", lambda items: items == sorted(items))
    context.add_function("isURL", _is_url)
    return context


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match.group() if match else ""


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and (bool(parts.netloc) or parts.path.startswith("/"))


def _escaped(key: str) -> str:
    if key in _RESERVED:
        return f"__{key}__"
    for found, wanted in _ESCAPES:
        key = key.replace(found, wanted)
    return key


def _value(value: Any, node: Schema, *, root: bool = False) -> Any:
    """Return a value as CEL sees it: typed by its schema, and only what the schema declares."""
    if type(value) is dict:
        return _fields(value, node, root=root or node.embedded_resource)
    if type(value) is list:
        return value if node.items is None else [_value(item, node.items) for item in value]
    if type(value) is int and node.type == "number":
        return float(value)
    if type(value) is str and node.type == "string":
        return _typed(value, node.format)
    return value


def _fields(value: dict[str, Any], node: Schema, *, root: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, item in value.items():
        if root and key == "metadata":
            made[key] = {name: item[name] for name in _ROOT_META if name in item}
        elif root and key in ("apiVersion", "kind"):
            made[key] = item
        elif key in node.properties:
            made[_escaped(key)] = _value(item, node.properties[key])
        elif node.additional is not None:
            made[key] = _value(item, node.additional)
    return made


def _typed(value: str, format_: str | None) -> Any:
    try:
        if format_ == "date-time":
            return parse_time(value)
        if format_ == "byte":
            return base64.b64decode(value)
    except ValueError:
        return value
    return value
