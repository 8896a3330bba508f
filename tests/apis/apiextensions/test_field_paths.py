"""Paths of names through a schema: where they lead, and why they lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apis.apiextensions.field_paths import follow

NUMBER = {"type": "number"}


def thing(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


SCHEMA = build_custom(
    thing(
        {
            "map": {"type": "object", "additionalProperties": thing({"inner": NUMBER})},
            "white space": NUMBER,
            "'foo'bar": NUMBER,
            "a": thing(
                {
                    "foo's": NUMBER,
                    "test\a": NUMBER,
                    "bb[b": NUMBER,
                    "bbb": thing({"c": NUMBER, "34": NUMBER}),
                    "bbb.c": thing({"a-b34": NUMBER}),
                }
            ),
            "list": {"type": "array", "items": thing({"a": NUMBER})},
        }
    )
)
LEADS: dict[str, tuple[str, ...]] = {
    ".a": (".a",),
    ".a.bbb.34": (".a", ".bbb", ".34"),
    ".a['bbb']['34']": (".a", ".bbb", ".34"),
    ".a['bbb.c'].a-b34": (".a", ".bbb.c", ".a-b34"),
    ".a.foo's": (".a", ".foo's"),
    r".a['foo\'s']": (".a", ".foo's"),
    r".a['test\a']": (".a", ".test\a"),
    r"['\'foo\'bar']": (".'foo'bar",),
    ".white space": (".white space",),
    ".map.k.inner": (".map", "[k]", ".inner"),
    ".map['k.l']": (".map", "[k.l]"),
    ".list": (".list",),
}
NOWHERE = {
    ".nope": "does not refer to a valid field",
    ". a": "does not refer to a valid field",
    ".a..bbb": "does not refer to a valid field",
    ".a.bb[b": "does not refer to a valid field",
    ".list.a": "does not refer to a valid field",
    ".list['a']": "does not refer to a valid field",
    ".list[0]": "expected single quoted string but got 0",
    ".list[1.0]": "expected single quoted string but got 1",
    r".map['\x']": r"invalid string literal: invalid escape char \x",
    ".map['k'.l": "expected ] but got .",
    ".map['k'": "unexpected end of JSON path",
    ".map[": "unexpected end of JSON path",
    ".": "unexpected end of JSON path",
    "a": "expected [ or . but got: a",
    "  ": "expected [ or . but got:   ",
}


@pytest.mark.parametrize("path", LEADS)
def test_leads(path: str) -> None:
    assert follow(path, SCHEMA)[0] == LEADS[path]


@pytest.mark.parametrize("path", NOWHERE)
def test_leads_nowhere(path: str) -> None:
    with pytest.raises(ValueError) as caught:
        follow(path, SCHEMA)
    assert str(caught.value) == NOWHERE[path]


def test_names_stand_after_dots_only() -> None:
    assert follow(".map.k", SCHEMA, brackets=False)[0] == (".map", "[k]")
    with pytest.raises(ValueError, match=r"^array notation is not allowed$"):
        follow(".map['k']", SCHEMA, brackets=False)
