"""Where faults of changed metadata stand among a kind's own."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK
from tiphys.apis import metadata_order
from tiphys.apis.metadata_order import order_of, placed
from tiphys.apis.strategies import STRATEGIES, strategy_for, validate_update

KNOWN = {f"{one.gvk.kind}.{one.gvk.group}" if one.gvk.group else one.gvk.kind for one in STRATEGIES}


@pytest.mark.parametrize("table", [metadata_order._UPDATES, metadata_order._STATUSES])
def test_the_tables_name_kinds_that_there_are_and_parts(table: dict[str, str]) -> None:
    assert table.keys() <= KNOWN
    for order in table.values():
        parts = order.split()
        assert set(parts) <= {"new", "changed", "own", "rest"}
        assert parts.count("rest") == 1


def test_most_kinds_look_at_the_change_first() -> None:
    assert order_of("Deployment", "apps") == ("changed", "rest")
    assert order_of("ConfigMap", "", status=True) == ("changed", "rest")


def faults(text: str) -> list[FieldError]:
    return [FieldError("FieldValueInvalid", letter, "") for letter in text]


PLACES = [
    # order, all that a kind's rules find, what they find of a new object, what comes of it
    ("changed rest", "ab", "ab", "CDab"),
    ("rest", "ab", "ab", "ab"),
    ("new own changed rest", "abxy", "ab", "NabCDxy"),
    ("new own changed rest", "abab", "ab", "NabCDab"),
    ("new own changed rest", "bx", "ab", "NbCDx"),
    ("new own changed rest", "x", "", "NCDx"),
    ("new own changed rest", "", "", "NCD"),
    ("changed rest new own", "xab", "ab", "CDxNab"),
    ("changed rest new own", "abab", "ab", "CDabNab"),
    ("changed rest new own", "xb", "ab", "CDxNb"),
    ("new own new own changed rest", "ababx", "ab", "NabNabCDx"),
]


@pytest.mark.parametrize(("order", "found", "own", "made"), PLACES)
def test_places(order: Any, found: str, own: str, made: str) -> None:
    metadata = {"new": faults("N"), "changed": faults("CD")}
    told = placed(order.split(), metadata, faults(found), lambda: faults(own))
    assert "".join(one.field for one in told) == made


def updated(gvk: GVK, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    meta = {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "1"}
    objects = [{**one, "metadata": {**meta, **one.get("metadata", {})}} for one in (new, old)]
    found = validate_update(strategy_for(gvk), *objects, namespaced=True)
    return [one.field for one in found]


BAD = {"metadata": {"labels": {"a": "-"}}}
LABELS, SERVERS = "metadata.labels", ["metadata.labels"] * 2


def test_what_is_frozen_is_told_between() -> None:
    new = {**BAD, "immutable": True, "data": {"/": ""}}
    assert updated(GVK("", "v1", "ConfigMap"), new, {"immutable": True, "data": {}}) == [
        *SERVERS, LABELS, "data", LABELS, "data[/]",
    ]  # fmt: skip


def test_a_binding_is_looked_at_twice_before_its_role() -> None:
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "Role", "name": "r"}
    new = {**BAD, "roleRef": {**role, "name": "s"}, "subjects": [{"kind": "User", "apiGroup": group}]}
    assert updated(GVK(group, "v1", "RoleBinding"), new, {"roleRef": role}) == [
        *SERVERS, LABELS, "subjects[0].name", LABELS, "subjects[0].name", LABELS, "roleRef",
    ]  # fmt: skip
