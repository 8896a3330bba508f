"""In which order names of several servers stand, and what becomes of groups that several of them have.

Source: upstream's tests of the order of discovery and of peer-aggregated discovery.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.peers.merging import in_order, merged

ORDERS = {
    "consensus": (["ABCD", "ABCD", "AXZD", "ZY", "Q"], "ABCQXZDY"),
    "nothing": ([], ""),
    "one list": (["FBZ"], "FBZ"),
    "two that contradict": (["AB", "BA"], "AB"),
    "an empty one": (["", "ABC"], "ABC"),
    "empty ones only": (["", "", ""], ""),
    "by name at the beginning": (["CDE", "BDE", "ADE"], "ABCDE"),
    "by name in the middle": (["ADE", "ACE", "ABE"], "ABCDE"),
    "three that contradict": (["ABC", "BCA", "CAB"], "ABC"),
    "a longer one has all": (["ABCD", "BA", "CD"], "ABCD"),
    "parts that contradict": (["AB", "CD", "BA"], "ABCD"),
    "a circle": (["AB", "BC", "CA"], "ABC"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name: str) -> None:
    lists, want = ORDERS[name]
    assert "".join(in_order([list(names) for names in lists])) == want


def group(name: str, **versions: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "versions": [
            {"version": version, "freshness": "Current", "resources": [{"resource": one} for one in names]}
            for version, names in versions.items()
        ],
    }


def shape(groups: list[Any]) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: {
            version["version"]: "".join(resource["resource"] for resource in version["resources"])
            for version in one["versions"]
        }
        for one in groups
    }


LOCAL = [group("apps", v1="ab"), group("batch", v1="j")]
MERGED: dict[str, tuple[dict[str, list[Any]], dict[str, dict[str, str]]]] = {
    "nobody else": ({}, {"apps": {"v1": "ab"}, "batch": {"v1": "j"}}),
    "a group more": (
        {"p": [group("apps", v1="ab"), group("zoo", v1="z"), group("batch", v1="j")]},
        {"apps": {"v1": "ab"}, "zoo": {"v1": "z"}, "batch": {"v1": "j"}},
    ),
    "a version more": (
        {"p": [group("apps", v2="ab", v1="ab")]}, {"apps": {"v2": "ab", "v1": "ab"}, "batch": {"v1": "j"}}
    ),
    "a resource more": (
        {"p": [group("apps", v1="acb")]}, {"apps": {"v1": "acb"}, "batch": {"v1": "j"}}
    ),
    "two peers": (
        {"q": [group("y", v1="y")], "p": [group("x", v1="x"), group("batch", v1="k")]},
        {"apps": {"v1": "ab"}, "x": {"v1": "x"}, "batch": {"v1": "jk"}, "y": {"v1": "y"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MERGED)
def test_merged(name: str) -> None:
    peers, want = MERGED[name]
    found = shape(merged(LOCAL, peers))
    assert [(key, list(value.items())) for key, value in found.items()] == [
        (key, list(value.items())) for key, value in want.items()
    ]
    assert shape(LOCAL) == MERGED["nobody else"][1]


def test_the_group_is_this_servers_and_its_resources_are_the_last_ones() -> None:
    ours = {**group("apps", v1="a"), "metadata": {"name": "apps", "uid": "ours"}}
    theirs = {**group("apps", v1="a"), "metadata": {"name": "apps", "uid": "theirs"}}
    theirs["versions"][0]["resources"][0]["verbs"] = ["get"]
    (found,) = merged([ours], {"p": [theirs]})
    assert found["metadata"]["uid"] == "ours"
    assert found["versions"][0]["resources"] == [{"resource": "a", "verbs": ["get"]}]
