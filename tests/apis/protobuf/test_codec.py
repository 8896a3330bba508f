from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import GVK, split_api_version
from tiphys.apimachinery.protobuf import Messages, build
from tiphys.apimachinery.protowire import ProtobufError, varint
from tiphys.apimachinery.quantity import FORMAT_TEXT
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.protobuf import codec
from tiphys.apis.protobuf.go_names import go_name
from tiphys.apis.protobuf.special import decode_duration, encode_duration
from tiphys.apis.schemas import schema_for

TABLE = json.loads(resources.files("tiphys.apis").joinpath("data/protobuf_fields.json").read_text())
KINDS = sorted(
    {GVK(*split_api_version(name.rpartition("/")[0]), name.rpartition("/")[2])
     for name in TABLE["kinds"] if not name.startswith("*/")}
)  # fmt: skip
TIME = "2026-01-02T03:04:05Z"
SPECIAL_FIELDS = {
    "meta.v1.Time": {"seconds": [1, "int64"], "nanos": [2, "int32"]},
    "meta.v1.MicroTime": {"seconds": [1, "int64"], "nanos": [2, "int32"]},
    "meta.v1.Duration": {"duration": [1, "int64"]},
    "meta.v1.FieldsV1": {"Raw": [1, "bytes"]},
    "meta.v1.Verbs": {"items": [1, "repeated string"]},
    "apiextensions.v1.JSON": {"raw": [1, "bytes"]},
    "apiextensions.v1.JSONSchemaPropsOrBool": {
        "allows": [1, "bool"],
        "schema": [2, "apiextensions.v1.JSONSchemaProps"],
    },
    "apiextensions.v1.JSONSchemaPropsOrArray": {
        "schema": [1, "apiextensions.v1.JSONSchemaProps"],
        "jSONSchemas": [2, "repeated apiextensions.v1.JSONSchemaProps"],
    },
    "apiextensions.v1.JSONSchemaPropsOrStringArray": {
        "schema": [1, "apiextensions.v1.JSONSchemaProps"],
        "property": [2, "repeated string"],
    },
    "authentication.v1.ExtraValue": {"items": [1, "repeated string"]},
    "authorization.v1.ExtraValue": {"items": [1, "repeated string"]},
    "certificates.v1.ExtraValue": {"items": [1, "repeated string"]},
    "resource.Quantity": {"string": [1, "string"]},
    "runtime.RawExtension": {"raw": [1, "bytes"]},
    "util.intstr.IntOrString": {"type": [1, "int64"], "intVal": [2, "int32"], "strVal": [3, "string"]},
}


class Maker:
    """Makes objects from a schema: every value other than what "not set" looks like."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def value(self, schema: Schema, depth: int = 0) -> Any:
        short = (schema.name or "").rpartition(".")[2]
        special = {
            "MicroTime": "2026-01-02T03:04:05.678901Z",
            "Time": TIME,
            "Quantity": "5Mi",
            "IntOrString": self._random.choice([5, "50%"]),
            "RawExtension": {"kind": "X", "n": 1},
            "FieldsV1": {"f:a": {}},
            "JSON": {"any": [1, None, "x"]},
            "JSONSchemaPropsOrBool": True,
            "JSONSchemaPropsOrArray": {"type": "string"},
            "JSONSchemaPropsOrStringArray": ["a", "b"],
            "Duration": "1m30s",
        }
        if short in special:
            return special[short]
        if schema.type == "array":
            assert schema.items is not None
            return [self.value(schema.items, depth + 1) for _ in range(self._random.randint(1, 2))]
        if schema.properties:
            return self._object(schema, depth)
        if schema.additional is not None:
            return {
                f"k{at}": self.value(schema.additional, depth + 1) for at in range(self._random.randint(1, 2))
            }
        if schema.type == "integer":
            return self._random.choice([1, 300, -1, 2**31 - 1])
        if schema.type == "number":
            return self._random.choice([1, 2.5])
        if schema.type == "boolean":
            return True
        if schema.type == "string":
            return "AAEC" if schema.format == "byte" else self._random.choice(["x", "ünï", "y" * 200])
        return {}

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        chance = 0.9 if depth < 3 else 0.6 / (depth - 2)
        # TypeMeta of an embedded object is no field of its message.
        options = (schema.name or "").endswith("Options")
        typed = "kind" in schema.properties and ("metadata" in schema.properties or options)
        return {
            name: self.value(child, depth + 1)
            for name, child in schema.properties.items()
            if not (typed and name in ("apiVersion", "kind")) and self._random.random() < chance
        }


def made(gvk: GVK, seed: int) -> dict[str, Any] | None:
    try:
        schema = schema_for(gvk)
    except KeyError:
        return None
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, **Maker(seed).value(schema)}


def oracle() -> Messages:
    """The same table, built into google.protobuf's own classes."""
    scalars = {"s": "string", "i": "int64", "b": "bool", "d": "double", "y": "bytes"}
    messages = {name: dict(fields) for name, fields in SPECIAL_FIELDS.items()}
    for name, fields in TABLE["messages"].items():
        row: dict[str, list[Any]] = {}
        for field, number, written in fields:
            kind = written.lstrip("[]{}").rstrip("!-")
            kind = scalars.get(kind, kind)
            if written.startswith("[]"):
                kind = f"repeated {kind}"
            elif written.startswith("{}"):
                kind = f"map<string,{kind}>"
            row[f"f{number}_{''.join(c for c in field if c.isalnum())}"] = [number, kind]
        messages[name] = row
    # One package: google wants files without circles.
    flat = {name: "all." + name.replace(".", "_") for name in messages}

    def renamed(kind: str) -> str:
        head, inner = "", kind
        for start in ("repeated ", "map<string,"):
            if kind.startswith(start):
                head, inner = start, kind.removeprefix(start).rstrip(">")
        return head + flat.get(inner, inner) + (">" if head.startswith("map") else "")

    return build(
        {flat[name]: {f: [n, renamed(t)] for f, (n, t) in row.items()} for name, row in messages.items()},
        {},
        syntax="proto2",
    )


