"""Seats by share, lent and borrowed."""

from __future__ import annotations

import random

import pytest

from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.shares import Bounds, Claim, Share, allot, bounds_of, smoothed


def test_the_default_levels_divide_six_hundred_seats_as_upstream_does() -> None:
    shares = {one["metadata"]["name"]: Share.of(one) for one in objects.priority_levels()}
    found = bounds_of(shares, 600)
    assert {name: one.nominal for name, one in found.items()} == {
        "exempt": 0, "catch-all": 13, "system": 74, "node-high": 98, "leader-election": 25,
        "workload-high": 98, "workload-low": 245, "global-default": 49,
    }  # fmt: skip
    assert {name: one.least for name, one in found.items()} == {
        "exempt": 0, "catch-all": 13, "system": 50, "node-high": 73, "leader-election": 25,
        "workload-high": 49, "workload-low": 24, "global-default": 24,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("percent", "most"), [(None, 100), (0, 50), (20, 60), (500, 100)],
    ids=["without bound", "none", "a fifth", "more than there is"],
)  # fmt: skip
def test_how_far_a_level_may_borrow(percent: int | None, most: int) -> None:
    found = bounds_of({"a": Share(1, 0, percent), "b": Share(1)}, 100)
    assert found["a"].most == most


def test_what_nobody_asks_for_goes_to_whoever_does() -> None:
    bounds = Bounds(nominal=50, least=10, most=100)
    given = allot({"busy": Claim(bounds, 200.0, 200), "idle": Claim(bounds, 0.0, 0)}, 100)
    assert given == {"busy": 90, "idle": 10}


def test_both_busy_have_their_nominal_seats() -> None:
    bounds = Bounds(50, 10, 100)
    given = allot({"a": Claim(bounds, 300.0, 300), "b": Claim(bounds, 300.0, 300)}, 100)
    assert given == {"a": 50, "b": 50}


def test_a_bound_stops_the_borrower() -> None:
    given = allot(
        {"busy": Claim(Bounds(50, 50, 60), 500.0, 500), "idle": Claim(Bounds(50, 0, 100), 0.0, 0)}, 100
    )
    assert given["busy"] == 60


def test_demand_rises_at_once_and_falls_slowly() -> None:
    assert smoothed(0.0, 40) == 40.0
    assert 39.0 < smoothed(40.0, 0) < 40.0
    value = 40.0
    for _ in range(30):
        value = smoothed(value, 0)
    assert 18.0 < value < 22.0


@pytest.mark.parametrize("seed", range(50))
def test_no_level_leaves_its_bounds(seed: int) -> None:
    dice = random.Random(seed)
    shares = {
        str(at): Share(dice.randint(1, 50), dice.randint(0, 100), dice.choice([None, 0, 50]))
        for at in range(dice.randint(1, 8))
    }
    bounds = bounds_of(shares, 200)
    claims = {name: Claim(one, dice.random() * 300, dice.randint(0, 300)) for name, one in bounds.items()}
    given = allot(claims, 200)
    for name, seats in given.items():
        assert bounds[name].least <= seats <= max(bounds[name].most, bounds[name].nominal)
    assert sum(given.values()) <= 200 + 2 * len(shares)
