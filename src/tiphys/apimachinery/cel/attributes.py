"""Reads variables, fields and items: the part of a run that most of the time goes to.

A chain (``self.spec.ports[0].name``) is one closure over its getters. Each link costs
1, and the chain itself 1. Once a link is optional, all after it are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.frame import Frame, Run
from tiphys.apimachinery.cel.typed import TypedObject
from tiphys.apimachinery.cel.values import (
    ABSENT,
    NONE,
    ListView,
    MapView,
    Optional,
    Struct,
    Uint,
    find,
    type_name,
)

Getter = Callable[[Any, Frame], Any]


def shown(value: Any) -> str:
    """Show a key as messages do."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def field_getter(name: str) -> Getter:
    missing = f"no such key: {name}"

    def get(value: Any, frame: Frame) -> Any:
        if type(value) is TypedObject:
            found = value.find(name)
        elif isinstance(value, dict | MapView):
            found = find(value, name)
        elif type(value) is Optional:
            return _within(value, name, frame)
        else:
            found = _lookup(value, name)
        if found is ABSENT:
            found = _unset(value, name)
            if found is ABSENT:
                raise EvaluationError(missing)
        return found

    return get


def _unset(value: Any, name: Any) -> Any:
    """Return what a field that was not given reads as; ABSENT where there is no reading it."""
    return value.zeros.get(name, ABSENT) if type(value) is Struct else ABSENT


def index_getter(index: Run) -> Getter:
    return lambda value, frame: item(value, index(frame), frame)


def constant_getter(key: Any) -> Getter:
    return lambda value, frame: item(value, key, frame)


def optional_getter(key: Run) -> Getter:
    """``a.?b`` and ``a[?b]``: an optional instead of an error."""

    def get(value: Any, frame: Frame) -> Any:
        wanted = key(frame)
        return _within(value if type(value) is Optional else Optional(value), wanted, frame)

    return get


def item(value: Any, key: Any, frame: Frame) -> Any:
    """Index a list or a map.

    Raises:
        EvaluationError: there is no such item, or this cannot be indexed.
    """
    if type(value) is Optional:
        return _within(value, key, frame)
    found = _lookup(value, key)
    if found is ABSENT:
        found = _unset(value, key)
    if found is ABSENT:
        kind = "index out of bounds" if isinstance(value, list | ListView) else "no such key"
        raise EvaluationError(f"{kind}: {shown(key)}")
    return found


def _within(value: Optional, key: Any, frame: Frame) -> Optional:
    """Return what an optional has at a key; a link that leads nowhere costs nothing."""
    found = _lookup(value.value, key) if value.has_value else ABSENT
    if found is ABSENT:
        frame.cost -= 1
        return NONE
    return Optional(found)


def _lookup(value: Any, key: Any) -> Any:
    """Return an item; null and whatever else has none lacks this one, too."""
    if isinstance(value, list | ListView):
        index = _position(key)
        if not 0 <= index < len(value):
            return ABSENT
        return value[index] if isinstance(value, list) else value.item(index)
    if isinstance(value, dict | MapView):
        return find(value, key)
    return ABSENT


def _position(key: Any) -> int:
    if type(key) is int or type(key) is Uint:
        return int(key)
    if type(key) is float and key.is_integer():
        return int(key)
    raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")


def is_present(value: Any, name: str) -> bool:
    """What ``has`` tells of a field."""
    if type(value) is Optional:
        return value.has_value and is_present(value.value, name)
    return _lookup(value, name) is not ABSENT


def chain(base: Run, getters: tuple[Getter, ...], own: int) -> Run:
    """Return the closure that reads along a chain; ``own`` is its cost besides its links."""
    if not getters:
        return _alone(base, own)
    if len(getters) == 1:
        return _single(base, getters[0], own)
    links = len(getters)

    def run(frame: Frame) -> Any:
        frame.cost += own
        value = base(frame)
        passed = 0
        try:
            for get in getters:
                passed += 1
                value = get(value, frame)
        finally:
            frame.cost += passed
        return value

    def run_two(frame: Frame) -> Any:
        frame.cost += own
        value = base(frame)
        frame.cost += 1
        value = first(value, frame)
        frame.cost += 1
        return second(value, frame)

    first, second = getters[0], getters[1]
    return run_two if links == 2 else run


def _alone(base: Run, own: int) -> Run:
    if not own:
        return base

    def run(frame: Frame) -> Any:
        frame.cost += own
        return base(frame)

    return run


def _single(base: Run, get: Getter, own: int) -> Run:
    def run(frame: Frame) -> Any:
        frame.cost += own
        value = base(frame)
        frame.cost += 1
        return get(value, frame)

    return run


def variable(slot: int, name: str) -> Run:
    def read(frame: Frame) -> Any:
        value = frame.slots[slot]
        if value is ABSENT:
            raise EvaluationError(f"no such attribute(s): {name}")
        return value

    return read


def local(slot: int) -> Run:
    return lambda frame: frame.slots[slot]


def accumulator(slot: int) -> Run:
    """Read what a comprehension has so far, which may be an error that a later step absorbs."""

    def read(frame: Frame) -> Any:
        value = frame.slots[slot]
        if type(value) is EvaluationError:
            raise value
        return value

    return read
