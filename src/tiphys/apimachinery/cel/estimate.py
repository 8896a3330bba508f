"""Estimates what an expression can cost at most, from the bounds that schemas give. Pure.

The figures decide which rules a definition may have, so they are part of the API and exact: every size is a
range, every cost is a range, and nothing overflows 64 bits.

Source: "Resource use by validation functions" of CustomResourceDefinitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.cel import prices as unit
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
    StructNode,
    Visitor,
)
from tiphys.apimachinery.cel.declarations import Declaration
from tiphys.apimachinery.cel.functions import Overload
from tiphys.apimachinery.cel.prices import Estimated, Operand
from tiphys.apimachinery.cel.ranges import UNKNOWN, Range
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.cel.values import MAX_UINT
from tiphys.apimachinery.dataclass import dataclass

_SCALARS = frozenset(("bool", "double", "duration", "int", "timestamp", "uint"))
_SELECTED = frozenset(("map", "object", "param"))
_ONE = Range(1, 1)
_ZERO = Range(0, 0)
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Items:
    """Sizes of a container's keys and values, where the expression tells them."""

    is_list: bool
    key: Range
    value: Range

    def union(self, other: _Items) -> _Items:
        return _Items(self.is_list, self.key.union(other.key), self.value.union(other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    path: Path
    size: Range | None
    items: _Items | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the variables of an expression can be, and what has a name and is none: types."""

    variables: Mapping[str, Declaration]
    names: Declaration | None = None


def estimate(root: Node, bounds: Bounds) -> Range:
    """Return the least and the most that a checked tree costs."""
    return Estimator(bounds).visit(root)


class Estimator(Visitor[Range]):
    def __init__(self, bounds: Bounds) -> None:
        self._variables = bounds.variables
        self._names = bounds.names
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._items: dict[int, _Items] = {}
        self._locals: dict[str, list[_Local]] = {}

    def literal(self, node: Literal) -> Range:
        return _ZERO

    def make_struct(self, node: StructNode) -> Range:
        parts = [self.visit(entry.value) for entry in node.entries]
        return sum(parts, Range(unit.STRUCT, unit.STRUCT))

    def ident(self, node: Ident) -> Range:
        if node.constant is not None:
            return _ONE
        known = self._locals.get(node.name)
        self._paths[id(node)] = known[-1].path if known else (node.name,)
        return _ONE

    def select(self, node: Select) -> Range:
        if node.whole is not None:
            return self.ident(node.whole)
        cost = self.visit(node.operand)
        if node.test_only:
            return cost
        self._paths[id(node)] = (*self._path(node.operand), node.name)
        return cost + _ONE if node.operand.type.kind in _SELECTED else cost

    def call(self, node: Call) -> Range:
        if node.function == "dyn":
            inner = self.visit(node.args[0])
            self._copy(node, node.args[0])
            return inner + _ONE
        costs = [self.visit(arg) for arg in node.args]
        if node.function in ("_?._", "_[?_]") and not node.overloads:
            return sum(costs, _ONE)
        if not node.overloads:
            return _ZERO
        total = _ZERO if node.target is None else self.visit(node.target)
        target = None if node.target is None else self._operand(node.target)
        operands = [self._operand(arg) for arg in node.args]
        called = Range(MAX_UINT, 0)
        size: Range | None = None
        for overload in node.overloads:
            found = self._overload(node, overload, target, operands, costs)
            called = called.union(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if overload.id in ("index_list", "index_map"):
                items = self._items_of(node.args[0])
                size = None if items is None else items.value
                link = "@items" if overload.id == "index_list" else "@values"
                self._paths[id(node)] = (*self._path(node.args[0]), link)
            if size is None:
                size = self._size(node)
        if size is not None:
            self._sizes[id(node)] = size
        return total + called

    def _overload(
        self, node: Call, overload: Overload, target: Operand | None, args: list[Operand], costs: list[Range]
    ) -> Estimated:
        match node.function:
            case "_||_" | "_&&_":
                return Estimated(Range(costs[0].least, (costs[0] + costs[1]).most))
            case "_?_:_":
                size = self._known_size(node.args[1]).union(self._known_size(node.args[2]))
                one, other = self._items_of(node.args[1]), self._items_of(node.args[2])
                if one is not None and other is not None:
                    self._items[id(node)] = one.union(other)
                return Estimated(costs[0] + costs[1].union(costs[2]), size)
            case "_+_":
                one, other = self._items_of(node.args[0]), self._items_of(node.args[1])
                if one is not None and other is not None:
                    self._items[id(node)] = one.union(other)
        price = overload.price
        found = None if price is None or price.estimate is None else price.estimate(target, args)
        if found is None:
            return Estimated(sum(costs, _ONE))
        return Estimated(sum(costs, found.cost), found.size)

    def make_list(self, node: ListNode) -> Range:
        cost = Range(unit.LIST, unit.LIST)
        size = Range(MAX_UINT if node.elements else 0, 0)
        for element in node.elements:
            cost += self.visit(element)
            size = size.union(self._known_size(element))
        self._items[id(node)] = _Items(True, _ONE, size)
        return cost

    def make_map(self, node: MapNode) -> Range:
        cost = Range(unit.MAP, unit.MAP)
        key = value = Range(MAX_UINT if node.entries else 0, 0)
        for entry in node.entries:
            cost += self.visit(entry.key) + self.visit(entry.value)
            key = key.union(self._known_size(entry.key))
            value = value.union(self._known_size(entry.value))
        self._items[id(node)] = _Items(False, key, value)
        return cost

    def comprehension(self, node: Comprehension) -> Range:
        if isinstance(node.condition, Literal) and node.condition.value is False:
            return self._bind(node)
        cost = self.visit(node.iter_range) + self.visit(node.accu_init)
        self._push(node.accu_var, self._bound(node.accu_init))
        names = [node.iter_var] if node.iter_var2 is None else [node.iter_var, node.iter_var2]
        for name, local in zip(names, self._turns(node.iter_range, two=len(names) == 2), strict=True):
            self._push(name, local)
        turn = self.visit(node.condition) + self.visit(node.step)
        for name in names:
            self._locals[name].pop()
        cost += self.visit(node.result)
        self._locals[node.accu_var].pop()
        count = self._known_size(node.iter_range)
        self._result_size(node, count)
        return cost + count * turn

    def _result_size(self, node: Comprehension, count: Range) -> None:
        if isinstance(node.accu_init, ListNode | MapNode):
            self._sizes[id(node)] = count
            items = self._items_of(node.step)
            if items is not None:
                self._items[id(node)] = items
        elif isinstance(node.accu_init, Literal):
            size = self._size(node.accu_init)
            if size is not None:
                self._sizes[id(node)] = size

    def _bind(self, node: Comprehension) -> Range:
        cost = self.visit(node.iter_range) + self.visit(node.accu_init)
        self._push(node.accu_var, self._bound(node.accu_init))
        cost += self.visit(node.result)
        self._locals[node.accu_var].pop()
        self._copy(node, node.result)
        return cost

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _bound(self, node: Node) -> _Local:
        return _Local(self._path(node), self._size(node), self._items_of(node))

    def _turns(self, over: Node, *, two: bool) -> list[_Local]:
        """Return what the variables of a loop over something are."""
        items, path = self._items_of(over), self._path(over)
        is_list = items.is_list if items is not None else over.type.kind == "list"
        key = _Local((*path, "@indices" if is_list else "@keys"), None if items is None else items.key)
        value = _Local((*path, "@items" if is_list else "@values"), None if items is None else items.value)
        return [key, value] if two else [value if is_list else key]

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident) and self._locals.get(node.name):
            return self._locals[node.name][-1].path
        return self._paths.get(id(node), ())

    def _copy(self, node: Node, source: Node) -> None:
        size, items = self._size(source), self._items_of(source)
        if size is not None:
            self._sizes[id(node)] = size
        if items is not None:
            self._items[id(node)] = items

    def _operand(self, node: Node) -> Operand:
        path = self._path(node)
        if path and path[0] == ACCUMULATOR:
            path = ()
        literal = node.value if isinstance(node, Literal) else None
        element = self._declared((*path, "@items")) if path else None
        return Operand(
            node.type, self._size(node), literal, None if element is None else Range(0, element.size)
        )

    def _known_size(self, node: Node) -> Range:
        return self._size(node) or UNKNOWN

    def _size(self, node: Node) -> Range | None:
        size = self._sizes.get(id(node)) or _written_size(node)
        if size is not None:
            return size
        if self._names is not None and isinstance(node, Ident) and node.constant is not None:
            return Range(0, self._names.size)
        declared = self._declared(self._path(node))
        if declared is not None:
            return Range(0, declared.size)
        if _is_scalar(node.type):
            return _ONE
        if isinstance(node, Ident) and self._locals.get(node.name):
            return self._locals[node.name][-1].size
        return None

    def _items_of(self, node: Node) -> _Items | None:
        found = self._items.get(id(node))
        if found is None and isinstance(node, Ident) and self._locals.get(node.name):
            return self._locals[node.name][-1].items
        return found

    def _declared(self, path: Path) -> Declaration | None:
        """Follow a path through the declarations of the variables."""
        if not path:
            return None
        found: Declaration | None = self._variables.get(path[0])
        for link in path[1:]:
            if found is None:
                return None
            match link:
                case "@items" | "@values":
                    found = found.element
                case "@keys":
                    found = found.key
                case _:
                    found = None if found.fields is None else found.fields.get(link)
        return found if found is not None and found.known else None


def _is_scalar(type_: Type) -> bool:
    return type_.kind in _SCALARS or (type_.kind == "optional" and _is_scalar(type_.params[0]))


def _written_size(node: Node) -> Range | None:
    if isinstance(node, Literal):
        value: Any = node.value
        length = len(value) if isinstance(value, str | bytes) else 1
        return Range(length, length)
    if isinstance(node, ListNode):
        return Range(len(node.elements), len(node.elements))
    if isinstance(node, MapNode):
        return Range(len(node.entries), len(node.entries))
    return None
