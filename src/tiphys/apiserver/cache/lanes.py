"""How watchers are told: in lanes of those who are told the same in the same form.

A watcher *rests* in its lane while its reader waits and its connection takes more: then an event costs it
one write and nothing else. The event is framed once for the lane, and no task is woken. Any other watcher is
*busy*: it has a bounded buffer of its own, which its reader empties; who does not read is cut off.
``cache.watchers`` says which lanes an event concerns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.registry.objects import Change, EventOutlet, Selection
from tiphys.wire.outlet import FanOut, Writer

BUFFER_CHANGES: Final = 20_000
BUFFER_BYTES: Final = 64 * 1024 * 1024
SHARE: Final = 250
"""Connections written to before others have their turn."""
LARGE_BYTES: Final = 32 * 1024
"""So much more for one connection counts as another."""


class Watcher:
    """One watch: its selection, and what its reader has not taken yet.

    ``live`` is set once all that comes is news to the reader: only then may events go past it, to ``outlet``.
    """

    __slots__ = (
        "_bytes", "_changes", "closed", "lane", "live", "outlet", "outlived", "selection", "too_slow",
        "waiter",
    )  # fmt: skip

    def __init__(self, selection: Selection, outlet: EventOutlet | None = None) -> None:
        self.selection = selection
        self.outlet = outlet
        self.lane: Lane | None = None
        self.live = False
        self.closed = False
        self.outlived = False
        """The store went back: what was told counts no more."""
        self.too_slow = False
        """It was cut off, as its reader left too much unread."""
        self.waiter: asyncio.Future[None] | None = None
        self._changes: list[Change] = []
        self._bytes = 0

    def offer(self, told: Change) -> None:
        """Give the reader a change, or cut the watch off when the reader is too slow."""
        self.leave_lane()
        self.take(told)

    def take(self, told: Change) -> None:
        """The same for a watcher that is known to be busy."""
        self._keep(told)
        self._wake()

    def _keep(self, told: Change) -> None:
        if self.closed:
            return
        self._changes.append(told)
        self._bytes += len(told.frame)
        if len(self._changes) > BUFFER_CHANGES or self._bytes > BUFFER_BYTES:
            self._changes.clear()
            self.closed = self.too_slow = True

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def end(self) -> None:
        """Let the reader take what is there and stop."""
        self.leave_lane()
        self.closed = True
        self._wake()

    def leave_lane(self) -> None:
        """Be told by way of the reader alone."""
        if self.lane is not None:
            for told in self.lane.leave(self):
                self._keep(told)

    async def next(self) -> list[Change]:
        """Return what has come, waiting for something; nothing at the end."""
        while not self._changes:
            if self.closed:
                return []
            self.waiter = asyncio.get_running_loop().create_future()
            if self.live and self.lane is not None:
                self.lane.rest(self)
            try:
                await self.waiter
            finally:
                self.waiter = None
                self.leave_lane()
        taken, self._changes, self._bytes = self._changes, [], 0
        return taken


class _Round:
    """Changes on their way to those that rested when it began; ``at``: whom they reach next."""

    __slots__ = ("at", "changes", "chunk", "watchers", "writers")

    def __init__(self, changes: list[Change], chunk: bytes, resting: dict[Watcher, Writer]) -> None:
        self.changes = changes
        self.chunk = chunk
        self.watchers = list(resting)
        self.writers = list(resting.values())
        self.at = 0


class Lane:
    """Watchers of one selection whose outlets are of one form."""

    __slots__ = ("_anywhere", "_busy", "_late", "_outbox", "_pending", "_resting", "_round", "selection")

    def __init__(self, selection: Selection, outbox: Outbox) -> None:
        self.selection = selection
        self._outbox = outbox
        self._busy: dict[Watcher, None] = {}
        """In the order in which they came: a simulated story is the same each time that it is told."""
        self._resting: dict[Watcher, Writer] = {}
        self._late: dict[Watcher, tuple[Writer, int]] = {}
        """They came to rest while changes were pending: how many of those they know."""
        self._pending: list[Change] = []
        self._round: _Round | None = None
        self._anywhere = False

    def __len__(self) -> int:
        return len(self._busy) + len(self._resting) + len(self._late)

    @property
    def watchers(self) -> list[Watcher]:
        return [*self._busy, *self._resting, *self._late]

    def add(self, watcher: Watcher) -> None:
        """Begin to tell a watcher, busy at first."""
        watcher.lane = self
        self._busy[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Stop telling a watcher."""
        self.leave(watcher)
        self._busy.pop(watcher, None)
        watcher.lane = None

    def tell(self, told: Change) -> None:
        """Tell every watcher of a change: those that rest in the next turn of the loop."""
        if self._resting or self._late:
            if not self._pending and self._round is None:
                self._outbox.add(self)
            self._pending.append(told)
        for watcher in self._busy:
            watcher.take(told)

    # -- coming to rest and leaving

    def rest(self, watcher: Watcher) -> None:
        """Have a busy watcher's events written to its outlet from now on, where that takes them."""
        outlet = watcher.outlet
        writer = outlet.writer(watcher.leave_lane) if outlet is not None else None
        if outlet is None or writer is None:
            return
        if not (self._resting or self._late):
            self._anywhere = outlet.anywhere
        elif outlet.anywhere is not self._anywhere:
            return
        self._busy.pop(watcher, None)
        if self._pending:
            self._late[watcher] = (writer, len(self._pending))
        else:
            self._resting[watcher] = writer

    def leave(self, watcher: Watcher) -> Sequence[Change]:
        """Make a watcher busy; return what it was told at rest that has not been written."""
        if self._resting.pop(watcher, None) is not None:
            self._busy[watcher] = None
            return [*self._take_from_round(watcher), *self._pending]
        late = self._late.pop(watcher, None)
        if late is not None:
            self._busy[watcher] = None
            return self._pending[late[1] :]
        return ()

    def _take_from_round(self, watcher: Watcher) -> Sequence[Change]:
        current = self._round
        if current is None:
            return ()
        try:
            at = current.watchers.index(watcher, current.at)
        except ValueError:
            return ()
        del current.watchers[at], current.writers[at]
        return current.changes

    # -- delivering

    def deliver(self, share: int) -> int:
        """Write to some of those who rest; return how much of a share that took."""
        current = self._round or self._begin()
        if current is None:
            return 0
        cost = 1 + len(current.chunk) // LARGE_BYTES
        begun, current.at = current.at, min(current.at + max(share // cost, 1), len(current.writers))
        failed = self._outbox.fan_out.write(
            current.writers[begun : current.at], current.chunk, anywhere=self._anywhere
        )
        count = current.at - begun
        for at, error in failed:
            count -= not self._rescue(current, current.watchers[begun + at], error)
        if count:
            told = current.watchers[begun].outlet
            assert told is not None
            told.count(count * len(current.changes))
        if current.at == len(current.writers):
            self._round = None
        return (current.at - begun) * cost

    @property
    def waits(self) -> bool:
        """Whether there is something to deliver."""
        return self._round is not None or bool(self._pending)

    def _begin(self) -> _Round | None:
        """Start a round with all that is pending; who came to rest meanwhile is part of the next."""
        changes, self._pending = self._pending, []
        self._round = self._to_resting(changes) if self._resting else None
        late, self._late = self._late, {}
        for watcher, (writer, known) in late.items():
            if known == len(changes):
                self._resting[watcher] = writer
            else:
                self._hand_over(watcher, changes[known:])
        return self._round

    def _to_resting(self, changes: list[Change]) -> _Round | None:
        resting = self._resting
        outlet = next(iter(resting)).outlet
        assert outlet is not None
        try:
            return _Round(changes, outlet.chunk(changes, len(resting)), resting)
        except Exception:  # each reader runs into the same, and ends its watch with it
            self._resting = {}
            for watcher in resting:
                self._hand_over(watcher, changes)
            return None

    def _hand_over(self, watcher: Watcher, changes: Sequence[Change]) -> None:
        """Leave changes to the reader of a watcher that rests no more."""
        self._busy[watcher] = None
        for told in changes:
            watcher.take(told)

    def _rescue(self, current: _Round, watcher: Watcher, error: Exception) -> bool:
        """Make a watcher busy whose writer raised; return whether its chunk is on its way all the same."""
        outlet = watcher.outlet
        assert outlet is not None
        sent = outlet.rescue(current.chunk, error)
        unwritten = self.leave(watcher)
        self._hand_over(watcher, [*(() if sent else current.changes), *unwritten])
        return sent


class Outbox:
    """Delivers what lanes were told, a share of connections each turn of the loop.

    By the next turn all events of one commit are there: they go out in one chunk. ``close`` at the end.
    """

    def __init__(self) -> None:
        self.fan_out = FanOut()
        self._due: deque[Lane] = deque()

    def add(self, lane: Lane) -> None:
        """Note that a lane has something to deliver."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._due.append(lane)

    def _deliver(self) -> None:
        due, left = self._due, SHARE
        while due and left > 0:
            lane = due.popleft()
            left -= max(lane.deliver(left), 1)
            if lane.waits:
                due.append(lane)
        if due:
            asyncio.get_running_loop().call_soon(self._deliver)

    def close(self) -> None:
        """Let go of what delivering takes. Idempotent."""
        self.fan_out.close()
