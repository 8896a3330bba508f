"""Who runs next in one priority level: shuffle-sharded fair queues over a number of seats. Pure.

Every request is charged to a queue of its flow's hand, also one that finds free seats and nobody waiting. The
queue that has been served least goes next, in virtual time: R grows with the seats that are wanted and there,
divided by the queues that want them. Service is guessed when a request starts and corrected when it ends; a
queue that was idle has saved nothing up. Callers give the time.
Source: KEP-1040, "Fair Queuing for Server Requests"; upstream's queue sets.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.flowcontrol.demand import Held
from tiphys.apiserver.flowcontrol.work import ONE, Width

GUESS_S = 0.003
"""How long a request is thought to take when it starts."""
PARTS = 10**8
"""Of a seat-second, as upstream counts."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A priority level's queues; none (``queues`` 0) means that nobody waits."""

    queues: int = 0
    hand: int = 1
    length: int = 0


@dataclass(slots=True, eq=False)
class Queue:
    """Requests that wait, oldest first, and how far this queue has been served."""

    index: int
    waiting: deque[Turn] = field(default_factory=deque)
    waiting_seats: int = 0
    waiting_first: int = 0
    """Seats that those who wait will take at first; ``waiting_seats`` are the most they will take."""
    waiting_work: int = 0
    """What those who wait are thought to cost: whole parts of a seat-second, so that equals stay equals."""
    running: int = 0
    seats: int = 0
    """Taken, by those who run and for the while after."""
    next_r: float = 0.0
    """In virtual time: when its next request starts."""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def bound(self) -> None:
        """Let no request start before it came."""
        if self.waiting and self.next_r < self.waiting[0].arrived_r:
            self.next_r = self.waiting[0].arrived_r


class Turn:
    """One request's place. ``started`` None: it waits. ``queue`` None: its level has no queues."""

    __slots__ = ("arrived", "arrived_r", "note", "queue", "seats", "started", "width", "work")

    def __init__(self, width: Width, now: float, r: float, queue: Queue | None, note: object) -> None:
        self.width = width
        self.seats = width.most
        self.work = width.seats * GUESS_S + width.final * width.extra_s
        self.arrived = now
        self.arrived_r = r
        self.queue = queue
        self.note = note
        self.started: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Virtual times at a request's start: R, its queue's S, and the bounds of all queues' S."""

    r: float = 0.0
    s: float = 0.0
    s_min: float = 0.0
    s_max: float = 0.0
    discounted_min: float = 0.0
    discounted_max: float = 0.0


def flow_hash(schema: str, flow: str) -> int:
    """Return the number that deals a flow its hand."""
    return int.from_bytes(hashlib.sha256(f"{schema}\0{flow}".encode()).digest()[:8], "little")


def deal(number: int, deck: int, hand: int) -> list[int]:
    """Return ``hand`` different cards of ``deck``, each hand as likely as any other."""
    cards: list[int] = []
    for dealt in range(min(hand, deck)):
        number, card = divmod(number, deck - dealt)
        for lower in sorted(cards):
            card += lower <= card
        cards.append(card)
    return cards


