"""How much this process tells in its log, as ``--v`` and ``--vmodule`` ask for it. Pure.

Owns: that level, which is set once at the start, and what of upstream's levels is told here: from 2 on the
steps of requests that took long, from 3 on every request, from 4 on what modules say at length.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Final

STEPS: Final = 2
REQUESTS: Final = 3
DETAILS: Final = 4
Pattern = tuple[str, int]
_asked: list[tuple[int, Sequence[Pattern]]] = [(0, ())]


def ask(level: int, patterns: Sequence[Pattern] = ()) -> None:
    """Tell at least so much from now on; ``patterns`` name modules of which more, or less, is told."""
    _asked[0] = level, patterns


def tells(level: int, module: str = "") -> bool:
    """Whether what has a level is told; ``module``: upstream's name of the file that tells it."""
    asked, patterns = _asked[0]
    for pattern, of_module in patterns:
        if module and fnmatch.fnmatchcase(module, pattern):
            return of_module >= level
    return asked >= level