@pytest.fixture(scope="module")
def google() -> Messages:
    return oracle()


def message_name(gvk: GVK) -> str:
    name = TABLE["kinds"][f"{gvk.api_version}/{gvk.kind}"]
    return "all." + name.replace(".", "_")


def test_every_kind_round_trips(google: Messages) -> None:
    seen = 0
    for gvk in KINDS:
        obj = made(gvk, seed=len(gvk.kind))
        if obj is None or gvk.kind.endswith("List"):
            continue
        seen += 1
        assert codec.decode(codec.encode(obj)) == obj, gvk
        bare = codec.encode_message(obj, gvk)
        again = google[message_name(gvk)].FromString(bare)
        assert codec.decode(codec.wrap(again.SerializeToString(), gvk)) == obj, gvk
    assert seen > 60


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "gvk",
    [
        GVK("", "v1", "Pod"),
        GVK("apps", "v1", "Deployment"),
        GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ],
    ids=lambda gvk: gvk.kind,
)
def test_many_objects_round_trip(gvk: GVK, seed: int) -> None:
    obj = made(gvk, seed)
    assert obj is not None
    assert codec.decode(codec.encode(obj)) == obj


def test_known_bytes() -> None:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert codec.encode(obj) == (
        b"k8s\x00"
        b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
        b"\x12\x0d\x0a\x03\x0a\x01a\x12\x06\x0a\x01k\x12\x01v"
        b"\x1a\x00\x22\x00"
    )


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": spec}


