"""Finds the type of every node of a tree and the overloads of every call; says what does not fit.

Every fault is reported, not only the first. What is ``dyn`` fits anywhere and is looked at when it runs.

Source: cel-spec, "Gradual Type Checking"; the wording of faults is that of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiphys.apimachinery.cel import types as t
from tiphys.apimachinery.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
    Visitor,
    children,
)
from tiphys.apimachinery.cel.errors import Source
from tiphys.apimachinery.cel.functions import FunctionTable, Overload
from tiphys.apimachinery.cel.lexer import ESCAPED_RESERVED
from tiphys.apimachinery.cel.messages import CONSTANTS, MESSAGES
from tiphys.apimachinery.cel.types import (
    Bindings,
    Type,
    is_assignable,
    most_general,
    runtime_name,
    substitute,
)
from tiphys.apimachinery.cel.values import TypeValue
from tiphys.apimachinery.dataclass import dataclass

OPTIONAL_SELECT = "_?._"
_LOGIC = frozenset(("_&&_", "_||_"))
_SCALARS = frozenset(("bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"))
"""Names of types that are looked into for fields, and have none."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to."""

    variables: Mapping[str, Type]
    functions: FunctionTable
    type_names: Mapping[str, Type]
    """Names that stand for types (``int``, ``google.protobuf.Timestamp``)."""
    struct: Callable[[str], Type | None]
    """Finds the type of objects that expressions may make."""


