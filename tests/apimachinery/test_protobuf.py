from __future__ import annotations

import pytest

from tiphys.apimachinery.protobuf import build

MESSAGES = {
    "demo.Outer": {
        "name": [1, "string"],
        "inner": [2, "demo.Outer.Inner"],
        "many": [3, "repeated demo.Outer.Inner"],
        "labels": [4, "map<string,string>"],
        "by_name": [5, "map<string,demo.Outer.Inner>"],
        "state": [6, "demo.Outer.State"],
        "numbers": [7, "repeated int64"],
        "raw": [8, "bytes"],
        "foreign": [9, "base.Thing"],
        "ratio": [10, "double"],
    },
    "demo.Outer.Inner": {"x": [1, "int32"]},
    "base.Thing": {"level": [1, "base.Level"]},
}
ENUMS = {"demo.Outer.State": {"ON": 1, "OFF": 0}, "base.Level": {"HIGH": 2, "LOW": 0, "ALSO_LOW": 0}}


def test_every_shape_round_trips() -> None:
    messages = build(MESSAGES, ENUMS)
    value = messages["demo.Outer"](
        name="n",
        inner={"x": 3},
        many=[{"x": 1}, {"x": 2}],
        labels={"a": "b"},
        state=1,
        numbers=[1, 2, 3],
        raw=b"\x00\xff",
        foreign={"level": 2},
        ratio=0.5,
    )
    value.by_name["k"].x = 9  # type: ignore[attr-defined]
    assert messages["demo.Outer"].FromString(value.SerializeToString()) == value


@pytest.mark.parametrize(
    ("syntax", "wire"),
    [("proto3", b"\x3a\x02\x01\x02"), ("proto2", b"\x38\x01\x38\x02")],
    ids=["proto3 packs", "proto2 does not"],
)
def test_packing_follows_the_syntax(syntax: str, wire: bytes) -> None:
    enums = {"demo.Outer.State": ENUMS["demo.Outer.State"], "base.Level": {"LOW": 0}}
    messages = build(MESSAGES, enums, syntax=syntax)
    assert messages["demo.Outer"](numbers=[1, 2]).SerializeToString() == wire


def test_proto2_keeps_presence_of_zero() -> None:
    inner = build(MESSAGES, ENUMS, syntax="proto2")["demo.Outer.Inner"]
    assert inner(x=0).SerializeToString() == b"\x08\x00"
    assert build(MESSAGES, ENUMS)["demo.Outer.Inner"](x=0).SerializeToString() == b""


def test_mapping_face() -> None:
    messages = build(MESSAGES, ENUMS)
    assert set(messages) == set(MESSAGES)
    assert len(messages) == 3
    assert messages["demo.Outer"] is messages["demo.Outer"]
    with pytest.raises(KeyError):
        messages["demo.Nothing"]


def test_enums() -> None:
    messages = build(MESSAGES, ENUMS)
    assert messages.enum("demo.Outer.State") == {"ON": 1, "OFF": 0}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ({"a.M": {"f": [1, "a.Nothing"]}}, "unknown type 'a.Nothing'"),
        (
            {"a.M": {"f": [1, "b.M"]}, "b.M": {"f": [1, "a.M"]}},
            "packages need each other: a, b",
        ),
    ],
    ids=["unknown type", "cycle"],
)
def test_bad_tables(messages: dict[str, dict[str, list[object]]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        build(messages, {})
