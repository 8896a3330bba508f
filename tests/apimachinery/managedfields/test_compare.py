"""The fields of a new object are those by which it differs from nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.apimachinery.managedfields import fieldset
from tiphys.apimachinery.managedfields.compare import created_fields, difference_of
from tiphys.apimachinery.managedfields.fieldset import FieldsError
from tiphys.apimachinery.meta import GVK
from tiphys.apis.schemas import schema_for

_SCALARS = st.sampled_from([None, "", "x", 0, 1, True, False])
_ITEMS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"])},
    optional={
        "image": _SCALARS,
        "ports": st.sampled_from([[], [{"containerPort": 1, "protocol": "TCP"}], "p"]),
    },
)
_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "containers": st.lists(_ITEMS, max_size=3),
        "initContainers": st.lists(_ITEMS, max_size=2),
        "nodeName": _SCALARS,
        "nodeSelector": st.dictionaries(st.sampled_from(["a", "b"]), _SCALARS),
        "tolerations": st.lists(st.fixed_dictionaries({"key": _SCALARS}), max_size=1),
        "securityContext": st.sampled_from([{}, {"runAsUser": 1}, None, "x", []]),
        "unknown": st.sampled_from([{}, {"a": {"b": 1}}, [1], None]),
    },
)
_OBJECTS = st.fixed_dictionaries(
    {"apiVersion": st.just("v1"), "kind": st.just("Pod")},
    optional={
        "metadata": st.fixed_dictionaries(
            {"name": st.just("p")},
            optional={
                "labels": st.dictionaries(st.sampled_from(["a", "b"]), _SCALARS),
                "finalizers": st.lists(st.sampled_from(["x", "y"]), max_size=2),
                "ownerReferences": st.lists(st.fixed_dictionaries({"uid": st.just("u")}), max_size=1),
                "uid": st.just("u"),
            },
        ),
        "spec": _SPECS | st.sampled_from([None, {}, [], "x"]),
        "status": st.sampled_from([{}, {"phase": "Pending"}, {"conditions": [{"type": "Ready"}]}, None]),
        "other": _SCALARS | _SPECS,
    },
)
_SCHEMAS = st.sampled_from([schema_for(GVK("", "v1", "Pod")), schema_for(GVK("batch", "v1", "Job")), None])


def _fields(ask: Any) -> Any:
    try:
        return ask()
    except FieldsError as error:
        return str(error)


@settings(max_examples=300)
@given(_OBJECTS, _SCHEMAS)
def test_created_fields_are_the_difference_from_nothing(obj: dict[str, Any], schema: Any) -> None:
    def by_difference() -> Any:
        difference = difference_of({}, obj, schema)
        assert not difference.removed
        return fieldset.union(difference.added, difference.modified)

    expected = _fields(by_difference)
    assert _fields(lambda: created_fields(obj, schema)) == expected
    assert _fields(lambda: created_fields(obj, schema)) == expected


def test_created_fields_of_an_item_without_its_key() -> None:
    pod = {"spec": {"containers": [{"image": "i"}]}}
    with pytest.raises(FieldsError, match="omits key field"):
        created_fields(pod, schema_for(GVK("", "v1", "Pod")))
