"""``find`` and ``findAll``: what of a text a pattern matches.

Source: "Kubernetes regex library".
"""

from __future__ import annotations

from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, member
from tiphys.apimachinery.cel.regex import RegexError, compile_regex
from tiphys.apimachinery.cel.types import INT, STRING, list_of


def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern, 1)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    try:
        matches = compile_regex(pattern).finditer(text)
    except RegexError as error:
        raise EvaluationError(f"Illegal regex: {error}") from error
    found: list[str] = []
    end = -1
    for match in matches:
        if most >= 0 and len(found) >= most:
            break
        # An empty match right after another one is none.
        if match.end() > match.start() or match.start() != end:
            found.append(match.group())
        end = match.end()
    return found


LIBRARY = Library(
    "kubernetes.regex",
    (
        member("string_find_string", "find", (STRING, STRING), STRING, _find),
        member("string_find_all_string", "findAll", (STRING, STRING), list_of(STRING), _find_all),
        member("string_find_all_string_int", "findAll", (STRING, STRING, INT), list_of(STRING), _find_all),
    ),
)
