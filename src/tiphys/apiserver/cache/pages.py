"""Pages of lists that nobody narrows, kept while their kind does not change.

Clients list the same thing again and again: a page is found once and joined once for all of them. A kind's
pages go with its next change. Joined bytes are kept from the second time they are asked for, those of other
forms (which take longer to make) from the first, within a bound, and go when nobody has asked for a while.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Protocol

from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.evaluating import begin_form

KEPT_BYTES: Final = 32 * 1024 * 1024
IDLE_S: Final = 20.0
PAGES: Final = 128
"""Of one kind; pages themselves are lists of what is there anyway."""


FORMS: Final = 16
"""Of one page."""


class Owner(Protocol):
    """Who has bytes that count."""

    def forget(self) -> None:
        """Let them go."""
        ...


class _Form:
    """A page's items in one form, while its stamp is the same."""

    __slots__ = ("data", "stamp")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.stamp: object = None

    def forget(self) -> None:
        self.data = self.stamp = None


class _Making:
    """A page's items in one form that are under way."""

    __slots__ = ("made", "stamp")

    def __init__(self, stamp: object, made: asyncio.Future[bytes]) -> None:
        self.stamp = stamp
        self.made = made


class PageItems:
    """Live entries of one page in key order. Read-only; shared by everyone who asks for the page."""

    __slots__ = ("_asked", "_forms", "_gone", "_joined", "_kept", "_making", "entries", "more")

    def __init__(self, kept: KeptBytes, entries: list[Entry], *, more: bool) -> None:
        self._kept = kept
        self._joined: bytes | None = None
        self._asked = False
        self._forms: dict[Hashable, _Form] = {}
        self._making: dict[Hashable, _Making] = {}
        self._gone = False
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

    async def shared(self, form: Hashable, stamp: object, make: Callable[[], bytes]) -> bytes:
        """Return the entries in some form: as made for somebody under the same stamp, or made now.

        Those who ask while it is being made wait for the same bytes.
        """
        known = self._forms.get(form)
        if known is not None and known.data is not None and known.stamp == stamp:
            self._kept.used(known)
            return known.data
        making = self._making.get(form)
        if making is None or making.stamp != stamp:
            made = begin_form(sum([entry.size for entry in self.entries]), make)
            if made.done():
                data = made.result()
                self._keep(form, stamp, data)
                return data
            making = self._making[form] = _Making(stamp, made)
            made.add_done_callback(partial(self._ended, form, making))
        return await asyncio.shield(making.made)

    def _ended(self, form: Hashable, making: _Making, made: asyncio.Future[bytes]) -> None:
        if self._making.get(form) is making:
            del self._making[form]
        if not made.cancelled() and made.exception() is None:
            self._keep(form, making.stamp, made.result())

    def _keep(self, form: Hashable, stamp: object, data: bytes) -> None:
        """Keep what was made, where the page is still what there is."""
        if self._gone:
            return
        known = self._forms.get(form)
        if known is None:
            if len(self._forms) >= FORMS:
                self._drop_forms()
            known = self._forms[form] = _Form()
        self._kept.drop(known)
        if self._kept.keep(known, len(data)):
            known.data, known.stamp = data, stamp

    def drop(self) -> None:
        """Let go all that is kept of it: the page is not what there is any more."""
        self._gone = True
        self._kept.drop(self)
        self._drop_forms()

    def _drop_forms(self) -> None:
        for form in self._forms.values():
            self._kept.drop(form)
        self._forms.clear()

    def forget(self) -> None:
        """Let the joined bytes go."""
        self._joined = None
        self._asked = False


class KeptBytes:
    """The bound on all joined bytes of one cache: what was used longest ago goes first, idle ones by time."""

    def __init__(self, limit_bytes: int = KEPT_BYTES, idle_s: float = IDLE_S) -> None:
        self._limit = limit_bytes
        self._idle_s = idle_s
        self._sizes: OrderedDict[Owner, int] = OrderedDict()
        self.total_bytes = 0
        self._used: set[Owner] = set()
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, page: Owner, size: int) -> bool:
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

    def used(self, page: Owner) -> None:
        """Note that a kept page was asked for."""
        self._used.add(page)
        self._sizes.move_to_end(page)

    def drop(self, page: Owner) -> None:
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
                page.drop()
            self._pages.clear()
