"""Definitions shaped like those of well-known operators: what becomes of their objects."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITIONS = list(yaml.safe_load_all(Path(__file__).with_name("operators.yaml").read_text()))
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"
PATHS = {
    "Certificate": "certs.example.com/v1/namespaces/default/certificates",
    "Prometheus": "monitoring.example.com/v1/namespaces/default/prometheuses",
    "Composition": "composed.example.com/v1/compositions",
    "Workflow": "rollouts.example.com/v1alpha1/namespaces/default/workflows",
    "VirtualService": "net.example.com/v1beta1/namespaces/default/virtualservices",
    "Service": "serving.example.com/v1/namespaces/default/services",
}
PORTS: list[dict[str, Any]] = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
SPECS: dict[str, Any] = {
    "Certificate": {"secretName": "s", "issuerRef": {"name": "i"}, "privateKey": {}},
    "Prometheus": {
        "replicas": 2,
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
        "containers": [{"name": "a", "ports": PORTS}],
    },
    "Composition": {
        "compositeTypeRef": {"apiVersion": "x/v1", "kind": "XR"},
        "pipeline": [{"step": "one", "input": {"apiVersion": "f/v1", "kind": "In", "any": [{"a": 1}]}}],
    },
    "Workflow": {"a": {"b": [1, None, {"c": None}]}},
    "VirtualService": {
        "hosts": ["a", "b"],
        "http": [{"match": [{"uri": {"prefix": "/"}}, {"uri": {}}], "timeout": "5s"}],
    },
    "Service": {
        "template": {
            "metadata": {"labels": {"a": "b"}, "creationTimestamp": None, "more": 1},
            "spec": {"containers": [{"image": "i"}]},
        }
    },
}


def path_of(kind: str) -> str:
    return f"/apis/{PATHS[kind]}"


def thing(kind: str, spec: Any = None, name: str = "a", **more: Any) -> dict[str, Any]:
    """Return an object; without a spec of its own it has the one above."""
    group, version = PATHS[kind].split("/")[:2]
    head = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}}
    return {**head, "spec": SPECS[kind] if spec is None else spec, **more}


async def serve(api: Any, *kinds: str) -> None:
    """Create the definitions of some kinds, and wait until they are served."""
    for one in DEFINITIONS:
        if one["spec"]["names"]["kind"] in kinds:
            await api.create(CRDS, one)
    async with asyncio.timeout(20):
        for kind in kinds:
            while (await api("GET", path_of(kind))).status == 404:
                await api.settle()


CREATED: dict[str, tuple[str, Any, Any]] = {
    "a default within, and what is unknown goes": (
        "Certificate",
        {"secretName": "s", "issuerRef": {"name": "i", "more": 1}, "privateKey": {}},
        {"secretName": "s", "issuerRef": {"name": "i"}, "privateKey": {"rotationPolicy": "Always"}},
    ),
    "a default of a key of a list": (
        "Prometheus",
        {"containers": [{"name": "a", "ports": PORTS}]},
        {
            "retention": "24h",
            "containers": [{"name": "a", "ports": [{**PORTS[0], "protocol": "TCP"}, PORTS[1]]}],
        },
    ),
    "amounts of both types": (
        "Prometheus",
        {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}},
        {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "retention": "24h"},
    ),
    "what is embedded stays whole": (
        "Composition",
        SPECS["Composition"],
        {**SPECS["Composition"], "mode": "Pipeline"},
    ),
    "nothing is said of it": ("Workflow", SPECS["Workflow"], SPECS["Workflow"]),
    "none of the fields of which one may be": (
        "VirtualService",
        SPECS["VirtualService"],
        SPECS["VirtualService"],
    ),
    "nulls that nobody knows stay": ("Service", SPECS["Service"], SPECS["Service"]),
    "parts that are kept, and others that are not": (
        "Service",
        {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": 1}, "x": 1}, "x": 1}]}}},
        {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": 1}, "x": 1}}]}}},
    ),
}


@pytest.mark.parametrize("case", CREATED)
async def test_created(api: Any, case: str) -> None:
    kind, spec, expected = CREATED[case]
    await serve(api, kind)
    made = await api.create(path_of(kind), thing(kind, spec))
    assert made["spec"] == expected
    assert (await api.get(f"{path_of(kind)}/a"))["spec"] == expected


UNCHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def mistyped(field: str, wanted: str, given: str) -> str:
    """Return what is told of a value of another type, or format."""
    return f'{field}: Invalid value: "{given}": {field} in body must be of type {wanted}: "{given}"'


def unsupported(field: str, value: str, *supported: str) -> str:
    """Return what is told of a value that is none of some."""
    shown = ", ".join(f'"{one}"' for one in supported)
    return f'{field}: Unsupported value: "{value}": supported values: {shown}'


REFUSED: dict[str, tuple[str, Any, list[str]]] = {
    "types, values and ranges": (
        "Certificate",
        {
            "secretName": 1,
            "privateKey": {"algorithm": "DSA"},
            "revisionHistoryLimit": 0,
            "usages": ["x"],
        },
        [
            "spec.issuerRef: Required value",
            mistyped("spec.secretName", "string", "integer"),
            unsupported("spec.privateKey.algorithm", "DSA", "RSA", "ECDSA", "Ed25519"),
            "spec.revisionHistoryLimit: Invalid value: 0: spec.revisionHistoryLimit in body should be "
            "greater than or equal to 1",
            unsupported("spec.usages[0]", "x", "signing", "server auth"),
        ],
    ),
    "keys that defaults make the same": (
        "Prometheus",
        {
            "containers": [
                {"name": "a", "ports": [{"containerPort": 8}, {"containerPort": 8, "protocol": "TCP"}]}
            ]
        },
        ['spec.containers[0].ports[1]: Duplicate value: {"containerPort":8,"protocol":"TCP"}'],
    ),
    "an amount that is none": (
        "Prometheus",
        {"resources": {"requests": {"a": True}}},
        [
            mistyped("spec.resources.requests.a", "integer,string", "boolean"),
            '<nil>: Invalid value: "": "spec.resources.requests.a" must validate at least one schema (anyOf)',
            mistyped("spec.resources.requests.a", "integer", "boolean"),
        ],
    ),
    "what is embedded without a kind, and rules that wait": (
        "Composition",
        {**SPECS["Composition"], "pipeline": [{"step": "a", "input": {"x": 1}}, {"step": "a"}]},
        [
            "spec.pipeline[0].input.apiVersion: Required value",
            "spec.pipeline[0].input.kind: Required value",
            'spec.pipeline[1]: Duplicate value: {"step":"a"}',
            UNCHECKED,
        ],
    ),
    "a rule of a default": (
        "Composition",
        {"compositeTypeRef": {"apiVersion": "x/v1", "kind": "XR"}},
        ["spec: Invalid value: an array of pipeline steps is required in Pipeline mode"],
    ),
    "two of one, and none that must be": (
        "VirtualService",
        {"http": [{"match": [{"uri": {"prefix": "/", "exact": "/"}}], "route": [{}]}]},
        [
            '<nil>: Invalid value: "": "spec.http[0].match[0].uri" must validate one and only one schema '
            "(oneOf). Found 2 valid alternatives",
            "spec.http[0].route[0].destination: Required value",
            UNCHECKED,
        ],
    ),
    "rules at every depth": (
        "VirtualService",
        {
            "hosts": ["a"],
            "workloadSelector": {"labels": {"a": "*", "b": "c"}},
            "http": [{"timeout": "0s"}, {"timeout": "soon"}],
        },
        [
            "spec: Invalid value: only one of hosts or workloadSelector can be set",
            'spec.workloadSelector.labels[a]: Invalid value: "*": wildcard is not supported in selector',
            'spec.http[0].timeout: Invalid value: "0s": must be a valid duration greater than 1ms',
            "spec.http[1].timeout: Invalid value: \"string\": type conversion error from 'string' to "
            "'google.protobuf.Duration' evaluating rule: must be a valid duration greater than 1ms",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(api: Any, case: str) -> None:
    kind, spec, expected = REFUSED[case]
    await serve(api, kind)
    answer = await api("POST", path_of(kind), thing(kind, spec))
    told = answer.message.partition(" is invalid: ")[2]
    assert answer.status == 422, answer.raw
    assert told == (f"[{', '.join(expected)}]" if len(expected) > 1 else expected[0])


ROWS: dict[str, tuple[str, Any, list[Any]]] = {
    "a condition": (
        "Certificate",
        {"conditions": [{"type": "Issuing", "status": "False"}, {"type": "Ready", "status": "True"}]},
        ["a", "True", "s", "i", "0s"],
    ),
    "no condition": ("Certificate", {"conditions": []}, ["a", None, "s", "i", "0s"]),
    "numbers, and one that is missing": ("Prometheus", {"replicas": 1}, ["a", 2, None, None, "0s"]),
    "a condition in other quotes": (
        "Prometheus",
        {"availableReplicas": 1, "conditions": [{"type": "Available", "status": "False"}]},
        ["a", 2, 1, "False", "0s"],
    ),
    "no status of its own": ("Composition", None, ["a", "XR", "x/v1", "0s"]),
    "a time of its own": (
        "Workflow",
        {"phase": "Running", "startedAt": "2025-12-31T22:00:00Z"},
        ["a", "Running", "120m", None],
    ),
    "a list": ("VirtualService", None, ["a", '["a","b"]', "0s"]),
    "two of one condition": (
        "Service",
        {"url": "http://a", "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Waits"}]},
        ["a", "http://a", "Unknown", "Waits"],
    ),
}


@pytest.mark.parametrize("case", ROWS)
async def test_columns(api: Any, case: str) -> None:
    kind, status, expected = ROWS[case]
    await serve(api, kind)
    own = {"status": status} if kind == "Workflow" else {}
    await api.create(path_of(kind), thing(kind, **own))
    if status is not None and not own:
        assert (await api.patch(f"{path_of(kind)}/a/status", {"status": status})).status == 200
    (row,) = (await api("GET", path_of(kind), accept=TABLE)).json["rows"]
    assert row["cells"] == expected


async def test_what_may_not_change(api: Any) -> None:
    await serve(api, "Composition")
    path = f"{path_of('Composition')}/a"
    await api.create(path_of("Composition"), thing("Composition"))
    answer = await api.patch(path, {"spec": {"compositeTypeRef": {"kind": "Y"}}})
    assert (answer.status, answer.message.partition(" is invalid: ")[2]) == (
        422,
        "spec.compositeTypeRef: Invalid value: Value is immutable",
    )
    assert (await api.patch(path, {"spec": {"mode": None}})).json["spec"]["mode"] == "Pipeline"


async def test_a_status_of_its_own(api: Any) -> None:
    await serve(api, "Certificate")
    path = f"{path_of('Certificate')}/a"
    made = await api.create(path_of("Certificate"), thing("Certificate", status={"revision": 3}))
    assert made["status"] == {}  # its default, which is for those that have none
    both = {"spec": {"secretName": "t"}, "status": {"revision": 2}}
    written = (await api.patch(f"{path}/status", both)).json
    assert (written["spec"]["secretName"], written["status"]) == ("s", {"revision": 2})
    assert written["metadata"]["generation"] == 1
    written = (await api.patch(path, both)).json
    assert (written["spec"]["secretName"], written["metadata"]["generation"]) == ("t", 2)
    wrong = {"type": "A", "status": "Maybe", "lastTransitionTime": "now"}
    answer = await api.patch(f"{path}/status", {"status": {"conditions": [wrong]}})
    told = (
        unsupported("status.conditions[0].status", "Maybe", "True", "False", "Unknown"),
        mistyped("status.conditions[0].lastTransitionTime", "date-time", "now"),
    )
    assert answer.message.partition(" is invalid: ")[2] == f"[{', '.join(told)}]"


async def test_applied_by_two(api: Any) -> None:
    """Lists without keys, and objects that are one value, are owned as wholes; maps by their keys."""
    await serve(api, "Prometheus")
    path = f"{path_of('Prometheus')}/a"
    first = await api("PATCH", f"{path}?fieldManager=one", thing("Prometheus"), content_type=APPLY)
    assert first.status == 201
    wanted = {"containers": [{"name": "b"}], "resources": {"limits": {"cpu": "2"}}}
    second = await api("PATCH", f"{path}?fieldManager=two", thing("Prometheus", wanted), content_type=APPLY)
    assert second.status == 409
    assert [one["field"] for one in second.json["details"]["causes"]] == [
        ".spec.containers",
        ".spec.resources.limits.cpu",
    ]
    wanted = {"resources": {"limits": {"cpu": "2"}}, "serviceMonitorSelector": {"matchLabels": {"a": "b"}}}
    force = f"{path}?fieldManager=two&force=true"
    forced = await api("PATCH", force, thing("Prometheus", wanted), content_type=APPLY)
    assert forced.json["spec"]["resources"] == {"limits": {"cpu": "2", "memory": "1Gi"}}
    owned = {one["manager"]: one["fieldsV1"]["f:spec"] for one in forced.json["metadata"]["managedFields"]}
    assert owned == {
        "one": {"f:containers": {}, "f:replicas": {}, "f:resources": {"f:limits": {"f:memory": {}}}},
        "two": {"f:resources": {"f:limits": {"f:cpu": {}}}, "f:serviceMonitorSelector": {}},
    }
    wanted = {"serviceMonitorSelector": {"matchLabels": {"c": "d"}}}
    left = await api("PATCH", f"{path}?fieldManager=two", thing("Prometheus", wanted), content_type=APPLY)
    assert left.json["spec"]["resources"] == {"limits": {"memory": "1Gi"}}
    assert left.json["spec"]["serviceMonitorSelector"] == {"matchLabels": {"c": "d"}}


async def test_scaled(api: Any) -> None:
    await serve(api, "Prometheus")
    path = f"{path_of('Prometheus')}/a"
    await api.create(path_of("Prometheus"), thing("Prometheus"))
    status = {"replicas": 1, "selector": "a=b"}
    assert (await api.patch(f"{path}/status", {"status": status})).status == 200
    scaled = (await api.patch(f"{path}/scale", {"spec": {"replicas": 5}})).json
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 5}, {"replicas": 1, "selector": "a=b"})
    assert (await api.get(path))["spec"]["replicas"] == 5


async def test_selected(api: Any) -> None:
    await serve(api, "Certificate")
    path = path_of("Certificate")
    for name, issuer in (("a", {"name": "i"}), ("b", {"name": "i", "group": "g"}), ("c", {"name": "j"})):
        await api.create(path, thing("Certificate", {"secretName": "s", "issuerRef": issuer}, name))
    for selector, expected in {
        "spec.issuerRef.name=i": "a b",
        "spec.issuerRef.name=i,spec.issuerRef.group=g": "b",
        "spec.issuerRef.group=": "a c",
        "spec.issuerRef.name!=i": "c",
    }.items():
        found = await api.get(f"{path}?fieldSelector={selector.replace('=', '%3D')}")
        assert " ".join(one["metadata"]["name"] for one in found["items"]) == expected, selector
    answer = await api("GET", f"{path}?fieldSelector=spec.secretName%3Ds")
    assert (answer.status, answer.message) == (400, "field label not supported: spec.secretName")


async def test_each_version_shows_and_takes_every_object(api: Any) -> None:
    await serve(api, "VirtualService")
    path, old = path_of("VirtualService"), path_of("VirtualService").replace("v1beta1", "v1alpha3")
    await api.create(path, thing("VirtualService"))
    for version in ("v1", "v1alpha3", "v1beta1"):
        shown = await api.get(f"{path.replace('v1beta1', version)}/a")
        assert (shown["apiVersion"], shown["spec"]) == (f"net.example.com/{version}", SPECS["VirtualService"])
    changed = (await api.patch(f"{old}/a", {"spec": {"hosts": ["c"]}})).json
    assert (changed["apiVersion"], changed["spec"]["hosts"]) == ("net.example.com/v1alpha3", ["c"])
    assert (await api.get(f"{path}/a"))["metadata"]["generation"] == 2


async def test_a_kind_that_is_called_like_a_built_in_one(api: Any) -> None:
    await serve(api, "Service")
    found = (await api.get("/apis/serving.example.com/v1"))["resources"]
    assert [(one["name"], one["kind"], one.get("shortNames")) for one in found] == [
        ("services", "Service", ["kservice", "ksvc"]),
        ("services/status", "Service", None),
    ]
    await api.create(path_of("Service"), thing("Service"))
    listed = await api.get("/api/v1/namespaces/default/services")
    assert "a" not in [one["metadata"]["name"] for one in listed["items"]]


async def test_what_is_published_for_explain(api: Any) -> None:
    await serve(api, "Certificate", "Prometheus", "Composition", "VirtualService")
    schemas: dict[str, Any] = {}
    for group in ("certs", "monitoring", "composed", "net"):
        found = await api.get(f"/openapi/v3/apis/{group}.example.com/v1")
        schemas |= {
            name.rpartition(".")[2]: one
            for name, one in found["components"]["schemas"].items()
            if name.startswith("com.example.")
        }
    spec = schemas["Certificate"]["properties"]["spec"]
    assert (spec["description"], spec["required"]) == (
        "What is wanted of the certificate.",
        ["issuerRef", "secretName"],
    )
    assert spec["properties"]["privateKey"]["properties"]["rotationPolicy"]["default"] == "Always"
    resources = schemas["Prometheus"]["properties"]["spec"]["properties"]["resources"]
    amount = resources["properties"]["limits"]["additionalProperties"]
    assert (amount["x-kubernetes-int-or-string"], amount["anyOf"]) == (
        True,
        [{"type": "integer"}, {"type": "string"}],
    )
    steps = schemas["Composition"]["properties"]["spec"]["properties"]["pipeline"]
    assert steps["x-kubernetes-list-map-keys"] == ["step"]
    embedded = steps["items"]["properties"]["input"]
    assert embedded["x-kubernetes-embedded-resource"]
    assert embedded["x-kubernetes-preserve-unknown-fields"]
    assert sorted(embedded["properties"]) == ["apiVersion", "kind", "metadata"]
    match = schemas["VirtualService"]["properties"]["spec"]["properties"]["http"]["items"]["properties"][
        "match"
    ]
    assert len(match["items"]["properties"]["uri"]["oneOf"]) == 4
    group_kinds = schemas["VirtualService"]["x-kubernetes-group-version-kind"]
    assert group_kinds == [{"group": "net.example.com", "kind": "VirtualService", "version": "v1"}]