SAME: dict[str, dict[str, Any]] = {
    "zero pointers": pod({"priority": 0, "terminationGracePeriodSeconds": 0, "enableServiceLinks": False}),
    "zero pointers of groups": {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "g"},
        "spec": {
            "schedulingPolicy": {},
            "priority": 0,
            "disruptionMode": "",
            "resourceClaims": [{"name": "c", "resourceClaimName": ""}],
        },
        "status": {},
    },
    "zero pointers of devices": {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "d"},
        "spec": {"extendedResourceName": ""},
    },
    "zero numbers that are always there": {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "s"},
        "spec": {"ordinals": {"start": 0}, "template": {"metadata": {}, "spec": {}}, "updateStrategy": {}},
        "status": {"replicas": 0},
    },
    "empty structs": {
        **pod({"securityContext": {}, "volumes": [{"name": "v", "emptyDir": {}}]}),
        "status": {},
    },
    "inline volume": pod({"volumes": [{"name": "v", "secret": {"secretName": "s", "optional": False}}]}),
    "inline key reference": pod(
        {
            "containers": [
                {
                    "name": "c",
                    "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                }
            ]
        }
    ),
    "probe": pod(
        {
            "containers": [
                {"name": "c", "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3}}
            ]
        }
    ),
    "ephemeral container": pod(
        {"ephemeralContainers": [{"name": "e", "image": "i", "targetContainerName": "c"}]}
    ),
    "quantities": pod({"overhead": {"cpu": "100m", "memory": "1Gi"}}),
    "delete options": {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Background",
    },
    "delete options of a group": {
        "kind": "DeleteOptions",
        "apiVersion": "apps/v1",
        "orphanDependents": False,
    },
    "status": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": 404,
        "details": {"name": "x", "causes": [{"reason": "r", "message": "m", "field": "f"}]},
    },
    "lease": {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "", "renewTime": "2026-01-02T03:04:05.000001Z"},
    },
    "secret": {"kind": "Secret", "apiVersion": "v1", "metadata": {}, "data": {"a": "AAEC", "e": ""}},
    "webhooks": {
        "kind": "ValidatingWebhookConfiguration",
        "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {},
        "webhooks": [
            {
                "name": "w",
                "clientConfig": {"caBundle": "AA=="},
                "rules": [
                    {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
                ],
            }
        ],
    },
    "extra": {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "spec": {},
        "status": {"authenticated": True, "user": {"username": "u", "extra": {"k": ["a", "b"]}}},
    },
    "list": {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "5"},
        "items": [{"metadata": {"name": "p"}}],
    },
    "old times": {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"creationTimestamp": "1960-01-01T00:00:00Z"},
    },
    "managed fields": {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "managedFields": [
                {"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {'k:{"name":"c"}': {".": {}}}}}
            ]
        },
    },
    "schema variants": {
        "kind": "CustomResourceDefinition",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {},
        "spec": {
            "group": "g",
            "scope": "Namespaced",
            "names": {"plural": "p", "kind": "K"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": False,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "$ref": "x",
                            "additionalProperties": False,
                            "default": {"a": None},
                            "enum": [1, "a", None],
                            "items": [{"type": "string"}],
                            "minimum": 0,
                            "maximum": 1.5,
                            "x-kubernetes-preserve-unknown-fields": True,
                            "dependencies": {"a": ["b"], "c": {"type": "x"}},
                            "properties": {
                                "p": {"additionalProperties": {"type": "string"}, "nullable": True}
                            },
                        }
                    },
                }
            ],
        },
    },
    "metrics": {
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "n"},
        "timestamp": TIME,
        "window": "30s",
        "usage": {"cpu": "1"},
    },
    "partial metadata": {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "n"},
    },
    "discovery": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "apps/v1",
        "resources": [{"name": "d", "singularName": "", "namespaced": True, "kind": "D", "verbs": ["get"]}],
    },
}


@pytest.mark.parametrize("obj", SAME.values(), ids=SAME.keys())
def test_round_trip(obj: dict[str, Any]) -> None:
    expected = json.loads(json.dumps(obj))
    got = codec.decode(codec.encode(obj))
    if obj["kind"] == "APIResourceList":
        expected["resources"][0].pop("singularName")
        got["resources"][0].pop("singularName", None)
    assert got == expected


def test_what_go_writes_for_not_set_is_dropped() -> None:
    obj = pod(
        {
            "nodeName": "",
            "hostNetwork": False,
            "containers": [{"name": "c", "image": "", "ports": [{"hostPort": 0, "containerPort": 80}]}],
        }
    )
    obj["metadata"]["generation"] = 0
    expected = pod({"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]})
    assert codec.decode(codec.encode(obj)) == expected
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {},
        "spec": {"ports": [{"port": 1, "targetPort": 0}]},
    }
    assert codec.decode(codec.encode(service))["spec"] == {"ports": [{"port": 1}]}
    empty_time = codec.wrap(b"\x0a\x06\x42\x04\x08\x00\x10\x00", GVK("", "v1", "Pod"))
    assert codec.decode(empty_time)["metadata"] == {}


def test_zeros_of_pointers_stay() -> None:
    health = {"resourceID": "a", "health": "Healthy", "message": ""}
    status = {"allocatedResourcesStatus": [{"name": "cpu", "resources": [health]}]}
    obj = pod({})
    obj["status"] = {"containerStatuses": [status]}
    found = codec.decode(codec.encode(obj))["status"]["containerStatuses"][0]
    assert found["allocatedResourcesStatus"][0]["resources"] == [health]


def test_nulls_and_unknown_fields_are_left_out() -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": None, "spec": {"frob": 1, "nodeName": None}}
    assert codec.decode(codec.encode(obj)) == {"kind": "Pod", "apiVersion": "v1", "spec": {}}


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
