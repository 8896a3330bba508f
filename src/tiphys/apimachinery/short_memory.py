"""What pure functions have answered lately, as long as what they were asked is short.

``functools.lru_cache`` counts answers and not their size. Who asks about a million characters, and each time
about others, would fill the memory: a header, a path, a selector may be that long. Such answers are found
anew each time. Called by whatever remembers what clients say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
LONGEST: Final = 1024
"""Characters of a text that is remembered."""


def short_memory(maxsize: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Remember the last answers of a function of one text."""

    def remembering(function: Callable[[str], T]) -> Callable[[str], T]:
        known = lru_cache(maxsize)(function)

        @wraps(function)
        def answer(text: str) -> T:
            return known(text) if len(text) <= LONGEST else function(text)

        return answer

    return remembering


def short_memory_of_many(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Remember the last answers of a function of several values; the texts among them must be short."""

    def remembering(function: Callable[P, T]) -> Callable[P, T]:
        known = cast(Callable[P, T], lru_cache(maxsize)(function))

        @wraps(function)
        def answer(*args: P.args, **named: P.kwargs) -> T:
            for one in args:
                if isinstance(one, str) and len(one) > LONGEST:
                    return function(*args, **named)
            return known(*args, **named)

        return answer

    return remembering
