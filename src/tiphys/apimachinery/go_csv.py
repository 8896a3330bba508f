"""Comma-separated values as Go's ``encoding/csv`` reads them, with its faults in its words. Pure.

White space belongs to its field. A quote is one where a field begins with it, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_BARE = 'bare " in non-quoted field'
_QUOTE = 'extraneous or missing " in quoted-field'


def records(text: str) -> Iterator[list[str]]:
    """Yield the fields of each record; lines with nothing in them are none. Raises ValueError."""
    reader = _Reader(text)
    while (line := reader.next_line()) is not None:
        if line != "\n":
            yield reader.record(line)


class _Reader:
    """Where the reading is: lines from 1, columns by bytes from 1."""

    def __init__(self, text: str) -> None:
        self._lines = iter(_LINES.findall(text.replace("\r\n", "\n").removesuffix("\r")))
        self._number = 0
        self._start = 0
        """The line where the record begins."""

    def next_line(self) -> str | None:
        line = next(self._lines, None)
        self._number += line is not None
        return line

    def record(self, line: str) -> list[str]:
        """Return the fields of the record that begins with a line."""
        self._start = self._number
        fields: list[str] = []
        rest, column, more = line, 1, True
        while more:
            if rest.startswith('"'):
                field, rest, column, more = self._quoted(rest[1:], column + 1)
            else:
                field, comma, rest = rest.partition(",")
                field = field.removesuffix("\n")
                if '"' in field:
                    raise self._fault(self._number, column + _bytes(field.partition('"')[0]), _BARE)
                column, more = column + _bytes(field) + 1, bool(comma)
            fields.append(field)
        return fields

    def _quoted(self, rest: str, column: int) -> tuple[str, str, int, bool]:
        """Return a field after its first quote, what follows it and where, and whether that is a field."""
        field = ""
        while True:
            before, quote, after = rest.partition('"')
            if not quote:
                field, column = field + rest, column + _bytes(rest)
                line = self.next_line()
                if line is None:
                    raise self._fault(self._number, column, _QUOTE)
                rest, column = line, 1
                continue
            field, column = field + before, column + _bytes(before) + 1
            if after.startswith('"'):
                field, rest, column = field + '"', after[1:], column + 1
            elif after.startswith(","):
                return field, after[1:], column + 1, True
            elif after in ("", "\n"):
                return field, "", column, False
            else:
                raise self._fault(self._number, column - 1, _QUOTE)

    def _fault(self, line: int, column: int, text: str) -> ValueError:
        where = f"parse error on line {line}, column {column}: {text}"
        return ValueError(where if line == self._start else f"record on line {self._start}; {where}")


def _bytes(text: str) -> int:
    return len(text.encode())
