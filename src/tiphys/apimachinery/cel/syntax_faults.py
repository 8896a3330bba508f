"""Tells all faults of grammar of a text that is no expression.

``report`` is for texts that the parser gave up on. It goes over the tokens once more, and after each fault
goes on as far as it can: one token too many is skipped, one that is missing is made up, and where neither
helps, all is skipped up to a token that may follow one of the rules it is in. From there to the next token
that fits, nothing more is said.

Source: cel-spec, "Syntax"; what is said and how the text is taken up again is that of the API, whose parser
is made by ANTLR (The Definitive ANTLR 4 Reference, "Automatic Error Recovery Strategy").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from tiphys.apimachinery.cel import lexer
from tiphys.apimachinery.cel.depth import enter_rule, on_new_stack
from tiphys.apimachinery.cel.errors import GivenUp, Issue, Source
from tiphys.apimachinery.cel.lexer import Token

MOST_FAULTS = 100
MOST_RECOVERIES = 30
MOST_SKIPPED = 256
_STACK = 16
"""So many expressions within each other go on one stack: each is two dozen frames at most."""

_Kinds = frozenset[str]

_ORDER = (
    lexer.EOF, "==", "!=", "in", "<", "<=", ">=", ">", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",",
    "-", "!", "?", ":", "+", "*", "/", "%", "true", "false", "null", "DOUBLE", "INT", "UINT", "STRING",
    "BYTES", "NAME", "ESCAPED NAME",
)  # fmt: skip
_SHOWN = {
    lexer.EOF: lexer.EOF, "DOUBLE": "NUM_FLOAT", "INT": "NUM_INT", "UINT": "NUM_UINT", "STRING": "STRING",
    "BYTES": "BYTES", "NAME": "IDENTIFIER", "ESCAPED NAME": "ESC_IDENTIFIER",
}  # fmt: skip
_SIGNED = frozenset(("INT", "DOUBLE"))
_LITERALS = frozenset(("true", "false", "null", "DOUBLE", "INT", "UINT", "STRING", "BYTES"))
_PRIMARY = _LITERALS | {"[", "{", "(", ".", "-", "NAME"}
_START = _PRIMARY | {"!"}
_LOGIC = frozenset(("&&", "||"))
_ADDING = frozenset(("+", "-"))
_MULTIPLYING = frozenset(("*", "/", "%"))
_OPERATORS = frozenset(("==", "!=", "in", "<", "<=", ">=", ">", "&&", "||", "+", "-", "*", "/", "%"))
_AFTER_MEMBER = frozenset((".", "["))
_FIELD = frozenset(("NAME", "ESCAPED NAME"))
_NONE: _Kinds = frozenset()
_KEYWORD_AS_NAME = re.compile(r"no viable alternative at input '.(true|false|null)'")


def report(source: Source, tokens: list[Token]) -> None:
    """Report every fault of grammar of a source.

    Raises:
        GivenUp: there is no point in going on.
    """
    _Pass(source, tokens).whole()


def limit(source: Source, tokens: list[Token]) -> None:
    """See to it that there are not too many faults: the last one says so, and nothing else is told then."""
    faults = source.syntax_errors
    if len(faults) <= MOST_FAULTS:
        return
    offsets = [token.offset for token in tokens]

    def found(fault: Issue) -> int:
        """Tokens are told to be at fault once the one after is read, and so what is none in between."""
        after = bisect_right(offsets, fault.offset)
        return fault.offset if "token recognition" in fault.message else offsets[min(after, len(offsets) - 1)]

    faults.sort(key=found)
    last = Issue(faults[MOST_FAULTS].offset, f"Syntax error: More than {MOST_FAULTS} syntax errors")
    source.keep([*faults[:MOST_FAULTS], last])


class _Misfit(Exception):
    """What is next fits no way of the rule; ``state`` is the place in the grammar."""

    def __init__(self, state: str, token: Token, message: str) -> None:
        super().__init__(message)
        self.state, self.token, self.message = state, token, message


class _Depth(NamedTuple):
    """How often each rule is within itself."""

    expressions: int
    relations: int
    sums: int
    is_added: bool = False

    def operand(self) -> _Depth:
        return _Depth(self.expressions, self.relations + 1, self.sums + 1)

    def right_of(self, operator: str, outer: _Depth) -> _Depth:
        """Return how deep the operand is that follows this one: what binds closer is deeper."""
        if operator in _LOGIC:
            return outer.operand()
        if operator in _ADDING:
            return _Depth(self.expressions, self.relations, outer.sums + 2, is_added=True)
        if operator in _MULTIPLYING:
            return self._replace(sums=outer.sums + (3 if self.is_added else 2))
        return _Depth(self.expressions, outer.relations + 2, outer.sums + 1)


class _Pass:
    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self._source = source
        self._tokens = tokens
        self._at = 0
        self._depth = _Depth(0, 0, 0)
        self._rules: list[tuple[_Kinds, bool]] = []
        """What may follow each rule that is under way, and whether nothing need follow in the outer."""
        self._recovering = False
        self._failed_at = -1
        self._failed_in: set[str] = set()
        self._recoveries = 0

    def whole(self) -> None:
        self._rules.append((_NONE, True))
        try:
            self._rule(self._expression, frozenset((lexer.EOF,)), optional=False)
            self._match("start", lexer.EOF, frozenset((lexer.EOF,)), ends=False)
        except _Misfit as misfit:
            self._say(misfit.token, misfit.message)
            self._recover(misfit.state)

    # what is next

    def _kind(self, ahead: int = 0) -> str:
        return self._token(ahead).kind

    def _token(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _consume(self) -> None:
        if self._kind() != lexer.EOF:
            self._at += 1

    def _fits(self) -> None:
        self._recovering, self._failed_at, self._failed_in = False, -1, set()

    # rules and how they recover

    def _rule(self, body: Callable[[], None], follow: _Kinds, *, optional: bool) -> None:
        depth = self._depth
        self._rules.append((follow, optional))
        try:
            body()
        except _Misfit as misfit:
            self._say(misfit.token, misfit.message)
            self._recover(misfit.state)
        self._rules.pop()
        self._depth = depth

    def _recover(self, state: str) -> None:
        self._attempt()
        if self._failed_at == self._at and state in self._failed_in:
            self._consume()
        self._failed_at = self._at
        self._failed_in.add(state)
        self._skip_to(self._all_follows(), MOST_SKIPPED)

    def _attempt(self) -> None:
        if self._recoveries == MOST_RECOVERIES:
            self._recovering = False
            self._say(self._token(), f"error recovery attempt limit exceeded: {MOST_RECOVERIES}")
            raise GivenUp(self._token().offset)
        self._recoveries += 1

    def _all_follows(self) -> _Kinds:
        return _NONE.union(*(follow for follow, _ in self._rules))

    def _skip_to(self, kinds: _Kinds, most: int) -> None:
        skipped = 0
        while self._kind() != lexer.EOF and self._kind() not in kinds:
            if skipped == most:
                message = f"error recovery token lookahead limit exceeded: {most}"
                raise GivenUp(self._token().offset, message)
            self._at += 1
            skipped += 1

    def _say(self, token: Token, message: str) -> None:
        if self._recovering:
            return
        self._recovering = True
        message = _KEYWORD_AS_NAME.sub(r"mismatched input '\1' expecting IDENTIFIER", message)
        self._source.report(token.offset, f"Syntax error: {message}")

    # faults

    def _delete_one(self, wanted: _Kinds) -> bool:
        """Skip one token if the one after it is wanted."""
        if self._kind(1) not in wanted:
            return False
        self._say_extraneous(wanted)
        self._consume()
        self._fits()
        return True

    def _say_extraneous(self, wanted: _Kinds) -> None:
        token = self._token()
        self._say(token, f"extraneous input {_quoted(token.text)} expecting {_listed(wanted)}")

    def _mismatch(self, state: str, wanted: _Kinds) -> _Misfit:
        token = self._token()
        return _Misfit(state, token, f"mismatched input {_quoted(token.text)} expecting {_listed(wanted)}")

    def _no_way(self, state: str, ahead: int) -> _Misfit:
        """No way of the rule goes on with what is next up to ``ahead``."""
        return _Misfit(state, self._token(ahead), f"no viable alternative at input {self._text(ahead)}")

    def _text(self, ahead: int) -> str:
        if self._kind() == lexer.EOF:
            return _quoted(lexer.EOF)
        text = ""
        for token, after in zip(self._tokens[self._at :], self._tokens[self._at + 1 :], strict=False):
            text += token.text
            if token is self._token(ahead):
                break
            text += "".join(lexer.blanks(self._source.text[token.offset + len(token.text) : after.offset]))
        return _quoted(text)

    def _choose(self, state: str, wanted: _Kinds) -> None:
        """See to it that one of the wanted tokens is next, where one must be."""
        if self._recovering or self._kind() in wanted or self._delete_one(wanted):
            return
        raise self._mismatch(state, wanted)

    def _match(self, state: str, kind: str, after: _Kinds, *, ends: bool) -> None:
        """Take a token; ``after`` may follow it, and if it ``ends`` the rule also what may follow that."""
        if self._kind() == kind:
            self._fits()
            self._consume()
            return
        self._attempt()
        wanted = frozenset((kind,))
        if self._delete_one(wanted):
            self._consume()
        elif self._kind() in (after | self._follow() if ends else after):
            token = self._token()
            self._say(token, f"missing {_listed(wanted)} at {_quoted(token.text)}")
        else:
            raise self._mismatch(state, wanted)

    def _take(self) -> None:
        self._fits()
        self._consume()

    def _follow(self) -> _Kinds:
        """Return what may follow the rule that is under way, wherever it is used just now."""
        found: set[str] = set()
        for follow, optional in reversed(self._rules):
            found |= follow
            if not optional:
                return frozenset(found)
        return frozenset((*found, lexer.EOF))

    # the grammar

    def _expression(self) -> None:
        depth = self._depth
        self._enter(_Depth(depth.expressions + 1, depth.relations, depth.sums))
        if self._depth.expressions % _STACK == 0:
            on_new_stack(self._ternary)
        else:
            self._ternary()

    def _enter(self, depth: _Depth) -> None:
        self._depth = depth
        enter_rule(max(depth), self._token().offset)

    def _ternary(self) -> None:
        self._operands(frozenset("?"), optional=True)
        if self._kind() == "?":
            self._take()
            self._operands(frozenset(":"), optional=False)
            self._match("?:", ":", _START, ends=False)
            self._rule(self._expression, _NONE, optional=True)

    def _operands(self, follow: _Kinds, *, optional: bool) -> None:
        """All that binds closer than ``?``: which operator is which makes no difference to faults."""
        outer = self._depth
        self._rules.append((follow, optional))
        operand = outer.operand()
        self._enter(operand)
        self._rule(self._unary, _OPERATORS, optional=True)
        while self._kind() in _OPERATORS:
            operand = operand.right_of(self._kind(), outer)
            self._take()
            self._enter(operand)
            self._rule(self._unary, _OPERATORS, optional=True)
        self._depth = outer
        self._rules.pop()

    def _unary(self) -> None:
        self._choose("unary", _START)
        kind = self._kind()
        if kind == "!":
            while self._kind() == "!":
                self._take()
                if self._kind() not in _START:
                    self._say_extraneous(_START)
                    self._skip_to(_START | self._all_follows(), len(self._tokens))
        elif kind == "-" and self._kind(1) not in _SIGNED:
            self._minuses("unary")
        elif kind not in _PRIMARY:
            raise self._no_way("unary", 0)
        self._rule(self._member, _NONE, optional=True)

    def _minuses(self, state: str) -> None:
        while self._kind() == "-":
            if self._kind(1) not in _PRIMARY:
                raise self._no_way(state, 1)
            self._take()
            state = "minuses"

    def _member(self) -> None:
        self._rule(self._primary, _AFTER_MEMBER, optional=True)
        while self._kind() in _AFTER_MEMBER:
            if self._kind() == "[":
                self._take()
                self._choose("index", _START | {"?"})
                if self._kind() == "?":
                    self._take()
                self._rule(self._expression, frozenset("]"), optional=False)
                self._match("index end", "]", _AFTER_MEMBER, ends=True)
            else:
                self._select()

    def _select(self) -> None:
        if self._kind(1) == "?":
            self._take()
            self._take()
            self._rule(self._field, _AFTER_MEMBER, optional=True)
        elif self._kind(1) == "ESCAPED NAME":
            self._take()
            self._take()
        elif self._kind(1) != "NAME":
            raise self._no_way("select", 1)
        else:
            self._take()
            self._take()
            if self._kind() == "(":
                self._arguments(_AFTER_MEMBER)

    def _arguments(self, after: _Kinds) -> None:
        self._take()
        self._choose("arguments", _START | {")"})
        if self._kind() in _START:
            self._rules.append((frozenset(")"), False))
            self._rule(self._expression, frozenset(","), optional=True)
            while self._kind() == ",":
                self._take()
                self._rule(self._expression, frozenset(","), optional=True)
            self._rules.pop()
        self._match("arguments end", ")", after, ends=True)

    def _primary(self) -> None:
        self._choose("primary", _PRIMARY)
        match self._kind():
            case "(":
                self._take()
                self._rule(self._expression, frozenset(")"), optional=False)
                self._match("nested end", ")", _NONE, ends=True)
            case "[":
                self._items("list", "]", _START | {"?"}, self._element)
            case "{":
                self._items("map", "}", _START | {"?"}, self._entry)
            case "." | "NAME":
                self._name()
            case "-":
                self._rule(self._signed, _NONE, optional=True)
            case kind if kind in _LITERALS:
                self._take()
            case _:
                raise self._no_way("primary", 0)

    def _signed(self) -> None:
        if self._kind(1) not in _SIGNED:
            raise self._no_way("literal", 1)
        self._take()
        self._take()

    def _name(self) -> None:
        dot = self._token()
        if self._kind() == ".":
            if self._kind(1) != "NAME":
                raise self._no_way("primary", 1)
            self._take()
        token = self._token()
        ahead = 1
        while self._kind(ahead) == "." and self._kind(ahead + 1) == "NAME":
            ahead += 2
        if self._kind(ahead) == "{":
            for _ in range(ahead):
                self._take()
            self._items("message", "}", _FIELD | {"?"}, self._field_entry)
            return
        if token.text in lexer.RESERVED:
            self._source.report_once(dot.offset, f"reserved identifier: {token.text}")
        self._take()
        if self._kind() == "(":
            self._arguments(_NONE)

    def _items(self, state: str, end: str, starts: _Kinds, item: Callable[[], None]) -> None:
        """A list in brackets or braces, which a comma may end."""
        self._take()
        self._choose(state, starts | {",", end})
        if self._kind() in starts:
            self._rule(lambda: self._separated(item, starts), frozenset((",", end)), optional=False)
        self._choose(f"{state} comma", frozenset((",", end)))
        if self._kind() == ",":
            self._take()
        self._match(f"{state} end", end, _NONE, ends=True)

    def _separated(self, item: Callable[[], None], starts: _Kinds) -> None:
        item()
        while self._kind() == "," and self._kind(1) in starts:
            self._take()
            item()

    def _element(self) -> None:
        self._rule(self._optional_expression, frozenset(","), optional=True)

    def _optional_expression(self) -> None:
        self._choose("optional", _START | {"?"})
        if self._kind() == "?":
            self._take()
        self._rule(self._expression, _NONE, optional=True)

    def _entry(self) -> None:
        self._rule(self._optional_expression, frozenset(":"), optional=False)
        self._value("map colon")

    def _field_entry(self) -> None:
        self._rule(self._optional_field, frozenset(":"), optional=False)
        self._value("message colon")

    def _value(self, state: str) -> None:
        self._match(state, ":", _START, ends=False)
        self._rule(self._expression, frozenset(","), optional=True)

    def _optional_field(self) -> None:
        self._choose("optional field", _FIELD | {"?"})
        if self._kind() == "?":
            self._take()
        self._rule(self._field, _NONE, optional=True)

    def _field(self) -> None:
        self._choose("field", _FIELD)
        if self._kind() not in _FIELD:
            raise self._no_way("field", 0)
        self._take()


def _listed(kinds: _Kinds) -> str:
    shown = [_SHOWN.get(kind, f"'{kind}'") for kind in _ORDER if kind in kinds]
    return shown[0] if len(shown) == 1 else f"{{{', '.join(shown)}}}"


def _quoted(text: str) -> str:
    for plain, escaped in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f"'{text}'"
