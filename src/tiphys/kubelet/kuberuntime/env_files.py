"""Variables in files that init containers write: the part of the shell's syntax that is understood. Pure.

``NAME='value'`` a line, where a value may go over several lines and is taken as it is; comments and blank
lines between them. Anything else is a fault, so that a shell that reads the file finds the same.
Source: "Define Environment Variable Values Using An Init Container".
"""

from __future__ import annotations

from collections.abc import Iterator

_BLANKS = " \t"


class EnvFileFault(ValueError):
    """What is wrong with a file; never a part of it, for it may hold secrets."""


def value_in(text: str, key: str) -> str:
    """Return the value of the first variable of that name, or "".

    Raises:
        EnvFileFault: something before it is not understood.
    """
    lines = enumerate(text.removesuffix("\n").split("\n"), 1)
    for number, raw in lines:
        line = raw.lstrip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        _check_name(name, equals, number)
        # To a shell what follows a blank is a command, and the value is empty.
        value = "" if rest.startswith((" ", "\t")) else _quoted(rest, number, lines)
        if name == key:
            return value
    return ""


def _quoted(rest: str, number: int, lines: Iterator[tuple[int, str]]) -> str:
    """Return the value that begins in a line and may go on in those that follow."""
    if not rest.startswith("'"):
        raise _fault(number, "value must be enclosed in single quotes")
    parts, last, part = [], number, rest[1:]
    while "'" not in part:
        parts.append(part)
        last, part = next(lines, (0, "'"))
        if not last:
            text = f"starting at line {number}: unclosed single quote"
            raise EnvFileFault(f"invalid environment variable format {text}")
    value, _, after = part.partition("'")
    if after.lstrip(_BLANKS)[:1] not in ("", "#"):
        raise _fault(last, "unexpected content after closing quote")
    return "\n".join([*parts, value])


def _check_name(name: str, equals: str, number: int) -> None:
    if not equals:
        raise _fault(number, "missing '='")
    if not name.rstrip(_BLANKS):
        raise _fault(number, "empty variable name")
    if name != name.rstrip(_BLANKS):
        raise _fault(number, "whitespace before '=' is not allowed")


def _fault(number: int, what: str) -> EnvFileFault:
    return EnvFileFault(f"invalid environment variable format at line {number}: {what}")
