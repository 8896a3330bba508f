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

BEYOND = "Unable to access invalid index: {}: invalid index referenced"
NO_NUMBER = 'strconv.Atoi: parsing "x": invalid syntax'
FAILS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "remove missing": (
        {}, {"op": "remove", "path": "/a"},
        "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value",
    ),
    "parent missing": (
        {}, {"op": "add", "path": "/a/b", "value": 1},
        'add operation does not apply: doc is missing path: "/a/b": missing value',
    ),
    "parent scalar": (
        {"a": 1}, {"op": "add", "path": "/a/b", "value": 1},
        'add operation does not apply: doc is missing path: "/a/b": missing value',
    ),
    "parent null": (
        {"a": None}, {"op": "remove", "path": "/a/b"},
        'remove operation does not apply: doc is missing path: "/a/b": missing value',
    ),
    "parent beyond": (
        {"a": [{}]}, {"op": "replace", "path": "/a/3/b", "value": 1},
        "replace operation does not apply: doc is missing path: /a/3/b: missing value",
    ),
    "parent no number": (
        {"a": [{}]}, {"op": "test", "path": "/a/x/b", "value": 1},
        "test operation does not apply: is missing path: /a/x/b: missing value",
    ),
    "whole document": (
        {}, {"op": "replace", "path": "", "value": 1},
        "replace operation does not apply: doc is missing path: : missing value",
    ),
    "replace beyond": (
        {"a": []}, {"op": "replace", "path": "/a/0", "value": 1},
        "replace operation does not apply: doc is missing key: /a/0: missing value",
    ),
    "replace the end": (
        {"a": [1]}, {"op": "replace", "path": "/a/-", "value": 1},
        "replace operation does not apply: doc is missing key: /a/-: missing value",
    ),
    "index beyond": (
        {"a": []}, {"op": "remove", "path": "/a/0"}, f"error in remove for path: '/a/0': {BEYOND.format(0)}",
    ),
    "insert beyond": (
        {"a": []}, {"op": "add", "path": "/a/1", "value": 1},
        f"error in add for path: '/a/1': {BEYOND.format(1)}",
    ),
    "insert nowhere": (
        {"a": []}, {"op": "add", "path": "/a/x", "value": 1},
        f"error in add for path: '/a/x': value was not a proper array index: 'x': {NO_NUMBER}",
    ),
    "index below": (
        {"a": [1]}, {"op": "remove", "path": "/a/-2"},
        f"error in remove for path: '/a/-2': {BEYOND.format(-2)}",
    ),
    "index no number": (
        {"a": [1]}, {"op": "remove", "path": "/a/x"}, f"error in remove for path: '/a/x': {NO_NUMBER}",
    ),
    "test beyond": (
        {"a": []}, {"op": "test", "path": "/a/0", "value": 1},
        f"error in test for path: '/a/0': {BEYOND.format(0)}",
    ),
    "test differs": (
        {"a": 1}, {"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed",
    ),
    "test true is not one": (
        {"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value /a failed: test failed",
    ),
    "unknown op": ({}, {"op": "frob", "path": "/a"}, "Unexpected kind: frob"),
    "no op": ({}, {"path": "/a"}, "Unexpected kind: unknown"),
    "no path": ({}, {"op": "remove"}, "remove operation failed to decode path: missing value"),
    "no path to test": (
        {}, {"op": "test"},
        "test operation failed to decode path: operation missing path field: missing value",
    ),
    "no from": (
        {}, {"op": "move", "path": "/a"},
        "move operation failed to decode from: operation missing from field: missing value",
    ),
    "move missing": (
        {}, {"op": "move", "from": "/a", "path": "/b"},
        "error in move for path: 'a': Unable to remove nonexistent key: a: missing value",
    ),
    "move from nowhere": (
        {}, {"op": "move", "from": "/a/b", "path": "/b"},
        "move operation does not apply: doc is missing from path: /a/b: missing value",
    ),
    "move to nowhere": (
        {"a": 1}, {"op": "move", "from": "/a", "path": "/b/c"},
        "move operation does not apply: doc is missing destination path: /b/c: missing value",
    ),
    "copy from nowhere": (
        {}, {"op": "copy", "from": "/a/b", "path": "/b"},
        "copy operation does not apply: doc is missing from path: /a/b: missing value",
    ),
    "copy beyond": (
        {"a": []}, {"op": "copy", "from": "/a/0", "path": "/b"},
        f"error in copy for from: '/a/0': {BEYOND.format(0)}",
    ),
    "copy to nowhere": (
        {"a": [1]}, {"op": "copy", "from": "/a/0", "path": "/a/3"},
        f"error while adding value during copy: {BEYOND.format(3)}",
    ),
}  # fmt: skip


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
    assert str(caught.value.__cause__) == why


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
