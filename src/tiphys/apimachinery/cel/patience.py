"""How much evaluations may cost before they must make way: what callers on an event loop set.

A budget says what an expression may cost at all. Patience says what it may cost *here*: a run that costs more
ends with ``TakesLong``, which nothing absorbs, and can be started over where it is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class TakesLong(Exception):
    """A run has cost more than there was patience for, or would have to wait."""


class Patience:
    """What is left for all runs together."""

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units


PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)
"""None: take your time."""


@contextmanager
def patience(units: int) -> Iterator[Patience]:
    """Let the runs within cost so much together, and tell what is left of it."""
    found = Patience(units)
    token = PATIENCE.set(found)
    try:
        yield found
    finally:
        PATIENCE.reset(token)


def hurried() -> bool:
    """Tell whether whoever is evaluating must not wait."""
    return PATIENCE.get() is not None


def spend(units: int) -> None:
    """Charge for what is about to be done besides evaluating. Raises TakesLong if that is too much."""
    found = PATIENCE.get()
    if found is not None:
        found.left -= units
        if found.left < 0:
            raise TakesLong


def excuse(units: int) -> None:
    """Let the runs within cost so much more: what they are charged for has taken no time."""
    found = PATIENCE.get()
    if found is not None:
        found.left += units
