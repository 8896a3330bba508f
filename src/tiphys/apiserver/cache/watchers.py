"""Who watches a kind, and whom an event concerns.

An event goes only to watchers whose scope it can touch: all of the kind, one namespace, one object, one value
of an indexed field (a kubelet's pods). How they are told is ``cache.lanes``'s.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.cache.entry import Entry, change
from tiphys.apiserver.cache.lanes import Lane, Outbox, Watcher
from tiphys.apiserver.registry.objects import Change, Selection

Lanes: TypeAlias = dict[Hashable, Lane]
"""By selection and form."""

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


_BEFORE_END_S: Final = 2.0


class Ticker:
    """Bookmarks for a watch, about ``every_s`` apart and one shortly before its end, until cancelled.

    ``lasts_s``: when the watch ends; 0: nobody knows.
    """

    def __init__(
        self, watcher: Watcher, make: Callable[[], Change], every_s: float, lasts_s: float = 0
    ) -> None:
        self._watcher = watcher
        self._make = make
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._last_at = self._loop.time() + lasts_s - _BEFORE_END_S if lasts_s else 0.0
        self._arrange()

    def _arrange(self) -> None:
        # Spread, so that many watchers begun together do not all wake at once.
        delay_s = self._every_s * random.uniform(0.9, 1.1)
        left_s = self._last_at - self._loop.time()
        if 0 < left_s < delay_s:
            delay_s, self._last_at = left_s, 0.0
        self._timer = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._watcher.offer(self._make())
        self._arrange()

    def cancel(self) -> None:
        self._timer.cancel()


class Watchers:
    """The watchers of one kind, in lanes by what can concern them."""

    def __init__(self, outbox: Outbox, counts: KindCounts | None = None) -> None:
        self._outbox = outbox
        self.counts = counts or KindCounts()
        self._everything: Lanes = {}
        self._by_namespace: dict[str, Lanes] = {}
        self._by_object: dict[tuple[str, str], Lanes] = {}
        self._by_field: dict[str, dict[str, Lanes]] = {}

    def __iter__(self) -> Iterator[Watcher]:
        groups = [self._everything, *self._by_namespace.values(), *self._by_object.values()]
        groups += [lanes for values in self._by_field.values() for lanes in values.values()]
        return (watcher for lanes in groups for lane in lanes.values() for watcher in lane.watchers)

    def add(self, watcher: Watcher) -> None:
        """Begin to tell a watcher."""
        selection = watcher.selection
        if selection.name:
            lanes = self._by_object.setdefault((selection.namespace, selection.name), {})
        elif selection.field_equals is not None:
            path, value = selection.field_equals
            lanes = self._by_field.setdefault(path, {}).setdefault(value, {})
        elif selection.namespace:
            lanes = self._by_namespace.setdefault(selection.namespace, {})
        else:
            lanes = self._everything
        key = _key(watcher)
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(selection, self._outbox)
        lane.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Stop telling a watcher."""
        selection = watcher.selection
        if selection.name:
            _drop(self._by_object, (selection.namespace, selection.name), watcher)
        elif selection.field_equals is not None:
            path, value = selection.field_equals
            _drop(self._by_field[path], value, watcher)
            if not self._by_field[path]:
                del self._by_field[path]
        elif selection.namespace:
            _drop(self._by_namespace, selection.namespace, watcher)
        else:
            _remove(self._everything, watcher)

    def tell(self, event: BucketEvent) -> None:
        """Tell everyone whom an event concerns."""
        entry = event.entry or event.previous
        if entry is None:
            return
        self.counts.told += 1
        if self._everything:
            _tell(self._everything, event)
        if self._by_namespace:
            _tell(self._by_namespace.get(entry.namespace), event)
        if self._by_object:
            for where in {entry.namespace, ""}:
                _tell(self._by_object.get((where, entry.name)), event)
        for path, values in self._by_field.items():
            for value in _values(event, path):
                _tell(values.get(value), event, entry.namespace)
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


def _key(watcher: Watcher) -> Hashable:
    return watcher.selection, watcher.outlet.form if watcher.outlet is not None else None


def _tell(lanes: Lanes | None, event: BucketEvent, namespace: str = "") -> None:
    """Tell the watchers of each lane; with ``namespace`` only those of it and of all."""
    if lanes is None:
        return
    for lane in lanes.values():
        if not namespace or lane.selection.namespace in ("", namespace):
            told = event.seen_by(lane.selection)
            if told is not None:
                lane.tell(told)


def _values(event: BucketEvent, path: str) -> set[str]:
    return {entry.fields.get(path, "") for entry in (event.entry, event.previous) if entry is not None}


def _drop(groups: dict[_K, Lanes], key: _K, watcher: Watcher) -> None:
    lanes = groups[key]
    _remove(lanes, watcher)
    if not lanes:
        del groups[key]


def _remove(lanes: Lanes, watcher: Watcher) -> None:
    key = _key(watcher)
    lane = lanes[key]
    lane.remove(watcher)
    if not lane:
        del lanes[key]
