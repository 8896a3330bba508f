"""``managedFields`` as they are read, written, sorted and bounded: the rows of upstream's tables."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.managedfields import entries
from tiphys.apimachinery.managedfields.entries import Managed
from tiphys.apimachinery.managedfields.fieldset import FieldsError

Entry = dict[str, Any]
GOOD: Entry = {"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:field": {}}, "manager": "foo",
               "operation": "Apply"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fieldsType": "FieldsV2"}, 'invalid fieldsType "FieldsV2" in managed fields entry 1'),
        ({"fieldsType": ""}, "missing fieldsType in managed fields entry 1"),
        ({"apiVersion": ""}, "apiVersion must not be empty"),
        ({"operation": "Invalid"}, "operation must be `Apply` or `Update`"),
        ({"operation": ""}, "operation must be `Apply` or `Update`"),
    ],
)
def test_what_an_entry_must_say(change: Entry, fault: str) -> None:
    entries.read([GOOD])
    with pytest.raises(FieldsError) as caught:
        entries.read([GOOD, GOOD | change])
    assert str(caught.value) == fault
    without = {key: value for key, value in GOOD.items() if key not in change}
    with pytest.raises(FieldsError):
        entries.read([without])


def update(version: str, time: str = "", **fields: Any) -> Entry:
    found = {"manager": "foo", "operation": "Update", "apiVersion": version}
    return found | ({"time": time} if time else {}) | {"fieldsType": "FieldsV1", **fields}


KEPT: dict[str, list[Entry]] = {
    "nothing": [],
    "values and indexes": [
        update(
            "v1",
            "2001-02-03T04:05:06Z",
            fieldsV1={"v:3": {"f:alsoPi": {}}, "v:3.1415": {"f:pi": {}}, "v:false": {"f:notTrue": {}}},
        ),
        update("v1beta1", "2011-12-13T14:15:16Z", fieldsV1={"i:5": {"f:i": {}}}),
    ],
    "keys": [
        update("v1", fieldsV1={"f:spec": {"f:c": {'k:{"name":"c"}': {"f:image": {}, "f:name": {}}}}}),
    ],
    "a member beside what it has": [
        update(
            "v1",
            fieldsV1={
                "f:apiVersion": {},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"nginx"}': {
                            ".": {},
                            "f:image": {},
                            "f:ports": {"i:0": {"f:containerPort": {}}},
                        }
                    },
                    "f:selector": {"f:matchLabels": {"f:app": {}}},
                },
            },
        ),
    ],
    "an index alone": [
        update("v1", fieldsV1={"f:spec": {"f:names": {"f:shortNames": {"i:0": {}}, "f:singular": {}}}}),
    ],
    "a part": [update("v1", fieldsV1={"f:spec": {"f:replicas": {}}}, subresource="scale")],
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_read_is_written_again(case: str) -> None:
    found = entries.read(KEPT[case])
    assert entries.write(found) == KEPT[case]


@pytest.mark.parametrize(
    ("change", "identity"),
    [
        ({"operation": "Update"}, ("foo", "Update", "v1", "")),
        ({}, ("foo", "Apply", "", "")),
        ({"subresource": "scale"}, ("foo", "Apply", "", "scale")),
    ],
)
def test_who_is_one_manager(change: Entry, identity: tuple[str, ...]) -> None:
    assert list(entries.read([GOOD | change])) == [identity]


@pytest.mark.parametrize(
    ("manager", "shown"),
    [
        (("foo", "Update", "v1", ""), '"foo" using v1'),
        (("bar", "Apply", "", ""), '"bar"'),
        (("foo", "Update", "v1", "scale"), '"foo" with subresource "scale" using v1'),
        (('a"b\\c', "Apply", "", ""), r'"a\"b\\c"'),
        (("\N{HAMBURGER}", "Apply", "", ""), '"\N{HAMBURGER}"'),
    ],
)
def test_how_a_conflict_shows_a_manager(manager: tuple[str, str, str, str], shown: str) -> None:
    assert str(entries.identity(*manager)) == shown


OLD, MID, NEW = (f"200{year}-01-01T01:00:00Z" for year in (1, 2, 3))
SORTED = {
    # ``+`` before an updater, its time, ``/`` before its part
    "nothing": [],
    "appliers first": [("a", ""), ("+a", OLD)],
    "without a time first": [("a", ""), ("b", ""), ("c", OLD)],
    "newest last": [("a", ""), ("b", ""), ("+c", OLD), ("+d", MID)],
    "by name": [("a", ""), ("b", ""), ("+c", OLD), ("+d", OLD)],
    "all of it": [
        ("a", ""), ("b", ""), ("g", ""), ("h", ""), ("i", ""),
        ("+c", OLD), ("+d", MID), ("+f", MID), ("+e", NEW),
    ],
    "parts last": [("a", ""), ("a/scale", ""), ("a/status", "")],
}  # fmt: skip


@pytest.mark.parametrize("turn", [0, 1, 2, 5])
@pytest.mark.parametrize("case", SORTED)
def test_in_what_order_they_are_written(case: str, turn: int) -> None:
    wanted = SORTED[case]
    given = [*reversed(wanted)]
    given = given[turn:] + given[:turn]
    managed: Managed = {}
    for who, time in given:
        name, _, part = who.lstrip("+").partition("/")
        operation = "Update" if who.startswith("+") else "Apply"
        identity = entries.identity(name, operation, "v1", part)
        managed[identity] = entries.Entry({"f:a": {}}, "v1", time or None)
    written = [
        ("+" * (found["operation"] == "Update") + found["manager"] + "/" * ("subresource" in found)
         + found.get("subresource", ""), found.get("time", ""))
        for found in entries.write(managed)
    ]  # fmt: skip
    assert written == wanted


Row = tuple[str, str, int, str]
"""Who, at which version, when, which fields: a letter for each."""
BOUNDED: dict[str, tuple[list[Row], list[Row]]] = {
    "one version": (
        [("m1", "v1", 1, "a"), ("m2", "v1", 2, "b"), ("m3", "v1", 3, "c"), ("m4", "v1", 4, "d")],
        [("ancient-changes", "v1", 2, "ab"), ("m3", "v1", 3, "c"), ("m4", "v1", 4, "d")],
    ),
    "one version, with ancient changes": (
        [("ancient-changes", "v1", 2, "ab"), ("m3", "v1", 3, "c"), ("m4", "v1", 4, "d"),
         ("m5", "v1", 5, "e")],
        [("ancient-changes", "v1", 3, "abc"), ("m4", "v1", 4, "d"), ("m5", "v1", 5, "e")],
    ),
    "two versions": (
        [("m1", "v1", 1, "a"), ("m2", "v2", 2, "b"), ("m3", "v1", 3, "c"), ("m4", "v1", 4, "d"),
         ("m5", "v1", 5, "e")],
        [("m2", "v2", 2, "b"), ("ancient-changes", "v1", 4, "acd"), ("m5", "v1", 5, "e")],
    ),
    "three versions, with ancient changes": (
        [("m2", "v2", 2, "b"), ("ancient-changes", "v1", 4, "acd"), ("m5", "v1", 5, "e"),
         ("m6", "v3", 6, "f"), ("m7", "v2", 7, "g")],
        [("ancient-changes", "v1", 5, "acde"), ("m6", "v3", 6, "f"), ("ancient-changes", "v2", 7, "bg")],
    ),
    "three versions, with ancient changes of two": (
        [("ancient-changes", "v1", 5, "acde"), ("m6", "v3", 6, "f"), ("ancient-changes", "v2", 7, "bg"),
         ("m8", "v3", 8, "h")],
        [("ancient-changes", "v1", 5, "acde"), ("ancient-changes", "v2", 7, "bg"),
         ("ancient-changes", "v3", 8, "fh")],
    ),
    "a version each": (
        [("ancient-changes", "v1", 5, "acde"), ("m6", "v3", 6, "f"), ("ancient-changes", "v2", 7, "bg"),
         ("m8", "v4", 8, "h")],
        [("ancient-changes", "v1", 5, "acde"), ("m6", "v3", 6, "f"), ("ancient-changes", "v2", 7, "bg"),
         ("m8", "v4", 8, "h")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BOUNDED)
def test_the_oldest_updaters_are_joined(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_UPDATERS", 3)
    before, after = (
        [
            {"manager": who, "operation": "Update", "apiVersion": version,
             "time": f"2001-01-01T0{hour}:00:00Z", "fieldsType": "FieldsV1",
             "fieldsV1": {f"f:{letter}": {} for letter in letters}}
            for who, version, hour, letters in rows
        ]
        for rows in BOUNDED[case]
    )  # fmt: skip
    capped = entries.cap_updaters(entries.read(before))
    assert entries.write(capped) == after
    assert entries.cap_updaters(capped) == capped
