"""The queue: priority, age, backoff, and events that help."""

from __future__ import annotations

import random

import pytest
from scheduler_builders import info

from tiphys.scheduler.podinfo import pod_info
from tiphys.scheduler.queue import EAGER_AT_MOST, HELPS, SchedulingQueue


def names(queue: SchedulingQueue, now_s: float) -> list[str]:
    found = []
    while (queued := queue.pop(now_s)) is not None:
        found.append(queued.info.pod["metadata"]["name"])
    return found


def test_priority_then_age() -> None:
    queue = SchedulingQueue()
    for name, priority in (("low", 0), ("first", 5), ("second", 5), ("high", 9)):
        queue.add(info(name, priority=priority), 0)
    assert names(queue, 0) == ["high", "first", "second", "low"]


def test_parked_pods_wait_for_an_event_that_helps() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.park(queued, frozenset({"NodeResourcesFit"}), 0)
    assert queue.move("pod-placed", 20) == 0
    assert names(queue, 20) == []
    assert queue.move("pod-removed", 20) == 1
    assert names(queue, 20) == ["p"]


SETS = [
    frozenset(names)
    for names in (
        (),
        ("NodeResourcesFit",),
        ("InterPodAffinity", "NodeResourcesFit"),
        ("Own",),
        ("VolumeZone",),
    )
]


@pytest.mark.parametrize("seed", range(10))
def test_an_event_moves_those_that_it_may_help_whatever_happened_before(seed: int) -> None:
    chance, queue = random.Random(seed), SchedulingQueue()
    pods = {f"p{index}": info(f"p{index}") for index in range(12)}
    parked: dict[str, frozenset[str]] = {}
    for step in range(400):
        now_s, name = step * 100.0, chance.choice(list(pods))
        action = chance.random()
        if action < 0.5:
            queue.add(pods[name], now_s)
            while (queued := queue.pop(now_s)) is not None:
                plugins = chance.choice(SETS)
                queue.park(queued, plugins, now_s)
                parked[queued.info.pod["metadata"]["name"]] = plugins
                if chance.random() < 0.2:
                    queue.park(queued, plugins := chance.choice(SETS), now_s)
                    parked[queued.info.pod["metadata"]["name"]] = plugins
        elif action < 0.6:
            queue.remove(pods[name].uid)
            parked.pop(name, None)
        else:
            event = chance.choice(sorted(HELPS))
            helped = [one for one, plugins in parked.items() if may_help(event, plugins)]
            assert queue.move(event, now_s) == len(helped)
            assert sorted(names(queue, now_s)) == sorted(helped)
            for one in helped:
                queue.remove(pods[one].uid)
                del parked[one]
        assert queue.waiting()["unschedulable"] == len(parked)


def may_help(event: str, plugins: frozenset[str]) -> bool:
    return not plugins or bool(plugins & HELPS[event]) or "Own" in plugins


@pytest.mark.parametrize(
    ("change", "helps"),
    [({"status": {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "x"}]}}, True),
     ({"status": {"conditions": []}}, False), ({"spec": {"containers": []}}, True)],
)  # fmt: skip
def test_a_pod_that_changes_may_be_tried_again(change: dict[str, object], *, helps: bool) -> None:
    queue, made = SchedulingQueue(), info("p")
    queue.add(made, 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.park(queued, frozenset({"DynamicResources"}), 0)
    queue.add(pod_info({**made.pod, **change}), 20)
    assert bool(names(queue, 20)) is helps


def test_backoff_doubles_up_to_ten_seconds() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0)
    waits = []
    for _ in range(6):
        queued = queue.pop(0 if not waits else queue.next_due_s() or 0)
        assert queued is not None
        queue.retry(queued, 0)
        waits.append(queue.next_due_s())
    assert waits == [1, 2, 4, 8, 10, 10]


def test_no_nodes_takes_every_event_and_nothing_waits_forever() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.park(queued, frozenset(), 0)
    assert queue.move("node-static", 0) == 1
    queued = queue.pop(1)
    assert queued is not None
    queue.park(queued, frozenset({"NodeName"}), 1)
    queue.flush(300)
    assert queue.pop(300) is None
    queue.flush(302)
    assert queue.pop(302) is queued


def test_how_long_a_pod_waits_at_most_can_be_said() -> None:
    queue = SchedulingQueue(unschedulable_at_most_s=60)
    queue.add(info("p"), 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.park(queued, frozenset({"NodeName"}), 0)
    queue.flush(59)
    assert queue.waiting()["unschedulable"] == 1
    queue.flush(60)
    assert names(queue, 60) == ["p"]


def test_removed_pods_are_not_tried() -> None:
    queue = SchedulingQueue()
    pod = info("p")
    queue.add(pod, 0)
    queue.remove(pod.uid)
    assert queue.pop(0) is None
    assert len(queue) == 0


def test_failed_binding_backs_off_with_its_count() -> None:
    queue = SchedulingQueue()
    pod = info("p")
    queue.add(pod, 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.remove(pod.uid)
    queue.restore(queued, pod, 5)
    assert queue.pop(5) is None
    assert queue.pop(6) is queued


def test_backoff_is_kept_by_many_and_skipped_by_few_when_idle() -> None:
    for count, early in ((EAGER_AT_MOST, True), (EAGER_AT_MOST + 1, False)):
        queue = SchedulingQueue()
        for index in range(count):
            queue.add(info(f"p{index}"), 0)
        while (queued := queue.pop(0)) is not None:
            queue.park(queued, frozenset(), 0)
        assert queue.move("node-static", 0.5) == count
        assert (queue.pop(0.5) is not None) is early
        assert queue.pop(1) is not None


def test_any_event_may_help_a_plugin_that_is_not_known() -> None:
    queue = SchedulingQueue()
    queue.add(info("p"), 0)
    queued = queue.pop(0)
    assert queued is not None
    queue.park(queued, frozenset({"SomebodyElses"}), 0)
    assert queue.move("volume", 0) == 1


def test_busy_while_pods_wait_for_nothing_but_their_turn() -> None:
    queue = SchedulingQueue()
    assert not queue.busy
    queue.add(one := info("a"), 0)
    assert queue.busy
    taken = queue.pop(0)
    assert taken is not None
    queue.park(taken, frozenset({"NodeResourcesFit"}), 0)
    assert not queue.busy
    queue.remove(one.uid)
    assert not queue.busy
