"""Seats by share, lent and borrowed."""

from __future__ import annotations

import random

import pytest

from tiphys.apiserver.flowcontrol import objects
from tiphys.apiserver.flowcontrol.shares import Bounds, Claim, Share, allot, bounds_of


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
    ("percent", "most"), [(None, 65), (0, 50), (20, 60), (500, 300)],
    ids=["all that is lent", "none", "a fifth", "more than there is"],
)  # fmt: skip
def test_how_far_a_level_may_borrow(percent: int | None, most: int) -> None:
    found = bounds_of({"a": Share(1, 40, percent), "b": Share(1, 30)}, 100)
    assert found["a"].most == most


LEVELS = ("exempt", "workload-high", "workload-low", "catch-all")
SEATS = (40 + 100 + 5) * 6


def four_levels() -> dict[str, Share]:
    return {
        one["metadata"]["name"]: Share.of(one)
        for one in objects.priority_levels()
        if one["metadata"]["name"] in LEVELS
    }


def test_the_most_of_levels_that_may_borrow_from_all() -> None:
    found = bounds_of(four_levels(), SEATS)
    assert {name: one.most for name, one in found.items()} == {
        "exempt": SEATS,
        "workload-high": 240 + 540,
        "workload-low": 600 + 120,
        "catch-all": 30 + 120 + 540,
    }


def test_what_an_exempt_level_leaves_is_divided() -> None:
    """Everybody wants all; exempt wants half of what others lend; one of them lends all that it may."""
    bounds = bounds_of(four_levels(), SEATS)
    limited = [one for name, one in bounds.items() if name != "exempt"]

    def given(exempt: int, idle: str = "") -> dict[str, int]:
        wants = {name: 1 if name == idle else SEATS + 100 for name in bounds} | {"exempt": exempt}
        return dict(allot({
            name: Claim(one, wants[name], wants[name], exempt=name == "exempt")
            for name, one in bounds.items()
        }).seats)  # fmt: skip

    least = {name: one.least for name, one in bounds.items()}
    assert given(SEATS + 100) == least | {"exempt": SEATS + 100}
    half = {name: (one.nominal + one.least) // 2 for name, one in bounds.items()}
    half["exempt"] = SEATS - sum((one.nominal + one.least) // 2 for one in limited)
    assert given(half["exempt"]) == half
    nominal = {name: one.nominal for name, one in bounds.items()} | {"workload-low": least["workload-low"]}
    nominal["exempt"] = SEATS - sum(nominal.values())
    assert given(nominal["exempt"], "workload-low") == nominal


def test_what_nobody_asks_for_goes_to_whoever_does() -> None:
    bounds = Bounds(nominal=50, least=10, most=100)
    given = allot({"busy": Claim(bounds, 200.0, 200), "idle": Claim(bounds, 0.0, 0)})
    assert given.seats == {"busy": 90, "idle": 10}
    assert given.fair == pytest.approx(0.45)


def test_both_busy_have_their_nominal_seats() -> None:
    bounds = Bounds(50, 10, 100)
    given = allot({"a": Claim(bounds, 300.0, 300), "b": Claim(bounds, 300.0, 300)})
    assert given.seats == {"a": 50, "b": 50}


def test_a_bound_stops_the_borrower() -> None:
    given = allot({"busy": Claim(Bounds(50, 50, 60), 500.0, 500), "idle": Claim(Bounds(50, 0, 100), 0.0, 0)})
    assert given.seats == {"busy": 60, "idle": 40}


def test_an_exempt_level_takes_its_own_first() -> None:
    claims = {
        "exempt": Claim(Bounds(30, 10, 100), 90.0, 90, exempt=True),
        "a": Claim(Bounds(70, 0, 100), 0, 0),
    }
    assert allot(claims).seats == {"exempt": 90, "a": 10}
    idle = {**claims, "exempt": Claim(Bounds(30, 10, 100), 0.0, 0, exempt=True)}
    assert allot(idle).seats == {"exempt": 10, "a": 90}


@pytest.mark.parametrize(
    ("exempt", "seats"),
    [(70, {"a": 20, "b": 10}), (80, {"a": 15, "b": 5}), (90, {"a": 10, "b": 0}), (100, {"a": 10, "b": 0})],
    ids=["just what is needed", "half of the way to it", "the least", "not even that"],
)
def test_too_few_seats_are_shared_between_the_least_and_the_needed(
    exempt: int, seats: dict[str, int]
) -> None:
    """Exempt levels need no leave: they may have taken what others were to have."""
    claims = {
        "exempt": Claim(Bounds(70, exempt, 100), 0.0, 0, exempt=True),
        "a": Claim(Bounds(20, 10, 200), 0.0, 50), "b": Claim(Bounds(10, 0, 200), 0.0, 50),
    }  # fmt: skip
    found = dict(allot(claims).seats)
    assert found.pop("exempt") == exempt
    assert found == seats


@pytest.mark.parametrize("seed", range(50))
def test_no_level_leaves_its_bounds(seed: int) -> None:
    dice = random.Random(seed)
    shares = {
        str(at): Share(dice.randint(1, 50), dice.randint(0, 100), dice.choice([None, 0, 50]))
        for at in range(dice.randint(1, 8))
    }
    bounds = bounds_of(shares, 200)
    claims = {name: Claim(one, dice.random() * 300, dice.randint(0, 300)) for name, one in bounds.items()}
    given = allot(claims).seats
    for name, seats in given.items():
        assert bounds[name].least <= seats <= max(bounds[name].most, bounds[name].nominal)
    nominal = sum(one.nominal for one in bounds.values())
    most = sum(one.most for one in bounds.values())
    assert abs(sum(given.values()) - min(nominal, most)) <= len(shares), "every seat is somebody's"


@pytest.mark.parametrize("seed", range(50))
def test_all_seats_are_given_as_far_as_bounds_allow(seed: int) -> None:
    """A larger part would give more than there is, unless nobody may take more."""
    dice = random.Random(seed)
    bounds = [Bounds(nominal, nominal // 2, nominal + dice.choice([0, 10, 200])) for nominal in (5, 20, 60)]
    claims = {
        str(at): Claim(one, dice.choice([0.0, dice.random() * 90]), dice.randint(0, 90))
        for at, one in enumerate(bounds)
    }
    fair = allot(claims).fair

    def given(part: float) -> float:
        return sum(
            max(claim.floor, min(claim.bounds.most, part * max(claim.target, 0.001)))
            for claim in claims.values()
        )

    if sum(claim.floor for claim in claims.values()) < 85:
        most = sum(one.most for one in bounds)
        assert given(fair) == pytest.approx(min(85, most))
        assert given(fair * 1.01 + 0.01) > 85 or given(fair * 2 + 1) == given(fair) == most
