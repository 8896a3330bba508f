"""What webhooks answer, read as Go reads it: words for what is none, and never a yes by mistake."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apiserver.outgoing.typed_answers import Undecodable, read, shapes_of

GROUP, KIND = "authorization.k8s.io", "SubjectAccessReview"
ASKED = GVK(GROUP, "v1beta1", KIND)
SHAPES = shapes_of(GROUP, KIND)
HEAD = {"kind": KIND, "apiVersion": f"{GROUP}/v1beta1"}
TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({**HEAD, "status": {"allowed": True, "reason": "so"}}, {"allowed": True, "reason": "so"}),
        ({**HEAD, "spec": {"group": ["x"]}, "status": {"allowed": False}}, {"allowed": False}),
        ({"status": {"allowed": True}}, {"allowed": True}),
        ({**HEAD, "status": {"allowed": None, "future": [1]}}, {}),
        ({**HEAD, "status": None}, None),
        (None, None),
    ],
)
def test_what_is_an_answer(answer: Any, status: dict[str, Any] | None) -> None:
    found = read(orjson.dumps(answer), ASKED, SHAPES).get("status")
    assert (found or {}).get("allowed", False) is bool(status and status.get("allowed"))
    assert (found or {}).get("reason", "") == (status or {}).get("reason", "")


_UNTOLD, _NOT = "couldn't get version/kind; json parse error: ", "json: cannot unmarshal "
NONE = {
    b"": f"{_UNTOLD}unexpected end of JSON input",
    b"<html>hi</html>": f"{_UNTOLD}{_NOT}string into Go value of type {TYPE_META}",
    b"a: b: c": "yaml: mapping values are not allowed in this context",
    b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no"}': "no",
    b'{"kind":"Status","apiVersion":"v1","status":"Odd"}': "",
    b'{"kind":"Status","apiVersion":"v1","status":5}': (
        f"{_NOT}number into Go struct field Status.status of type string"
    ),
    b"[]": f"{_UNTOLD}{_NOT}array into Go value of type {TYPE_META}",
    b'{"kind":5}': f"{_UNTOLD}{_NOT}number into Go struct field .kind of type string",
    b'{"status":{"allowed":"false"}}': (
        f"{_NOT}string into Go struct field {KIND}Status.status.allowed of type bool"
    ),
    b'{"status":"yes"}': f"{_NOT}string into Go struct field {KIND}.status of type v1.{KIND}Status",
    b'{"kind":"Pod","apiVersion":"v1"}': 'no kind "Pod" is registered for version "v1"',
    b'{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v2"}': (
        'no kind "SubjectAccessReview" is registered for version "authorization.k8s.io/v2"'
    ),
    b'{"apiVersion":"a/b/c"}': "unexpected GroupVersion string: a/b/c",
    b'{"apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}': (
        f"converting (v1.{KIND}) to (v1beta1.{KIND}): unknown conversion"
    ),
}


@pytest.mark.parametrize(("body", "text"), NONE.items())
def test_what_is_none(body: bytes, text: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read(body, ASKED, SHAPES)
    assert str(caught.value) == text


def test_what_is_no_json_is_read_as_yaml() -> None:
    assert read(b"status:\n  allowed: true\n", ASKED, SHAPES) == {"status": {"allowed": True}}


def test_a_success_says_nothing_else() -> None:
    said = b'{"kind":"Status","apiVersion":"v1","status":"Success","allowed":true}'
    assert read(said, ASKED, SHAPES) == {}
