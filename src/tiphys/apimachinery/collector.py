"""How often a process of ours looks for cycles of garbage: seldom, and never among what it keeps."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG, _MIDDLE, _OLD = 20_000, 50, 50


def collect_seldom() -> None:
    """Leave alone what start-up made, and look for cycles seldom.

    Requests and cached objects are trees without cycles, which die by themselves; looking through ten
    thousand cached pods again and again finds nothing.
    """
    leave_alone()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


def leave_alone() -> None:
    """Never look for cycles among what is there now: for state that a component has just read, and keeps."""
    gc.freeze()


@contextmanager
def unseen() -> Iterator[None]:
    """Import without the collector, and leave alone what is there afterwards.

    Modules live as long as the process. While they come the collector would walk over them a hundred times,
    which is an eighth of the time that importing a control plane takes, and then with each full collection.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
