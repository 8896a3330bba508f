"""Long texts that match no pattern: each is read once, and not from each of its places anew.

There is no telling it from an answer. What is not read in linear time takes hours here.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiphys.apimachinery import quantity
from tiphys.apimachinery.cel import Budget, Environment, EvaluationError, types
from tiphys.apimachinery.duration import parse_go_duration
from tiphys.apimachinery.errors import UnsupportedMediaType
from tiphys.apimachinery.schema import formats
from tiphys.apiserver.endpoints.negotiation import body_media_type
from tiphys.wire.accept import clauses

MANY = 300_000
BODY = "application/json;a=b"


def as_double(text: str) -> None:
    program = Environment({"x": types.STRING}).compile("double(x) > 0.0", types.BOOL)
    program.evaluate({"x": text}, Budget())


ASKED: dict[str, tuple[Callable[[str], object], str]] = {
    "a quality": (clauses, f"a/b;q={'0' * MANY}x"),
    "a time": (parse_go_duration, f"{'0' * MANY}x"),
    "a quantity": (quantity.parse, f"{'0' * MANY}x"),
    "a quantity's exponent": (quantity.parse, f"1e{'0' * MANY}x"),
    "a duration of a custom kind": (lambda text: not formats.valid("duration", text), f"{'0' * MANY} x"),
    "a duration with many zeros": (lambda text: formats.valid("duration", text), f"{'0' * MANY}1 days"),
    "an exponent of zeros": (lambda text: quantity.canonical(text) == text, f"1e{'0' * MANY}3"),
    "an exponent of many digits": (quantity.canonical, f"1e-{'1' * MANY}"),
    "a number in a rule": (as_double, f"{'0' * MANY}x"),
    "blanks behind a parameter": (body_media_type, f"{BODY}{' ' * MANY}!"),
    "blanks before one": (body_media_type, f"{BODY};{' ' * MANY}!"),
    "a quoted parameter": (body_media_type, f'{BODY};a="{"a" * MANY}'),
}


@pytest.mark.parametrize(("ask", "text"), ASKED.values(), ids=ASKED)
def test_long_texts_are_read_once(ask: Callable[[str], object], text: str) -> None:
    try:
        found = ask(text)
    except (ValueError, UnsupportedMediaType, EvaluationError):
        return
    assert found
