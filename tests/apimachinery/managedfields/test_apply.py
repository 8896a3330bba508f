"""Server-side apply on a small kind that has every sort of list and map."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest, Conflict, StatusError
from tiphys.apimachinery.managedfields import apply, update
from tiphys.apimachinery.managedfields.apply import LAST_APPLIED
from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema.node import Schema

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC)
TIME = "2026-01-02T03:04:05Z"
TEXT = Schema(type="string")
NUMBER = Schema(type="integer")
TEXTS = Schema(type="object", additional=TEXT)
PORT = Schema(
    type="object",
    properties={"number": NUMBER, "protocol": Schema(type="string", default="TCP"), "title": TEXT},
)
PART = Schema(
    type="object",
    properties={
        "name": TEXT,
        "image": TEXT,
        "ports": Schema(type="array", items=PORT, list_type="map", list_map_keys=("number", "protocol")),
        "limits": TEXTS,
    },
)
SPEC = Schema(
    type="object",
    properties={
        "size": NUMBER,
        "flag": Schema(type="boolean"),
        "parts": Schema(type="array", items=PART, list_type="map", list_map_keys=("name",)),
        "tags": Schema(type="array", items=TEXT, list_type="set"),
        "args": Schema(type="array", items=TEXT),
        "selector": Schema(type="object", properties={"match": TEXTS}, map_type="atomic"),
        "inner": Schema(type="object", properties={"a": NUMBER, "b": NUMBER}),
        "free": Schema(type="object", preserve_unknown=True),
    },
)
GADGET = Schema(
    type="object",
    properties={"apiVersion": TEXT, "kind": TEXT, "metadata": Schema(type="object"), "spec": SPEC,
                "status": Schema(type="object", properties={"ready": NUMBER})},
)  # fmt: skip
VERSION = "demo.io/v1"


def gadget(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {"apiVersion": VERSION, "kind": "Gadget", "metadata": {"name": "g", **metadata}}
    if spec is not None:
        obj["spec"] = spec
    return obj


def owned(obj: dict[str, Any]) -> dict[str, Any]:
    """Return ``{manager: fieldsV1}``, a slash before the subresource, ``!`` before an applier."""
    result = {}
    for entry in obj["metadata"].get("managedFields", []):
        mark = "!" if entry["operation"] == "Apply" else ""
        tail = f"/{entry['subresource']}" if entry.get("subresource") else ""
        result[f"{mark}{entry['manager']}{tail}"] = entry["fieldsV1"]
    return result


def applied(
    live: dict[str, Any] | None, obj: dict[str, Any], who: str = "me", **options: Any
) -> dict[str, Any]:
    before = json.dumps((live, obj))
    result = apply(
        live, obj, GADGET, manager=who, api_version=VERSION, now=options.pop("now", NOW), **options
    )
    assert json.dumps((live, obj)) == before, "arguments must stay as they are"
    return result


def updated(
    live: dict[str, Any] | None, obj: dict[str, Any], who: str = "her", **options: Any
) -> dict[str, Any]:
    return update(live, copy_object(obj), GADGET, manager=who, api_version=VERSION, now=NOW, **options)


def test_apply_creates() -> None:
    result = applied(
        None, gadget({"size": 1, "tags": ["a"], "parts": [{"name": "x", "image": "i"}]}, labels={"l": "1"})
    )
    assert result["spec"] == {"size": 1, "tags": ["a"], "parts": [{"name": "x", "image": "i"}]}
    assert result["metadata"]["managedFields"] == [
        {
            "manager": "me",
            "operation": "Apply",
            "apiVersion": VERSION,
            "time": TIME,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:l": {}}},
                "f:spec": {
                    "f:parts": {'k:{"name":"x"}': {".": {}, "f:image": {}, "f:name": {}}},
                    "f:size": {},
                    "f:tags": {'v:"a"': {}},
                },
            },
        }
    ]


CLAIMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaulted key": (
        {"parts": [{"name": "x", "ports": [{"number": 80}]}]},
        {"f:parts": {'k:{"name":"x"}': {
            ".": {}, "f:name": {}, "f:ports": {'k:{"number":80,"protocol":"TCP"}': {".": {}, "f:number": {}}},
        }}},
    ),
    "atomic list": ({"args": ["a", "b"]}, {"f:args": {}}),
    "atomic map": ({"selector": {"match": {"a": "b"}}}, {"f:selector": {}}),
    "struct": ({"inner": {"a": 1}}, {"f:inner": {"f:a": {}}}),
    "empty struct": ({"inner": {}}, {"f:inner": {}}),
    "null": ({"inner": None, "size": None}, {"f:inner": {}, "f:size": {}}),
    "empty keyed list claims nothing": ({"parts": [], "size": 1}, {"f:size": {}}),
    "without a schema": (
        {"free": {"a": {"b": [1, {"c": 2}]}, "d": 1}},
        {"f:free": {"f:a": {".": {}, "f:b": {}}, "f:d": {}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "fields"), CLAIMS.values(), ids=CLAIMS.keys())
def test_what_an_applier_claims(spec: dict[str, Any], fields: dict[str, Any]) -> None:
    assert owned(applied(None, gadget(spec))) == {"!me": {"f:spec": fields}}


def test_status_is_not_owned_through_the_object() -> None:
    result = applied(None, {**gadget({"size": 1}), "status": {"ready": 1}})
    assert owned(result) == {"!me": {"f:spec": {"f:size": {}}}}


def test_status_is_owned_through_its_subresource() -> None:
    live = applied(None, gadget({"size": 1}))
    result = applied(live, {**gadget({"size": 1}), "status": {"ready": 1}}, "ctl", subresource="status")
    assert owned(result) == {"!me": {"f:spec": {"f:size": {}}}, "!ctl/status": {"f:status": {"f:ready": {}}}}


def test_same_again_changes_nothing() -> None:
    live = applied(None, gadget({"size": 1, "parts": [{"name": "x"}]}))
    assert applied(live, gadget({"size": 1, "parts": [{"name": "x"}]}), now=LATER) == live


def test_two_appliers_share_what_they_agree_on() -> None:
    live = applied(None, gadget({"size": 1}))
    live = applied(live, gadget({"size": 1}), "other", now=LATER)
    assert owned(live) == {"!me": {"f:spec": {"f:size": {}}}, "!other": {"f:spec": {"f:size": {}}}}
    live = applied(live, gadget())
    assert live["spec"] == {"size": 1}
    assert owned(live) == {"!other": {"f:spec": {"f:size": {}}}}


REMOVALS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
    "scalar": ({"size": 1, "flag": True}, {"flag": True}, {"flag": True}),
    "all": ({"size": 1}, {}, None),
    "set item": ({"tags": ["a", "b"]}, {"tags": ["b"]}, {"tags": ["b"]}),
    "keyed item": (
        {"parts": [{"name": "x"}, {"name": "y"}]},
        {"parts": [{"name": "y"}]},
        {"parts": [{"name": "y"}]},
    ),
    "field of an item": (
        {"parts": [{"name": "x", "image": "i"}]},
        {"parts": [{"name": "x"}]},
        {"parts": [{"name": "x"}]},
    ),
    "item by defaulted key": (
        {"parts": [{"name": "x", "ports": [{"number": 1}, {"number": 2}]}]},
        {"parts": [{"name": "x", "ports": [{"number": 2}]}]},
        {"parts": [{"name": "x", "ports": [{"number": 2}]}]},
    ),
    "map key": (
        {"parts": [{"name": "x", "limits": {"a": "1", "b": "2"}}]},
        {"parts": [{"name": "x", "limits": {"b": "2"}}]},
        {"parts": [{"name": "x", "limits": {"b": "2"}}]},
    ),
    "atomic list is replaced": ({"args": ["a", "b"]}, {"args": ["b"]}, {"args": ["b"]}),
    "atomic map is replaced": (
        {"selector": {"match": {"a": "1"}}},
        {"selector": {"match": {"b": "1"}}},
        {"selector": {"match": {"b": "1"}}},
    ),
    "free form": ({"free": {"a": 1, "b": {"c": 1}}}, {"free": {"b": {"c": 1}}}, {"free": {"b": {"c": 1}}}),
}


@pytest.mark.parametrize(("first", "second", "expected"), REMOVALS.values(), ids=REMOVALS.keys())
def test_what_is_no_longer_applied_goes(
    first: dict[str, Any], second: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    live = applied(None, gadget(first))
    assert applied(live, gadget(second)).get("spec") == expected


def test_what_others_hold_stays() -> None:
    live = applied(None, gadget({"parts": [{"name": "x", "image": "i"}, {"name": "y"}]}))
    live = updated(live, {**live, "spec": {**live["spec"], "size": 5}})
    live = applied(live, gadget({"parts": [{"name": "x", "limits": {"a": "1"}}]}), "other")
    live = applied(live, gadget({"inner": {"a": 1}}))
    assert live["spec"] == {
        "parts": [{"name": "x", "limits": {"a": "1"}}],
        "size": 5,
        "inner": {"a": 1},
    }


def test_what_others_wrote_stays_in_a_struct_that_nobody_applies_any_more() -> None:
    live = applied(None, gadget({"size": 1, "inner": {"a": 1}}))
    live = updated(live, {**live, "spec": {"size": 1, "inner": {"a": 1, "b": 2}}})
    assert applied(live, gadget({"size": 1}))["spec"] == {"size": 1, "inner": {"b": 2}}


ORDERS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "appended": (["a", "b"], ["c"], ["a", "b", "c"]),
    "kept where they stand": (["a", "b", "c"], ["c", "a"], ["b", "c", "a"]),
    "new one between": (["a", "c"], ["a", "b", "c"], ["a", "b", "c"]),
    "live one between": (["a", "x", "c"], ["a", "b", "c"], ["a", "x", "b", "c"]),
    "turned round": (["a", "b", "c"], ["c", "b", "a"], ["c", "b", "a"]),
}


@pytest.mark.parametrize(("live", "given", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_order_of_items(live: list[str], given: list[str], expected: list[str]) -> None:
    before = updated(None, gadget({"parts": [{"name": name} for name in live], "tags": live}))
    after = applied(before, gadget({"parts": [{"name": name} for name in given], "tags": given}))
    assert [part["name"] for part in after["spec"]["parts"]] == expected
    assert after["spec"]["tags"] == expected


def test_one_conflict() -> None:
    live = updated(None, gadget({"size": 1}), "kubectl-client-side-apply")
    with pytest.raises(Conflict) as caught:
        applied(live, gadget({"size": 2}))
    error = caught.value
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using demo.io/v1: .spec.size'
    )
    assert error.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-client-side-apply" using demo.io/v1',
                "field": ".spec.size",
            }
        ]
    }
    assert (error.status_code, error.status_reason) == (409, "Conflict")


def test_many_conflicts() -> None:
    live = updated(None, gadget({"size": 1, "parts": [{"name": "x", "image": "i"}]}))
    live = applied(live, gadget({"flag": True}), "other")
    live = updated(live, {**live, "status": {"ready": 1}}, "ctl", subresource="status")
    live = applied(live, {**gadget(), "status": {"ready": 1}}, "stat", subresource="status")
    with pytest.raises(Conflict) as caught:
        applied(live, gadget({"size": 2, "flag": False, "parts": [{"name": "x", "image": "j"}]}))
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "her" using demo.io/v1:\n'
        "- .spec.size\n"
        '- .spec.parts[name="x"].image\n'
        'conflicts with "other":\n'
        "- .spec.flag"
    )
    with pytest.raises(Conflict, match='"ctl" with subresource "status" using demo'):
        applied(live, {**gadget(), "status": {"ready": 2}}, subresource="status")


def test_force_takes() -> None:
    live = updated(None, gadget({"size": 1, "flag": True}))
    result = applied(live, gadget({"size": 2}), force=True)
    assert result["spec"] == {"size": 2, "flag": True}
    assert owned(result) == {"!me": {"f:spec": {"f:size": {}}}, "her": {"f:spec": {".": {}, "f:flag": {}}}}


def test_equal_values_do_not_conflict() -> None:
    live = updated(None, gadget({"size": 1}))
    assert set(owned(applied(live, gadget({"size": 1})))) == {"!me", "her"}


def test_objects_from_before() -> None:
    live = gadget({"size": 1}, uid="u", resourceVersion="7", labels={"a": "b"})
    result = applied(live, gadget({"flag": True}))
    assert owned(result) == {
        "!me": {"f:spec": {"f:flag": {}}},
        "before-first-apply": {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {".": {}, "f:size": {}},
        },
    }
    with pytest.raises(Conflict, match='conflict with "before-first-apply" using demo'):
        applied(live, gadget({"size": 2}))


def test_metadata_that_the_server_keeps_survives() -> None:
    live = applied(None, gadget({"size": 1}, labels={"a": "1"}))
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": TIME, "generation": 1}
    result = applied(live, gadget({"size": 2}), now=LATER)
    kept = {key: value for key, value in result["metadata"].items() if key != "managedFields"}
    assert kept == {
        "name": "g", "uid": "u", "resourceVersion": "7", "creationTimestamp": TIME, "generation": 1,
    }  # fmt: skip


def client_side(spec: dict[str, Any]) -> dict[str, Any]:
    obj = gadget(spec)
    obj["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(gadget(spec))}
    return updated(None, obj, "kubectl-client-side-apply")


def test_kubectl_takes_over_its_client_side_apply() -> None:
    live = client_side({"size": 1, "args": ["a"]})
    result = applied(live, gadget({"size": 2}), "kubectl")
    assert result["spec"]["size"] == 2
    text = result["metadata"]["annotations"][LAST_APPLIED]
    assert text.endswith("\n")
    assert json.loads(text)["spec"] == {"size": 2}


def test_only_kubectl_takes_over() -> None:
    with pytest.raises(Conflict):
        applied(client_side({"size": 1}), gadget({"size": 2}), "other")


def test_kubectl_does_not_take_what_changed_since() -> None:
    live = client_side({"size": 1, "flag": True})
    live = updated(live, {**live, "spec": {"size": 7, "flag": True}}, "hpa")
    with pytest.raises(Conflict) as caught:
        applied(live, gadget({"size": 2, "flag": False}), "kubectl")
    assert caught.value.message.endswith('conflict with "hpa" using demo.io/v1: .spec.size')


FAULTS: dict[str, tuple[dict[str, Any], type[StatusError], str]] = {
    "managedFields": (gadget({}, managedFields=[]), BadRequest, "metadata.managedFields must be nil"),
    "version": (
        {**gadget({}), "apiVersion": "demo.io/v2"},
        BadRequest,
        "Incorrect version specified in apply patch. "
        "Specified patch version: demo.io/v2, expected: demo.io/v1",
    ),
    "unknown field": (
        gadget({"frob": 1}, namespace="ns"),
        StatusError,
        "failed to create typed patch object (ns/g; demo.io/v1, Kind=Gadget): "
        ".spec.frob: field not declared in schema",
    ),
    "no key": (
        gadget({"parts": [{"image": "i"}]}),
        StatusError,
        "failed to create typed patch object (/g; demo.io/v1, Kind=Gadget): "
        ".spec.parts: element 0: associative list "
        'with keys has an element that omits key field "name" (and doesn\'t have default value)',
    ),
    "doubled key": (
        gadget({"parts": [{"name": "x", "ports": [{"number": 1}, {"number": 1, "protocol": "TCP"}]}]}),
        StatusError,
        "failed to create typed patch object (/g; demo.io/v1, Kind=Gadget): "
        '.spec.parts[name="x"].ports: duplicate entries for key [number=1,protocol="TCP"]',
    ),
    "doubled keys": (
        gadget({"parts": [{"name": "x"}, {"name": "x"}, {"name": "y"}, {"name": "y"}]}),
        StatusError,
        "failed to create typed patch object (/g; demo.io/v1, Kind=Gadget): errors:\n"
        '  .spec.parts: duplicate entries for key [name="x"]\n'
        '  .spec.parts: duplicate entries for key [name="y"]',
    ),
    "types": (
        gadget({"size": "3", "parts": {"name": "x"}, "flag": {}}),
        StatusError,
        "failed to create typed patch object (/g; demo.io/v1, Kind=Gadget): errors:\n"
        "  .spec.size: expected numeric (int or float), got string\n"
        "  .spec.parts: expected list, got &{map[name:x]}\n"
        "  .spec.flag: expected boolean, got &{map[]}",
    ),
}


@pytest.mark.parametrize(("obj", "error", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_refusals(obj: dict[str, Any], error: type[StatusError], message: str) -> None:
    with pytest.raises(error) as caught:
        applied(None, obj)
    assert caught.value.message == message
