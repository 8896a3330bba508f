"""How often a component's process looks for cycles of garbage: seldom."""

from __future__ import annotations

import gc

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
