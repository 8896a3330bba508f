"""Turns the text of an expression into a tree, with macros expanded on the way.

The first fault of grammar ends it, and another pass tells that and all others (``syntax_faults``). Length and
depth are bounded.

Source: cel-spec, "Syntax"; the wording of faults is that of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiphys.apimachinery.cel import depth, lexer, syntax_faults
from tiphys.apimachinery.cel.ast import (
    Call,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
)
from tiphys.apimachinery.cel.depth import enter_rule, on_new_stack
from tiphys.apimachinery.cel.errors import CompileError, GivenUp, Source
from tiphys.apimachinery.cel.lexer import Token
from tiphys.apimachinery.cel.types import BOOL, BYTES, DOUBLE, INT, NULL, STRING, UINT
from tiphys.apimachinery.cel.values import Uint

MAX_LENGTH = 100_000
_STACK = 24
"""So many expressions within each other go on one stack: each is a dozen frames."""

Macro = Callable[["Parser", int, Node | None, list[Node]], Node | None]
Macros = Mapping[tuple[str, int, bool], Macro]
"""Macros by name, number of arguments, and whether they are called on something."""

_RELATIONS = frozenset(("<", "<=", ">=", ">", "==", "!=", "in"))
_NAMES = {"in": "@in"}
_NUMBERS = {"INT": (-(2**63), 2**63 - 1, "int"), "UINT": (0, 2**64 - 1, "uint")}


class _SyntaxFault(Exception):
    """What is next does not fit."""


def parse(text: str, macros: Macros) -> tuple[Node, Source]:
    """Return the tree of an expression.

    Raises:
        CompileError: the text is no expression.
    """
    source = Source(text)
    if len(text) > MAX_LENGTH:
        limit = f"expression code point size exceeds limit: size: {len(text)}, limit {MAX_LENGTH}"
        source.report(-1, limit)
        source.raise_issues()
    node, parser = None, Parser(source, macros)
    try:
        node = _read(parser)
    except GivenUp as end:
        source.give_up(end)
    if source.failed:
        syntax_faults.limit(source, parser.tokens)
    source.raise_issues()
    if node is None:
        raise CompileError("no expression")
    return node, source


def _read(parser: Parser) -> Node | None:
    node = None
    try:
        node = parser.whole()
    except _SyntaxFault:
        syntax_faults.report(parser.source, parser.tokens)
    if parser.is_too_tall:
        raise GivenUp(len(parser.source.text), "max recursion depth exceeded")
    return node


class Parser:
    """One pass over the tokens. Macros use ``source`` to report what is wrong with their arguments."""

    def __init__(self, source: Source, macros: Macros) -> None:
        self.source = source
        self._macros = macros
        self.tokens = lexer.tokens(source)
        self._at = 0
        self._expressions = self._relations = self._sums = 0
        """How often each rule is within itself; an operand on the right is within its operator's rule."""
        self._tall = 0
        """How many operators, links and calls are upon each other in what was read last."""
        self.is_too_tall = False

    @property
    def _next(self) -> Token:
        return self.tokens[self._at]

    def _take(self, kind: str) -> Token | None:
        token = self.tokens[self._at]
        if token.kind != kind:
            return None
        self._at += 1
        return token

    def _need(self, kind: str) -> Token:
        token = self._take(kind)
        if token is not None:
            return token
        raise _SyntaxFault

    def _grow(self, beside: int = 0) -> None:
        """Put an operator, a link or a call upon what was read last and what is ``beside`` it."""
        self._tall = max(self._tall, beside) + 1
        if self._tall > depth.MAX_DEPTH:
            self.is_too_tall = True

    def whole(self) -> Node:
        node = self._expression()
        self._need(lexer.EOF)
        return node

    def _expression(self) -> Node:
        self._expressions += 1
        enter_rule(self._expressions, self._next.offset)
        node = on_new_stack(self._ternary) if self._expressions % _STACK == 0 else self._ternary()
        self._expressions -= 1
        return node

    def _ternary(self) -> Node:
        """A ternary or anything that binds closer."""
        node = self._or()
        question = self._take("?")
        if question is not None:
            tall = self._tall
            then = self._or()
            tall = max(tall, self._tall)
            self._need(":")
            otherwise = self._expression()
            self._grow(tall)
            node = Call(question.offset, "_?_:_", None, [node, then, otherwise])
        return node

    def _or(self) -> Node:
        return self._joined("||", "_||_", self._and)

    def _and(self) -> Node:
        return self._joined("&&", "_&&_", self._relation)

    def _joined(self, sign: str, name: str, part: Callable[[], Node]) -> Node:
        first = part()
        if self._next.kind != sign:
            return first
        parts, offsets, tall = [first], [], self._tall
        while (token := self._take(sign)) is not None:
            offsets.append(token.offset)
            parts.append(part())
            tall = max(tall, self._tall)
        self._tall = tall
        return _balanced(name, parts, offsets)

    def _relation(self) -> Node:
        self._relations += 1
        enter_rule(self._relations, self._next.offset)
        node = self._sum()
        while self._next.kind in _RELATIONS:
            token, tall = self._operator()
            self._relations += 1
            enter_rule(self._relations, self._next.offset)
            node = self._binary(token, node, self._sum(), tall)
            self._relations -= 1
        self._relations -= 1
        return node

    def _sum(self) -> Node:
        self._sums += 1
        enter_rule(self._sums, self._next.offset)
        node = self._product()
        while self._next.kind in ("+", "-"):
            token, tall = self._operator()
            node = self._binary(token, node, self._right(self._product), tall)
        self._sums -= 1
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self._next.kind in ("*", "/", "%"):
            token, tall = self._operator()
            node = self._binary(token, node, self._right(self._unary), tall)
        return node

    def _right(self, operand: Callable[[], Node]) -> Node:
        self._sums += 1
        enter_rule(self._sums, self._next.offset)
        node = operand()
        self._sums -= 1
        return node

    def _operator(self) -> tuple[Token, int]:
        """Take an operator; also return how tall what is left of it is."""
        self._at += 1
        return self.tokens[self._at - 1], self._tall

    def _binary(self, token: Token, left: Node, right: Node, beside: int) -> Node:
        self._grow(beside)
        return Call(token.offset, _NAMES.get(token.kind) or f"_{token.kind}_", None, [left, right])

    def _unary(self) -> Node:
        sign = self._next
        if sign.kind == "!" or (sign.kind == "-" and not self._is_negative_number()):
            count = 0
            while self._take(sign.kind) is not None:
                count += 1
            node = self._member()
            return node if count % 2 == 0 else Call(sign.offset, f"{sign.kind}_", None, [node])
        return self._member()

    def _is_negative_number(self) -> bool:
        return self.tokens[self._at + 1].kind in ("INT", "DOUBLE")

    def _member(self) -> Node:
        node = self._primary()
        while True:
            dot = self._take(".")
            tall = self._tall
            if dot is not None:
                node = self._select(node, dot)
            elif (bracket := self._take("[")) is not None:
                optional = self._take("?") is not None
                index = self._expression()
                self._need("]")
                node = Call(bracket.offset, "_[?_]" if optional else "_[_]", None, [node, index])
            else:
                return node
            self._grow(tall)

    def _select(self, operand: Node, dot: Token) -> Node:
        optional = self._take("?") is not None
        name = self._field_name()
        if optional:
            return Call(dot.offset, "_?._", None, [operand, Literal(name.offset, name.text, STRING)])
        opened = self._take("(") if name.kind == "NAME" else None
        if opened is not None:
            return self._call(opened.offset, name.text, operand)
        return Select(dot.offset, operand, name.text)

    def _field_name(self) -> Token:
        """Fields may have names that need backquotes in the language, which the API does not turn on."""
        escaped = self._take("ESCAPED NAME")
        if escaped is not None:
            self.source.report(escaped.offset, "unsupported syntax: '`'")
            return escaped
        return self._need("NAME")

    def _call(self, offset: int, name: str, target: Node | None) -> Node:
        args: list[Node] = []
        tall = 0
        if self._take(")") is None:
            args.append(self._expression())
            tall = self._tall
            while self._take(",") is not None:
                args.append(self._expression())
                tall = max(tall, self._tall)
            self._need(")")
        self._tall = tall
        macro = self._macros.get((name, len(args), target is not None))
        made = macro(self, offset, target, args) if macro is not None else None
        return made if made is not None else Call(offset, name, target, args)

    def _primary(self) -> Node:
        token = self._next
        match token.kind:
            case "(":
                self._at += 1
                node = self._expression()
                self._need(")")
                return node
            case "[":
                self._at += 1
                return self._list(token)
            case "{":
                self._at += 1
                return MapNode(token.offset, self._entries(fields=False))
            case "NAME" | ".":
                return self._name()
        return self._literal()

    def _name(self) -> Node:
        leading = self._take(".")
        name = self._need("NAME")
        text = f".{name.text}" if leading else name.text
        struct = self._struct_name(text)
        if struct is not None:
            return struct
        self._tall = 0
        reserved = name.text in lexer.RESERVED
        offset = (leading or name).offset
        if reserved:
            self.source.report(offset, f"reserved identifier: {name.text}")
        opened = self._take("(")
        if opened is not None:
            return self._call(opened.offset, text, None)
        if reserved:
            return Literal(offset, None, NULL)
        return Ident(name.offset, text)

    def _struct_name(self, first: str) -> Node | None:
        """Read ``a.b.C{...}``, which only the brace tells from a selection."""
        ahead, parts = self._at, [first]
        while self.tokens[ahead].kind == "." and self.tokens[ahead + 1].kind == "NAME":
            parts.append(self.tokens[ahead + 1].text)
            ahead += 2
        if self.tokens[ahead].kind != "{":
            return None
        self._at = ahead + 1
        return StructNode(self.tokens[ahead].offset, ".".join(parts), self._entries(fields=True))

    def _list(self, opened: Token) -> Node:
        elements: list[Node] = []
        optional: set[int] = set()
        tall = self._tall = 0
        if self._take(",") is not None:
            self._need("]")
            return ListNode(opened.offset, elements, frozenset(optional))
        while self._take("]") is None:
            if elements:
                if self._take(",") is None:
                    self._need("]")
                    break
                if self._take("]") is not None:
                    break
            if self._take("?") is not None:
                optional.add(len(elements))
            elements.append(self._expression())
            tall = max(tall, self._tall)
        self._tall = tall
        return ListNode(opened.offset, elements, frozenset(optional))

    def _entries(self, *, fields: bool) -> list[Entry]:
        entries: list[Entry] = []
        tall = self._tall = 0
        if self._take(",") is not None:
            self._need("}")
            return entries
        while self._take("}") is None:
            if entries:
                if self._take(",") is None:
                    self._need("}")
                    break
                if self._take("}") is not None:
                    break
            optional = self._take("?") is not None
            key: Node
            if fields:
                name = self._field_name()
                key = Literal(name.offset, name.text, STRING)
            else:
                key = self._expression()
                tall = max(tall, self._tall)
            colon = self._need(":")
            entries.append(Entry(colon.offset, key, self._expression(), optional))
            tall = max(tall, self._tall)
        self._tall = tall
        return entries

    def _literal(self) -> Node:
        minus = self._take("-")
        token = self._next
        self._at += 1
        self._tall = 0
        match token.kind:
            case "INT" | "UINT":
                return self._whole_number(token, minus)
            case "DOUBLE":
                assert isinstance(token.value, float)
                return Literal((minus or token).offset, -token.value if minus else token.value, DOUBLE)
            case "STRING":
                return Literal(token.offset, token.value, STRING)
            case "BYTES":
                return Literal(token.offset, token.value, BYTES)
            case "true" | "false":
                return Literal(token.offset, token.kind == "true", BOOL)
            case "null":
                return Literal(token.offset, None, NULL)
        raise _SyntaxFault

    def _whole_number(self, token: Token, minus: Token | None) -> Node:
        assert isinstance(token.value, int)
        value = -token.value if minus else token.value
        lowest, highest, name = _NUMBERS[token.kind]
        offset = (minus or token).offset
        if not lowest <= value <= highest or len(token.text) > 4300:
            self.source.report(offset, f"invalid {name} literal")
        return Literal(offset, Uint(value), UINT) if token.kind == "UINT" else Literal(offset, value, INT)


def _balanced(name: str, parts: list[Node], offsets: list[int]) -> Node:
    """Join a chain as a shallow tree; order is kept."""
    if len(parts) == 1:
        return parts[0]
    middle = len(offsets) // 2
    left = _balanced(name, parts[: middle + 1], offsets[:middle])
    right = _balanced(name, parts[middle + 1 :], offsets[middle + 1 :])
    return Call(offsets[middle], name, None, [left, right])
