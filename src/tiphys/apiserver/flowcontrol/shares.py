"""How many seats each priority level has: its nominal share, and what it borrows or lends. Pure.

Source: KEP-1040, "Dispatching" and "Seat borrowing".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

_LEAST_TARGET = 0.001


@dataclass(frozen=True, slots=True)
class Share:
    """A priority level's spec, as far as seats go."""

    shares: int
    lendable_percent: int = 0
    borrowing_percent: int | None = None
    """None: as much as others lend."""
    exempt: bool = False
    """Takes what it wants, whether others lend it or not."""

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
            exempt=spec.get("type") == "Exempt",
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
    nominal = {name: math.ceil(seats * share.shares / total) for name, share in shares.items()}
    lent = {name: _rounded(nominal[name] * share.lendable_percent / 100) for name, share in shares.items()}
    found = {}
    for name, share in shares.items():
        borrowed = seats if share.exempt else sum(lent.values()) - lent[name]
        if share.borrowing_percent is not None:
            borrowed = _rounded(nominal[name] * share.borrowing_percent / 100)
        found[name] = Bounds(nominal[name], nominal[name] - lent[name], nominal[name] + borrowed)
    return found


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one level could use. No limit holds for ``exempt`` levels."""

    bounds: Bounds
    smoothed: float
    """Seats to plan for, see ``demand``."""
    high: int
    """The most seats asked for at once in the last period."""
    exempt: bool = False

    @property
    def floor(self) -> int:
        """The seats it has in any case: those it must not lend, and those of its own that it needs.

        An exempt level takes what it needs, whosesoever that is.
        """
        if self.exempt:
            return max(self.bounds.least, self.high)
        return max(self.bounds.least, min(self.bounds.nominal, self.high))

    @property
    def target(self) -> float:
        return max(float(self.floor), self.smoothed)


@dataclass(frozen=True, slots=True)
class Allotment:
    """The seats of each level until the next look. ``fair`` is the part of its target that a level gets."""

    seats: Mapping[str, int]
    fair: float = 0.0


def allot(claims: Mapping[str, Claim]) -> Allotment:
    """Divide all nominal seats: what exempt levels leave goes to demand in proportion, within bounds."""
    own = {name: claim.floor for name, claim in claims.items() if claim.exempt}
    left = sum(claim.bounds.nominal for claim in claims.values()) - sum(own.values())
    limited = {name: claim for name, claim in claims.items() if not claim.exempt}
    least = sum(claim.bounds.least for claim in limited.values())
    floors = sum(claim.floor for claim in limited.values())
    if left <= least:
        return Allotment({**own, **{name: claim.bounds.least for name, claim in limited.items()}})
    if left <= floors:
        share = (left - least) / (floors - least)
        return Allotment({**own, **{name: _between(claim, share) for name, claim in limited.items()}})
    fair = _fair(limited, left)
    given = {name: _rounded(_given(claim, fair)) for name, claim in limited.items()}
    return Allotment({**own, **given}, fair)


def _between(claim: Claim, share: float) -> int:
    """Return a part of the way from a level's least seats to those that it now needs."""
    return claim.bounds.least + _rounded((claim.floor - claim.bounds.least) * share)


def _given(claim: Claim, fair: float) -> float:
    target = max(claim.target, _LEAST_TARGET)
    return max(float(claim.floor), min(float(claim.bounds.most), fair * target))


def _fair(claims: Mapping[str, Claim], seats: int) -> float:
    """Return the part of its target that each level gets, so that all seats are given.

    What is given grows with the part: each level's share from its floor up to its most. Between two such
    edges the growth is steady, so the answer lies where the line that reaches ``seats`` crosses it.
    """
    edges: list[tuple[float, float, int]] = []
    fixed, slope, reached = 0, 0.0, 0.0
    for claim in claims.values():
        target = max(claim.target, _LEAST_TARGET)
        edges.append((claim.floor / target, target, -claim.floor))
        edges.append((claim.bounds.most / target, -target, claim.bounds.most))
        fixed += claim.floor
    for edge, steeper, settled in sorted(edges):
        if slope > 0.0 and fixed + slope * edge > seats:
            return min(max((seats - fixed) / slope, reached), edge)
        fixed, slope, reached = fixed + settled, slope + steeper, edge
    return reached if edges else 1.0
