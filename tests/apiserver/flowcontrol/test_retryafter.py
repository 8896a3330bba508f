"""How long who was turned away should stay away, refusal by refusal."""

from __future__ import annotations

import pytest

from tiphys.apiserver.flowcontrol.retryafter import MOST_S, RetryAfter


def advice(refusals: list[tuple[int, int]]) -> list[int]:
    """Return the advice after the refusals of each second."""
    tracker, found = RetryAfter(), []
    for second, count in refusals:
        for _ in range(count):
            tracker.refused(second)
        found.append(tracker.seconds)
    return found


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ([(100, 1)], [1]),
        ([(100, 50)], [1]),
        ([(100, 2), (101, 2)], [1, 1]),
        ([(100, 3), (101, 1)], [1, 2]),
        ([(100, 3), (102, 1)], [1, 1]),
        ([(100, 9), (101, 9), (102, 9), (103, 9)], [1, 2, 2, 4]),
        ([(100, 3), (101, 1), (104, 1), (105, 1)], [1, 2, 1, 1]),
        ([(100, 3), (101, 2), (102, 2), (103, 2)], [1, 2, 2, 2]),
        (
            [(0, 5), (1, 11), (2, 1), (3, 11), (4, 1), (7, 1), (11, 1), (15, 1), (17, 1), (21, 14), (22, 1)],
            [1, 2, 2, 4, 4, 8, 8, 7, 6, 5, 10],
        ),
    ],
    ids=["one", "in one second", "few", "doubled", "long ago", "raised once in its time", "falls", "stays",
         "up and down"],
)  # fmt: skip
def test_advice(refusals: list[tuple[int, int]], expected: list[int]) -> None:
    assert advice(refusals) == expected


def test_advice_has_an_end() -> None:
    storm = [(second, 500) for second in range(1000, 1200)]
    seen = advice(storm)
    assert max(seen) == seen[-1] == MOST_S
    assert seen == sorted(seen)
    calm = [(1300, 1), (1340, 1)]
    assert advice(storm + calm)[-1] == MOST_S - 2
