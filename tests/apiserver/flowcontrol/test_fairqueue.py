"""Who runs next: seats, hands, fairness between flows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tiphys.apiserver.flowcontrol.fairqueue import GUESS_S, FairQueues, Sizes, Turn, deal, flow_hash
from tiphys.apiserver.flowcontrol.work import Width

ALONE, CROWD = flow_hash("schema", "alone"), flow_hash("schema", "crowd")


@pytest.mark.parametrize(("deck", "hand"), [(1, 1), (8, 3), (64, 6), (128, 6), (4, 9)])
def test_a_hand_is_of_different_cards_of_the_deck(deck: int, hand: int) -> None:
    for number in range(500):
        cards = deal(flow_hash("s", str(number)), deck, hand)
        assert len(cards) == len(set(cards)) == min(deck, hand)
        assert all(0 <= card < deck for card in cards)


def test_hands_use_the_whole_deck_evenly() -> None:
    seen = [0] * 16
    for number in range(4000):
        for card in deal(flow_hash("s", str(number)), 16, 4):
            seen[card] += 1
    assert min(seen) > 800
    assert max(seen) < 1200


def test_the_same_flow_always_has_the_same_hand() -> None:
    assert deal(ALONE, 64, 6) == deal(flow_hash("schema", "alone"), 64, 6)
    assert flow_hash("a", "bc") != flow_hash("ab", "c")


def hand(queues: FairQueues, flow: int) -> Sequence[int]:
    return deal(flow, queues.sizes.queues, queues.sizes.hand)


def join(queues: FairQueues, now: float, flow: int, seats: int = 1, note: object = None) -> Turn | None:
    return queues.join(now, hand(queues, flow), Width(seats), note)


def take(queues: FairQueues, now: float, flow: int, seats: int = 1) -> Turn:
    turn = queues.take(now, hand(queues, flow), Width(seats))
    assert turn is not None
    return turn


def test_without_queues_nobody_waits() -> None:
    queues = FairQueues(Sizes(), 1)
    assert queues.join(0.0, []) is None
    turn = queues.take(0.0, [])
    assert turn is not None
    assert queues.take(0.0, []) is None
    queues.end(1.0, turn)
    assert queues.in_use == 0


def test_a_full_queue_takes_nobody() -> None:
    queues = FairQueues(Sizes(queues=4, hand=1, length=2), 0)
    assert join(queues, 0.0, ALONE) is not None
    assert join(queues, 0.0, ALONE) is not None
    assert join(queues, 0.0, ALONE) is None
    assert queues.waiting == 2


def test_seats_are_given_up_to_the_limit_and_come_back() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 3)
    turns = [join(queues, 0.0, number, 1) for number in range(5)]
    started = queues.start(0.0)
    assert len(started) == queues.in_use == 3
    assert queues.waiting == 2
    queues.end(0.1, started[0])
    assert queues.in_use == 2
    assert [turn in turns for turn in queues.start(0.1)] == [True]
    assert queues.in_use == 3


def test_who_starts_at_once_is_charged() -> None:
    """Seats taken while there were free ones are a debt from the first moment, not from when others come."""
    queues = FairQueues(Sizes(64, 1, 10), 2)
    first, second = take(queues, 0.0, CROWD), take(queues, 0.0, CROWD)
    queue = first.queue
    assert queue is not None
    assert (queue is second.queue, queue.running, queue.seats) == (True, 2, 2)
    assert queue.next_r == pytest.approx(2 * GUESS_S)
    crowd, alone = join(queues, 1.0, CROWD), join(queues, 1.0, ALONE)
    assert queues.r == pytest.approx(2.0), "one queue had both seats for a second"
    queues.end(5.0, first)
    assert queue.next_r == pytest.approx(2.0 + 5.0 - GUESS_S), "the time that it took, in place of the guess"
    assert queues.start(5.0) == [alone]
    queues.end(5.1, second)
    assert queues.start(5.1) == [crowd]


def test_a_debt_is_gone_once_a_flow_has_been_away() -> None:
    queues = FairQueues(Sizes(64, 1, 10), 1)
    turn = take(queues, 0.0, CROWD)
    queues.end(100.0, turn)
    assert turn.queue is not None
    again = take(queues, 100.0, CROWD)
    assert again.arrived_r == queues.r
    assert turn.queue.next_r == pytest.approx(queues.r + GUESS_S)


def test_nothing_starts_before_it_came() -> None:
    """A queue that used less than its part does not overtake all others for as long as it saved."""
    queues = FairQueues(Sizes(64, 1, 10), 4)
    small, large = take(queues, 0.0, ALONE), take(queues, 0.0, CROWD, 3)
    assert small.queue is not None
    assert large.queue is not None
    waiting = join(queues, 10.0, ALONE, 2)
    assert waiting is not None
    assert queues.r == pytest.approx(20.0)
    assert small.queue.next_r == pytest.approx(waiting.arrived_r)


def test_nothing_starts_at_once_before_it_came() -> None:
    """A flow with one request running for long does not get the next ones as if they had come with it."""
    queues = FairQueues(Sizes(64, 1, 10), 4)
    small, _ = take(queues, 0.0, ALONE), take(queues, 0.0, CROWD, 2)
    assert small.queue is not None
    again = take(queues, 10.0, ALONE)
    assert queues.r == pytest.approx(15.0)
    assert small.queue is again.queue
    assert small.queue.next_r == pytest.approx(queues.r + GUESS_S)


def test_seats_are_held_on_for_a_while_after_a_write() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 5)
    turn = queues.take(0.0, hand(queues, ALONE), Width(1, 4, 0.5))
    assert turn is not None
    assert turn.work == pytest.approx(GUESS_S + 2.0)
    queues.end(1.0, turn)
    assert (queues.in_use, queues.executing) == (4, 0)
    assert queues.take(1.0, hand(queues, CROWD), Width(2)) is None
    queues.release(1.5, turn)
    assert queues.in_use == 0


def test_a_write_that_ends_wider_than_its_level_holds_its_seats_longer() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 5)
    wide = queues.join(0.0, hand(queues, ALONE), Width(1, 8, 0.5))
    queues.resize(0.0, 4)
    assert queues.start(0.0) == [wide]
    assert wide is not None
    assert (wide.width.final, wide.width.extra_s, wide.seats) == (4, 1.0, 4)
    assert queues.in_use == 4


def test_who_is_next_and_finds_too_few_seats_is_known() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 3)
    running = take(queues, 0.0, ALONE, 2)
    wide = join(queues, 0.0, CROWD, 2)
    assert queues.start(0.0) == []
    assert queues.stuck is wide
    queues.end(1.0, running)
    assert queues.start(1.0) == [wide]
    assert queues.stuck is None


def test_a_full_queue_takes_who_would_only_wait_for_its_turn() -> None:
    """It is full for those who meet a level without a free seat."""
    queues = FairQueues(Sizes(1, 1, 1), 4)
    take(queues, 0.0, ALONE, 3)
    assert join(queues, 0.0, ALONE, 2) is not None
    assert join(queues, 0.0, ALONE, 2) is not None
    queues.resize(0.0, 3)
    assert join(queues, 0.0, ALONE) is None


def test_equal_queues_take_turns() -> None:
    queues = FairQueues(Sizes(4, 1, 10), 1)
    for card in (0, 1, 2, 3) * 2:
        queues.join(0.0, [card], note=card)
    order: list[int] = []
    for at in range(8):
        (turn,) = queues.start(float(at))
        assert isinstance(turn.note, int)
        order.append(turn.note)
        queues.end(at + GUESS_S, turn)
    assert sorted(order[:4]) == sorted(order[4:]) == [0, 1, 2, 3]


def test_the_least_work_in_a_hand_is_joined() -> None:
    queues = FairQueues(Sizes(3, 3, 10), 0)
    places = [queues.join(0.0, [0, 1, 2], Width(seats)) for seats in (4, 1, 1, 1)]
    indexes = [place.queue.index for place in places if place is not None and place.queue is not None]
    assert sorted(indexes[:3]) == [0, 1, 2]
    assert indexes[3] != indexes[0], "where the wide one waits there is more to do"


def test_time_stands_still_in_a_level_where_nobody_is() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 5)
    turn = take(queues, 10.0, ALONE)
    assert queues.r == 0.0
    queues.end(11.0, turn)
    take(queues, 99.0, ALONE)
    assert queues.r == pytest.approx(1.0)


def test_what_is_known_of_the_last_start() -> None:
    queues = FairQueues(Sizes(64, 1, 10), 1)
    assert queues.dispatched().r == 0.0
    turn = take(queues, 0.0, CROWD)
    join(queues, 1.0, ALONE)
    queues.end(2.0, turn)
    queues.start(2.0)
    found = queues.dispatched()
    assert found.r == pytest.approx(1.0 + 0.5)
    assert (found.s_min, found.s_max) == (found.s, found.s)
    assert found.discounted_min == pytest.approx(found.s - GUESS_S)


@pytest.mark.parametrize("sizes", [Sizes(1, 1, 1), Sizes(64, 8, 50), Sizes()])
def test_other_sizes_lose_nobody(sizes: Sizes) -> None:
    queues = FairQueues(Sizes(8, 2, 10), 2)
    turns = [join(queues, float(at), flow_hash("s", str(at % 3))) for at in range(9)]
    started = queues.start(9.0)
    queues.reshape(10.0, sizes)
    assert (queues.waiting, queues.in_use) == (7, 2)
    assert len(queues.queues) >= sizes.queues
    now = 10.0
    while started:
        now += 1
        queues.end(now, started.pop(0))
        fresh = queues.start(now)
        started += fresh
        turns = [turn for turn in turns if turn not in fresh]
    assert (queues.waiting, queues.waiting_seats, queues.in_use) == (0, 0, 0)
    assert len(queues.queues) == sizes.queues
    assert [queue.index for queue in queues.queues] == list(range(len(queues.queues)))
    assert len(turns) == 2  # the ones that ran before


def test_one_flow_keeps_its_order() -> None:
    queues = FairQueues(Sizes(8, 1, 10), 1)
    turns = [join(queues, float(at), ALONE) for at in range(4)]
    order = []
    for at in range(4):
        (turn,) = queues.start(10.0 + at)
        order.append(turn)
        queues.end(10.5 + at, turn)
    assert order == turns


def test_a_request_wider_than_the_level_runs_alone() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 3)
    assert queues.fits(10)
    join(queues, 0.0, ALONE, 10)
    (wide,) = queues.start(0.0)
    join(queues, 0.0, CROWD)
    assert queues.start(0.0) == []
    queues.end(1.0, wide)
    assert len(queues.start(1.0)) == 1


def test_whoever_gives_up_leaves_no_trace() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 0)
    turn = join(queues, 0.0, ALONE, 2)
    assert turn is not None
    queues.end(1.0, turn)
    assert (queues.waiting, queues.waiting_seats, queues.in_use) == (0, 0, 0)
    queues.limit = 5
    assert queues.start(1.0) == []


def _served(queues: FairQueues, seconds: float, service_s: float) -> dict[str, int]:
    """Run with one seat, every place refilled, and count who was served."""
    served = {"alone": 0, "crowd": 0}
    now = 0.0
    for _ in range(20):
        join(queues, now, CROWD, 1, "crowd")
    join(queues, now, ALONE, 1, "alone")
    while now < seconds:
        (turn,) = queues.start(now)
        now += service_s
        served[str(turn.note)] += 1
        queues.end(now, turn)
        join(queues, now, CROWD if turn.note == "crowd" else ALONE, 1, turn.note)
    return served


def test_a_crowd_does_not_push_a_single_client_aside() -> None:
    queues = FairQueues(Sizes(64, 1, 50), 1)
    assert deal(ALONE, 64, 1) != deal(CROWD, 64, 1)
    served = _served(queues, 10.0, 0.01)
    assert abs(served["alone"] - served["crowd"]) <= 2


def test_long_requests_pay_for_what_they_took() -> None:
    """One flow's requests last ten times as long: it is served a tenth as often."""
    queues = FairQueues(Sizes(64, 1, 50), 1)
    served = {"long": 0, "short": 0}
    flows = {"long": ALONE, "short": CROWD}
    now = 0.0
    for name, flow in flows.items():
        join(queues, now, flow, 1, name)
        join(queues, now, flow, 1, name)
    while now < 50.0:
        (turn,) = queues.start(now)
        name = str(turn.note)
        now += 0.1 if name == "long" else 0.01
        served[name] += 1
        queues.end(now, turn)
        join(queues, now, flows[name], 1, name)
    assert 8 <= served["short"] / served["long"] <= 12


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_counts_hold(seed: int) -> None:
    dice = random.Random(seed)
    queues = FairQueues(Sizes(8, 3, 5), 6)
    waiting, running = [], []
    now = 0.0
    for _ in range(400):
        now += dice.random()
        if dice.random() < 0.5:
            turn = join(queues, now, dice.getrandbits(64), dice.randint(1, 3))
            waiting += [turn] if turn is not None else []
        elif running or waiting:
            pool = running if running and (not waiting or dice.random() < 0.7) else waiting
            turn = pool.pop(dice.randrange(len(pool)))
            queues.end(now, turn)
        for turn in queues.start(now):
            waiting.remove(turn)
            running.append(turn)
        assert queues.in_use == sum(turn.seats for turn in running) <= queues.limit
        assert queues.waiting == len(waiting) == sum(len(one.waiting) for one in queues.queues)
        assert queues.waiting_seats == sum(turn.seats for turn in waiting)
        assert not waiting or running or queues.in_use  # seats never lie idle while somebody waits for them
