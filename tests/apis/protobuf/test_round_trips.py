"""Objects come back from their bytes as they were: every kind, made from its schema, and cases by name."""

from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any

import pytest
from tests.apis.protobuf.test_codec import pod

from tiphys.apimachinery.meta import GVK, split_api_version
from tiphys.apimachinery.protobuf import Messages, build
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.protobuf import codec
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
        again = google[message_name(gvk)].FromString(bare).SerializeToString(deterministic=True)
        assert codec.decode(codec.wrap(again, gvk)) == obj, gvk
        assert bare == again, gvk
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


def upside_down(value: Any) -> Any:
    """The same value with the keys of every object from last to first."""
    if isinstance(value, dict):
        return {key: upside_down(value[key]) for key in reversed(value)}
    return [upside_down(item) for item in value] if isinstance(value, list) else value


def test_fields_are_written_by_their_numbers_and_maps_by_their_keys() -> None:
    container = {"name": "c", "envFrom": [{"prefix": "P"}], "env": [{"name": "E"}], "tty": True}
    volume = {"name": "v", "projected": {"defaultMode": 1}, "portworxVolume": {"volumeID": "x"}}
    of_both = {"initContainers": [container], "containers": [container]}
    obj = pod({"volumes": [volume], **of_both, "nodeName": "n"})
    obj["metadata"]["labels"] = {"b": "1", "a": "2", "aa": "3"}
    bare = codec.encode_message(obj, GVK("", "v1", "Pod"))
    assert bare == codec.encode_message(upside_down(obj), GVK("", "v1", "Pod"))
    labels = [bare.index(text) for text in (b"a\x12\x012", b"aa\x12\x013", b"b\x12\x011")]
    assert labels == sorted(labels)
    written = b"\x11\x0a\x01c\x3a\x03\x0a\x01E\x90\x01\x01\x9a\x01\x03\x0a\x01P"
    assert bare.endswith(b"\x12" + written + b"\x52\x01n\xa2\x01" + written)


def test_known_bytes() -> None:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert codec.encode(obj) == (
        b"k8s\x00"
        b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
        b"\x12\x0d\x0a\x03\x0a\x01a\x12\x06\x0a\x01k\x12\x01v"
        b"\x1a\x00\x22\x00"
    )


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
