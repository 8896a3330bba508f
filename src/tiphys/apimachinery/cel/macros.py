"""The macros: calls that stand for comprehensions and presence tests, expanded while parsing.

Each gets the call's place, what it is called on and its arguments, and returns the tree that it stands for;
None leaves the call as it is.

Source: cel-spec, "Macros"; the extensions for two variables, optionals and bindings.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.cel.ast import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
)
from tiphys.apimachinery.cel.parser import Macro, Parser
from tiphys.apimachinery.cel.types import BOOL, INT

_NO_IDENTIFIER = "argument is not an identifier"
NamedMacro = tuple[tuple[str, int, bool], Macro]


def _true(pos: int) -> Node:
    return Literal(pos, True, BOOL)


def _accumulated(pos: int) -> Node:
    return Ident(pos, ACCUMULATOR)


def _call(pos: int, name: str, *args: Node) -> Node:
    return Call(pos, name, None, list(args))


def _simple_name(parser: Parser, node: Node, text: str = "argument must be a simple name") -> str | None:
    if isinstance(node, Ident) and not node.name.startswith("."):
        if node.name in (ACCUMULATOR, "__result__"):
            parser.source.report(node.pos, "iteration variable overwrites accumulator variable")
        return node.name
    parser.source.report(node.pos, text)
    return None


def _names(parser: Parser, nodes: list[Node]) -> tuple[str, str | None] | None:
    """Read the one or two iteration variables of a macro."""
    names = [_simple_name(parser, node) for node in nodes]
    if None in names:
        return None
    if len(names) == 2 and names[0] == names[1]:
        parser.source.report(nodes[1].pos, "duplicate variable name: " + str(names[1]))
        return None
    return str(names[0]), (names[1] if len(names) == 2 else None)


def _has(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    inner = args[0]
    if isinstance(inner, Select) and not inner.test_only:
        return Select(pos, inner.operand, inner.name, test_only=True)
    parser.source.report(inner.pos, "invalid argument to has() macro")
    return None


def _fold(
    parser: Parser,
    pos: int,
    target: Node | None,
    variables: list[Node],
    parts: tuple[Node, Node, Node, Node],
) -> Node | None:
    names = _names(parser, variables)
    if names is None or target is None:
        return None
    start, condition, step, result = parts
    return Comprehension(pos, names[0], names[1], target, ACCUMULATOR, start, condition, step, result)


def _all(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    condition = _call(pos, "@not_strictly_false", _accumulated(pos))
    step = _call(pos, "_&&_", _accumulated(pos), args[-1])
    return _fold(parser, pos, target, args[:-1], (_true(pos), condition, step, _accumulated(pos)))


def _exists(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    condition = _call(pos, "@not_strictly_false", _call(pos, "!_", _accumulated(pos)))
    step = _call(pos, "_||_", _accumulated(pos), args[-1])
    start = Literal(pos, False, BOOL)
    return _fold(parser, pos, target, args[:-1], (start, condition, step, _accumulated(pos)))


def _exists_one(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    more = _call(pos, "_+_", _accumulated(pos), Literal(pos, 1, INT))
    step = _call(pos, "_?_:_", args[-1], more, _accumulated(pos))
    result = _call(pos, "_==_", _accumulated(pos), Literal(pos, 1, INT))
    return _fold(parser, pos, target, args[:-1], (Literal(pos, 0, INT), _true(pos), step, result))


def _appending(
    parser: Parser, pos: int, target: Node | None, variables: list[Node], rest: list[Node]
) -> Node | None:
    """Collect values in a list; with two in ``rest``, the first one filters."""
    step = _call(pos, "_+_", _accumulated(pos), ListNode(pos, [rest[-1]]))
    if len(rest) == 2:
        step = _call(pos, "_?_:_", rest[0], step, _accumulated(pos))
    parts = (ListNode(pos, []), _true(pos), step, _accumulated(pos))
    return _fold(parser, pos, target, variables, parts)


def _map(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    if not isinstance(args[0], Ident):
        _simple_name(parser, args[0], _NO_IDENTIFIER)
        return None
    return _appending(parser, pos, target, args[:1], args[1:])


def _filter(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    if not isinstance(args[0], Ident):
        _simple_name(parser, args[0], _NO_IDENTIFIER)
        return None
    return _appending(parser, pos, target, args[:1], [args[1], Ident(args[0].pos, args[0].name)])


def _transform_list(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    return _appending(parser, pos, target, args[:2], args[2:])


def _inserting(insert: Callable[[int, list[Node]], Node]) -> Macro:
    """Collect entries in a map; the third of four arguments filters."""

    def expand(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
        step = insert(pos, args)
        if len(args) == 4:
            step = _call(pos, "_?_:_", args[2], step, _accumulated(pos))
        parts = (MapNode(pos, []), _true(pos), step, _accumulated(pos))
        return _fold(parser, pos, target, args[:2], parts)

    return expand


def _insert_value(pos: int, args: list[Node]) -> Node:
    key = args[0]
    name = key.name if isinstance(key, Ident) else ACCUMULATOR
    return _call(pos, "cel.@mapInsert", _accumulated(pos), Ident(key.pos, name), args[-1])


def _insert_entry(pos: int, args: list[Node]) -> Node:
    return _call(pos, "cel.@mapInsert", _accumulated(pos), args[-1])


def _bound(pos: int, name: str, value: Node, result: Node) -> Node:
    """A variable for one expression: a comprehension over nothing."""
    never = Literal(pos, False, BOOL)
    return Comprehension(
        pos, "#unused", None, ListNode(pos, []), name, value, never, Ident(pos, name), result
    )


def _bind(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
    if not (isinstance(target, Ident) and target.name == "cel"):
        return None
    name = _simple_name(parser, args[0], "cel.bind() variable names must be simple identifiers")
    return None if name is None else _bound(pos, name, args[1], args[2])


def _optional_map(*, flat: bool) -> Macro:
    macro = "optFlatMap" if flat else "optMap"

    def expand(parser: Parser, pos: int, target: Node | None, args: list[Node]) -> Node | None:
        text = f"{macro}() variable name must be a simple identifier"
        name = _simple_name(parser, args[0], text)
        if name is None or target is None:
            return None
        # The target stands there twice: whether it is set, and what it holds.
        made = _bound(pos, name, Call(pos, "value", target, []), args[1])
        if not flat:
            made = _call(pos, "optional.of", made)
        return _call(pos, "_?_:_", Call(pos, "hasValue", target, []), made, _call(pos, "optional.none"))

    return expand


STANDARD: tuple[NamedMacro, ...] = (
    (("has", 1, False), _has),
    (("all", 2, True), _all),
    (("exists", 2, True), _exists),
    (("exists_one", 2, True), _exists_one),
    (("existsOne", 2, True), _exists_one),
    (("map", 2, True), _map),
    (("map", 3, True), _map),
    (("filter", 2, True), _filter),
)
TWO_VARIABLES: tuple[NamedMacro, ...] = (
    (("all", 3, True), _all),
    (("exists", 3, True), _exists),
    (("existsOne", 3, True), _exists_one),
    (("exists_one", 3, True), _exists_one),
    (("transformList", 3, True), _transform_list),
    (("transformList", 4, True), _transform_list),
    (("transformMap", 3, True), _inserting(_insert_value)),
    (("transformMap", 4, True), _inserting(_insert_value)),
    (("transformMapEntry", 3, True), _inserting(_insert_entry)),
    (("transformMapEntry", 4, True), _inserting(_insert_entry)),
)
OPTIONAL: tuple[NamedMacro, ...] = (
    (("optMap", 2, True), _optional_map(flat=False)),
    (("optFlatMap", 2, True), _optional_map(flat=True)),
)
BINDINGS: tuple[NamedMacro, ...] = ((("bind", 3, True), _bind),)
