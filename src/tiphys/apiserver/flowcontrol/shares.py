"""How many seats each priority level has: its nominal share, and what it borrows or lends. Pure.

Source: KEP-1040, "Dispatching" and "Seat borrowing".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tiphys.apimachinery.meta import Object

_ROUNDS = 60
_SMOOTHING = 0.977
"""How much of a demand that has passed is still believed after one period: half of it after five minutes."""


@dataclass(frozen=True, slots=True)
class Share:
    """A priority level's spec, as far as seats go."""

    shares: int
    lendable_percent: int = 0
    borrowing_percent: int | None = None
    """None: as much as there is."""

    @classmethod
    def of(cls, level: Object) -> Share:
        spec = level["spec"]
        part = spec.get("limited") or spec.get("exempt") or {}
        shares = part.get("nominalConcurrencyShares")
        default = 0 if spec.get("type") == "Exempt" else 30
        return cls(
            shares=default if shares is None else shares,
            lendable_percent=part.get("lendablePercent") or 0,
            borrowing_percent=part.get("borrowingLimitPercent"),
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seats of one level."""

    nominal: int
    least: int
    most: int


NO_BOUNDS = Bounds(0, 0, 0)


def bounds_of(shares: Mapping[str, Share], seats: int) -> dict[str, Bounds]:
    """Divide the server's seats by share."""
    total = sum(share.shares for share in shares.values()) or 1
    found = {}
    for name, share in shares.items():
        nominal = math.ceil(seats * share.shares / total)
        least = nominal - _rounded(nominal * share.lendable_percent / 100)
        most = seats
        if share.borrowing_percent is not None:
            most = min(seats, nominal + _rounded(nominal * share.borrowing_percent / 100))
        found[name] = Bounds(nominal, least, max(most, nominal))
    return found


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def smoothed(before: float, demand: int) -> float:
    """Return the demand to plan for: a rise is believed at once, a fall slowly."""
    return max(float(demand), _SMOOTHING * before + (1 - _SMOOTHING) * demand)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one level could use."""

    bounds: Bounds
    demand: float
    """Smoothed; see ``smoothed``."""
    high: int
    """The most seats asked for at once in the last period."""


def allot(claims: Mapping[str, Claim], seats: int) -> dict[str, int]:
    """Give each level the seats that it may use until the next look.

    Every level gets at least what it must not lend or now needs of its own; what is left goes to demand in
    equal proportion, up to each level's bound.
    """
    floors = {
        name: max(claim.bounds.least, min(claim.bounds.nominal, claim.high)) for name, claim in claims.items()
    }
    targets = {name: max(float(floors[name]), claim.demand) for name, claim in claims.items()}

    def given(factor: float) -> dict[str, float]:
        return {
            name: min(float(claim.bounds.most), max(float(floors[name]), factor * targets[name]))
            for name, claim in claims.items()
        }

    if sum(floors.values()) >= seats:
        return floors
    factor = _largest(lambda f: sum(given(f).values()) <= seats, _ceiling(targets.values(), seats))
    return {name: max(floors[name], _rounded(value)) for name, value in given(factor).items()}


def _ceiling(targets: Iterable[float], seats: int) -> float:
    """Return a factor that would fill the server with any one level."""
    positive = [target for target in targets if target > 0]
    return seats / min(positive) if positive else 1.0


def _largest(fits: Callable[[float], bool], high: float) -> float:
    low = 0.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
