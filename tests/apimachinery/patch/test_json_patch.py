from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest, Invalid, RequestEntityTooLarge
from tiphys.apimachinery.patch.json_patch import COPY_LIMIT_BYTES, MAX_OPERATIONS, apply

WORKS: dict[str, tuple[Any, list[dict[str, Any]], Any]] = {
    "add member": ({"a": 1}, [{"op": "add", "path": "/b", "value": [1]}], {"a": 1, "b": [1]}),
    "add null": ({}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
    "add without value": ({}, [{"op": "add", "path": "/a"}], {"a": None}),
    "add over": ({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}),
    "insert": ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    "append by dash": ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
    "append by length": ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
    "negative index adds": ({"a": [1]}, [{"op": "add", "path": "/a/-1", "value": 2}], {"a": [1, 2]}),
    "negative index removes": ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
    "remove": ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    "remove item": ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
    "replace": ({"a": 1}, [{"op": "replace", "path": "/a", "value": {"x": 1}}], {"a": {"x": 1}}),
    "replace a missing member": ({}, [{"op": "replace", "path": "/a", "value": 1}], {"a": 1}),
    "move": (
        {"a": {"x": 1}, "b": {}},
        [{"op": "move", "from": "/a/x", "path": "/b/y"}],
        {"a": {}, "b": {"y": 1}},
    ),
    "move in a list": (
        {"a": [1, 2, 3]},
        [{"op": "move", "from": "/a/0", "path": "/a/2"}],
        {"a": [2, 3, 1]},
    ),
    "copy": ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    "copies are apart": (
        {"a": [1]},
        [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}],
        {"a": [1], "b": [1, 2]},
    ),
    "test": (
        {"a": {"x": [1, "b"]}},
        [{"op": "test", "path": "/a", "value": {"x": [1, "b"]}}],
        {"a": {"x": [1, "b"]}},
    ),
    "test null of a missing": ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    "escapes": ({"a/b": {"m~n": 1}}, [{"op": "remove", "path": "/a~1b/m~0n"}], {"a/b": {}}),
    "empty key": ({"": 1}, [{"op": "remove", "path": "/"}], {}),
    "nothing": ({"a": 1}, [], {"a": 1}),
}

FAILS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "remove missing": ({}, {"op": "remove", "path": "/a"}, "Unable to remove nonexistent key: a"),
    "parent missing": ({}, {"op": "add", "path": "/a/b", "value": 1}, "doc is missing path: /a/b"),
    "parent scalar": ({"a": 1}, {"op": "add", "path": "/a/b", "value": 1}, "doc is missing path"),
    "whole document": ({}, {"op": "replace", "path": "", "value": 1}, "doc is missing path"),
    "index beyond": ({"a": []}, {"op": "remove", "path": "/a/0"}, "invalid index: 0"),
    "insert beyond": ({"a": []}, {"op": "add", "path": "/a/1", "value": 1}, "invalid index: 1"),
    "index below": ({"a": [1]}, {"op": "remove", "path": "/a/-2"}, "invalid index: -2"),
    "index no number": ({"a": [1]}, {"op": "remove", "path": "/a/x"}, 'parsing "x"'),
    "test differs": ({"a": 1}, {"op": "test", "path": "/a", "value": 2}, "testing value /a failed"),
    "test true is not one": ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value"),
    "unknown op": ({}, {"op": "frob", "path": "/a"}, "Unexpected kind: frob"),
    "no op": ({}, {"path": "/a"}, "Unexpected kind: unknown"),
    "no path": ({}, {"op": "remove"}, "missing path field"),
    "no from": ({}, {"op": "move", "path": "/a"}, "missing from field"),
    "move missing": ({}, {"op": "move", "from": "/a", "path": "/b"}, "nonexistent key"),
}


@pytest.mark.parametrize(("document", "patch", "expected"), WORKS.values(), ids=WORKS.keys())
def test_applies(document: Any, patch: list[dict[str, Any]], expected: Any) -> None:
    before = repr(document)
    assert apply(document, patch) == expected
    assert repr(document) == before


@pytest.mark.parametrize(("document", "operation", "why"), FAILS.values(), ids=FAILS.keys())
def test_fails(document: Any, operation: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid) as caught:
        apply(document, [operation])
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert why in str(caught.value.__cause__)


def test_a_patch_must_be_a_list_of_objects() -> None:
    with pytest.raises(BadRequest, match=r"cannot unmarshal object into Go value of type jsonpatch.Patch"):
        apply({}, {"op": "add"})
    with pytest.raises(
        BadRequest, match=r"cannot unmarshal string into Go value of type jsonpatch.Operation"
    ):
        apply({}, ["add"])


def test_limits() -> None:
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        apply({}, [{"op": "test", "path": "/a"}] * (MAX_OPERATIONS + 1))
    with pytest.raises(Invalid) as caught:
        apply({"a": "x" * (COPY_LIMIT_BYTES // 2)}, [{"op": "copy", "from": "/a", "path": "/b"}] * 2)
    assert "exceeding the limit" in str(caught.value.__cause__)
