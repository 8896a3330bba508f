"""Compiles a checked tree to closures. Constants are folded; what is folded costs nothing when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from tiphys.apimachinery.cel import attributes
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
)
from tiphys.apimachinery.cel.attributes import Getter
from tiphys.apimachinery.cel.calls import call
from tiphys.apimachinery.cel.depth import on_new_stack
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.fold import Loop, bind, fold
from tiphys.apimachinery.cel.frame import Frame, Run
from tiphys.apimachinery.cel.messages import ANONYMOUS, MESSAGES
from tiphys.apimachinery.cel.prices import LIST, MAP, STRUCT
from tiphys.apimachinery.cel.values import (
    NONE,
    Duration,
    Optional,
    Struct,
    Timestamp,
    TypeValue,
    Uint,
    from_map_key,
    map_key,
)
from tiphys.apimachinery.dataclass import dataclass

_NOTHING: Final = object()
_CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint"))
_IN_SETS = (str, int, float, bool, Uint)
_KEYS = frozenset((str, int, bool, Uint, float, type(None), Duration, Timestamp, TypeValue))


@dataclass(slots=True)
class Step:
    """A compiled node. Chains can still grow: ``base`` and ``getters`` are what they are made of."""

    run: Run
    constant: Any = _NOTHING
    base: Run | None = None
    getters: tuple[Getter, ...] = ()
    own: int = 1

    @property
    def is_constant(self) -> bool:
        return self.constant is not _NOTHING

    def resolve(self) -> Run:
        """Return the run of a chain inside of another one, which pays for it."""
        return self.run if self.base is None else attributes.chain(self.base, self.getters, 0)

    def then(self, getter: Getter) -> Step:
        base, getters, own = (
            (self.run, (getter,), 1) if self.base is None else (self.base, (*self.getters, getter), self.own)
        )
        return Step(attributes.chain(base, getters, own), base=base, getters=getters, own=own)

    def on_new_stack(self) -> Step:
        """Return the same, run where there is room for it."""
        run = _elsewhere(self.run if self.base is None else self.base)
        if self.base is None:
            return Step(run)
        return Step(attributes.chain(run, self.getters, self.own), self.constant, run, self.getters, self.own)


def _constant(value: Any) -> Step:
    return Step(lambda frame: value, value)


def _elsewhere(run: Run) -> Run:
    return lambda frame: on_new_stack(run, frame)


_STACK = 400
"""So many frames are left to a run before it goes on upon a new stack; who evaluates has some, too."""
_FRAMES = {ListNode: 2, MapNode: 4, StructNode: 4, Comprehension: 3}
"""Frames of a node while those below run, where it is more than one."""


class Compiler(Visitor[Step]):
    """Numbers variables, outer ones first, and builds the closures."""

    def __init__(self, variables: Sequence[str]) -> None:
        self._names = list(variables)
        self._outer = len(variables)
        self._scope = [(name, index) for index, name in enumerate(variables)]
        self._fallible: set[int] = set()
        """Accumulators and bindings: what they hold may be an error."""
        self._frames = 0
        """How many frames the deepest of those take that were visited below the node at hand."""

    @property
    def slots(self) -> int:
        return len(self._names)

    def visit(self, node: Node) -> Step:
        beside, self._frames = self._frames, 0
        step = super().visit(node)
        frames = self._frames + _FRAMES.get(type(node), 1)
        if frames > _STACK and not step.is_constant:
            step, frames = step.on_new_stack(), 1
        self._frames = max(beside, frames)
        return step

    def literal(self, node: Literal) -> Step:
        return _constant(node.value)

    def make_struct(self, node: StructNode) -> Step:
        return Step(_struct(node, self._entries(node.entries)))

    def ident(self, node: Ident) -> Step:
        if node.constant is not None:
            if node.name in ANONYMOUS:
                raise EvaluationError(f"reference to undefined type: {node.name}")
            return _constant(node.constant)
        slot = next(index for name, index in reversed(self._scope) if name == node.name)
        base = (
            attributes.variable(slot, node.name)
            if slot < self._outer
            else attributes.accumulator(slot)
            if slot in self._fallible
            else attributes.local(slot)
        )
        return Step(attributes.chain(base, (), 1), base=base)

    def select(self, node: Select) -> Step:
        if node.whole is not None:
            return self.ident(node.whole)
        operand = self.visit(node.operand)
        if not node.test_only:
            return operand.then(attributes.field_getter(node.name))
        return Step(_presence(operand.run, node.name, 0 if operand.base is not None else 1))

    def call(self, node: Call) -> Step:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)
        args = [*([node.target] if node.target is not None else []), *node.args]
        steps = [self.visit(arg) for arg in args]
        lazy = _LAZY.get(node.function)
        if lazy is not None and node.overloads and args[0].type.kind in ("optional", "dyn"):
            return Step(lazy(steps[0].run, steps[1].run))
        if node.function == "@in" and steps[1].is_constant:
            found = _membership(steps[0], steps[1].constant)
            if found is not None:
                return found
        _prepare(node, steps)
        run = call(node.function, node.overloads, [arg.type for arg in args], [step.run for step in steps])
        if node.function in _CONVERSIONS and len(steps) == 1 and steps[0].is_constant:
            return _constant(run(Frame([], 2**63)))
        return Step(run)

    def index(self, node: Call) -> Step:
        operand, key = self.visit(node.args[0]), self.visit(node.args[1])
        if key.is_constant:
            return operand.then(attributes.constant_getter(key.constant))
        return operand.then(attributes.index_getter(key.resolve()))

    def optional_index(self, node: Call) -> Step:
        operand, key = self.visit(node.args[0]), self.visit(node.args[1])
        return operand.then(attributes.optional_getter(key.resolve()))

    def logical(self, node: Call) -> Step:
        left, right = self.visit(node.args[0]), self.visit(node.args[1])
        return Step(_logical(left.run, right.run, decided=node.function == "_||_"))

    def conditional(self, node: Call) -> Step:
        condition, then, otherwise = (self.visit(arg) for arg in node.args)
        base = _conditional(condition.run, then.resolve(), otherwise.resolve())
        return Step(base, base=base, own=0)

    def not_strictly_false(self, node: Call) -> Step:
        return Step(_not_strictly_false(self.visit(node.args[0]).run))

    def make_list(self, node: ListNode) -> Step:
        steps = [self.visit(element) for element in node.elements]
        if not node.optional and all(step.is_constant for step in steps):
            return _constant([step.constant for step in steps])
        return Step(_make_list([step.run for step in steps], node.optional))

    def _entries(self, entries: Sequence[Entry]) -> list[tuple[Step, Step, bool]]:
        return [(self.visit(entry.key), self.visit(entry.value), entry.optional) for entry in entries]

    def make_map(self, node: MapNode) -> Step:
        entries = self._entries(node.entries)
        constant = (
            key.is_constant and value.is_constant and not optional for key, value, optional in entries
        )
        if all(constant) and all(type(key.constant) in _KEYS for key, _, _ in entries):
            return _constant({map_key(key.constant): value.constant for key, value, _ in entries})
        return Step(_make_map(entries))

    def comprehension(self, node: Comprehension) -> Step:
        over, start = self.visit(node.iter_range), self.visit(node.accu_init)
        depth = len(self._scope)
        accumulator = self._declare(node.accu_var)
        self._fallible.add(accumulator)
        if isinstance(node.condition, Literal) and node.condition.value is False:
            result = self.visit(node.result).run
            del self._scope[depth:]
            return Step(bind(accumulator, start.run, result))
        variables = [self._declare(name) for name in (node.iter_var, node.iter_var2) if name is not None]
        condition = None if _is_true(node.condition) else self.visit(node.condition).run
        step = self._collecting(node, accumulator) or self.visit(node.step).run
        del self._scope[depth + 1 :]
        result = self.visit(node.result).run
        del self._scope[depth:]
        begin = _fresh(node.accu_init) or start.run
        return Step(fold(over.run, (accumulator, *variables), Loop(begin, condition, step, result)))

    def _declare(self, name: str) -> int:
        self._names.append(name)
        self._scope.append((name, len(self._names) - 1))
        return len(self._names) - 1

    def _collecting(self, node: Comprehension, slot: int) -> Run | None:
        """Return a step that fills the accumulator in place, where it only ever grows."""
        if not isinstance(node.accu_init, ListNode | MapNode):
            return None
        step, condition = node.step, None
        if isinstance(step, Call) and step.function == "_?_:_":
            condition, step = step.args[0], step.args[1]
        if not isinstance(step, Call):
            return None
        grow: Run
        if step.function == "_+_" and isinstance(step.args[1], ListNode):
            grow = _append(slot, self.visit(step.args[1].elements[0]))
        elif step.function == "cel.@mapInsert":
            grow = _insert(slot, [self.visit(arg).run for arg in step.args[1:]])
        else:
            return None
        return grow if condition is None else _conditional(self.visit(condition).run, grow, _kept(slot))


def _prepare(node: Call, steps: list[Step]) -> None:
    """Try what is made of a constant once, before anything runs."""
    for overload in node.overloads:
        if overload.prepares is None or not steps[1].is_constant:
            continue
        try:
            overload.prepares(steps[1].constant)
        except ValueError as error:
            raise EvaluationError(str(error)) from error


def _is_true(node: Node) -> bool:
    return isinstance(node, Literal) and node.value is True


def _fresh(node: Node) -> Run | None:
    if isinstance(node, ListNode) and not node.elements:
        return lambda frame: []
    if isinstance(node, MapNode) and not node.entries:
        return lambda frame: {}
    return None


def _kept(slot: int) -> Run:
    return attributes.accumulator(slot)


def _append(slot: int, element: Step) -> Run:
    read = attributes.accumulator(slot)
    own = 2 if element.is_constant else LIST + 2
    value = element.run

    def run(frame: Frame) -> Any:
        frame.cost += own
        made = value(frame)
        items = read(frame)
        items.append(made)
        return items

    return run


def _insert(slot: int, args: list[Run]) -> Run:
    read = attributes.accumulator(slot)

    def run(frame: Frame) -> Any:
        frame.cost += 2
        values = [arg(frame) for arg in args]
        entries = read(frame)
        pairs = [(map_key(values[0]), values[1])] if len(values) == 2 else list(values[0].items())
        for key, value in pairs:
            if key in entries:
                plain = attributes.shown(from_map_key(key))
                raise EvaluationError(f"insert failed: key {plain} already exists")
            entries[key] = value
        return entries

    return run


def _presence(operand: Run, name: str, own: int) -> Run:
    def run(frame: Frame) -> bool:
        frame.cost += own
        return attributes.is_present(operand(frame), name)

    return run


def _logical(left: Run, right: Run, *, decided: bool) -> Run:
    """``||`` and ``&&``: the side that decides wins, even over the other's error."""

    def run(frame: Frame) -> Any:
        failed: EvaluationError | None = None
        one: Any = None
        try:
            one = left(frame)
            if one is decided:
                return decided
            if not isinstance(one, bool):
                failed = EvaluationError("no such overload")
        except EvaluationError as error:
            failed = error
        if failed is None:
            other = right(frame)
        else:
            try:
                other = right(frame)
            except EvaluationError:
                raise failed from None
        if other is decided:
            return decided
        if failed is not None:
            raise failed
        if not isinstance(other, bool):
            raise EvaluationError("no such overload")
        return not decided

    return run


