"""Reading webhooks' answers: what v1 is strict about, and v1beta1 is not."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission.webhooks.review import BadAnswer, decode_patch, read_answer
from tiphys.apiserver.outgoing.typed_answers import Undecodable

PATCH = base64.b64encode(b'[{"op":"add","path":"/foo","value":"bar"}]').decode()
KIND = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
EXPECTED = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "


def answer(**fields: Any) -> bytes:
    return orjson.dumps({**KIND, "response": {"uid": "123", "allowed": True, **fields}})


BAD = {
    "no response": (orjson.dumps(KIND), True, "webhook response was absent"),
    "no kind": (
        orjson.dumps({"response": {"uid": "123", "allowed": True}}), True, EXPECTED + "/, Kind="
    ),
    "another uid": (answer(uid="1234"), True, 'expected response.uid="123", got "1234"'),
    "no type": (answer(patch=PATCH), True, "webhook returned response.patch but not response.patchType"),
    "no patch": (
        answer(patchType="JSONPatch"), True, "webhook returned response.patchType but not response.patch"
    ),
    "an empty type": (
        answer(patch=PATCH, patchType=""), True, 'webhook returned invalid response.patchType of ""'
    ),
    "a patch to look at": (answer(patch=PATCH), False, "validating webhook may not return response.patch"),
    "a type to look at": (
        answer(patchType="JSONPatch"), False, "validating webhook may not return response.patchType"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_answers_that_v1_refuses(case: str) -> None:
    body, mutating, text = BAD[case]
    with pytest.raises(BadAnswer) as caught:
        read_answer(body, "123", "v1", mutating=mutating)
    assert str(caught.value) == text


TAKEN = {
    "nothing but the word": ({"response": {"allowed": True}}, False, b""),
    "a patch without a type": (
        {"response": {"allowed": True, "patch": PATCH}}, True, base64.b64decode(PATCH)
    ),
    "a patch of another type": (
        {"response": {"allowed": True, "patch": PATCH, "patchType": "Foo"}}, True, base64.b64decode(PATCH)
    ),
    "a patch to look at": ({"response": {"allowed": True, "patch": PATCH}}, False, b""),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_answers_that_v1beta1_takes(case: str) -> None:
    body, mutating, patch = TAKEN[case]
    verdict = read_answer(orjson.dumps(body), "123", "v1beta1", mutating=mutating)
    assert verdict.allowed
    assert verdict.patch == patch
    assert verdict.patch_type == "JSONPatch"


def test_what_v1_says() -> None:
    verdict = read_answer(
        answer(patch=PATCH, patchType="Foo", auditAnnotations={"a": "b"}, warnings=["w"]),
        "123", "v1", mutating=True,
    )  # fmt: skip
    assert (verdict.patch_type, verdict.annotations, verdict.warnings) == ("Foo", {"a": "b"}, ["w"])
    assert decode_patch(verdict.patch) == [{"op": "add", "path": "/foo", "value": "bar"}]


NO_PATCHES = {
    b"{}": "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
    b"1": "json: cannot unmarshal number into Go value of type jsonpatch.Patch",
    b"true": "json: cannot unmarshal bool into Go value of type jsonpatch.Patch",
    b'"a"': "json: cannot unmarshal string into Go value of type jsonpatch.Patch",
    b"x": "invalid character 'x' looking for beginning of value",
}


@pytest.mark.parametrize(("patch", "text"), NO_PATCHES.items())
def test_what_is_no_patch(patch: bytes, text: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        decode_patch(patch)
    assert str(caught.value) == text


_RESPONSE = "Go struct field AdmissionResponse.response"
WRONG_TYPES = {
    b'{"response":{"uid":"1","allowed":"yes"}}': f"string into {_RESPONSE}.allowed of type bool",
    b'{"response":[]}': "array into Go struct field AdmissionReview.response of type v1.AdmissionResponse",
    b'{"response":{"uid":1}}': f"number into {_RESPONSE}.uid of type types.UID",
    b'{"response":{"status":"no"}}': f"string into {_RESPONSE}.status of type v1.Status",
    b'{"response":{"patchType":1}}': f"number into {_RESPONSE}.patchType of type v1.PatchType",
    b'{"response":{"warnings":"a"}}': f"string into {_RESPONSE}.warnings of type []string",
    b'{"response":{"auditAnnotations":{"a":1}}}': f"number into {_RESPONSE}.auditAnnotations of type string",
}


@pytest.mark.parametrize(("body", "text"), WRONG_TYPES.items())
def test_answers_of_wrong_types(body: bytes, text: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read_answer(body, "1", "v1", mutating=True)
    assert str(caught.value) == f"json: cannot unmarshal {text}"


NO_REVIEWS = {
    b"{<html>": (
        "couldn't get version/kind; json parse error: invalid character '<' looking for beginning of object "
        "key string"
    ),
    b'{"kind":"Pod","apiVersion":"v1"}': 'no kind "Pod" is registered for version "v1"',
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v2"}': (
        'no kind "AdmissionReview" is registered for version "admission.k8s.io/v2"'
    ),
    b'{"apiVersion":"admission.k8s.io/v1beta1","response":{"uid":"1"}}': (
        "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion"
    ),
    b'{"response":{"patch":"a"}}': "illegal base64 data at input byte 0",
}


@pytest.mark.parametrize(("body", "text"), NO_REVIEWS.items())
def test_what_is_no_review(body: bytes, text: str) -> None:
    with pytest.raises(Undecodable) as caught:
        read_answer(body, "1", "v1", mutating=False)
    assert str(caught.value) == text
