"""Flags that are times, in Go's form: ``40s``, ``1m30s``, ``1h``. Their value is seconds."""

from __future__ import annotations

import re

import click

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"\+?(?:0|(?:{_PART.pattern})+)")


def fault(text: str) -> str:
    """Return what Go says about a duration; nothing when it is one. Times before now are none."""
    if _WHOLE.fullmatch(text):
        return ""
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text):
        return f'time: missing unit in duration "{text}"'
    return f'time: invalid duration "{text}"'


def seconds(text: str) -> float:
    """Return a duration's seconds. Raises ValueError with Go's words."""
    if wrong := fault(text):
        raise ValueError(wrong)
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


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
