"""What was asked for over time: averages, deviations, the highest, and how long of each."""

from __future__ import annotations

import pytest

from tiphys.apiserver.flowcontrol.demand import IDLE, Demand, Held, State, Tally


def test_demand_is_weighed_by_time() -> None:
    held = Held(100.0)
    held.note(100.0, (4, 0, 4, 0))
    held.note(103.0, (0, 0, 0, 0))
    found = held.end_period(104.0)
    assert (found.average, found.high) == (3.0, 4)
    assert found.deviation == pytest.approx(3**0.5)
    assert found.smoothed == pytest.approx(3 + 3**0.5)


def test_who_waits_is_asked_for_too_and_peaks_are_remembered() -> None:
    held = Held()
    held.note(0.0, (2, 7, 2, 3))
    held.note(0.0, (2, 1, 2, 1))
    assert held.end_period(1.0).high == 9
    assert held.end_period(2.0).high == 3, "what is there still counts in the next period"


def test_a_period_without_any_time_changes_nothing() -> None:
    held = Held(5.0)
    before = held.end_period(6.0)
    assert held.end_period(6.0) == before == Demand()


def test_a_rise_is_believed_at_once_and_a_fall_slowly() -> None:
    demand = Demand().then(30.0, 10.0, 50)
    assert demand.smoothed == 40.0
    assert 39.0 < demand.then(0.0, 0.0, 0).smoothed < 40.0
    for _ in range(30):
        demand = demand.then(0.0, 0.0, 0)
    assert 18.0 < demand.smoothed < 22.0


def test_a_histogram_goes_over_all_periods() -> None:
    held = Held()
    held.note(1.0, (5, 0, 1, 0))
    held.end_period(3.0)
    held.note(4.0, IDLE)
    counts, total = held.histogram((0.0, 0.5, 1.0), lambda state: state.seats / 10)
    assert counts == [1_000_000_000, 3_000_000_000, 0, 0]
    assert total == pytest.approx(1.5e9)
    assert State(1, 2).demand == 3


def test_a_tally_weighs_by_time() -> None:
    tally = Tally(10.0)
    for now, by in ((11.0, 1), (11.0, 1), (13.0, -1), (14.0, -1), (20.0, 1)):
        tally.change(now, by)
    # Nothing for a second and six, two for two seconds, one for a second.
    assert tally.histogram((0.0, 1.0)) == ([7_000_000_000, 1_000_000_000, 2_000_000_000], 5e9)
