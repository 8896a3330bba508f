"""Scoring strategies: known values, and one row's judgement equals all rows' judgement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.scheduler.plugins.strategy import LEAST, MOST, RATIO, STRATEGIES, Strategy

SHAPES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 10)), min_size=1, max_size=5, unique_by=lambda one: one[0]
).map(lambda points: tuple(sorted(points)))
AMOUNTS = st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 2**44))
ROWS = st.lists(
    st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=3, max_size=3), min_size=1, max_size=4
)  # of each resource, by row: requested and capacity


@settings(max_examples=60)
@given(
    kind=st.sampled_from(STRATEGIES),
    shape=SHAPES,
    rows=ROWS,
    weights=st.lists(st.integers(1, 100), min_size=4, max_size=4),
)
def test_one_row_is_judged_as_all_are(
    kind: str, shape: tuple[tuple[int, int], ...], rows: list[list[tuple[int, int]]], weights: list[int]
) -> None:
    strategy = Strategy(kind, (), shape)
    together = strategy.score(
        [
            (np.array([one[0] for one in resource]), np.array([one[1] for one in resource]), weight)
            for resource, weight in zip(rows, weights, strict=False)
        ]
    )
    for row in range(3):
        found = [(*resource[row], weight) for resource, weight in zip(rows, weights, strict=False)]
        assert together[row] == strategy.score_one(found)
        assert 0 <= together[row] <= 100


CURVE = ((0, 0), (50, 10), (100, 0))
KNOWN: dict[str, tuple[str, tuple[tuple[int, int], ...], list[tuple[int, int, int]], int]] = {
    "least": (LEAST, (), [(1, 4, 1), (3, 4, 1)], 50),
    "least, weighed": (LEAST, (), [(1, 4, 3), (3, 4, 1)], 62),
    "least, rounded down": (LEAST, (), [(1, 3, 1)], 66),
    "least, too much": (LEAST, (), [(9, 3, 1)], 0),
    "a resource that the node lacks": (LEAST, (), [(1, 0, 1), (1, 4, 1)], 75),
    "nothing there": (MOST, (), [(1, 0, 1)], 0),
    "most": (MOST, (), [(1, 4, 1), (3, 4, 1)], 50),
    "most, too much": (MOST, (), [(9, 3, 1)], 100),
    "up the curve": (RATIO, CURVE, [(1, 4, 1)], 50),
    "down the curve": (RATIO, CURVE, [(3, 4, 1)], 50),
    "on its top": (RATIO, CURVE, [(2, 4, 1)], 100),
    "between points, towards zero": (RATIO, ((0, 10), (3, 9)), [(1, 100, 1)], 97),
    "before the first point": (RATIO, ((10, 4), (90, 8)), [(0, 4, 1)], 40),
    "after the last": (RATIO, ((10, 4), (90, 8)), [(4, 4, 1)], 80),
    "scores of nothing do not count": (RATIO, ((0, 0), (100, 10)), [(0, 4, 9), (2, 4, 1)], 50),
    "rounded to the nearest": (RATIO, ((0, 0), (100, 10)), [(1, 100, 1), (2, 100, 1)], 2),
}


@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_known_values(
    case: tuple[str, tuple[tuple[int, int], ...], list[tuple[int, int, int]], int],
) -> None:
    kind, shape, found, score = case
    assert Strategy(kind, (), shape).score_one(found) == score
