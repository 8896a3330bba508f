"""Signatures of functions, and the table in which an environment looks them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.cel.types import Type


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. A member's first parameter is what stands before the dot."""

    id: str
    function: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    member: bool = False

    @property
    def is_generic(self) -> bool:
        return any(_has_param(each) for each in (*self.params, self.result))


def _has_param(one: Type) -> bool:
    return one.kind == "param" or any(_has_param(each) for each in one.params)


def function(id_: str, name: str, params: Iterable[Type], result: Type, run: Callable[..., Any]) -> Overload:
    return Overload(id_, name, tuple(params), result, run)


def member(id_: str, name: str, params: Iterable[Type], result: Type, run: Callable[..., Any]) -> Overload:
    return Overload(id_, name, tuple(params), result, run, member=True)


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
