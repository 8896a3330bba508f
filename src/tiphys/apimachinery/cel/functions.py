"""Signatures of functions, and the table in which an environment looks them up.

A row (``Overload``) says all there is of one signature: name, types, what runs, what that costs. The checker,
the estimate and the evaluation read the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tiphys.apimachinery.cel.prices import Price
from tiphys.apimachinery.cel.types import Type
from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. A member's first parameter is what stands before the dot."""

    id: str
    function: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    member: bool = False
    price: Price | None = None
    """None: a call costs 1."""
    literal: Callable[[str], object] | None = None
    """What the last argument is checked with where it is written out; raises ValueError."""
    prepares: Callable[[str], object] | None = None
    """What the second argument is made into before anything runs, if it is constant; raises ValueError."""

    check: Callable[[Any], Iterable[tuple[int, str]]] | None = None
    """Tells what is wrong with a call whose types fit, and where."""

    @property
    def is_generic(self) -> bool:
        return any(_has_param(each) for each in (*self.params, self.result))


def _has_param(one: Type) -> bool:
    return one.kind == "param" or any(_has_param(each) for each in one.params)


def function(
    id_: str,
    name: str,
    params: Iterable[Type],
    result: Type,
    run: Callable[..., Any],
    *,
    price: Price | None = None,
    literal: Callable[[str], object] | None = None,
) -> Overload:
    """Declare a function: ``name(...)``."""
    return Overload(id_, name, tuple(params), result, run, price=price, literal=literal)


def member(
    id_: str,
    name: str,
    params: Iterable[Type],
    result: Type,
    run: Callable[..., Any],
    *,
    price: Price | None = None,
    literal: Callable[[str], object] | None = None,
    prepares: Callable[[str], object] | None = None,
    check: Callable[[Any], Iterable[tuple[int, str]]] | None = None,
) -> Overload:
    """Declare a method: ``first.name(...)``."""
    row = Overload(id_, name, tuple(params), result, run, member=True, price=price)
    return replace(row, literal=literal, prepares=prepares, check=check)


@dataclass(frozen=True, slots=True)
class Library:
    """Functions and macros that come together; ``types`` are names that expressions may compare with."""

    name: str
    overloads: tuple[Overload, ...] = ()
    macros: tuple[Any, ...] = ()
    types: tuple[Type, ...] = ()


class FunctionTable:
    """All overloads by function name, in the order of declaration."""

    def __init__(self, libraries: Iterable[Library]) -> None:
        self._functions: dict[str, list[Overload]] = {}
        for library in libraries:
            for overload in library.overloads:
                self._functions.setdefault(overload.function, []).append(overload)

    def find(self, name: str) -> list[Overload] | None:
        return self._functions.get(name)
