"""What of other servers' discovery clients can read, and that nobody is shown the rest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apiserver.aggregation.downloads import _resources, _versions
from tiphys.apiserver.aggregation.readable import are_readable, is_readable

KIND = {"group": "", "version": "v1", "kind": "Pod"}
CASES: dict[str, tuple[Any, bool]] = {
    "a resource": ({"name": "a", "namespaced": True, "verbs": ["get"], "shortNames": ["b"]}, True),
    "an entry": (
        {
            "resource": "a",
            "responseKind": KIND,
            "verbs": ["get"],
            "subresources": [{"subresource": "b", "responseKind": KIND, "acceptedTypes": [KIND]}],
        },
        True,
    ),
    "nothing": (None, True),
    "nulls": ({"name": "a", "verbs": None, "namespaced": None, "responseKind": None}, True),
    "what nobody knows": ({"name": "a", "more": 7}, True),
    "a number": (3, False),
    "a name that is a number": ({"name": 7}, False),
    "verbs that are a text": ({"name": "a", "verbs": "get"}, False),
    "a verb that is a number": ({"name": "a", "verbs": ["get", 1]}, False),
    "categories that are an object": ({"name": "a", "categories": {}}, False),
    "neither true nor false": ({"name": "a", "namespaced": "yes"}, False),
    "a kind that is a text": ({"resource": "a", "responseKind": "Pod"}, False),
    "a version that is a number": ({"resource": "a", "responseKind": {"version": 1}}, False),
    "subresources that are an object": ({"resource": "a", "subresources": {}}, False),
    "a subresource's verbs": ({"resource": "a", "subresources": [{"verbs": "get"}]}, False),
    "an accepted type": ({"resource": "a", "subresources": [{"acceptedTypes": ["Pod"]}]}, False),
}


@pytest.mark.parametrize(("resource", "expected"), CASES.values(), ids=CASES)
def test_resources(resource: Any, expected: bool) -> None:
    assert is_readable(resource) is expected
    assert are_readable([{}, resource]) is expected


def test_lists() -> None:
    assert are_readable(None)
    assert not are_readable({})
    assert not are_readable("x")


@pytest.mark.parametrize(
    "body", [b"[1,2", b"<a>", b"7", b'{"resources": {}}', b'{"resources": [{"verbs": 1}]}']
)
def test_a_list_that_cannot_be_read_is_none(body: bytes) -> None:
    assert _resources(body) is None


def test_a_document_is_read_whole_or_not_at_all() -> None:
    def document(*resources: Any) -> bytes:
        versions = [{"version": "v1", "resources": list(resources)}]
        return orjson.dumps({"items": [{"metadata": {"name": "g"}, "versions": versions}]})

    assert list(_versions(document({"resource": "a", "verbs": ["get"]})) or ()) == [("g", "v1")]
    assert _versions(document({"resource": "a", "verbs": ["get"]}, {"resource": "b", "verbs": "get"})) is None