class FairQueues:
    """One priority level. ``in_use`` and ``limit`` are seats."""

    def __init__(self, sizes: Sizes, limit: int, now: float = 0.0) -> None:
        self.sizes = sizes
        self.limit = limit
        self.in_use = 0
        self.executing = 0
        self.waiting = 0
        self.waiting_seats = 0
        self.queues = [Queue(index) for index in range(sizes.queues)]
        self.held = Held(now)
        self.r = 0.0
        self.last: tuple[float, Queue] | None = None
        """R and queue of the last start."""
        self.stuck: Turn | None = None
        """Who was next at the last look and found too few seats."""
        self._backlog: dict[int, Queue] = {}
        self._active = 0
        """Queues with requests that wait or run: they share the seats."""
        self._wanted = 0
        """Seats that requests in queues have or want."""
        self._robin = 0
        self._entered = 0
        self._looked = now

    def fits(self, seats: int) -> bool:
        """Tell whether a request could run now. One wider than the level runs when it is alone."""
        if seats > self.limit:
            return self.executing == 0
        return self.in_use + seats <= self.limit

    def take(self, now: float, hand: Sequence[int], width: Width = ONE, note: object = None) -> Turn | None:
        """Start a request at once; None where it would have to wait, or where there is no seat for it."""
        dealt = self.sizes.queues
        if (dealt and (self.waiting or self.in_use >= self.limit)) or not self.fits(width.most):
            return None
        self._advance(now)
        queue = self._choose(hand) if dealt else None
        turn = Turn(width, now, self.r, queue, note)
        if queue is not None:
            self._activate(queue)
            queue.next_r = max(queue.next_r, self.r)  # no request starts before it came
            self._robin = queue.index
        self._run(turn, now)
        return turn

    def join(self, now: float, hand: Sequence[int], width: Width = ONE, note: object = None) -> Turn | None:
        """Take a place in a queue of the flow's hand; None where it is full, or there is none."""
        if not self.sizes.queues:
            return None
        self._advance(now)
        queue = self._choose(hand)
        if self.in_use >= self.limit and len(queue.waiting) >= self.sizes.length:
            return None
        turn = Turn(width, now, self.r, queue, note)
        self._activate(queue)
        queue.waiting.append(turn)
        queue.waiting_seats += turn.seats
        queue.waiting_first += width.seats
        queue.waiting_work += round(turn.work * PARTS)
        queue.bound()
        self._backlog[queue.index] = queue
        self.waiting += 1
        self.waiting_seats += turn.seats
        self._wanted += turn.seats
        self._note(now)
        return turn

    def _choose(self, hand: Sequence[int]) -> Queue:
        """Return the queue of a hand that has least to do; of equals each in turn."""
        offset = self._entered % len(hand)
        self._entered += 1
        if not self.waiting:
            return self.queues[hand[offset]]
        return min((self.queues[card] for card in (*hand[offset:], *hand[:offset])), key=_work)

    def _activate(self, queue: Queue) -> None:
        if queue.idle:
            queue.next_r = self.r
            self._active += 1

    def start(self, now: float) -> list[Turn]:
        """Give free seats to those who wait, the least served queue first; return who starts."""
        started: list[Turn] = []
        self.stuck = None
        if not self._backlog:
            return started
        self._advance(now)
        while self._backlog and self.in_use < self.limit:
            queue = min(self._backlog.values(), key=self._order)
            turn = queue.waiting[0]
            if not self.fits(turn.seats):
                self.stuck = turn
                break
            self._robin = queue.index
            self._unqueue(turn, queue)
            self._narrow(turn)
            self._run(turn, now)
            queue.bound()
            started.append(turn)
        return started

    def _order(self, queue: Queue) -> tuple[float, int]:
        """When a queue's oldest request would be done, in virtual time; of equals, the next in the round."""
        return queue.next_r + queue.waiting[0].work, (queue.index - self._robin - 1) % len(self.queues)

    def _narrow(self, turn: Turn) -> None:
        """Make a request that ends wider than the level as much narrower as it holds its seats longer."""
        width = turn.width
        if width.final > self.limit > 0:
            work = width.final * width.extra_s
            turn.width = Width(width.seats, self.limit, work / self.limit, width.watchers)
            turn.seats = turn.width.most

    def _run(self, turn: Turn, now: float) -> None:
        queue = turn.queue
        turn.started = now
        if queue is not None:
            self.last = (self.r, queue)
            self._wanted += turn.seats
            queue.running += 1
            queue.seats += turn.seats
            queue.next_r += turn.work
        self.executing += 1
        self.in_use += turn.seats
        self._note(now)

    def end(self, now: float, turn: Turn) -> None:
        """Take note that a request has run, or waits no longer. ``release`` gives its seats back."""
        self._advance(now)
        queue = turn.queue
        if turn.started is None:
            assert queue is not None
            self._unqueue(turn, queue)
            self._active -= queue.idle
            queue.bound()
            self._note(now)
            return
        self.executing -= 1
        if queue is not None:
            queue.running -= 1
            self._active -= queue.idle
            queue.next_r -= turn.width.seats * (GUESS_S - (now - turn.started))
            queue.bound()
        if not turn.width.extra_s:
            self._free(turn)
        self._note(now)

    def release(self, now: float, turn: Turn) -> None:
        """Give back the seats that a request held for a while after it had run."""
        self._advance(now)
        self._free(turn)
        self._note(now)

    def _free(self, turn: Turn) -> None:
        self.in_use -= turn.seats
        queue = turn.queue
        if queue is not None:
            queue.seats -= turn.seats
            self._wanted -= turn.seats
            if len(self.queues) > self.sizes.queues:
                self._trim()

    def _unqueue(self, turn: Turn, queue: Queue) -> None:
        queue.waiting.remove(turn)
        queue.waiting_seats -= turn.seats
        queue.waiting_first -= turn.width.seats
        queue.waiting_work -= round(turn.work * PARTS)
        if not queue.waiting:
            del self._backlog[queue.index]
        self.waiting -= 1
        self.waiting_seats -= turn.seats
        self._wanted -= turn.seats

    def reshape(self, now: float, sizes: Sizes) -> None:
        """Take other sizes. Queues beyond them are dealt to nobody any more, and go when they are empty."""
        self._advance(now)
        self.sizes = sizes
        self.queues += [Queue(index) for index in range(len(self.queues), sizes.queues)]
        self._trim()

    def resize(self, now: float, limit: int) -> None:
        """Take another number of seats; ``start`` lets those go on who have one now."""
        self._advance(now)
        self.limit = limit

    def _trim(self) -> None:
        """Remove empty queues beyond the sizes; those behind them move up."""
        spare = len(self.queues) - self.sizes.queues
        for queue in reversed(list(self.queues)):
            if spare <= 0:
                break
            if queue.idle and not queue.seats:
                spare -= 1
                self.queues.remove(queue)
                self._robin -= self._robin >= queue.index > 0
        for index, queue in enumerate(self.queues):
            queue.index = index
        self._backlog = {queue.index: queue for queue in self.queues if queue.waiting}

    def dispatched(self) -> Dispatch:
        """Return the virtual times of the last start, and the bounds as they are now."""
        if self.last is None:
            return Dispatch()
        r, queue = self.last
        waiting = list(self._backlog.values()) or [queue]
        starts = [one.next_r for one in waiting]
        less = [one.next_r - one.seats * GUESS_S for one in waiting]
        return Dispatch(r, queue.next_r, min(starts), max(starts), min(less), max(less))

    def _advance(self, now: float) -> None:
        if self._active:
            seats = self._wanted if self._wanted < self.limit else self.limit
            self.r += (now - self._looked) * seats / self._active
        self._looked = now

    def _note(self, now: float) -> None:
        self.held.note(now, (self.in_use, self.waiting_seats, self.executing, self.waiting))


def _work(queue: Queue) -> int:
    return queue.waiting_work
