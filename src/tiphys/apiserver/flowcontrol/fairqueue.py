"""Who runs next in one priority level: shuffle-sharded fair queues over a number of seats. Pure.

A request that finds free seats and nobody waiting runs at once; it is charged to a queue (``adopt``) from
when somebody must wait. Where requests wait, each flow has a hand of queues and joins the shortest; the queue
that has been served least goes next, in virtual time: R grows with the seats that work divided by the queues
that want them. Service is guessed when a request starts and corrected when it ends. Callers give the time.
Source: KEP-1040, "Fair Queuing for Server Requests".
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field

GUESS_S = 0.003
"""How long a request is thought to take when it starts."""
_REST = -1
"""Index of the queue of those who wait in a level that has no queues any more."""


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
    running: int = 0
    running_seats: int = 0
    served_until: float = 0.0
    """In virtual time."""


@dataclass(slots=True, eq=False)
class Turn:
    """One request's place. ``started`` None: it waits."""

    seats: int
    arrived: float
    flow: int
    queue: Queue
    started: float | None = None
    note: object = None
    """The caller's, for whoever wants to see who waits."""


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
    """One priority level. ``in_use`` and ``limit`` are seats; a shell may take free ones itself."""

    def __init__(self, sizes: Sizes, limit: int) -> None:
        self.sizes = sizes
        self.limit = limit
        self.in_use = 0
        self.waiting = 0
        self.waiting_seats = 0
        self.queues = [Queue(index) for index in range(sizes.queues)]
        self._backlog: dict[int, Queue] = {}
        self._active = 0
        """Queues with requests that wait or run: they share the seats."""
        self._virtual = 0.0
        self._looked = 0.0

    def fits(self, seats: int) -> bool:
        """Tell whether a request could run now. One wider than the level runs when it is alone."""
        return self.in_use + seats <= self.limit or (self.in_use == 0 and self.limit > 0)

    def join(self, now: float, flow: int, seats: int, note: object = None) -> Turn | None:
        """Take a place in a queue of the flow's hand; None where it is full, or there is none."""
        if not self.queues:
            return None
        queue = self._shortest(flow)
        if len(queue.waiting) >= self.sizes.length:
            return None
        self._advance(now)
        turn = Turn(seats, now, flow, queue, note=note)
        self._enqueue(turn, queue)
        return turn

    def adopt(self, now: float, flow: int, seats: int) -> Turn | None:
        """Charge a request that runs already, its seats taken, to a queue; None where there is none."""
        if not self.queues:
            return None
        self._advance(now)
        queue = self._shortest(flow)
        self._activate(queue)
        turn = Turn(seats, now, flow, queue)
        self._run(turn, now)
        return turn

    def reshape(self, now: float, sizes: Sizes) -> None:
        """Take other sizes. Who waits keeps waiting, in order of arrival; who runs is charged as before."""
        self._advance(now)
        left = sorted((t for queue in self._backlog.values() for t in queue.waiting), key=_arrived)
        for turn in left:
            queue = turn.queue
            self._unqueue(turn)
            self._active -= not queue.waiting and not queue.running
        self.sizes = sizes
        self.queues = [Queue(index, served_until=self._virtual) for index in range(sizes.queues)]
        # Where new ones are refused at once, those who were let in to wait still get their turn.
        rest = Queue(_REST, served_until=self._virtual)
        for turn in left:
            turn.queue = self._shortest(turn.flow) if self.queues else rest
            self._enqueue(turn, turn.queue)

    def _shortest(self, flow: int) -> Queue:
        hand = [self.queues[card] for card in deal(flow, len(self.queues), self.sizes.hand)]
        return min(hand, key=lambda one: (one.waiting_seats + one.running_seats, len(one.waiting)))

    def _activate(self, queue: Queue) -> None:
        if not queue.waiting and not queue.running:
            queue.served_until = max(queue.served_until, self._virtual)
            self._active += 1

    def _enqueue(self, turn: Turn, queue: Queue) -> None:
        self._activate(queue)
        queue.waiting.append(turn)
        queue.waiting_seats += turn.seats
        self._backlog[queue.index] = queue
        self.waiting += 1
        self.waiting_seats += turn.seats

    @staticmethod
    def _run(turn: Turn, now: float) -> None:
        queue = turn.queue
        turn.started = now
        queue.running += 1
        queue.running_seats += turn.seats
        queue.served_until += turn.seats * GUESS_S

    def start(self, now: float) -> list[Turn]:
        """Give free seats to those who wait, the least served queue first; return who starts."""
        started = []
        self._advance(now)
        while self._backlog:
            queue = min(self._backlog.values(), key=_finishes)
            if not self.fits(queue.waiting[0].seats):
                break
            turn = queue.waiting[0]
            self._unqueue(turn)
            self._run(turn, now)
            self.in_use += turn.seats
            started.append(turn)
        return started

    def end(self, now: float, turn: Turn) -> None:
        """Take back the seats of a request that ran, or the place of one that waited no longer."""
        self._advance(now)
        queue = turn.queue
        if turn.started is None:
            self._unqueue(turn)
            self._active -= not queue.waiting and not queue.running
            return
        queue.running -= 1
        self._active -= not queue.waiting and not queue.running
        queue.running_seats -= turn.seats
        queue.served_until += turn.seats * (now - turn.started - GUESS_S)
        self.in_use -= turn.seats

    def _unqueue(self, turn: Turn) -> None:
        queue = turn.queue
        queue.waiting.remove(turn)
        queue.waiting_seats -= turn.seats
        if not queue.waiting:
            del self._backlog[queue.index]
        self.waiting -= 1
        self.waiting_seats -= turn.seats

    def _advance(self, now: float) -> None:
        if self._active:
            seats = min(self.limit, self.in_use + self.waiting_seats)
            self._virtual += (now - self._looked) * seats / self._active
        self._looked = now


def _arrived(turn: Turn) -> float:
    return turn.arrived


def _finishes(queue: Queue) -> float:
    """When the first request of a queue would be done, in virtual time."""
    return queue.served_until + queue.waiting[0].seats * GUESS_S
