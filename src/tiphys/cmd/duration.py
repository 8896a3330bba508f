"""Flags that are times, in Go's form: ``40s``, ``1m30s``, ``1h``. Their value is seconds."""

from __future__ import annotations

import click

from tiphys.apimachinery.duration import parse_go_duration


def fault(text: str) -> str:
    """Return what Go says about a duration; nothing when it is one."""
    try:
        parse_go_duration(text)
    except ValueError as error:
        return str(error)
    return ""


def seconds(text: str) -> float:
    """Return a duration's seconds. Raises ValueError with Go's words."""
    found = parse_go_duration(text)
    if found < 0:
        raise ValueError(f'time: invalid duration "{text}"')
    return found


class Duration(click.ParamType[float]):
    """Reads a duration; a bare number is seconds, for flags that are not upstream's.

    ``signed``: one below zero is read too, and refused by whom it is for, in words of its own.
    """

    name = "duration"

    def __init__(self, *, signed: bool = False) -> None:
        self._read = parse_go_duration if signed else seconds

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value)
        if text.isdigit():
            return float(text)
        try:
            return self._read(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
SIGNED_DURATION = Duration(signed=True)
