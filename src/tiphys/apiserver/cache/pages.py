"""Pages of lists that nobody narrows, kept while their kind does not change.

Clients list the same thing again and again: a page is found once and joined once for all of them. A kind's
pages go with its next change. Joined bytes are kept from the second time they are asked for, within a bound,
and go when nobody has asked for a while.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from tiphys.apiserver.cache.entry import Entry

KEPT_BYTES: Final = 32 * 1024 * 1024
IDLE_S: Final = 20.0
PAGES: Final = 128
"""Of one kind; pages themselves are lists of what is there anyway."""


class PageItems:
    """Live entries of one page in key order. Read-only; shared by everyone who asks for the page."""

    __slots__ = ("_asked", "_joined", "_kept", "entries", "more")

    def __init__(self, kept: KeptBytes, entries: list[Entry], *, more: bool) -> None:
        self._kept = kept
        self._joined: bytes | None = None
        self._asked = False
        self.entries = entries
        self.more = more
        """Whether other entries follow."""

    def joined(self) -> bytes:
        """Return the entries' JSON as lists show it, joined by commas."""
        joined = self._joined
        if joined is not None:
            self._kept.used(self)
            return joined
        joined = b",".join([entry.listed for entry in self.entries])
        if self._asked and self._kept.keep(self, len(joined)):
            self._joined = joined
        self._asked = True
        return joined

    def forget(self) -> None:
        """Let the joined bytes go."""
        self._joined = None
        self._asked = False


class KeptBytes:
    """The bound on all joined bytes of one cache: what was used longest ago goes first, idle ones by time."""

    def __init__(self, limit_bytes: int = KEPT_BYTES, idle_s: float = IDLE_S) -> None:
        self._limit = limit_bytes
        self._idle_s = idle_s
        self._sizes: OrderedDict[PageItems, int] = OrderedDict()
        self.total_bytes = 0
        self._used: set[PageItems] = set()
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, page: PageItems, size: int) -> bool:
        """Take a page's bytes in; False where they are too many."""
        if size > self._limit:
            return False
        self.drop(page)
        self._sizes[page] = size
        self.total_bytes += size
        self._used.add(page)
        while self.total_bytes > self._limit:
            self.drop(next(iter(self._sizes)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._sweep)
        return True

    def used(self, page: PageItems) -> None:
        """Note that a kept page was asked for."""
        self._used.add(page)
        self._sizes.move_to_end(page)

    def drop(self, page: PageItems) -> None:
        """Let a page's bytes go, if they are kept."""
        size = self._sizes.pop(page, None)
        if size is not None:  # an empty page has no bytes, and is kept like others
            self.total_bytes -= size
            self._used.discard(page)
            page.forget()

    def _sweep(self) -> None:
        """Let go what nobody has asked for since the last time."""
        for page in [page for page in self._sizes if page not in self._used]:
            self.drop(page)
        self._used.clear()
        self._timer = None
        if self._sizes:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._sweep)

    def close(self) -> None:
        """Let everything go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for page in list(self._sizes):
            self.drop(page)


class Pages:
    """The pages of one kind as it is now."""

    def __init__(self, kept: KeptBytes) -> None:
        self._kept = kept
        self._pages: dict[tuple[str, str, int], PageItems] = {}

    def get(self, root: str, start: str, limit: int) -> PageItems | None:
        return self._pages.get((root, start, limit))

    def add(self, root: str, start: str, limit: int, entries: list[Entry], *, more: bool) -> PageItems:
        """Remember a page that was just found."""
        if len(self._pages) >= PAGES:
            self.clear()
        page = self._pages[(root, start, limit)] = PageItems(self._kept, entries, more=more)
        return page

    def clear(self) -> None:
        """The kind has changed."""
        if self._pages:
            for page in self._pages.values():
                self._kept.drop(page)
            self._pages.clear()
