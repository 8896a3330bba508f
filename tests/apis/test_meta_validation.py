"""Metadata rules, on create and on update."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiphys.apimachinery.field_errors import required
from tiphys.apimachinery.meta import GVK
from tiphys.apis.meta_validation import validate_meta, validate_meta_update, validate_owner_references
from tiphys.apis.strategies import strategy_for, validate_create, validate_update

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}

CREATE: dict[str, tuple[dict[str, Any], bool, list[str]]] = {
    "fine": ({"name": "a", "namespace": "n"}, True, []),
    "no name": (
        {"namespace": "n"},
        True,
        ["metadata.name: Required value: name or generateName is required"],
    ),
    "bad name": ({"name": "A", "namespace": "n"}, True, [f'metadata.name: Invalid value: "A": {SUBDOMAIN}']),
    "prefix may end in a dash": ({"name": "a-x", "generateName": "a-", "namespace": "n"}, True, []),
    "no namespace": ({"name": "a"}, True, ["metadata.namespace: Required value"]),
    "namespace on cluster kind": (
        {"name": "a", "namespace": "n"},
        False,
        ["metadata.namespace: Forbidden: not allowed on this type"],
    ),
    "generation": (
        {"name": "a", "generation": -1},
        False,
        ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "finalizer of no domain": ({"name": "a", "finalizers": ["foo"]}, False, []),
    "finalizer fine": ({"name": "a", "finalizers": ["example.com/foo", "orphan"]}, False, []),
    "both deletion finalizers": (
        {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]},
        False,
        [
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer '
            "orphan and foregroundDeletion cannot be both set"
        ],
    ),
    "owner": (
        {"name": "a", "ownerReferences": [{"apiVersion": "", "kind": "Pod", "name": "p", "uid": ""}]},
        False,
        [
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ],
    ),
    "owner of no version": (
        {"name": "a", "ownerReferences": [{**OWNER, "apiVersion": "a/"}, {**OWNER, "apiVersion": "a/b/c"}]},
        False,
        [
            'metadata.ownerReferences.apiVersion: Invalid value: "a/": version must not be empty',
            'metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty',
        ],
    ),
    "one controller": ({"name": "a", "ownerReferences": [{**OWNER, "controller": True}, OWNER]}, False, []),
    "annotations": (
        {"name": "a", "annotations": {"k": "v" * 262144}},
        False,
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
}


@pytest.mark.parametrize(("meta", "namespaced", "faults"), CREATE.values(), ids=CREATE)
def test_create(meta: dict[str, Any], namespaced: bool, faults: list[str]) -> None:
    assert [str(f) for f in validate_meta({"metadata": meta}, namespaced=namespaced)] == faults


def test_two_controllers() -> None:
    owners = [{**OWNER, "controller": True}, {**OWNER, "name": "q", "controller": True}]
    faults = validate_meta({"metadata": {"name": "a", "ownerReferences": owners}}, namespaced=False)
    assert len(faults) == 1
    assert faults[0].detail.endswith('Found "true" in references for Pod/p and Pod/q')


@pytest.mark.parametrize(("version", "banned"), [("v1", True), ("/v1", True), ("events.k8s.io/v1", False)])
def test_events_own_nothing(version: str, banned: bool) -> None:
    owners = [{**OWNER, "apiVersion": version, "kind": "Event"}]
    faults = validate_meta({"metadata": {"name": "a", "ownerReferences": owners}}, namespaced=False)
    told = [fault.detail.rpartition(": ")[2] for fault in faults]
    assert told == ["/v1, Kind=Event is disallowed from being an owner"] * banned


def test_label_values() -> None:
    faults = validate_meta({"metadata": {"name": "a", "labels": {"k": "a b", "": "x"}}}, namespaced=False)
    assert faults[0].field == "metadata.labels"
    assert faults[0].detail.startswith('Invalid value: "a b": a valid label must be an empty string or')
    assert 'Invalid value: "": name part must be non-empty' in [f.detail for f in faults]


OLD = {
    "name": "a",
    "uid": "u",
    "resourceVersion": "1",
    "generation": 2,
    "creationTimestamp": "2026-01-01T00:00:00Z",
}
UPDATE: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "same": (OLD, {}, []),
    "no version": (
        OLD,
        {"resourceVersion": ""},
        ['metadata.resourceVersion: Invalid value: "": must be specified for an update'],
    ),
    "uid": (OLD, {"uid": "v"}, ['metadata.uid: Invalid value: "v": field is immutable']),
    "name": (OLD, {"name": "b"}, ['metadata.name: Invalid value: "b": field is immutable']),
    "generation": (
        OLD,
        {"generation": 1},
        ["metadata.generation: Invalid value: 1: must not be decremented"],
    ),
    "finalizers while deleting": (
        {**OLD, "deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"finalizers": ["a.b/c"]},
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
            'found new finalizers []string{"a.b/c"}'
        ],
    ),
}


@pytest.mark.parametrize(("old", "change", "faults"), UPDATE.values(), ids=UPDATE)
def test_update(old: dict[str, Any], change: dict[str, Any], faults: list[str]) -> None:
    new = {"metadata": {**old, **change}}
    assert [str(f) for f in validate_meta_update(new, {"metadata": old}, namespaced=False)] == faults


def test_what_any_object_is_held_to_is_told_first_and_once_more() -> None:
    old = {"name": "a", "uid": "u", "resourceVersion": "1"}
    new = {
        **old,
        "uid": "v",
        "generateName": "a/",
        "finalizers": [""],
        "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "n"}],
    }
    uid = 'metadata.uid: Invalid value: "v": field is immutable'
    prefix = "metadata.generateName: Invalid value: \"a/\": may not contain '/'"
    common = 'metadata.ownerReferences.uid: Invalid value: "": must not be empty'
    finalizer = 'metadata.finalizers: Invalid value: "": name part must be non-empty'
    found = validate_meta_update({"metadata": new}, {"metadata": old}, namespaced=False)
    told = [str(fault) for fault in found if "regex" not in fault.detail]
    assert told == [prefix, common, finalizer, uid, common]


KINDS = [
    ("v1", "Event", "nc"),
    ("events.k8s.io/v1", "Event", "nc c"),
    ("policy/v1", "PodDisruptionBudget", "nc"),
    ("apps/v1", "Deployment", "nc c"),
    ("v1", "LimitRange", "nc n"),
    ("discovery.k8s.io/v1", "EndpointSlice", "nc n"),
    ("v1", "Pod", "nc cn"),
    ("apps/v1", "ControllerRevision", "nc cn"),
    ("apps/v1", "ReplicaSet", "nc nc"),
    ("v1", "Node", "nc nc"),
    ("v1", "PersistentVolume", "nc nn"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "nc nnc"),
    ("example.com/v1", "Widget", "nc c"),
]


@pytest.mark.parametrize(("api_version", "kind", "told"), KINDS)
def test_how_often_kinds_tell_of_changed_metadata(api_version: str, kind: str, told: str) -> None:
    """n: as of a new object, whose finalizers count; c: as of a changed one, whose uid stays."""
    namespaced = kind not in ("Node", "PersistentVolume", "ClusterRole")
    old = {"name": "a", "uid": "u", "resourceVersion": "1", **({"namespace": "x"} if namespaced else {})}
    new = {**old, "uid": "v", "finalizers": ["a.b/"]}
    group, _, version = api_version.rpartition("/")
    strategy = replace(strategy_for(GVK(group, version, kind)), validate_update=lambda _new, _old: [])
    found = validate_update(strategy, {"metadata": new}, {"metadata": old}, namespaced=namespaced)
    by_field = {"metadata.uid": "c", "metadata.finalizers": "n"}
    kept = [by_field[fault.field] for fault in found if "regex" not in fault.detail]
    assert "".join(kept) == told.replace(" ", "")


def test_finalizers_of_no_domain_are_told_as_often() -> None:
    old = {"name": "a", "namespace": "x", "uid": "u", "resourceVersion": "1"}
    new = {**old, "finalizers": ["b"]}
    for kind, times in {"Deployment": 1, "ReplicaSet": 2}.items():
        strategy = replace(strategy_for(GVK("apps", "v1", kind)), validate_update=lambda _new, _old: [])
        found = validate_update(strategy, {"metadata": new}, {"metadata": old}, namespaced=True)
        assert [fault.field for fault in found] == ["metadata.finalizers[0]"] * times


def test_prefixes_of_changed_objects_are_held_to_the_rules_of_their_kinds_names() -> None:
    old = {"name": "a", "namespace": "x", "uid": "u", "resourceVersion": "1"}
    new = {**old, "generateName": "A_"}
    for kind, fields in {"ReplicaSet": ["metadata.generateName"], "Deployment": []}.items():
        strategy = replace(strategy_for(GVK("apps", "v1", kind)), validate_update=lambda _new, _old: [])
        found = validate_update(strategy, {"metadata": new}, {"metadata": old}, namespaced=True)
        assert [fault.field for fault in found] == fields


@pytest.mark.parametrize(
    ("group", "kind", "first", "then"),
    [
        ("policy", "PodDisruptionBudget", ["spec"], ["metadata.labels"]),
        ("", "Event", ["spec"], ["metadata.labels"]),
        ("apps", "Deployment", ["metadata.labels", "spec"], ["metadata.labels"]),
    ],
)
def test_some_kinds_look_at_new_metadata_only_where_all_else_is_fine(
    group: str, kind: str, first: list[str], then: list[str]
) -> None:
    obj = {"metadata": {"name": "a", "namespace": "x", "labels": {"a": "/"}}}
    strategy = strategy_for(GVK(group, "v1", kind))
    broken = replace(strategy, validate=lambda _obj: [required("spec")])
    held = replace(strategy, validate=lambda _obj: [])
    assert [fault.field for fault in validate_create(broken, obj, namespaced=True)] == first
    assert [fault.field for fault in validate_create(held, obj, namespaced=True)] == then


def test_of_a_great_many_controllers_some_are_told() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "uid": "u", "controller": True}
    few = [{**owner, "name": f"a{number}"} for number in range(40)]
    assert len(validate_owner_references(few, "p")) == 39
    many = [{**owner, "name": f"a{number}"} for number in range(3000)]
    faults = validate_owner_references(many, "p")
    assert 1 <= len(faults) < 20
    assert sum(len(fault.detail) for fault in faults) < 2_000_000
