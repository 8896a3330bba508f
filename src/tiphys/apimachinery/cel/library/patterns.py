"""``find`` and ``findAll``: what of a text a pattern matches.

Source: "Kubernetes regex library".
"""

from __future__ import annotations

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, member
from tiphys.apimachinery.cel.types import INT, STRING, list_of
from tiphys.apimachinery.regex import RegexError, compile_regex


def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern, 1)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    try:
        return compile_regex(pattern).find_all(text, most)
    except RegexError as error:
        raise EvaluationError(f"Illegal regex: {error}") from error


LIBRARY = Library(
    "kubernetes.regex",
    (
        member(
            "string_find_string",
            "find",
            (STRING, STRING),
            STRING,
            _find,
            price=prices.FOUND,
            prepares=compile_regex,
        ),
        member(
            "string_find_all_string",
            "findAll",
            (STRING, STRING),
            list_of(STRING),
            _find_all,
            price=prices.FOUND,
            prepares=compile_regex,
        ),
        member(
            "string_find_all_string_int",
            "findAll",
            (STRING, STRING, INT),
            list_of(STRING),
            _find_all,
            price=prices.FOUND,
            prepares=compile_regex,
        ),
    ),
)
