"""Who runs next: seats, hands, fairness between flows."""

from __future__ import annotations

import random

import pytest

from tiphys.apiserver.flowcontrol.fairqueue import FairQueues, Sizes, deal, flow_hash

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


def test_without_queues_nobody_waits() -> None:
    assert FairQueues(Sizes(), 5).join(0.0, 1, 1) is None


def test_a_full_queue_takes_nobody() -> None:
    queues = FairQueues(Sizes(queues=4, hand=1, length=2), 0)
    assert queues.join(0.0, ALONE, 1) is not None
    assert queues.join(0.0, ALONE, 1) is not None
    assert queues.join(0.0, ALONE, 1) is None
    assert queues.waiting == 2


def test_seats_are_given_up_to_the_limit_and_come_back() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 3)
    turns = [queues.join(0.0, number, 1) for number in range(5)]
    started = queues.start(0.0)
    assert len(started) == queues.in_use == 3
    assert queues.waiting == 2
    queues.end(0.1, started[0])
    assert queues.in_use == 2
    assert [turn in turns for turn in queues.start(0.1)] == [True]
    assert queues.in_use == 3


def test_who_runs_already_is_charged_from_now_on() -> None:
    queues = FairQueues(Sizes(64, 3, 10), 3)
    queues.in_use = 3
    adopted = [queues.adopt(1.0, CROWD, 1) for _ in range(3)]
    assert queues.in_use == 3  # its seats were taken before
    assert len({turn.queue.index for turn in adopted if turn is not None}) == 3
    crowd, alone = queues.join(1.0, CROWD, 1), queues.join(1.0, ALONE, 1)
    assert crowd is not None
    assert alone is not None
    for turn in adopted[:2]:
        assert turn is not None
        queues.end(5.0, turn)
    assert queues.start(5.0) == [alone, crowd]
    assert FairQueues(Sizes(), 3).adopt(0.0, CROWD, 1) is None


@pytest.mark.parametrize("sizes", [Sizes(1, 1, 1), Sizes(64, 8, 50), Sizes()])
def test_other_sizes_lose_nobody(sizes: Sizes) -> None:
    queues = FairQueues(Sizes(8, 2, 10), 2)
    turns = [queues.join(float(at), flow_hash("s", str(at % 3)), 1) for at in range(9)]
    started = queues.start(9.0)
    queues.reshape(10.0, sizes)
    assert (queues.waiting, queues.in_use) == (7, 2)
    assert len(queues.queues) == sizes.queues
    now = 10.0
    while started:
        now += 1
        queues.end(now, started.pop(0))
        fresh = queues.start(now)
        started += fresh
        turns = [turn for turn in turns if turn not in fresh]
    assert (queues.waiting, queues.waiting_seats, queues.in_use) == (0, 0, 0)
    assert len(turns) == 2  # the ones that ran before


def test_one_flow_keeps_its_order() -> None:
    queues = FairQueues(Sizes(8, 1, 10), 1)
    turns = [queues.join(float(at), ALONE, 1) for at in range(4)]
    order = []
    for at in range(4):
        (turn,) = queues.start(10.0 + at)
        order.append(turn)
        queues.end(10.5 + at, turn)
    assert order == turns


def test_a_request_wider_than_the_level_runs_alone() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 3)
    assert queues.fits(10)
    queues.join(0.0, ALONE, 10)
    (wide,) = queues.start(0.0)
    queues.join(0.0, CROWD, 1)
    assert queues.start(0.0) == []
    queues.end(1.0, wide)
    assert len(queues.start(1.0)) == 1


def test_whoever_gives_up_leaves_no_trace() -> None:
    queues = FairQueues(Sizes(8, 2, 10), 0)
    turn = queues.join(0.0, ALONE, 2)
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
        queues.join(now, CROWD, 1, "crowd")
    queues.join(now, ALONE, 1, "alone")
    while now < seconds:
        (turn,) = queues.start(now)
        now += service_s
        served[str(turn.note)] += 1
        queues.end(now, turn)
        queues.join(now, CROWD if turn.note == "crowd" else ALONE, 1, turn.note)
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
        queues.join(now, flow, 1, name)
        queues.join(now, flow, 1, name)
    while now < 50.0:
        (turn,) = queues.start(now)
        name = str(turn.note)
        now += 0.1 if name == "long" else 0.01
        served[name] += 1
        queues.end(now, turn)
        queues.join(now, flows[name], 1, name)
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
            turn = queues.join(now, dice.getrandbits(64), dice.randint(1, 3))
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
        assert not waiting or running  # seats never lie idle while somebody waits for them
