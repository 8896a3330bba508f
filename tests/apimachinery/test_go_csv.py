"""Comma-separated values as Go reads them: rows of its own tests, and what tokens need."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.go_csv import records

QUOTE = 'extraneous or missing " in quoted-field'
GOOD: dict[str, tuple[str, list[list[str]]]] = {
    "simple": ("a,b,c\n", [["a", "b", "c"]]),
    "carriage returns": ("a,b\r\nc,d\r\n", [["a", "b"], ["c", "d"]]),
    "a carriage return at the end": ("a,b\r", [["a", "b"]]),
    "a bare carriage return": ("a,b\rc,d\r\n", [["a", "b\rc", "d"]]),
    "quotes": (
        '"aaa","bb""b","ccc"\n"a,a","b""bb","ccc"\nzzz,yyy,xxx\n',
        [["aaa", 'bb"b', "ccc"], ["a,a", 'b"bb', "ccc"], ["zzz", "yyy", "xxx"]],
    ),
    "no end of line": ("a,b,c", [["a", "b", "c"]]),
    "several lines in a field": (
        '"two\nline","one line","three\nline\nfield"', [["two\nline", "one line", "three\nline\nfield"]],
    ),
    "several lines in a later field": ('a,"two\n\nlines",b\nc', [["a", "two\n\nlines", "b"], ["c"]]),
    "blank lines": ("a,b,c\n\nd,e,f\n\n", [["a", "b", "c"], ["d", "e", "f"]]),
    "spaces": (" a,  b,   c\n", [[" a", "  b", "   c"]]),
    "nothing in fields": ("x,,\n,\n", [["x", "", ""], ["", ""]]),
    "nothing in quotes": ('a,""\n"",b', [["a", ""], ["", "b"]]),
    "a quote alone in quotes": ('"""",x', [['"', "x"]]),
    "nothing": ("", []),
}  # fmt: skip
BAD: dict[str, tuple[str, str]] = {
    "a bare quote": ('a,b,"c"\na "word","b"', 'parse error on line 2, column 3: bare " in non-quoted field'),
    "a bare quote behind": ('x,word"', 'parse error on line 1, column 7: bare " in non-quoted field'),
    "a space before a quote": ('a, "b"', 'parse error on line 1, column 4: bare " in non-quoted field'),
    "behind a quoted field": ('"a "word","b"', 'parse error on line 1, column 4: ' + QUOTE),
    "columns are bytes": ('é,"ö"x', 'parse error on line 1, column 7: ' + QUOTE),
    "behind several lines": ('a,"b\nc"d,e', 'record on line 1; parse error on line 2, column 2: ' + QUOTE),
    "no end": ('a,"b\nc\nd,e', 'record on line 1; parse error on line 3, column 4: ' + QUOTE),
    "no end on one line": ('"abc,def', 'parse error on line 1, column 9: ' + QUOTE),
}  # fmt: skip


@pytest.mark.parametrize(("text", "want"), GOOD.values(), ids=GOOD)
def test_records(text: str, want: list[list[str]]) -> None:
    assert list(records(text)) == want


@pytest.mark.parametrize(("text", "fault"), BAD.values(), ids=BAD)
def test_faults(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as caught:
        list(records(text))
    assert str(caught.value) == fault
