"""What an ``Accept`` header asks for, clause by clause, in the order in which upstream tries them.

Owns: reading the header. Refuses: choosing among what is served. Pure: what is written otherwise than
upstream's reader wants is passed over as it passes it over, no fault of the request. Called by the API
server's negotiation and by what components tell of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.short_memory import short_memory, short_memory_of_many

_DECIMAL: Final = re.compile(r"[+-]?([0-9]++\.?[0-9]*+|\.[0-9]++)([eE][+-]?[0-9]++)?", re.ASCII)
_ANY: Final = "*"
_FEW: Final = 12
"""So many Go sorts by insertion."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A range of media types with its parameters, but for ``q``, which is its ``quality``."""

    type: str
    subtype: str
    parameters: Mapping[str, str]
    quality: float

    def takes(self, media_type: str) -> bool:
        """Tell whether a media type is in the range."""
        if self.type == self.subtype == _ANY:
            return True
        type_, _, subtype = media_type.partition("/")
        return self.type == type_ and self.subtype in (subtype, _ANY)

    def get(self, name: str) -> str:
        """Return a parameter; empty where there is none."""
        return self.parameters.get(name, "")


@short_memory_of_many(256)
def reaches(header: str, media_types: tuple[str, ...]) -> bool:
    """Tell whether a header names one of the types that a route has, or any: then its handler is asked.

    So upstream's router reads ``Accept`` and ``Content-Type``: it knows neither ``x/*`` nor parameters.
    """
    named = [one.partition(";")[0].strip(" ") for one in header.split(",")]
    return "*/*" in named or any(one in media_types for one in named)


@short_memory(256)
def clauses(header: str) -> tuple[Clause, ...]:
    """Return the clauses of a header, the one to be tried first in front."""
    read = [clause for text in header.split(",") if (clause := _clause(text.strip(" "))) is not None]
    if len(read) > _FEW:
        return tuple(sorted(read, key=_rank))
    found: list[Clause] = []
    for clause in read:
        found.append(clause)
        _settle(found)
    return tuple(found)


def _rank(clause: Clause) -> tuple[float, bool, bool]:
    """Return what orders many clauses, which no client means: there, none has to be compared with all."""
    return -clause.quality, clause.type == _ANY, clause.subtype == _ANY


def _settle(found: list[Clause]) -> None:
    """Move the last clause ahead of those that it goes before: they are sorted by insertion, as in Go.

    It matters how: of two clauses each may go before the other, ``*/*`` and ``x/y;q=0.1``.
    """
    at = len(found) - 1
    while at > 0 and _goes_before(found[at], found[at - 1]):
        found[at - 1], found[at] = found[at], found[at - 1]
        at -= 1


def _goes_before(one: Clause, other: Clause) -> bool:
    if one.quality > other.quality or (one.type != _ANY and other.type == _ANY):
        return True
    return one.subtype != _ANY and other.subtype == _ANY


def _clause(text: str) -> Clause | None:
    """Return what a part of a header says; None where it is no range of media types."""
    range_, *written = text.split(";")
    type_, _, rest = range_.partition("/")
    type_ = type_.strip(" ")
    subtype, _, more = rest.partition("/")
    if more or (not rest and type_ != _ANY):
        return None
    parameters, quality = {}, 1.0
    for one in written:
        name, _, told = one.partition("=")
        value, _, more = told.partition("=")
        if not told or more:
            continue
        if name.strip(" ") == "q":
            quality = _number(value)
        else:
            parameters[name.strip(" ")] = value.strip(" ")
    return Clause(type_, subtype.strip(" ") if rest else _ANY, parameters, quality)


def _number(text: str) -> float:
    """Return a quality; zero where it is no number. There are no bounds to it."""
    return float(text) if _DECIMAL.fullmatch(text) else 0.0