class Checker(Visitor[Type]):
    def __init__(self, source: Source, scope: Scope) -> None:
        self._source = source
        self._scope = scope
        self._bound: Bindings = {}
        self._locals: list[tuple[str, Type]] = []
        self._variables = 0
        self.used: set[str] = set()
        """Variables of the scope that the expression refers to."""

    def check(self, root: Node) -> Type:
        """Type a whole tree, in place.

        Raises:
            CompileError: something does not fit.
        """
        self.visit(root)
        self._source.raise_issues()
        self._settle(root)
        self._source.raise_issues()
        return root.type

    def _settle(self, root: Node) -> None:
        waiting, calls = [root], []
        while waiting:
            node = waiting.pop()
            node.type = substitute(self._bound, node.type, free_to_dyn=True)
            waiting += children(node)
            if isinstance(node, Call):
                calls.append(node)
        for call in calls:
            _check_call(self._source, call)

    def visit(self, node: Node) -> Type:
        node.type = super().visit(node)
        return node.type

    def literal(self, node: Literal) -> Type:
        return node.kind

    def _report(self, pos: int, message: str) -> Type:
        self._source.report(pos, message)
        return t.ERROR

    def _is_local(self, name: str) -> bool:
        return any(name == local for local, _ in self._locals)

    def _lookup(self, node: Ident) -> Type | None:
        name = node.name
        if name.startswith("."):
            name = node.name = name[1:]
        else:
            for local, found in reversed(self._locals):
                if local == name:
                    return found
        variable = self._scope.variables.get(name)
        if variable is not None:
            self.used.add(name)
            return variable
        named = self._scope.type_names.get(name) or self._scope.struct(name)
        if named is None:
            node.constant = CONSTANTS.get(name)
            return None if node.constant is None else t.INT
        node.constant = TypeValue(runtime_name(named))
        return t.type_of(named)

    def ident(self, node: Ident) -> Type:
        found = self._lookup(node)
        if found is None:
            return self._report(
                node.pos, f"undeclared reference to '{node.name.lstrip('.')}' (in container '')"
            )
        return found

    def select(self, node: Select) -> Type:
        name = _qualified_name(node)
        if name is not None and not node.test_only and not self._is_local(name.split(".")[0]):
            whole = Ident(node.pos, name)
            found = self._lookup(whole)
            if found is not None:
                node.whole = whole
                whole.type = found
                return found
        found = self._field(node.pos, node.operand, node.name)
        return t.BOOL if node.test_only else found

    def _field(self, pos: int, operand: Node, name: str, *, optional: bool = False) -> Type:
        target = substitute(self._bound, self.visit(operand))
        if target.kind == "optional":
            target, optional = target.params[0], True
        match target.kind:
            case "map":
                found = target.params[1]
            case "object":
                found = t.DYN if target.fields is None else _field(target.fields, name)
                if found == t.ERROR:
                    self._report(pos, f"undefined field '{name}'")
            case "param":
                is_assignable(self._bound, t.DYN, target)
                found = t.DYN
            case "dyn" | "error":
                found = t.DYN
            case _:
                self._report(pos, f"type '{target}' does not support field selection")
                found = t.DYN
        return t.optional_of(found) if optional else found

    def call(self, node: Call) -> Type:
        if node.function == OPTIONAL_SELECT:
            name = node.args[1]
            assert isinstance(name, Literal)
            name.type = t.STRING
            return self._field(node.pos, node.args[0], name.value, optional=True)
        found: list[Overload] | None = None
        if node.target is not None:
            prefix = _qualified_name(node.target)
            if prefix is not None and not self._is_local(prefix.split(".")[0]):
                found = self._scope.functions.find(f"{prefix}.{node.function}")
                if found is not None:
                    node.function, node.target = f"{prefix}.{node.function}", None
        types = [self.visit(arg) for arg in node.args]
        if node.target is not None:
            types.insert(0, self.visit(node.target))
        node.function = node.function.lstrip(".")
        found = found or self._scope.functions.find(node.function)
        if found is None:
            return self._report(node.pos, f"undeclared reference to '{node.function}' (in container '')")
        if node.function in _LOGIC:
            return self._logic(node, found, types)
        return self._resolve(node, found, types)

    def _logic(self, node: Call, overloads: list[Overload], args: list[Type]) -> Type:
        """Each side is told by itself not to be a truth."""
        fits = [self._assign(found, t.BOOL) for found in args]
        for arg, found, fit in zip(node.args, args, fits, strict=True):
            if not fit:
                self._mismatch(arg.pos, t.BOOL, found)
        node.overloads += overloads
        return t.BOOL if all(fits) else t.ERROR

    def _assign(self, one: Type, other: Type) -> bool:
        """Tell whether one type goes with the other; variables are bound only if it does."""
        trial = dict(self._bound)
        if not is_assignable(trial, one, other):
            return False
        self._bound = trial
        return True

    def _mismatch(self, pos: int, wanted: Type, found: Type) -> Type:
        return self._report(pos, f"expected type '{wanted}' but found '{found}'")

    def _resolve(self, node: Call, overloads: list[Overload], args: list[Type]) -> Type:
        result: Type | None = None
        for overload in overloads:
            if overload.member != (node.target is not None) or len(overload.params) != len(args):
                continue
            fresh = self._fresh(overload)
            trial = dict(self._bound)
            if not all(
                is_assignable(trial, found, substitute(fresh, wanted))
                for wanted, found in zip(overload.params, args, strict=True)
            ):
                continue
            self._bound = trial
            node.overloads.append(overload)
            gives = substitute(self._bound, substitute(fresh, overload.result))
            result = gives if result is None or result == gives else t.DYN
        if result is None:
            shown = [str(substitute(self._bound, arg, free_to_dyn=True)) for arg in args]
            signature = (
                f"{shown[0]}.({', '.join(shown[1:])})" if node.target is not None else f"({', '.join(shown)})"
            )
            return self._report(
                node.pos, f"found no matching overload for '{node.function}' applied to '{signature}'"
            )
        return result

    def _fresh(self, overload: Overload) -> Bindings:
        """Give each use of a generic signature variables of its own."""
        fresh: Bindings = {}
        if overload.is_generic:
            for each in (*overload.params, overload.result):
                for variable in _variables(each):
                    if variable not in fresh:
                        fresh[variable] = self._new_variable()
        return fresh

    def _new_variable(self) -> Type:
        self._variables += 1
        return t.param(f"_var{self._variables - 1}")

    def _join(self, pos: int, before: Type | None, found: Type) -> Type:
        """Return the type of all elements so far; they must agree."""
        if before is None:
            return found
        if self._assign(before, found):
            return most_general(before, found)
        return self._mismatch(pos, before, found)

    def make_list(self, node: ListNode) -> Type:
        element: Type | None = None
        for index, item in enumerate(node.elements):
            found = self.visit(item)
            if index in node.optional:
                found = self._unwrapped(item, found)
            element = self._join(item.pos, element, found)
        return t.list_of(element or self._new_variable())

    def _unwrapped(self, node: Node, found: Type) -> Type:
        if found.kind == "optional":
            return found.params[0]
        if found.kind != "dyn":
            self._mismatch(node.pos, t.optional_of(found), found)
        return found

    def make_map(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._join(entry.key.pos, key, self.visit(entry.key))
            found = self.visit(entry.value)
            if entry.optional:
                found = self._unwrapped(entry.value, found)
            value = self._join(entry.value.pos, value, found)
        return t.map_of(key or self._new_variable(), value or self._new_variable())

    def make_struct(self, node: StructNode) -> Type:
        name = Ident(node.pos, node.name)
        named = self.ident(name)
        if named == t.ERROR:
            return named
        node.name = name.name
        found = self._message(node, named)
        for entry in node.entries:
            given = self.visit(entry.value)
            if entry.optional:
                given = self._unwrapped(entry.value, given)
            self._check_field(node, entry, found, given)
        return found

    def _message(self, node: StructNode, named: Type) -> Type:
        """Return the type of objects that a name stands for."""
        if named.kind != "type":
            return self._report(node.pos, f"'{runtime_name(named)}' is not a type")
        found = named.params[0] if named.params else named
        if found.kind != "object" and node.name not in MESSAGES:
            return self._report(node.pos, f"'{runtime_name(found)}' is not a message type")
        return found

    def _check_field(self, node: StructNode, entry: Entry, made: Type, given: Type) -> None:
        assert isinstance(entry.key, Literal)
        name = entry.key.value
        known = MESSAGES.get(node.name)
        if made == t.ERROR:
            self._no_field(entry, node.name)
            return
        fields = made.fields if known is None else known.fields
        if known is not None and fields is None:
            self._report(entry.pos, "unexpected failed resolution of 'google.protobuf.NullValue'")
            return
        wanted = t.DYN if fields is None else fields.get(name)
        if wanted is None:
            self._report(entry.pos, f"undefined field '{name}'")
        elif not self._assign(wanted, given):
            self._report(
                entry.pos, f"expected type of field '{name}' is '{wanted}' but provided type is '{given}'"
            )

    def _no_field(self, entry: Entry, owner: str) -> None:
        """Say what there is to say of a field of what is no message."""
        assert isinstance(entry.key, Literal)
        if owner in _SCALARS:
            self._report(entry.pos, f"undefined field '{entry.key.value}'")
        elif owner != "map":
            self._report(entry.pos, f"unexpected failed resolution of '{owner}'")

    def comprehension(self, node: Comprehension) -> Type:
        over = substitute(self._bound, self.visit(node.iter_range))
        start = self.visit(node.accu_init)
        first, second = self._variables_of(node, over)
        depth = len(self._locals)
        self._locals.append((node.accu_var, start))
        self._locals.append((node.iter_var, first))
        if node.iter_var2 is not None:
            self._locals.append((node.iter_var2, second))
        self._expect(node.condition, t.BOOL)
        self._expect(node.step, start)
        del self._locals[depth + 1 :]
        result = self.visit(node.result)
        del self._locals[depth:]
        return substitute(self._bound, result)

    def _expect(self, node: Node, wanted: Type) -> None:
        found = self.visit(node)
        if not self._assign(wanted, found):
            self._mismatch(node.pos, wanted, found)

    def _variables_of(self, node: Comprehension, over: Type) -> tuple[Type, Type]:
        match over.kind:
            case "list":
                return (t.INT if node.iter_var2 else over.params[0]), over.params[0]
            case "map":
                return over.params[0], over.params[1]
            case "param":
                is_assignable(self._bound, t.DYN, over)
                return t.DYN, t.DYN
            case "dyn" | "error" if over != t.ANY:
                return t.DYN, t.DYN
        text = (
            f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
        )
        self._report(node.iter_range.pos, text)
        return t.ERROR, t.ERROR


def _variables(one: Type) -> list[Type]:
    if one.kind == "param":
        return [one]
    return [variable for each in one.params for variable in _variables(each)]


def _qualified_name(node: Node) -> str | None:
    """Return ``a.b.c`` for a chain of plain selections."""
    parts: list[str] = []
    while isinstance(node, Select):
        if node.test_only:
            return None
        parts.append(node.name)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    return ".".join([node.name, *reversed(parts)]).lstrip(".")


def _check_call(source: Source, node: Call) -> None:
    """What a function reads from a text must be readable where the text is written out."""
    argument = node.args[-1] if node.args else None
    for overload in node.overloads:
        if overload.check is not None:
            for pos, message in overload.check(node):
                source.report(pos, message)
        if overload.literal is None or not isinstance(argument, Literal):
            continue
        if isinstance(argument.value, str):
            try:
                overload.literal(argument.value)
            except ValueError:
                source.report(argument.pos, f"invalid {node.function} argument")
                return


def _field(fields: Mapping[str, Type], name: str) -> Type:
    found = fields.get(name)
    return fields.get(ESCAPED_RESERVED.get(name, name), t.ERROR) if found is None else found
