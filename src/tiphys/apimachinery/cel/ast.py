"""The tree of an expression. ``pos`` is an offset in the source, ``type`` is what the checker found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import Any, Generic, TypeVar

from tiphys.apimachinery.cel.depth import on_new_stack
from tiphys.apimachinery.cel.functions import Overload
from tiphys.apimachinery.cel.types import DYN, Type
from tiphys.apimachinery.dataclass import dataclass

ACCUMULATOR = "@result"
"""The variable of a comprehension that no expression can name."""


@dataclass(slots=True, eq=False)
class Node:
    pos: int
    type: Type = field(default=DYN, init=False)


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A constant; ``kind`` tells 1 from 1u and "a" from b"a"."""

    value: Any
    kind: Type


@dataclass(slots=True, eq=False)
class Ident(Node):
    name: str
    constant: Any = field(default=None, init=False)
    """The type that the name stands for, if it stands for one."""


@dataclass(slots=True, eq=False)
class Select(Node):
    operand: Node
    name: str
    test_only: bool = False
    whole: Ident | None = field(default=None, init=False)
    """Set when the whole chain is one qualified name (``google.protobuf.Timestamp``)."""


@dataclass(slots=True, eq=False)
class Call(Node):
    function: str
    target: Node | None
    args: list[Node]
    overloads: list[Overload] = field(default_factory=list, init=False)


@dataclass(slots=True, eq=False)
class ListNode(Node):
    elements: list[Node]
    optional: frozenset[int] = frozenset()
    """Positions of elements that are left out when their optional is empty."""


@dataclass(slots=True, eq=False)
class Entry:
    pos: int
    key: Node
    value: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class MapNode(Node):
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class StructNode(Node):
    """``Name{field: value}``; keys of the entries are string literals."""

    name: str
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class Comprehension(Node):
    iter_var: str
    iter_var2: str | None
    iter_range: Node
    accu_var: str
    accu_init: Node
    condition: Node
    step: Node
    result: Node


def children(node: Node) -> list[Node]:
    """Return the nodes right below, in the order in which they are written."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*([node.target] if node.target is not None else []), *node.args]
        case ListNode():
            return node.elements
        case MapNode() | StructNode():
            return [part for entry in node.entries for part in (entry.key, entry.value)]
        case Comprehension():
            return [node.iter_range, node.accu_init, node.condition, node.step, node.result]
    return []


R = TypeVar("R")
_STACK = 48
"""So many levels of a tree go on one stack: each is five frames at most of whoever walks it."""


class Visitor(ABC, Generic[R]):
    """One method for each kind of node; ``visit`` calls the one for a node, however deep it lies.

    Whoever walks a tree (the checker, the estimate, the compiler) is one.
    """

    _level = 0

    def visit(self, node: Node) -> R:
        self._level += 1
        method = getattr(self, _METHODS[type(node)])
        found: R = on_new_stack(method, node) if self._level % _STACK == 0 else method(node)
        self._level -= 1
        return found

    @abstractmethod
    def literal(self, node: Literal) -> R: ...

    @abstractmethod
    def ident(self, node: Ident) -> R: ...

    @abstractmethod
    def select(self, node: Select) -> R: ...

    @abstractmethod
    def call(self, node: Call) -> R: ...

    @abstractmethod
    def make_list(self, node: ListNode) -> R: ...

    @abstractmethod
    def make_map(self, node: MapNode) -> R: ...

    @abstractmethod
    def make_struct(self, node: StructNode) -> R: ...

    @abstractmethod
    def comprehension(self, node: Comprehension) -> R: ...


_METHODS = {
    Literal: "literal", Ident: "ident", Select: "select", Call: "call", ListNode: "make_list",
    MapNode: "make_map", StructNode: "make_struct", Comprehension: "comprehension",
}  # fmt: skip
