"""What pure functions have found out, kept by the content that they were asked about.

Clusters write one shape over and over: the pods of a template differ in their names alone. A function that
depends on nothing but the JSON value it is given can be asked once for equal bytes. Owns: the memory, bounded
in bytes, and the wrappers that keep the answer exactly what it would have been. Refuses: functions that look
at anything else. Called by the schema walk, defaulting, validation and managed fields, for pod specs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import orjson

from tiphys.apimachinery.meta import Object

T = TypeVar("T")

_BUDGET_BYTES: Final = 1 << 20
_LARGEST_BYTES: Final = 1 << 15
"""Bigger values are seldom written twice, and few of them would fill the memory."""


def content(value: Any) -> bytes | None:
    """Return the bytes that stand for a value; None where none do, or too many.

    A number that is none (YAML knows such) is written as null: values with a null have no content either.
    """
    try:
        key = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
    return key if len(key) <= _LARGEST_BYTES and b"null" not in key else None


class Memo(Generic[T]):
    """Answers by content. The ones not asked for lately go when the budget is spent."""

    def __init__(self, budget_bytes: int = _BUDGET_BYTES) -> None:
        self._half = budget_bytes // 2
        self._young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}
        self._weight = 0

    def get(self, key: bytes) -> T | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: bytes, answer: T, extra_bytes: int = 0) -> None:
        """Keep an answer, which must not be None; ``extra_bytes`` is what it weighs beside its key."""
        self._young[key] = answer
        self._weight += len(key) + extra_bytes
        if self._weight > self._half:
            self._old, self._young, self._weight = self._young, {}, 0


class Checked:
    """A pure check that returns faults. What had none is not looked at again; faults are found anew."""

    def __init__(self, check: Callable[[Any], list[Any]]) -> None:
        self._check = check
        self._passed: Memo[bool] = Memo()

    def __call__(self, value: Any) -> list[Any]:
        key = content(value)
        if key is not None and self._passed.get(key):
            return []
        faults = self._check(value)
        if not faults and key is not None:
            self._passed.put(key, True)
        return faults


class Rewritten:
    """What a pure function makes of an object, in place: equal objects become equal without asking it."""

    def __init__(self) -> None:
        self._results: Memo[bytes] = Memo()

    def apply(self, obj: Object, change: Callable[[Object], bool]) -> None:
        """Change the object. ``change`` returns whether what it did may be repeated unseen."""
        key = content(obj)
        known = None if key is None else self._results.get(key)
        if known is None:
            if change(obj) and key is not None:
                after = content(obj)
                if after is not None:
                    self._results.put(key, key if after == key else after, len(after))
        elif known != key:
            obj.clear()
            obj.update(orjson.loads(known))
