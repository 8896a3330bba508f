"""Groups of writes: all that wait, or two that take turns where the event loop is the slower."""

from __future__ import annotations

import pytest

from tiphys.storage.rhythm import Rhythm

MS = 0.001


def clients(count: int, *, request_s: float, disk_s: float, first: int = 0) -> list[int]:
    """Let clients write again as soon as they are answered; return the groups that come of it.

    ``first``: so many come before the others. The loop hears of the disk only after it has taken in all that
    has come, as event loops do.
    """
    rhythm, groups, now = Rhythm(), [], 1.0
    waiting, coming, written, done_at = first, count - first, 0, 0.0
    for _ in range(40):
        if written and now >= done_at:
            rhythm.took(disk_s)
            coming, written = coming + written, 0
            if not waiting:
                rhythm.rest()
        if not written and waiting:
            written = rhythm.size(waiting, now)
            waiting -= written
            done_at = now + disk_s
            groups.append(written)
        now += coming * request_s
        waiting, coming = waiting + coming, 0
        if not (waiting and not written):
            now = max(now, done_at)
    return groups


@pytest.mark.parametrize("first", [0, 1, 4, 20, 32])
def test_many_clients_come_to_take_turns_in_halves(first: int) -> None:
    groups = clients(64, request_s=0.2 * MS, disk_s=1.5 * MS, first=first)
    assert set(groups[8:]) == {32}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_clients_are_written_together(count: int) -> None:
    groups = clients(count, request_s=0.2 * MS, disk_s=1.5 * MS)
    assert set(groups[4:]) == {count}


def test_a_slow_disk_takes_all_that_wait() -> None:
    groups = clients(64, request_s=0.2 * MS, disk_s=50 * MS)
    assert max(groups[4:]) >= 63


def test_nobody_is_left_behind() -> None:
    rhythm = Rhythm()
    assert rhythm.size(1, 5.0) == 1
    assert rhythm.size(1, 9.0) == 1
    rhythm.rest()
    rhythm.took(1.0)
    assert [rhythm.size(7, 20.0), rhythm.size(3, 30.0)] == [4, 3]


def test_where_time_stands_still_all_are_taken() -> None:
    rhythm = Rhythm()
    rhythm.took(0.0)
    assert rhythm.size(9, 0.0) == 9
