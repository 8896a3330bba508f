"""Being told that a descriptor can be read, also where its socket has an error.

libuv gives such a descriptor up: it calls who reads once more and forgets them, without a word. What that
call did not read, such as the error itself behind the last bytes of a client that reset its connection, would
never be. That the loop lets go of what it was given to call is all there is to notice it by.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any


class Reader:
    """Calls ``ready`` in the loop whenever there is something to read, until ``stop``."""

    __slots__ = ("_fd", "_loop", "_ready", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, ready: Callable[[], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._ready = ready
        self._watched: weakref.ref[Any] | None = None
        self._watch()

    def _watch(self) -> None:
        call = partial(self._ready)  # the loop's alone
        self._watched = weakref.ref(call, self._given_up)
        self._loop.add_reader(self._fd, call)

    def _given_up(self, watched: weakref.ref[Any]) -> None:
        if watched is self._watched and not self._loop.is_closed():
            self._loop.call_soon(self._again, watched)

    def _again(self, watched: weakref.ref[Any]) -> None:
        if watched is self._watched:
            self._loop.remove_reader(self._fd)
            self._watch()

    def stop(self) -> None:
        """Call no more. Not after the descriptor was closed."""
        self._watched = None
        self._loop.remove_reader(self._fd)
