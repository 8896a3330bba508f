"""Field selectors: ``status.phase=Running,spec.nodeName!=a``. Parses only: which exist, the table knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tiphys.apimachinery.errors import BadRequest

_OPERATOR = re.compile("!=|==|=")
_SPECIAL = re.compile(r"[\\,=]")


class FieldRequirement(NamedTuple):
    """``path`` must equal ``value``, or differ from it when ``negated``."""

    path: str
    value: str
    negated: bool

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Return whether an object with these field values is selected; an absent field is empty."""
        return (fields.get(self.path, "") == self.value) is not self.negated

    def __str__(self) -> str:
        return f"{self.path}{'!=' if self.negated else '='}{escape(self.value)}"


def parse_field_selector(text: str) -> list[FieldRequirement]:
    """Split a field selector into its requirements; an empty text selects everything.

    Raises:
        BadRequest: the text is no field selector.
    """
    requirements = []
    for term in _split(text):
        if not term:
            continue
        found = _OPERATOR.search(term)
        if found is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        start, end = found.span()
        requirements.append(FieldRequirement(term[:start], _unescape(term[end:]), found[0] == "!="))
    return requirements


def escape(value: str) -> str:
    """Quote the characters that would end a value."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _split(text: str) -> list[str]:
    """Cut at commas that no backslash precedes."""
    if "\\" not in text:
        return text.split(",")
    terms, start, escaped = [], 0, False
    for position, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:position])
            start = position + 1
    terms.append(text[start:])
    return terms


def _unescape(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    out: list[str] = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in ("\\", ",", "="):
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{following}")
            out.append(following)
        elif char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    return "".join(out)
