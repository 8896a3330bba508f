"""Which events are told one by one, which together, and which not at all. Pure; called by ``events``.

Owns what upstream's correlator remembers: the messages of alike events of late, and how many events each
object had. An object that is in trouble again and again must not flood the store with events about it.
Source: client-go's correlator (its numbers are what users see: nine alike, then all in one; 25 at once, then
one in five minutes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field
from typing import TypeVar

from tiphys.apimachinery.dataclass import dataclass

COMBINED = "(combined from similar events): "

_REMEMBERED = 4096
_ALIKE = 10
_ALIKE_WITHIN_S = 600.0
_BURST = 25.0
_REFILL_PER_S = 1 / 300

Key = tuple[object, ...]
V = TypeVar("V")


@dataclass(slots=True)
class _Alike:
    messages: set[str] = field(default_factory=set)
    last_s: float = 0.0


class Similar:
    """Events that differ in their message only: from the tenth message within ten minutes on they are one."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, _Alike] = OrderedDict()

    def are_many(self, group: Key, message: str, now_s: float) -> bool:
        """Note a message; say whether it is to be told together with the others of its group."""
        alike = self._groups.get(group)
        if alike is None or now_s - alike.last_s > _ALIKE_WITHIN_S:
            alike = self._groups[group] = _Alike()
        alike.messages.add(message)
        alike.last_s = now_s
        _use(self._groups, group)
        if len(alike.messages) < _ALIKE:
            return False
        alike.messages.pop()  # one more makes them many again
        return True


class Allowance:
    """How many events each object may have: some at once, then few."""

    def __init__(self) -> None:
        self._left: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def take(self, who: Key, now_s: float) -> bool:
        """Say whether one more may be told."""
        left, at_s = self._left.get(who, (_BURST, now_s))
        left = min(_BURST, left + (now_s - at_s) * _REFILL_PER_S)
        may = left >= 1.0
        self._left[who] = (left - 1.0 if may else left, now_s)
        _use(self._left, who)
        return may


def _use(remembered: OrderedDict[Key, V], key: Key) -> None:
    remembered.move_to_end(key)
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
