"""Managers of several API versions: a kind whose field ``size`` is called ``count`` at v2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.managedfields import apply, update
from tiphys.apimachinery.managedfields.structure import Shape
from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema.node import Schema

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT, NUMBER = Schema(type="string"), Schema(type="integer")
PAIR = Schema(type="object", properties={"x": NUMBER, "y": NUMBER})
ATOMIC = Schema(type="object", properties={"x": NUMBER, "y": NUMBER}, map_type="atomic")


def kind(size: str, pair: Schema = PAIR) -> Schema:
    spec = Schema(type="object", properties={size: NUMBER, "note": TEXT, "pair": pair})
    head = {"apiVersion": TEXT, "kind": TEXT, "metadata": Schema(type="object")}
    return Schema(type="object", properties={**head, "spec": spec})


SCHEMAS = {"g/v1": kind("size"), "g/v2": kind("count")}
NAMES = {"g/v1": "size", "g/v2": "count"}


@dataclass
class Two:
    """``size`` at v1 is ``count`` at v2; v0 is served no more."""

    may_change: bool = False
    schemas: Any = None

    def convert(self, obj: dict[str, Any], api_version: str) -> dict[str, Any] | None:
        if api_version not in NAMES:
            return None
        spec = dict(obj.get("spec") or {})
        before = NAMES[obj["apiVersion"]]
        if before in spec:
            spec[NAMES[api_version]] = spec.pop(before)
        return {**obj, "apiVersion": api_version, "spec": spec}

    def schema(self, api_version: str) -> Schema | None:
        found: Schema | None = (self.schemas or SCHEMAS).get(api_version)
        return found


def thing(version: str = "g/v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def applied(live: Any, obj: Any, who: str, *, versions: Any = None, force: bool = False) -> Any:
    version = obj["apiVersion"]
    versions = versions or Two()
    if live is not None:
        live = versions.convert(live, version)
    return apply(
        live, obj, versions.schema(version), manager=who, api_version=version, now=NOW,
        versions=versions, force=force,
    )  # fmt: skip


def updated(live: Any, obj: Any, who: str, *, versions: Any = None) -> Any:
    version = obj["apiVersion"]
    versions = versions or Two()
    obj = copy_object(obj)
    obj["metadata"] |= {"managedFields": live["metadata"]["managedFields"]} if live else {}
    if live is not None:
        live = versions.convert(live, version)
    return update(
        live, obj, versions.schema(version), manager=who, api_version=version, now=NOW, versions=versions
    )


def owned(obj: Any) -> dict[tuple[str, str], Any]:
    entries = obj["metadata"].get("managedFields", ())
    return {(one["manager"], one["apiVersion"]): one["fieldsV1"].get("f:spec", {}) for one in entries}


def test_sets_stay_at_the_version_they_were_written_at() -> None:
    first = applied(None, thing(size=1), "a")
    second = applied(first, thing("g/v2", note="x"), "b")
    assert owned(second) == {("a", "g/v1"): {"f:size": {}}, ("b", "g/v2"): {"f:note": {}}}


def test_conflicts_are_found_across_versions() -> None:
    first = applied(None, thing(size=1), "a")
    with pytest.raises(Conflict) as caught:
        applied(first, thing("g/v2", count=2), "b")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "a": .spec.size'
    taken = applied(first, thing("g/v2", count=2), "b", force=True)
    assert owned(taken) == {("b", "g/v2"): {"f:count": {}}}


def test_an_update_takes_fields_from_managers_of_other_versions() -> None:
    first = applied(None, thing(size=1, note="x"), "a")
    changed = updated(first, thing("g/v2", count=2, note="x"), "b")
    assert owned(changed) == {("a", "g/v1"): {"f:note": {}}, ("b", "g/v2"): {"f:count": {}}}
    gone = updated(first, thing("g/v2", note="x"), "b")
    assert owned(gone) == {("a", "g/v1"): {"f:note": {}}}


def test_what_was_applied_at_one_version_goes_at_another() -> None:
    first = applied(None, thing(size=1, note="x"), "a")
    second = applied(first, thing("g/v2", note="x"), "a")
    assert second["spec"] == {"note": "x"}
    assert owned(second) == {("a", "g/v2"): {"f:note": {}}}


def test_what_others_hold_at_another_version_stays() -> None:
    first = applied(applied(None, thing(size=1, note="x"), "a"), thing("g/v2", count=1), "b")
    third = applied(first, thing(note="x"), "a")
    assert third["spec"] == {"size": 1, "note": "x"}
    assert owned(third) == {("a", "g/v1"): {"f:note": {}}, ("b", "g/v2"): {"f:count": {}}}


def test_managers_of_a_version_that_is_gone_are_dropped() -> None:
    first = applied(None, thing(size=1), "a")
    first["metadata"]["managedFields"][0]["apiVersion"] = "g/v0"
    assert owned(updated(first, thing(size=2), "b")) == {("b", "g/v1"): {"f:size": {}}}
    assert owned(applied(first, thing(size=1), "c")) == {("c", "g/v1"): {"f:size": {}}}
    assert applied(first, thing(note="x"), "a")["spec"] == {"size": 1, "note": "x"}


def test_a_map_that_became_one_field_is_owned_as_one() -> None:
    first = applied(None, thing(pair={"x": 1, "y": 2}), "a")
    assert owned(first) == {("a", "g/v1"): {"f:pair": {"f:x": {}, "f:y": {}}}}
    atomic = Two(may_change=True, schemas={"g/v1": kind("size", ATOMIC), "g/v2": kind("count", ATOMIC)})
    changed = updated(first, thing(pair={"x": 1, "y": 2}, note="n"), "b", versions=atomic)
    assert owned(changed) == {("a", "g/v1"): {"f:pair": {}}, ("b", "g/v1"): {"f:note": {}}}
    with pytest.raises(Conflict, match=r'conflict with "a": \.spec\.pair'):
        applied(first, thing(pair={"x": 3, "y": 2}), "b", versions=atomic)
    mine = applied(first, thing(pair={"x": 1}), "a", versions=atomic)
    assert mine["spec"] == {"pair": {"x": 1}}


def test_items_are_named_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 4,000 items took ten seconds of each update."""
    count, named = 100, 0
    item = Schema(type="object", properties={"k": TEXT, "v": NUMBER})
    items = Schema(type="array", items=item, list_type="map", list_map_keys=("k",))
    whole = Schema(type="object", properties={**kind("size").properties, "items": items})
    versions = Two(may_change=True, schemas={"g/v1": whole})
    made = {**thing(), "items": [{"k": str(n), "v": n} for n in range(count)]}
    live = applied(None, made, "a", versions=versions)
    element = Shape.element

    def counted(self: Shape, item: Any) -> str:
        nonlocal named
        named += 1
        return element(self, item)

    monkeypatch.setattr(Shape, "element", counted)
    after = updated(live, {**live, "spec": {"note": "x"}}, "b", versions=versions)
    assert len(after["metadata"]["managedFields"]) == 2
    assert count <= named <= 5 * count
