"""Clients that speak protobuf, as Go programs do."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
import struct
from typing import Any

import orjson
import pytest

from tiphys.apis.protobuf import codec

PROTOBUF = "application/vnd.kubernetes.protobuf"
CMS = "/api/v1/namespaces/default/configmaps"
BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}


async def test_both_ways(api: Any) -> None:
    answer = await api(
        "POST", CMS, codec.encode(BODY), content_type=PROTOBUF, accept=PROTOBUF + ",application/json"
    )
    assert (answer.status, answer.headers["content-type"]) == (201, PROTOBUF)
    made = codec.decode(answer.raw)
    assert (made["metadata"]["name"], made["data"]) == ("a", {"x": "1"})
    listed = codec.decode((await api("GET", CMS, accept=PROTOBUF)).raw)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]


@pytest.mark.parametrize("accept", [PROTOBUF, f"application/json;q=0.5,{PROTOBUF}"])
async def test_failures_come_in_protobuf_too(api: Any, accept: str) -> None:
    answer = await api("GET", CMS + "/none", accept=accept)
    assert codec.decode(answer.raw)["reason"] == "NotFound"


@pytest.mark.parametrize(
    "accept", ["text/html", f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io", "application/cbor"]
)
async def test_failures_that_have_no_form_are_json_for_people(api: Any, accept: str) -> None:
    answer = await api("GET", CMS, accept=accept)
    assert (answer.status, answer.json["reason"]) == (406, "NotAcceptable")
    assert answer.raw == orjson.dumps(answer.json, option=orjson.OPT_INDENT_2)


async def test_delete_options(api: Any) -> None:
    await api.create(CMS, BODY)
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
    answer = await api("DELETE", CMS + "/a", codec.encode(options), content_type=PROTOBUF)
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_watch_frames(api: Any) -> None:
    await api.create(CMS, BODY)
    response = await api.send("GET", CMS + "?watch=true", accept=PROTOBUF)
    assert response.headers["content-type"] == PROTOBUF + ";stream=watch"
    async with asyncio.timeout(5):
        chunk = await anext(response.stream)
    await response.stream.aclose()
    (size,) = struct.unpack(">I", chunk[:4])
    assert b"ADDED" in chunk[4 : 4 + size]
    assert b"k8s\x00" in chunk[4 : 4 + size]


async def test_nonsense_is_a_bad_request(api: Any) -> None:
    answer = await api("POST", CMS, b"k8s\x00\xff\xff", content_type=PROTOBUF)
    assert answer.status == 400


async def test_times_of_the_first_year(api: Any) -> None:
    """Go's zero time, and a little later: what a program has whose clock was never set."""
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    began, renewed = "0001-01-01T00:00:02.000000Z", "0001-01-01T00:00:05.000000Z"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "a"},
        "spec": {"holderIdentity": "holder", "acquireTime": began, "renewTime": renewed},
    }
    answer = await api("POST", leases, codec.encode(lease), content_type=PROTOBUF, accept=PROTOBUF)
    assert answer.status == 201
    made = codec.decode(answer.raw)
    assert (made["spec"]["acquireTime"], made["spec"]["renewTime"]) == (began, renewed)
    assert (await api.get(leases + "/a"))["spec"]["acquireTime"] == began


CONFIG_MAP = b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
NO_OBJECT = "the object provided is unrecognized (must be of type ConfigMap): "
NO_MAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, f"{NO_OBJECT}empty data (<empty>)"),
    "JSON": (b"{}", 400, f"{NO_OBJECT}provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({{}})"),
    "the magic alone": (b"k8s\x00", 400, f"{NO_OBJECT}empty body (6b387300)"),
    "half an envelope": (b"k8s\x00\xff\xff", 400, f"{NO_OBJECT}unexpected EOF (6b387300ffff)"),
    "a number too long": (b"k8s\x00" + b"\xff" * 11, 400, f"{NO_OBJECT}proto: integer overflow (6b387300{'ff' * 11})"),
    "an odd wire type": (b"k8s\x00\x4f", 400, f"{NO_OBJECT}proto: illegal wireType 7 (6b3873004f)"),
    "another wire type": (b"k8s\x00\x0d", 400, f"{NO_OBJECT}proto: wrong wireType = 5 for field TypeMeta ("),
    "half a message": (b"k8s\x00" + CONFIG_MAP + b"\x12\x03\x0a\x05a", 400, f"{NO_MAP}unexpected EOF"),
    "a negative length": (
        b"k8s\x00" + CONFIG_MAP + b"\x12\x0b\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        400,
        f"{NO_MAP}proto: negative length found during unmarshaling",
    ),
    "an unknown kind": (
        b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Foo\x12\x00",
        400,
        'Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered for version "v1" in '
        'scheme "pkg/api/legacyscheme/scheme.go:30"',
    ),
    "no kind, no name": (b"k8s\x00\x0a\x00", 422, 'ConfigMap "" is invalid: '),
    "no kind": (b"k8s\x00\x12\x05\x0a\x03\x0a\x01a", 201, ""),
    "bytes that are no characters": (
        b"k8s\x00" + CONFIG_MAP + b"\x12\x0f\x0a\x03\x0a\x01a\x12\x08\x0a\x01k\x12\x03\xffx\xfe", 201, ""
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "said"), BODIES.values(), ids=BODIES.keys())
async def test_bodies(api: Any, body: bytes, status: int, said: str) -> None:
    answer = await api("POST", CMS, body, content_type=PROTOBUF)
    assert answer.status == status, answer.raw
    assert answer.message.startswith(said)
    if status == 201:
        assert answer.json["metadata"]["name"] == "a"
        assert answer.json.get("data") in (None, {"k": "\ufffdx\ufffd"})


FIELDS = {
    "more after the fields": '{"f:metadata":{"f:annotations":{"f:example.com/a":{}}}}{"trailing":"data"}',
    "more after a value of a set": '{"f:metadata":{"f:finalizers":{"v:\\"example.com/a\\" {\\"b\\":1}":{}}}}',
    "more after a key": '{"f:metadata":{"f:ownerReferences":{"k:{\\"uid\\":\\"a\\"} {\\"b\\":1}":{}}}}',
}


def sent_with(fields: str, obj: dict[str, Any]) -> bytes:
    """Encode an object whose only manager has fields that need not be JSON."""
    stand_in = {"f:" + "x" * (len(fields) - len('{"f:":{}}')): {}}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    entries = [{**entry, "fieldsV1": stand_in}]
    body = codec.encode({**obj, "metadata": {**obj["metadata"], "managedFields": entries}})
    text = orjson.dumps(stand_in)
    assert text in body
    return body.replace(text, fields.encode())


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
async def test_fields_of_managers_that_cannot_be_read_are_dropped(api: Any, fields: str) -> None:
    empty = {**BODY, "metadata": {"name": "empty"}, "data": {}}
    for body in (BODY, empty):
        answer = await api("POST", CMS, sent_with(fields, body), content_type=PROTOBUF)
        assert answer.status == 201, answer.raw
    made = await api.get(f"{CMS}/a")
    assert [one["fieldsV1"] for one in made["metadata"]["managedFields"]] == [
        {"f:data": {".": {}, "f:x": {}}}
    ]
    assert "managedFields" not in (await api.get(f"{CMS}/empty"))["metadata"]
    made["data"]["y"] = "2"
    answer = await api("PUT", f"{CMS}/a", sent_with(fields, made), content_type=PROTOBUF)
    owned = {"f:data": {".": {}, "f:x": {}, "f:y": {}}}
    assert [one["fieldsV1"] for one in answer.json["metadata"]["managedFields"]] == [owned]