def _conditional(condition: Run, then: Run, otherwise: Run) -> Run:
    def run(frame: Frame) -> Any:
        chosen = condition(frame)
        if chosen is True:
            return then(frame)
        if chosen is False:
            return otherwise(frame)
        raise EvaluationError("no such overload")

    return run


def _not_strictly_false(argument: Run) -> Run:
    def run(frame: Frame) -> Any:
        frame.cost += 1
        try:
            return argument(frame) is not False
        except EvaluationError:
            return True

    return run


def _make_list(elements: list[Run], optional: frozenset[int]) -> Run:
    def run(frame: Frame) -> list[Any]:
        frame.cost += LIST
        if not optional:
            return [element(frame) for element in elements]
        made: list[Any] = []
        for index, element in enumerate(elements):
            value = element(frame)
            if index not in optional:
                made.append(value)
            elif type(value) is not Optional:
                shown = attributes.shown(value)
                raise EvaluationError(
                    f"cannot initialize optional list element from non-optional value {shown}"
                )
            elif value.has_value:
                made.append(value.value)
        return made

    return run


def _filled(frame: Frame, entries: list[tuple[Step, Step, bool]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value, optional in entries:
        name, given = key.run(frame), value.run(frame)
        if type(name) not in _KEYS:
            raise EvaluationError("unsupported key type")
        kept = map_key(name)
        if not optional:
            made[kept] = given
        elif type(given) is not Optional:
            which = f"entry '{attributes.shown(name)}'"
            raise EvaluationError(
                f"cannot initialize optional {which} from non-optional value {attributes.shown(given)}"
            )
        elif given.has_value:
            made[kept] = given.value
        else:
            made.pop(kept, None)
    return made


def _make_map(entries: list[tuple[Step, Step, bool]]) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        frame.cost += MAP
        return _filled(frame, entries)

    return run


def _struct(node: StructNode, entries: list[tuple[Step, Step, bool]]) -> Run:
    known = MESSAGES.get(node.name)
    make = known.make if known is not None else node.type.make or partial(Struct, node.name)

    def run(frame: Frame) -> Any:
        frame.cost += STRUCT
        return make(_filled(frame, entries))

    return run


def _set_key(value: Any) -> Any:
    """Return a value as sets keep it, where numbers of any type are one."""
    return map_key(value) if type(value) is bool else value


def _membership(value: Step, items: Any) -> Step | None:
    """Look constants up in a set; that costs nothing."""
    if not isinstance(items, list) or not all(isinstance(one, _IN_SETS) for one in items):
        return None
    if not items:
        return _constant(False)
    known = frozenset(map(_set_key, items))
    inner = value.run

    def run(frame: Frame) -> bool:
        try:
            return _set_key(inner(frame)) in known
        except TypeError:
            return False

    return Step(run)


def _or_value(left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Any:
        found = left(frame)
        if type(found) is not Optional:  # what is no optional is there
            return found
        return found.value if found.has_value else right(frame)

    return run


def _or(left: Run, right: Run) -> Run:
    def run(frame: Frame) -> Any:
        found = left(frame)
        if type(found) is not Optional:
            return found
        return found if found is not NONE and found.has_value else right(frame)

    return run


_SPECIAL: dict[str, Callable[[Compiler, Call], Step]] = {
    "_[_]": Compiler.index,
    "_[?_]": Compiler.optional_index,
    "_?._": Compiler.optional_index,
    "_||_": Compiler.logical,
    "_&&_": Compiler.logical,
    "_?_:_": Compiler.conditional,
    "@not_strictly_false": Compiler.not_strictly_false,
}
_LAZY: dict[str, Callable[[Run, Run], Run]] = {"or": _or, "orValue": _or_value}
