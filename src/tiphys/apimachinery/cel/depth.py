"""How deep expressions may nest, and how to walk what nests that deep.

Two bounds, both from the API: how often a rule of the grammar may be within itself while a text is read, and
how many operators, links and calls may be upon each other in what was read, before macros.

A few hundred levels, each of them several frames of whoever walks them, are more than the thousand frames
that the interpreter lets a thread have. Who walks counts levels, and every so many of them goes on upon a new
stack. The interpreter's limit stays as it is: it guards what recurses in C, and is one for all threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from tiphys.apimachinery.cel.errors import GivenUp

MAX_DEPTH = 250

P = ParamSpec("P")
T = TypeVar("T")


def enter_rule(depth: int, offset: int) -> None:
    """Let a rule of the grammar begin that will then be so many times within itself.

    Raises:
        GivenUp: it would be too often.
    """
    if depth > MAX_DEPTH:
        raise GivenUp(offset, f"expression recursion limit exceeded: {MAX_DEPTH}")


class _Stack:
    """A thread that runs what it is handed, one after another, until it is handed None."""

    def __init__(self) -> None:
        self._next: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.hand = self._next.put
        threading.Thread(target=self._run, name="deep-expression", daemon=True).start()

    def _run(self) -> None:
        while (work := self._next.get()) is not None:
            work()
            del work  # what was asked for goes when it is done, not when the next comes


_idle: list[_Stack] = []
"""The one that is kept for the next call; nothing of it is left in a forked process."""
os.register_at_fork(after_in_child=_idle.clear)


def on_new_stack(run: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Return what a call returns, or raise what it raises; it runs on another thread, awaited here."""
    from concurrent.futures import Future  # hardly anything nests that deep

    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(run(*args, **named))
        except BaseException as error:
            outcome.set_exception(error)

    try:
        stack = _idle.pop()
    except IndexError:
        stack = _Stack()
    stack.hand(partial(copy_context().run, work))
    try:
        return outcome.result()
    finally:
        if _idle:
            stack.hand(None)
        else:
            _idle.append(stack)
