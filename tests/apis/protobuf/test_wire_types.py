"""Messages whose fields are written in another way than their kind's, or in none that is known."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.protowire import ProtobufError
from tiphys.apimachinery.quantity import FORMAT_TEXT
from tiphys.apis.protobuf import codec


def test_packed_numbers_are_read() -> None:
    data = codec.wrap(b"\x12\x06\x72\x04\x22\x02\x01\x02", GVK("", "v1", "Pod"))
    assert codec.decode(data)["spec"] == {"securityContext": {"supplementalGroups": [1, 2]}}


def test_unknown_fields_are_skipped() -> None:
    extra = b"\xf8\x3f\x05" + b"\xfa\x3f\x01x" + b"\xfd\x3f\x00\x00\x00\x00" + b"\xf9\x3f" + b"\x00" * 8
    assert codec.decode(codec.wrap(extra, GVK("", "v1", "Pod"))) == {"kind": "Pod", "apiVersion": "v1"}


WRONG_WIRE: dict[str, tuple[str, bytes, str]] = {
    "metadata as a number": ("Pod", b"\x08\x01", "0 for field ObjectMeta"),
    "spec as eight bytes": ("Pod", b"\x11" + b"\0" * 8, "1 for field Spec"),
    "a text as a number": ("Pod", b"\x0a\x02\x08\x01", "0 for field Name"),
    "a uid as a number": ("Pod", b"\x0a\x02\x28\x01", "0 for field UID"),
    "a number as a text": ("Pod", b"\x0a\x03\x3a\x01x", "2 for field Generation"),
    "a map as a number": ("Secret", b"\x10\x01", "0 for field Data"),
    "a part without a name of its own": ("Pod", b"\x12\x04\x0a\x02\x10\x01", "0 for field VolumeSource"),
    "a time's seconds as a text": ("Pod", b"\x0a\x05\x42\x03\x0a\x01x", "2 for field Seconds"),
}
LONG = b"\0" * 8
INSIDE: dict[str, tuple[str, bytes, str]] = {
    "seconds as eight bytes": ("Time", b"\x09" + LONG, "1 for field Seconds"),
    "seconds twice, first as eight bytes": ("Time", b"\x09" + LONG + b"\x08\x01", "1 for field Seconds"),
    "fractions of a second as a text": ("Time", b"\x08\x01\x12\x01x", "2 for field Nanos"),
    "fractions of a second as four bytes": ("MicroTime", b"\x08\x01\x15" + LONG[:4], "5 for field Nanos"),
    "an amount as a number": ("Quantity", b"\x08\x01", "0 for field String_"),
    "an amount as eight bytes": ("Quantity", b"\x09" + LONG, "1 for field String_"),
    "an amount as a number before the right one": ("Quantity", b"\x08\x01\x0a\x011", "0 for field String_"),
    "a choice as a text": ("IntOrString", b"\x0a\x01x", "2 for field Type"),
    "a choice's number as four bytes": ("IntOrString", b"\x08\0\x15" + LONG[:4], "5 for field IntVal"),
    "a choice's text as a number": ("IntOrString", b"\x08\x01\x18\x01", "0 for field StrVal"),
    "raw JSON as a number": ("FieldsV1", b"\x08\x01", "0 for field Raw"),
    "raw JSON as eight bytes": ("JSON", b"\x09" + LONG, "1 for field Raw"),
    "an embedded object as a number": ("RawExtension", b"\x08\x01", "0 for field Raw"),
    "a schema or a truth": ("JSONSchemaPropsOrBool", b"\x0a\x01x", "2 for field Allows"),
    "a truth or a schema": ("JSONSchemaPropsOrBool", b"\x10\x01", "0 for field Schema"),
    "a schema or several": ("JSONSchemaPropsOrArray", b"\x10\x01", "0 for field JSONSchemas"),
    "a schema or texts": ("JSONSchemaPropsOrStringArray", b"\x10\x01", "0 for field Property"),
    "texts": ("ExtraValue", b"\x08\x01", "0 for field Items"),
    "a duration as a text": ("Duration", b"\x0a\x01x", "2 for field Duration"),
}  # fmt: skip
TYPES = {
    "Time": "meta.v1.Time", "MicroTime": "meta.v1.MicroTime", "Quantity": "resource.Quantity",
    "IntOrString": "util.intstr.IntOrString", "FieldsV1": "meta.v1.FieldsV1", "JSON": "apiextensions.v1.JSON",
    "RawExtension": "runtime.RawExtension", "ExtraValue": "authentication.v1.ExtraValue",
    "JSONSchemaPropsOrBool": "apiextensions.v1.JSONSchemaPropsOrBool", "Duration": "meta.v1.Duration",
    "JSONSchemaPropsOrArray": "apiextensions.v1.JSONSchemaPropsOrArray",
    "JSONSchemaPropsOrStringArray": "apiextensions.v1.JSONSchemaPropsOrStringArray",
}  # fmt: skip


def read_alone(type_: str, message: bytes) -> Any:
    _, _, decode = codec._codec().plans.message(TYPES[type_])
    return decode(message, 0, len(message), 0)


@pytest.mark.parametrize(("type_", "message", "said"), INSIDE.values(), ids=INSIDE.keys())
def test_other_wire_types_inside_of_special_messages(type_: str, message: bytes, said: str) -> None:
    with pytest.raises(ProtobufError, match=f"^proto: wrong wireType = {said}$"):
        read_alone(type_, message)


READ: dict[str, tuple[str, bytes, Any]] = {
    "what is unknown is skipped": ("Quantity", b"\x18\x01\x21" + LONG + b"\x0a\x012\x2d" + LONG[:4], "2"),
    "no amount": ("Quantity", b"", "0"),
    "an amount that is not canonical": ("Quantity", b"\x0a\x051000m", "1"),
    "an amount with an exponent": ("Quantity", b"\x0a\x031e3", "1e3"),
    "the last one counts": ("Quantity", b"\x0a\x011\x0a\x012", "2"),
    "no choice": ("IntOrString", b"", 0),
    "a choice beyond 32 bits": ("IntOrString", b"\x08\0\x10\x81\x80\x80\x80\x10", 1),
    "an unknown group": ("Quantity", b"\x13\x1b\x18\x01\x1c\x0a\x01x\x14\x0a\x012", "2"),
}


@pytest.mark.parametrize(("type_", "message", "value"), READ.values(), ids=READ.keys())
def test_special_messages(type_: str, message: bytes, value: Any) -> None:
    assert read_alone(type_, message) == value


NO_MESSAGE: dict[str, tuple[bytes, str]] = {
    "field number 0": (b"\x00\x01", "proto: Pod: illegal tag 0 (wire type 0)"),
    "the end of no group": (b"\x4c", "proto: Pod: wiretype end group for non-group"),
    "a group without an end": (b"\x4b\x08\x01", "unexpected EOF"),
    "no amount at all": (b"\x12\x0a\x82\x02\x07\x0a\x01x\x12\x02\x0a\0", FORMAT_TEXT),
}


@pytest.mark.parametrize(("message", "said"), NO_MESSAGE.values(), ids=NO_MESSAGE.keys())
def test_what_is_no_message(message: bytes, said: str) -> None:
    with pytest.raises(ProtobufError) as caught:
        codec.decode(codec.wrap(message, GVK("", "v1", "Pod")))
    assert str(caught.value) == said


@pytest.mark.parametrize(("kind", "message", "said"), WRONG_WIRE.values(), ids=WRONG_WIRE.keys())
def test_fields_of_another_wire_type_are_refused(kind: str, message: bytes, said: str) -> None:
    with pytest.raises(ProtobufError, match=f"^proto: wrong wireType = {said}$"):
        codec.decode(codec.wrap(message, GVK("", "v1", kind)))
