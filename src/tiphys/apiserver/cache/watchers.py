"""Who watches a kind, and what each of them is told.

An event goes only to watchers whose scope it can touch: all of the kind, one namespace, one object, one value
of an indexed field (a kubelet's pods). Each has a bounded buffer; who does not read is cut off.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.cache.entry import Entry, change
from tiphys.apiserver.objects import Change, Selection

BUFFER_CHANGES: Final = 20_000
BUFFER_BYTES: Final = 64 * 1024 * 1024
SHARE: Final = 250
"""Connections written to before others have their turn."""

_K = TypeVar("_K", bound=Hashable)


_EVERYTHING: Final = Selection()


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


class Outbox:
    """Hands frames to the connections of watchers that wait for nothing else, a share of them a turn.

    A watcher's task is not woken: the next turn of the loop writes to its connection. By then all events of
    one commit are there, and what many watchers are told is joined once.
    """

    def __init__(self) -> None:
        self._due: deque[Watcher] = deque()
        self._frames: list[Change] = []
        self._joined = b""

    def add(self, watcher: Watcher) -> None:
        """Note that a watcher was told something."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._due.append(watcher)

    def _deliver(self) -> None:
        due = self._due
        for _ in range(min(len(due), SHARE)):
            watcher = due.popleft()
            changes = watcher.due()
            if changes:
                frames = changes[0].frame if len(changes) == 1 else self._join(changes)
                if watcher.push(frames, len(changes)):
                    watcher.taken()
                else:
                    watcher.wake()
        if due:
            asyncio.get_running_loop().call_soon(self._deliver)
        else:
            self._frames, self._joined = [], b""

    def _join(self, changes: list[Change]) -> bytes:
        if changes != self._frames:
            self._frames, self._joined = changes, b"".join([change.frame for change in changes])
        return self._joined


def _never(_frames: bytes, _count: int) -> bool:
    return False


Push: TypeAlias = Callable[[bytes, int], bool]
"""Takes frames and how many events they hold; False: it cannot now."""


class Watcher:
    """One watch: its selection and what it has not read yet.

    With an ``outbox``, frames that come while the reader waits go to ``push``; the reader takes what ``push``
    refuses. Changes before ``wanted`` are the reader's to judge.
    """

    __slots__ = (
        "_bytes",
        "_changes",
        "_in_outbox",
        "_outbox",
        "closed",
        "push",
        "selection",
        "too_slow",
        "waiter",
        "wanted",
    )

    def __init__(self, selection: Selection, outbox: Outbox | None = None, push: Push | None = None) -> None:
        self.selection = selection
        self.closed = False
        self.too_slow = False
        """It was cut off, as its reader left too much unread."""
        self.waiter: asyncio.Future[None] | None = None
        self.wanted = 0
        self.push = push or _never
        self._outbox = outbox if push is not None else None
        self._in_outbox = False
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
            self.closed = self.too_slow = True
        elif self._outbox is not None and self.waiter is not None and told.revision > self.wanted:
            if not self._in_outbox:
                self._in_outbox = True
                self._outbox.add(self)
            return
        self.wake()

    def due(self) -> list[Change]:
        """Return what the outbox may deliver: nothing where the reader is about to take it itself."""
        self._in_outbox = False
        waits = self.waiter is not None and not self.waiter.done()
        return self._changes if waits and not self.closed else []

    def taken(self) -> None:
        """What was due has been delivered."""
        self._changes, self._bytes = [], 0

    def wake(self) -> None:
        """Let the reader take what is there."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def end(self) -> None:
        """Let the reader take what is there and stop."""
        self.closed = True
        self.wake()

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

    def __init__(self, counts: KindCounts | None = None) -> None:
        self._counts = counts or KindCounts()
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

    def interested(self, namespace: str, name: str) -> int:
        """Return about how many a change of an object would be told; each value of a field is as likely."""
        found = len(self._everything) + len(self._by_namespace.get(namespace, ()))
        if name and self._by_object:
            found += sum(len(self._by_object.get((where, name), ())) for where in {namespace, ""})
        for values in self._by_field.values():
            found += -(-sum(map(len, values.values())) // len(values))
        return found

    def tell(self, event: BucketEvent) -> None:
        """Tell everyone whom an event concerns."""
        entry = event.entry or event.previous
        if entry is None:
            return
        self._counts.told += 1
        if self._everything:
            plain = event.seen_by(_EVERYTHING)
            for watcher in self._everything:
                if watcher.selection.matches is not None:
                    _tell(watcher, event)
                elif plain is not None:
                    watcher.offer(plain)
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
