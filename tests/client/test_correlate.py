"""Alike events become one; too many about one object are not told."""

from tiphys.client.correlate import Allowance, Similar

POD = ("Pod", "default", "web")


def test_the_tenth_of_alike_events_is_told_with_those_that_follow() -> None:
    similar = Similar()
    told = [similar.are_many(POD, f"message {index}", float(index)) for index in range(12)]
    assert told == [False] * 9 + [True] * 3
    assert not similar.are_many(("Pod", "default", "other"), "message", 12.0)


def test_the_same_message_is_one_however_often() -> None:
    similar = Similar()
    assert not any(similar.are_many(POD, "same", float(index)) for index in range(30))


def test_alike_events_are_forgotten_after_ten_quiet_minutes() -> None:
    similar = Similar()
    for index in range(10):
        similar.are_many(POD, f"message {index}", 0.0)
    assert similar.are_many(POD, "another", 600.0)
    assert not similar.are_many(POD, "another", 1200.5)


def test_an_object_has_some_events_at_once_then_one_in_five_minutes() -> None:
    allowance = Allowance()
    assert [allowance.take(POD, 0.0) for _ in range(27)] == [True] * 25 + [False] * 2
    assert not allowance.take(POD, 299.0)
    assert allowance.take(POD, 301.0)
    assert not allowance.take(POD, 302.0)
    assert allowance.take(("Pod", "default", "other"), 302.0)


def test_only_so_many_objects_are_remembered() -> None:
    allowance, similar = Allowance(), Similar()
    for index in range(5000):
        allowance.take(("Pod", index), 0.0)
        similar.are_many(("Pod", index), "message", 0.0)
    assert len(allowance._left) == len(similar._groups) == 4096
