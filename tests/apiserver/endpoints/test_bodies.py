"""Bodies and option parameters: what is read, warned of, refused."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.endpoints import bodies
from tiphys.apiserver.endpoints.negotiation import JSON, YAML

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("body", "media_type", "value", "duplicates"),
    [
        (b'{"a": 1}', JSON, {"a": 1}, []),
        (b'{"a": 1, "a": 2}', JSON, {"a": 2}, ['duplicate field "a"']),
        (b"a: 1\nb: [x, 2020-01-01]\n", YAML, {"a": 1, "b": ["x", "2020-01-01"]}, []),
        (b"a:\n  b: 1\n  b: 2\n", YAML, {"a": {"b": 2}}, ['line 3: key "b" already set in map']),
        (b'{"a": 1}', YAML, {"a": 1}, []),
        (b'{"a": 1,\n "a": 2}', YAML, {"a": 2}, ['line 2: key "a" already set in map']),
        (b'{"a": 1.0, "b": [2e0]}', YAML, {"a": 1, "b": [2]}, []),
        (b"{a: b}", YAML, {"a": "b"}, []),
        (b"", YAML, None, []),
    ],
)
def test_parse(body: bytes, media_type: str, value: Any, duplicates: list[str]) -> None:
    assert bodies.parse_object(body, media_type) == (value, duplicates)


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"{", JSON), (b"a: [", YAML), (b"\xff", YAML), (b"&a [*a", YAML)]
)
def test_nonsense(body: bytes, media_type: str) -> None:
    with pytest.raises(BadRequest):
        bodies.parse_object(body, media_type)


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadRequest, match="excessive aliasing"):
        bodies.parse_object("\n".join(lines).encode(), YAML)


async def test_yaml_is_read_as_go_reads_it(api: Any) -> None:
    body = b"metadata: {name: a}\ndata: {at: 12:30, when: 2020-01-01}\n---\nthe next: [document\n"
    assert (await api.create(CMS, body, content_type=YAML))["data"] == {"at": "12:30", "when": "2020-01-01"}
    answer = await api("POST", CMS, b"metadata: {name: b}\ndata: {a: y}\n", content_type=YAML)
    assert answer.message.endswith("cannot unmarshal bool into Go struct field ConfigMap.data of type string")
    ports = b'{"metadata":{"name":"s"},"spec":{"ports":[{"port":8e1}]}}'
    services = "/api/v1/namespaces/default/services"
    answer = await api("POST", services, ports)
    assert "cannot unmarshal number 8e1 into Go struct field" in answer.message
    answer = await api("POST", services, ports, content_type=YAML)
    assert answer.json["spec"]["ports"][0]["port"] == 80


async def test_yaml_is_written_so_that_go_reads_it(api: Any) -> None:
    data = {"a": "y", "b": "1e3", "c": "08", "d": "12:30", "n": "null"}
    await api.create(CMS, {"metadata": {"name": "a"}, "data": data})
    shown = await api("GET", f"{CMS}/a", accept=YAML)
    assert b'data:\n  a: "y"\n  b: "1e3"\n  c: "08"\n  d: "12:30"\n  "n": "null"\n' in shown.raw


async def test_a_body_of_null_says_nothing(api: Any) -> None:
    for body, media_type in ((b"null", JSON), (b"~", YAML), (b"---\n", YAML)):
        answer = await api("POST", CMS, body, content_type=media_type)
        assert (answer.status, answer.json["details"]["causes"][0]["field"]) == (422, "metadata.name")


async def test_duplicates_in_yaml(api: Any) -> None:
    body = b"metadata: {name: a}\ndata: {}\ndata: {x: z}\nbogus: 1\n"
    answer = await api("POST", CMS + "?fieldValidation=Strict", body, content_type=YAML)
    assert answer.message.endswith(
        'strict decoding error: yaml: unmarshal errors:\n  line 3: key "data" already set in map, '
        'unknown field "bogus"'
    )
    answer = await api("POST", CMS, body, content_type=YAML)
    assert answer.headers["warning"] == (
        '299 - "line 3: key \\"data\\" already set in map", 299 - "unknown field \\"bogus\\""'
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", CMS + "?limit=x", None, 400, "invalid syntax"),
        ("GET", CMS + "?resourceVersionMatch=Exact", None, 422,
         "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("GET", CMS + "?watch=1&sendInitialEvents=true", None, 422,
         "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ("DELETE", CMS + "/a", {"propagationPolicy": "Bogus"}, 422, "Unsupported value"),
        ("DELETE", CMS + "/a", {"propagationPolicy": "Orphan", "orphanDependents": True}, 422,
         "orphanDependents and deletionPropagation cannot be both set"),
        ("DELETE", CMS + "/a", {"kind": "Pod", "apiVersion": "v1"}, 400, 'Pod in version "v1" cannot be handled as a DeleteOptions: '),
        ("POST", CMS + "?fieldManager=" + "x" * 129, {"metadata": {"name": "a"}}, 422, "fieldManager: Too long"),
        ("POST", CMS + "?fieldManager=é%07x%E2%80%8B", {"metadata": {"name": "a"}}, 422,
         "invalid character U+0007 (at position 2), "),
        ("POST", CMS + "?fieldValidation=Maybe", {"metadata": {"name": "a"}}, 422, "fieldValidation: Unsupported"),
        ("POST", CMS, [], 400,
         "(must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into"),
        ("POST", CMS, {"metadata": {"name": 1}}, 400,
         "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
        ("POST", CMS, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}, 400,
         'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown'),
    ],
)  # fmt: skip
async def test_refusals(api: Any, method: str, path: str, body: Any, status: int, text: str) -> None:
    answer = await api(method, path, body)
    assert answer.status == status, answer.raw
    assert text in answer.message


async def test_kinds_that_are_no_text(api: Any) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    answer = await api("POST", maps, {"kind": ["ConfigMap"], "metadata": {"name": "a"}})
    assert answer.status == 400
    assert "json: cannot unmarshal array into Go struct field .kind of type string" in answer.message
    await api.create(maps, {"metadata": {"name": "a"}})
    patched = await api.patch(f"{maps}/a", {"apiVersion": {"v": 1}})
    assert patched.status == 422
    assert "json: cannot unmarshal object into Go struct field .apiVersion of type string" in patched.message


async def test_numbers_that_are_out_of_range(api: Any) -> None:
    answer = await api("GET", f"/api/v1/pods?limit={1 << 70}")
    text = f'strconv.ParseInt: parsing "{1 << 70}": value out of range'
    assert (answer.status, answer.message) == (400, text)
    assert (await api("GET", "/api/v1/pods?limit=1_0")).status == 400


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "limit="),
        ("GET", "limit"),
        ("GET", "timeoutSeconds=&watch=1"),
        ("DELETE", "gracePeriodSeconds="),
    ],
)
async def test_numbers_that_are_empty(api: Any, method: str, query: str) -> None:
    answer = await api(method, f"/api/v1/namespaces/default/configmaps?{query}")
    assert (answer.status, answer.message) == (400, 'strconv.ParseInt: parsing "": invalid syntax')


async def test_addresses_in_a_status_are_warned_of(api: Any) -> None:
    services = "/api/v1/namespaces/default/services"
    await api.create(
        services, {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 1}]}}
    )
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "FD00::1"}]}}}
    answer = await api("PATCH", f"{services}/s/status", status, content_type="application/merge-patch+json")
    assert answer.status == 200
    assert 'status.loadBalancer.ingress[0]: IPv6 address \\"FD00::1\\"' in answer.headers["warning"]


async def test_doubled_keys_of_a_typed_body_are_merged(api: Any) -> None:
    body = (
        b'{"metadata":{"name":"a","labels":{"x":"1"}},"data":{"k":"v","l":"w"},'
        b'"metadata":{"labels":{"y":"2"}},"data":{"l":"z"}}'
    )
    answer = await api("POST", CMS, body)
    assert answer.status == 201
    assert (answer.json["metadata"]["name"], answer.json["data"]) == ("a", {"k": "v", "l": "z"})
    assert answer.json["metadata"]["labels"] == {"x": "1", "y": "2"}
    assert answer.headers["warning"] == (
        '299 - "duplicate field \\"metadata\\"", 299 - "duplicate field \\"data\\""'
    )
    assert (await api("POST", CMS + "?fieldValidation=Strict", body)).message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "metadata", duplicate field "data"'
    )
    wrong = await api("POST", CMS, b'{"metadata":{"name":"b"},"data":{"k":1,"k":"x"}}')
    assert wrong.message.endswith("number into Go struct field ConfigMap.data of type string")
    options = b'{"preconditions":{"uid":"u"},"preconditions":{"resourceVersion":"1"}}'
    assert "the UID in the precondition (u) does" in (await api("DELETE", f"{CMS}/a", options)).message


async def test_bytes_that_are_no_characters(api: Any) -> None:
    answer = await api("POST", CMS, b'{"metadata":{"name":"a"},"data":{"k":"\xff","l":"\\ud800"}}')
    assert (answer.status, answer.json["data"]) == (201, {"k": "\ufffd", "l": "\ufffd"})


PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
ROLLING = '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":%s}}}}'
WRONG: dict[str, tuple[str, str, str]] = {
    "fraction": (DEPLOYMENTS, '{"spec":{"replicas":1.50}}', "json: cannot unmarshal number 1.50 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "exponent": (DEPLOYMENTS, '{"spec":{"replicas":1e3}}', "json: cannot unmarshal number 1e3 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "digits": (DEPLOYMENTS, '{"spec":{"replicas":123456789012345678901}}', "json: cannot unmarshal number 123456789012345678901 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "beyond any": (DEPLOYMENTS, '{"spec":{"replicas":1e400}}', "json: cannot unmarshal number 1e400 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "beyond any, of what reads itself": ("/apis/apps/v1/namespaces/default/controllerrevisions", '{"data":{"a":1e400}}', "json: cannot unmarshal number 1e400 into Go value of type float64"),
    "beyond any, of a float": ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", '{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"maximum":1e400}}}]}}', "json: cannot unmarshal number 1e400 into Go struct field JSONSchemaProps.spec.versions.schema.openAPIV3Schema.maximum of type float64"),
    "named text": (PODS, '{"spec":{"restartPolicy":5}}', "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
    "named item": (PODS, '{"spec":{"containers":[{"securityContext":{"capabilities":{"add":[1]}}}]}}', "json: cannot unmarshal number into Go struct field Capabilities.spec.containers.securityContext.capabilities.add of type v1.Capability"),
    "named list": (PODS, '{"spec":{"containers":[{"securityContext":{"capabilities":{"add":"x"}}}]}}', "json: cannot unmarshal string into Go struct field Capabilities.spec.containers.securityContext.capabilities.add of type []v1.Capability"),
    "named map": (PODS, '{"spec":{"containers":[{"resources":{"limits":"x"}}]}}', "json: cannot unmarshal string into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList"),
    "uid": (CMS, '{"metadata":{"uid":1}}', "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.uid of type types.UID"),
    "condition": (PODS, '{"status":{"conditions":[{"status":true}]}}', "json: cannot unmarshal bool into Go struct field PodCondition.status.conditions.status of type v1.ConditionStatus"),
    "int or string of a bool": (DEPLOYMENTS, ROLLING % "true", "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"),
    "int or string of a fraction": (DEPLOYMENTS, ROLLING % "1.0", "json: cannot unmarshal number 1.0 into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"),
    "int or string of an object": (SERVICES, '{"spec":{"ports":[{"targetPort":{}}]}}', "json: cannot unmarshal object into Go struct field ServicePort.spec.ports.targetPort of type int32"),
    "bytes": ("/api/v1/namespaces/default/secrets", '{"data":{"a":"YWJjYQ"}}', "illegal base64 data at input byte 4"),
    "time of a number": (CMS, '{"metadata":{"creationTimestamp":1}}', "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string"),
    "time of a date": (CMS, '{"metadata":{"creationTimestamp":"2020-01-01"}}', 'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
    "time before any": (CMS, '{"metadata":{"creationTimestamp":"0001-01-01T00:00:00+01:00"}}', 'parsing time "0001-01-01T00:00:00+01:00": year out of range'),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "said"), WRONG.values(), ids=WRONG.keys())
async def test_wrong_types(module_api: Any, path: str, body: str, said: str) -> None:
    kinds = {PODS: "Pod", DEPLOYMENTS: "Deployment", SERVICES: "Service", CMS: "ConfigMap"}
    kinds["/api/v1/namespaces/default/secrets"] = "Secret"
    kind = kinds.get(path, "CustomResourceDefinition" if "apiext" in path else "ControllerRevision")
    answer = await module_api("POST", path, body.encode())
    text = f'{kind} in version "v1" cannot be handled as a {kind}: {said}'
    assert (answer.status, answer.message) == (400, text)


async def test_a_time_of_nothing_is_none(api: Any) -> None:
    body = {"metadata": {"name": "a", "deletionTimestamp": "0001-01-01T00:00:00Z"}}
    answer = await api("POST", CMS, body)
    assert answer.status == 201
    assert "deletionTimestamp" not in answer.json["metadata"]


@pytest.mark.parametrize(
    ("path", "version", "status", "said"),
    [
        (CMS, "/", 201, ""),
        (CMS, "/v1", 201, ""),
        (CMS, "v2", 400, 'no kind "ConfigMap" is registered for version "v2" in scheme'),
        (DEPLOYMENTS, "apps/", 422, ""),
        (DEPLOYMENTS, "/", 422, ""),
        (DEPLOYMENTS, "v1", 400, 'no kind "Deployment" is registered for version "v1" in scheme'),
        (DEPLOYMENTS, "batch/", 400, 'Deployment in version "" cannot be handled as a Deployment: '
                                     "Object 'apiVersion' is missing in '{\"apiVersion\":\"batch/\","),
        (CMS, "a/b/c", 400, "(must be of type ConfigMap): unexpected GroupVersion string: a/b/c ("),
    ],
)  # fmt: skip
async def test_versions_by_halves(api: Any, path: str, version: str, status: int, said: str) -> None:
    body: dict[str, Any] = {"apiVersion": version, "metadata": {"name": "a"}}
    for kind in ({}, {"kind": "ConfigMap" if path == CMS else "Deployment"}):
        answer = await api("POST", path, {**body, **kind})
        assert answer.status == (status if status != 201 or not kind else 409), answer.raw
        assert said in answer.message
        if answer.status == 201:
            assert (answer.json["apiVersion"], answer.json["kind"]) == ("v1", "ConfigMap")


async def test_bytes_are_canonical(api: Any) -> None:
    body = {"metadata": {"name": "a"}, "data": {"a": "YR==", "b": [97, 98], "c": "YW\nJj", "d": []}}
    answer = await api("POST", "/api/v1/namespaces/default/secrets", body)
    assert answer.json["data"] == {"a": "YQ==", "b": "YWI=", "c": "YWJj", "d": ""}


@pytest.mark.parametrize(
    ("path", "patch", "status", "said"),
    [
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"replicas":3.0}}', 200, ""),
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"replicas":3e0}}', 200, ""),
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"replicas":1.5}}', 422,
         "cannot convert float64 to int32"),
        ("/apis/apps/v1/namespaces/default/deployments/d",
         b'{"spec":{"replicas":3.0,"strategy":{"rollingUpdate":{"maxSurge":2.0}}}}', 200, ""),
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"strategy":{"type":5.0}}}', 422,
         "unrecognized type: string"),
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"strategy":{"rollingUpdate":{"maxSurge":true}}}}',
         422, "json: cannot unmarshal bool into Go value of type int32"),
        ("/apis/apps/v1/namespaces/default/deployments/d", b'{"spec":{"strategy":{"type":5}}}', 422,
         "cannot convert int64 to v1.DeploymentStrategyType"),
        ("/api/v1/namespaces/default/secrets/s", b'{"data":{"a":"*"}}', 422,
         "error decoding from json: illegal base64 data at input byte 0"),
        ("/api/v1/namespaces/default/secrets/s", b'{"metadata":{"creationTimestamp":1}}', 422,
         "json: cannot unmarshal number into Go value of type string"),
    ],
)  # fmt: skip
async def test_strategic_patches_speak_of_the_converter(
    api: Any, path: str, patch: bytes, status: int, said: str
) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    answer = await api("PATCH", path, patch, content_type="application/strategic-merge-patch+json")
    assert answer.status == status, answer.raw
    assert answer.json["spec"]["replicas"] == 3 if status == 200 else answer.message.endswith(said)


QUOTAS = "/api/v1/namespaces/default/resourcequotas"


@pytest.mark.parametrize(
    ("body", "media_type", "shown"),
    [
        ('{"cpu": 1e3}', JSON, "1e3"),
        ('{"cpu": "1e3"}', JSON, "1e3"),
        ('{"cpu": 1E3, "pods": 1.5E3}', JSON, "1E3"),
        ('{"cpu": 1.500}', JSON, "1.500"),
        ('{"cpu": 1e3}', YAML, "1k"),
        ('{"cpu": "1e3"}', YAML, "1e3"),
    ],
)
async def test_how_an_amount_was_written(api: Any, body: str, media_type: str, shown: str) -> None:
    quota = f'{{"metadata": {{"name": "a"}}, "spec": {{"hard": {body}}}}}'.encode()
    made = await api.create(QUOTAS, quota, content_type=media_type)
    assert made["spec"]["hard"]["cpu"] == shown
    assert (await api.get(f"{QUOTAS}/a"))["spec"]["hard"]["cpu"] == shown


@pytest.mark.parametrize(
    ("kind", "patch", "shown"),
    [
        ("merge-patch", b'{"spec":{"hard":{"cpu":1e3}}}', "1e3"),
        ("json-patch", b'[{"op":"add","path":"/spec/hard/cpu","value":1.500}]', "1.500"),
        ("strategic-merge-patch", b'{"spec":{"hard":{"cpu":1e3}}}', "1k"),
    ],
)
async def test_how_an_amount_was_written_in_a_patch(api: Any, kind: str, patch: bytes, shown: str) -> None:
    await api.create(QUOTAS, {"metadata": {"name": "a"}, "spec": {"hard": {"pods": "1"}}})
    answer = await api("PATCH", f"{QUOTAS}/a", patch, content_type=f"application/{kind}+json")
    assert answer.json["spec"]["hard"] == {"cpu": shown, "pods": "1"}


async def test_an_amount_is_copied_as_it_was_written(api: Any) -> None:
    await api.create(QUOTAS, {"metadata": {"name": "a"}, "spec": {"hard": {"pods": "1"}}})
    patch = b"""[{"op": "add", "path": "/spec/hard/cpu", "value": 1.500},
        {"op": "copy", "from": "/spec/hard/cpu", "path": "/spec/hard/limits.cpu"},
        {"op": "copy", "from": "/spec/hard", "path": "/spec/hard"}]"""
    answer = await api("PATCH", f"{QUOTAS}/a", patch, content_type="application/json-patch+json")
    assert answer.json["spec"]["hard"] == {"cpu": "1.500", "limits.cpu": "1.500", "pods": "1"}
