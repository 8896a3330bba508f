"""Flags that are times, in Go's form: ``40s``, ``1m30s``, ``1h``. Their value is seconds."""

from __future__ import annotations

import click

from tiphys.apimachinery.duration import parse_go_duration


def fault(text: str) -> str:
    """Return what Go says about a duration; nothing when it is one. Times before now are none."""
    try:
        seconds(text)
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
    """Reads a duration; a bare number is seconds, for flags that are not upstream's."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value)
        if text.isdigit():
            return float(text)
        try:
            return seconds(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
