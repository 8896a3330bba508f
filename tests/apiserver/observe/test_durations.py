"""What is observed comes into its buckets, when somebody looks."""

from __future__ import annotations

import pytest

from tiphys.apiserver.observe.durations import Durations, DurationsBy


@pytest.mark.parametrize("bounds", [(0.5, 1.0, float("inf")), (0.0, 5.0, 10.0, float("inf"))])
def test_what_is_observed_together_falls_where_each_alone_would(bounds: tuple[float, ...]) -> None:
    seen = [1.0, 0.5, 3.0, 0.0, 10.0, 0.5000001, 99.0, 5.0, 0.5]
    together, alone = Durations(bounds), [0] * len(bounds)
    for seconds in seen:
        together.observe(seconds)
        alone[next(index for index, bound in enumerate(bounds) if seconds <= bound)] += 1
    assert together.buckets == alone
    assert together.total_s == pytest.approx(sum(seen))
    together.observe(1.0)  # after somebody has looked
    assert sum(together.buckets) == len(seen) + 1
    assert together.total_s == pytest.approx(sum(seen) + 1.0)


def test_more_is_added_to_a_copy() -> None:
    durations = Durations((1.0, float("inf")))
    durations.observe(0.5)
    more = durations.plus(1, 3, 2.0)
    assert (more.buckets, more.total_s) == ([1, 3], 6.5)
    assert (durations.buckets, durations.total_s) == ([1, 0], 0.5)


def test_those_of_new_labels_are_made_when_asked_for() -> None:
    by_result: DurationsBy[str] = DurationsBy((1.0, float("inf")))
    assert not by_result
    by_result["good"].observe(0.5)
    by_result["good"].observe(2.0)
    by_result["bad"].observe(0.5)
    assert {result: times.buckets for result, times in by_result.items()} == {"good": [1, 1], "bad": [1, 0]}
