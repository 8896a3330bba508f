"""The codec's edges: frames of watches, names of fields, what is no object, values that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.protowire import ProtobufError, varint
from tiphys.apis.protobuf import codec
from tiphys.apis.protobuf.go_names import go_name
from tiphys.apis.protobuf.special import decode_duration, encode_duration


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [("podIP", "s", "PodIP"), ("apiVersion", "s", "APIVersion"),
     ("httpGet", "core.v1.HTTPGetAction", "HTTPGet"),
     ("ttlSecondsAfterFinished", "i", "TTLSecondsAfterFinished"),
     ("metadata", "meta.v1.ListMeta", "ListMeta"), ("$ref", "s", "Ref"), ("cephfs", "s", "CephFS"),
     ("x-kubernetes-list-map-keys", "s", "XListMapKeys"), ("hostname", "s", "Hostname")],
)  # fmt: skip
def test_names_in_go(name: str, kind: str, expected: str) -> None:
    assert go_name(name, kind) == expected


def test_watch_frames() -> None:
    obj = pod({"nodeName": "n"})
    frame = codec.watch_frame("ADDED", codec.encode(obj))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert codec.read_watch_frame(frame + b"rest") == ("ADDED", obj, len(frame))
    assert codec.read_watch_frame(frame[:-1]) is None
    assert codec.read_watch_frame(b"\x00") is None


def test_kinds() -> None:
    assert codec.supports(GVK("", "v1", "Pod"))
    assert codec.supports(GVK("apps", "v1", "DeploymentList"))
    assert codec.supports(GVK("policy", "v1", "Eviction"))
    assert not codec.supports(GVK("demo.io", "v1", "Gadget"))
    assert not codec.supports(GVK("meta.k8s.io", "v1", "Table"))
    body = codec.encode_message(pod({}), GVK("", "v1", "Pod"))
    nameless = b"k8s\x00\x12" + varint(len(body)) + body
    assert codec.decode(nameless, GVK("", "v1", "Pod"))["kind"] == "Pod"


REFUSED: dict[str, bytes] = {
    "no magic": b"{}",
    "empty": b"",
    "no kind": b"k8s\x00",
    "unknown kind": codec.wrap(b"", GVK("demo.io", "v1", "Gadget")),
    "cut": codec.encode(pod({"nodeName": "n"}))[:-8],
    "field zero": codec.wrap(b"\x00\x01", GVK("", "v1", "Pod")),
    "group": codec.wrap(b"\xfb\x3f", GVK("", "v1", "Pod")),
}


def test_bytes_that_are_no_characters_are_told_so() -> None:
    found = codec.decode(codec.wrap(b"\x0a\x04\x0a\x02a\xff", GVK("", "v1", "Pod")))
    assert found["metadata"]["name"] == "a\ufffd"


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_refuses(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        codec.decode(data)


@pytest.mark.parametrize(
    "spec",
    [{"nodeName": 5}, {"priority": "x"}, {"containers": {}}, {"nodeSelector": []}, {"securityContext": "x"},
     {"overhead": {"cpu": {}}, "volumes": "x"}, {"terminationGracePeriodSeconds": 1.5}],
    ids=lambda spec: next(iter(spec)),
)  # fmt: skip
def test_values_must_fit(spec: dict[str, Any]) -> None:
    with pytest.raises(ProtobufError):
        codec.encode(pod(spec))
    with pytest.raises(ProtobufError):
        codec.encode({"kind": "Secret", "apiVersion": "v1", "data": {"a": "?"}})
    with pytest.raises(ProtobufError):
        codec.encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"creationTimestamp": "yesterday"}})


@given(st.binary(max_size=60))
def test_any_bytes_give_an_object_or_our_error(data: bytes) -> None:
    for kind in ("Pod", "WatchEvent", "Secret"):
        try:
            found = codec.decode(codec.wrap(data, GVK("", "v1", kind)))
        except ProtobufError:
            continue
        assert found["kind"] == kind


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("30s", 30 * 10**9), ("1m30s", 90 * 10**9), ("1h0m0s", 3600 * 10**9), ("1.5s", 15 * 10**8),
     ("200ms", 2 * 10**8), ("0s", 0), ("-5s", -5 * 10**9), ("1.5µs", 1500), ("7ns", 7)],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int) -> None:
    assert encode_duration(text) == b"\x08" + varint(nanoseconds)
    assert decode_duration({1: nanoseconds & (2**64 - 1)}) == text


@pytest.mark.parametrize("text", ["1", "1" * 1000, "s", "1x", "-"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ProtobufError):
        encode_duration(text)
