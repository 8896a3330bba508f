"""What goes on answers beside their bodies."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.respond import headers_of
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.wire.message import Request

_LONG = "x" * 1500


@pytest.mark.parametrize(
    ("warnings", "told"),
    [
        ([], []),
        ([""], []),
        (["mytext"], ['299 - "mytext"']),
        (["mytext", "mytext"], ['299 - "mytext"']),
        (["a", "b", "c"], ['299 - "a"', '299 - "b"', '299 - "c"']),
        (['say "x" \\ y'], ['299 - "say \\"x\\" \\\\ y"']),
        (["my\ntext"], []),
        (["my\ttext", "fine", "\x7f"], ['299 - "fine"']),
        ([_LONG, f"a{_LONG}"], [f'299 - "{_LONG}"', f'299 - "a{_LONG}"']),
        ([_LONG, "short", f"b{_LONG[:-1]}", f"c{_LONG}"],
         [f'299 - "{_LONG[:256]}"', '299 - "short"', f'299 - "b{_LONG[:255]}"', f'299 - "c{_LONG[:255]}"']),
        ([f"{number:04}{_LONG}" for number in range(20)],
         [f'299 - "{number:04}{_LONG[:252]}"' for number in range(16)]),
    ],
    ids=["none", "empty", "one", "twice the same", "several", "quoted", "a line break", "control characters",
         "as much as there is room for", "too much: each is cut", "far too much: no more of them"],
)  # fmt: skip
def test_warnings(warnings: list[str], told: list[str]) -> None:
    assert headers_of(warnings, "text/plain").get("warning", "") == ", ".join(told)


class Compared(str):
    """A text that counts how often it is compared with another."""

    __slots__ = ()
    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)


def test_many_warnings_are_not_compared_with_each_other() -> None:
    nobody: Any = None
    call = Call(nobody, Request("GET", "/"), parse("GET", "/"), User("a"), nobody)
    for number in range(2000):
        call.warn(Compared(number))
    call.warn(Compared(1))
    assert Compared.times < 64 * 64
    told = headers_of(call.warnings, "text/plain")["warning"]
    assert told.count('299 - "1"') == 1
