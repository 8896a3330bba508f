"""Who watches a kind, and what each of them is told.

An event goes only to watchers whose scope it can touch: all of the kind, one namespace, one object, one value
of an indexed field (a kubelet's pods). Each has a bounded buffer; who does not read is cut off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeVar

from tiphys.apiserver.cache.entry import Entry, change
from tiphys.apiserver.objects import Change, Selection

BUFFER_CHANGES: Final = 20_000
BUFFER_BYTES: Final = 64 * 1024 * 1024

_K = TypeVar("_K", bound=Hashable)


class BucketEvent:
    """One write to one object. ``entry`` None: deleted; ``previous`` None: created."""

    __slots__ = ("_changes", "entry", "key", "previous", "revision")

    def __init__(self, key: str, revision: int, entry: Entry | None, previous: Entry | None) -> None:
        self.key = key
        self.revision = revision
        self.entry = entry
        self.previous = previous
        self._changes: dict[str, Change] = {}

    @property
    def weight(self) -> int:
        """Bytes that only this event may be keeping alive."""
        return len(self.previous.value) if self.previous is not None else 0

    def seen_by(self, selection: Selection) -> Change | None:
        """Return the event as a selection sees it: None where it is nothing to it.

        An object that comes to match is ADDED, one that no longer does is DELETED in its old state.
        """
        matches = selection.matches
        entry, previous = self.entry, self.previous
        now = entry is not None and (matches is None or matches(entry))
        before = previous is not None and (matches is None or matches(previous))
        if now:
            return self._change("MODIFIED" if before else "ADDED")
        return self._change("DELETED") if before else None

    def _change(self, type_: str) -> Change:
        found = self._changes.get(type_)
        if found is None:
            if type_ == "DELETED":
                assert self.previous is not None
                found = change(type_, self.previous.at(self.revision))
            else:
                assert self.entry is not None
                found = change(type_, self.entry)
            self._changes[type_] = found
        return found

    def settle(self) -> None:
        """Every present watcher has been told: let the frames go."""
        self._changes = {}


class Watcher:
    """One watch: its selection and what it has not read yet."""

    __slots__ = ("_bytes", "_changes", "closed", "selection", "waiter")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.closed = False
        self.waiter: asyncio.Future[None] | None = None
        self._changes: list[Change] = []
        self._bytes = 0

    def offer(self, told: Change) -> None:
        """Take a change, or cut the watch off when its reader is too slow."""
        if self.closed:
            return
        self._changes.append(told)
        self._bytes += len(told.frame)
        if len(self._changes) > BUFFER_CHANGES or self._bytes > BUFFER_BYTES:
            self._changes.clear()
            self.closed = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def end(self) -> None:
        """Let the reader take what is there and stop."""
        self.closed = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def next(self) -> list[Change]:
        """Return what has come, waiting for something; nothing at the end."""
        while not self._changes:
            if self.closed:
                return []
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        taken, self._changes, self._bytes = self._changes, [], 0
        return taken


class Ticker:
    """Bookmarks for a watch, about ``every_s`` apart, until cancelled."""

    def __init__(self, watcher: Watcher, make: Callable[[], Change], every_s: float) -> None:
        self._watcher = watcher
        self._make = make
        self._every_s = every_s
        self._arrange()

    def _arrange(self) -> None:
        # Spread, so that many watchers begun together do not all wake at once.
        delay_s = self._every_s * random.uniform(0.9, 1.1)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._watcher.offer(self._make())
        self._arrange()

    def cancel(self) -> None:
        self._timer.cancel()


class Watchers:
    """The watchers of one kind by what can concern them."""

    def __init__(self) -> None:
        self._everything: set[Watcher] = set()
        self._by_namespace: dict[str, set[Watcher]] = {}
        self._by_object: dict[tuple[str, str], set[Watcher]] = {}
        self._by_field: dict[str, dict[str, set[Watcher]]] = {}

    def __iter__(self) -> Iterator[Watcher]:
        yield from self._everything
        yield from (watcher for members in self._by_namespace.values() for watcher in members)
        yield from (watcher for members in self._by_object.values() for watcher in members)
        for values in self._by_field.values():
            yield from (watcher for members in values.values() for watcher in members)

    def add(self, watcher: Watcher) -> None:
        """Begin to tell a watcher."""
        selection = watcher.selection
        if selection.name:
            self._by_object.setdefault((selection.namespace, selection.name), set()).add(watcher)
        elif selection.field_equals is not None:
            path, value = selection.field_equals
            self._by_field.setdefault(path, {}).setdefault(value, set()).add(watcher)
        elif selection.namespace:
            self._by_namespace.setdefault(selection.namespace, set()).add(watcher)
        else:
            self._everything.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Stop telling a watcher."""
        selection = watcher.selection
        if selection.name:
            _drop(self._by_object, (selection.namespace, selection.name), watcher)
        elif selection.field_equals is not None:
            path, value = selection.field_equals
            _drop(self._by_field.get(path, {}), value, watcher)
            if not self._by_field.get(path):
                self._by_field.pop(path, None)
        elif selection.namespace:
            _drop(self._by_namespace, selection.namespace, watcher)
        else:
            self._everything.discard(watcher)

    def tell(self, event: BucketEvent) -> None:
        """Tell everyone whom an event concerns."""
        entry = event.entry or event.previous
        if entry is None:
            return
        for watcher in self._everything:
            _tell(watcher, event)
        if self._by_namespace:
            for watcher in self._by_namespace.get(entry.namespace, ()):
                _tell(watcher, event)
        if self._by_object:
            for where in {entry.namespace, ""}:
                for watcher in self._by_object.get((where, entry.name), ()):
                    _tell(watcher, event)
        for path, values in self._by_field.items():
            for value in _values(event, path):
                for watcher in values.get(value, ()):
                    if watcher.selection.namespace in ("", entry.namespace):
                        _tell(watcher, event)
        event.settle()


def told_of(events: Iterable[BucketEvent], selection: Selection) -> list[Change]:
    """Return past events as a selection sees them."""
    told = []
    for event in events:
        entry = event.entry or event.previous
        if (
            entry is not None
            and selection.namespace in ("", entry.namespace)
            and selection.name in ("", entry.name)
        ):
            seen = event.seen_by(selection)
            event.settle()
            if seen is not None:
                told.append(seen)
    return told


def _tell(watcher: Watcher, event: BucketEvent) -> None:
    told = event.seen_by(watcher.selection)
    if told is not None:
        watcher.offer(told)


def _values(event: BucketEvent, path: str) -> set[str]:
    return {entry.fields.get(path, "") for entry in (event.entry, event.previous) if entry is not None}


def _drop(groups: dict[_K, set[Watcher]], key: _K, watcher: Watcher) -> None:
    members = groups.get(key)
    if members is not None:
        members.discard(watcher)
        if not members:
            del groups[key]
