"""What a cluster refuses, with Kubernetes' own code, reason and words."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

CORE = "/api/v1/namespaces/{ns}"
MAPS = CORE + "/configmaps"
PODS = CORE + "/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
CANNOT = 'in version "v1" cannot be handled as a'
UNMARSHAL = "json: cannot unmarshal"


def config_map(name: str = "seed", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}, **rest}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def deployment(name: str = "d", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    own = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"metadata": {"name": name}, "spec": own}


def meta(**fields: Any) -> dict[str, Any]:
    return config_map(metadata={"name": "x", **fields})


SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
)
BODIES: dict[str, tuple[str, Any, int, str, str]] = {
    "number as text": (MAPS, config_map(data={"a": 1}), 400, "BadRequest", f"ConfigMap {CANNOT} ConfigMap: {UNMARSHAL} number into Go struct field ConfigMap.data of type string"),
    "text as number": (DEPLOYMENTS, deployment(replicas="3"), 400, "BadRequest", f"Deployment {CANNOT} Deployment: {UNMARSHAL} string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "fraction": (DEPLOYMENTS, deployment(replicas=3.5), 400, "BadRequest", f"{UNMARSHAL} number 3.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    "list as any data": (DEPLOYMENTS.replace("deployments", "controllerrevisions"), {"metadata": {"name": "r"}, "data": []}, 422, "Invalid", "data: Required value: data must be a valid JSON object"),
    "object as list": (PODS, pod(containers={}), 400, "BadRequest", f"{UNMARSHAL} object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    "quantity": (PODS, pod(containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "x"}}}]), 400, "BadRequest", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    "base64": (CORE + "/secrets", {"metadata": {"name": "s"}, "data": {"a": "%%%"}}, 400, "BadRequest", f"Secret {CANNOT} Secret: illegal base64 data at input byte 0"),
    "no name": (MAPS, config_map(""), 422, "Invalid", 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
    "bad name": (MAPS, config_map("A_b"), 422, "Invalid", f'ConfigMap "A_b" is invalid: metadata.name: Invalid value: "A_b": {SUBDOMAIN}'),
    "long name": (MAPS, config_map("a" * 254), 422, "Invalid", "must be no more than 253 bytes"),
    "bad label": (MAPS, meta(labels={"x": "y z"}), 422, "Invalid", 'metadata.labels: Invalid value: "y z": a valid label must be an empty string or consist of'),
    "bad finalizer": (MAPS, meta(finalizers=["x"]), 422, "Invalid", 'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified'),
    "large annotations": (MAPS, meta(annotations={"a": "x" * 300_000}), 422, "Invalid", "metadata.annotations: Too long: may not be more than 262144 bytes"),
    "version on create": (MAPS, meta(resourceVersion="1"), 400, "BadRequest", "resourceVersion should not be set on objects to be created"),
    "other namespace": (MAPS, meta(namespace="other"), 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
    "bad key": (MAPS, config_map(data={"a b": "c"}), 422, "Invalid", "data[a b]: Invalid value: \"a b\": a valid config key must consist of"),
    "1 MiB": (MAPS, config_map(data={"a": "x" * 1_100_000}), 422, "Invalid", "Too long: may not be more than 1048576 bytes"),
    "3 MiB": (MAPS, config_map(data={"a": "x" * 3_200_000}), 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
    "exists": (MAPS, config_map(), 409, "AlreadyExists", 'configmaps "seed" already exists'),
    "dryRun": (MAPS + "?dryRun=Some", config_map(), 422, "Invalid", 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'),
    "fieldValidation": (MAPS + "?fieldValidation=Some", config_map(), 422, "Invalid", 'fieldValidation: Unsupported value: "Some": supported values: "", "Ignore", "Strict", "Warn"'),
    "long manager": (MAPS + "?fieldManager=" + "a" * 129, config_map(), 422, "Invalid", "fieldManager: Too long: may not be more than 128 bytes"),
    "no containers": (PODS, pod(containers=[]), 422, "Invalid", 'Pod "p" is invalid: spec.containers: Required value'),
    "no such account": (PODS, pod(serviceAccountName="none"), 403, "Forbidden", 'pods "p" is forbidden: error looking up service account {ns}/none: serviceaccount "none" not found'),
    "no such priority": (PODS, pod(priorityClassName="none"), 403, "Forbidden", 'pods "p" is forbidden: no PriorityClass with name none was found'),
    "no selector": (DEPLOYMENTS, deployment("x", selector=None), 422, "Invalid", 'Deployment.apps "x" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`]'),
    "other selector": (DEPLOYMENTS, deployment("x", selector={"matchLabels": {"a": "c"}}), 422, "Invalid", 'Deployment.apps "x" is invalid: spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'),
    "node port": (CORE + "/services", {"metadata": {"name": "np"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}}, 422, "Invalid", "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
    "cluster address": (CORE + "/services", {"metadata": {"name": "np"}, "spec": {"clusterIP": "1.2.3.4", "ports": [{"port": 80}]}}, 422, "Invalid", 'spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided network does not match the current range'),
    "no such namespace": ("/api/v1/namespaces/nope/configmaps", config_map(), 404, "NotFound", 'namespaces "nope" not found'),
    "empty rule": ("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "z"}, "rules": [{"verbs": ["get"]}]}, 422, "Invalid", "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
    "cut off": (MAPS, b'{"apiVersion": "v1", "kind": "ConfigMap",', 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({\"apiVersion\": \"v1\", \"kind\": \" ...)"),
    "no quotes": (MAPS, b"{bad", 400, "BadRequest", "json parse error: invalid character 'b' looking for beginning of object key string ({bad)"),
    "nothing": (MAPS, b"", 400, "BadRequest", "unexpected end of JSON input (<empty>)"),
    "other kind": (MAPS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}, 400, "BadRequest", f"Secret {CANNOT} ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion"),
    "unknown kind": (MAPS, {"apiVersion": "v1", "kind": "Foo", "metadata": {"name": "x"}}, 400, "BadRequest", f'Foo {CANNOT} ConfigMap: no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'),
    "other version": ("/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers", {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}}, 400, "BadRequest", "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"),
    "eviction of nothing": (PODS + "/none/eviction", {"metadata": {"name": "none"}}, 404, "NotFound", 'pods "none" not found'),
}  # fmt: skip
PATCHES: dict[str, tuple[str, str, Any, int, str, str]] = {
    "rename": (MAPS, MERGE, {"metadata": {"name": "b"}}, 400, "BadRequest", "the name of the object (b) does not match the name on the URL (seed)"),
    "stale": (MAPS, MERGE, {"metadata": {"resourceVersion": "1"}}, 409, "Conflict", 'Operation cannot be fulfilled on configmaps "seed": the object has been modified; please apply your changes to the latest version and try again'),
    "uid": (MAPS, MERGE, {"metadata": {"uid": "z"}}, 422, "Invalid", 'metadata.uid: Invalid value: "z": field is immutable'),
    "bad operation": (MAPS, JSON_PATCH, [{"op": "x", "path": "/a"}], 422, "Invalid", "the server rejected our request due to an error in our request"),
    "nothing to remove": (MAPS, JSON_PATCH, [{"op": "remove", "path": "/data/no"}], 422, "Invalid", "the server rejected our request due to an error in our request"),
    "failed test": (MAPS, JSON_PATCH, [{"op": "test", "path": "/data/k", "value": "no"}], 422, "Invalid", "the server rejected our request due to an error in our request"),
    "no list": (MAPS, JSON_PATCH, {}, 400, "BadRequest", "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
    "10001 operations": (MAPS, JSON_PATCH, [{"op": "add", "path": "/data/k", "value": "1"}] * 10_001, 413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is 10000, got 10001"),
    "wrong type": (MAPS, MERGE, {"data": {"k": 1}}, 422, "Invalid", f"{UNMARSHAL} number into Go struct field ConfigMap.data of type string"),
    "unknown field": (MAPS + "?fieldValidation=Strict", MERGE, {"foo": 1}, 422, "Invalid", '\\"data\\":{\\"k\\":\\"v\\"},\\"foo\\":1,\\"kind\\":\\"ConfigMap\\",\\"metadata\\":{\\"name\\":\\"seed\\"'),
    "no merge key": (DEPLOYMENTS, STRATEGIC, {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}, 500, "", "map: map[image:x] does not contain declared merge key: name"),
    "no YAML": (MAPS + "?fieldManager=m", APPLY, b"a: 1\nb: c: d", 400, "BadRequest", "error decoding YAML: error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context"),
    "broken patch": (MAPS, MERGE, b"{", 400, "BadRequest", "unexpected end of JSON input"),
    "strategic type": (MAPS, STRATEGIC, {"data": {"k": 1}}, 422, "Invalid", ' "" is invalid: patch: Invalid value: "map[data:map[k:1]]": '),
    "no manager": (MAPS, APPLY, config_map(), 422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'),
    "force": (MAPS + "?force=true", MERGE, {}, 422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'),
    "managed fields": (MAPS + "?fieldManager=m", APPLY, meta(name="seed", managedFields=[{"manager": "x"}]), 400, "BadRequest", "metadata.managedFields must be nil"),
    "apply conflict": (MAPS + "?fieldManager=m", APPLY, config_map(data={"k": "other"}), 409, "Conflict", "Apply failed with 1 conflict: conflict with "),
    "selector": (DEPLOYMENTS, MERGE, {"spec": {"selector": {"matchLabels": {"a": "c"}}}}, 422, "Invalid", 'spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'),
    "negative": (DEPLOYMENTS, MERGE, {"spec": {"replicas": -1}}, 422, "Invalid", 'Deployment.apps "seed" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'),
    "media type": (MAPS, "application/json", {}, 415, "UnsupportedMediaType", "415: Unsupported Media Type"),
    "several media types": (MAPS, f"{MERGE}, {STRATEGIC}", {}, 415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"),
}  # fmt: skip
READS: dict[str, tuple[str, int, str, str]] = {
    "label selector": (MAPS + "?labelSelector=a%20in%20b", 400, "BadRequest", "unable to parse requirement: found 'b' expected: '('"),
    "field selector": (MAPS + "?fieldSelector=foo", 400, "BadRequest", "invalid selector: 'foo'; can't understand 'foo'"),
    "unknown field": (PODS + "?fieldSelector=spec.foo%3D1", 400, "BadRequest", "field label not supported: spec.foo"),
    "continue": (MAPS + "?limit=1&continue=abc", 400, "BadRequest", "continue key is not valid"),
    "continue and version": (MAPS + "?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0&resourceVersion=5", 400, "BadRequest", "specifying resource version is not allowed when using continue"),
    "limit": (MAPS + "?limit=abc", 400, "BadRequest", 'strconv.ParseInt: parsing "abc": invalid syntax'),
    "version": (MAPS + "?resourceVersion=abc", 400, "BadRequest", 'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'),
    "future": (MAPS + "?resourceVersion=99999999", 504, "Timeout", "Timeout: Too large resource version: 99999999, current: "),
    "match alone": (MAPS + "?resourceVersionMatch=Exact", 422, "Invalid", "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
    "watch match": (MAPS + "?watch=1&sendInitialEvents=true", 422, "Invalid", "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    "not there": (DEPLOYMENTS + "/nope", 404, "NotFound", 'deployments.apps "nope" not found'),
    "no such resource": (CORE + "/foos", 404, "NotFound", "the server could not find the requested resource"),
    "no such subresource": (MAPS + "/seed/foo", 404, "NotFound", "the server could not find the requested resource"),
    "log of nothing": (PODS + "/none/log", 404, "NotFound", 'pods "none" not found'),
    "exec in nothing": (PODS + "/none/exec", 404, "NotFound", 'pods "none" not found'),
}  # fmt: skip


def check(answer: Any, code: int, reason: str, message: str) -> None:
    assert answer.status == code, answer.raw
    status = answer.json
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)
    assert (status.get("reason", ""), message in status["message"]) == (reason, True), status["message"]


@pytest.fixture(scope="module")
def ns(api: Any) -> str:
    made = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "refusals-"}})
    name = str(made.json["metadata"]["name"])
    account = {"metadata": {"name": "default"}}
    api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
    assert api("POST", MAPS.format(ns=name), config_map()).status == 201
    assert api("POST", DEPLOYMENTS.format(ns=name), deployment("seed")).status == 201
    return name


@pytest.mark.parametrize(("path", "body", "code", "reason", "message"), BODIES.values(), ids=BODIES)
def test_bodies(api: Any, ns: str, path: str, body: Any, code: int, reason: str, message: str) -> None:
    check(api("POST", path.format(ns=ns), body), code, reason, message.replace("{ns}", ns))


@pytest.mark.parametrize(("path", "kind", "body", "code", "reason", "message"), PATCHES.values(), ids=PATCHES)
def test_patches(
    api: Any, ns: str, path: str, kind: str, body: Any, code: int, reason: str, message: str
) -> None:
    path, _, query = path.format(ns=ns).partition("?")
    check(api("PATCH", f"{path}/seed?{query}", body, content_type=kind), code, reason, message)


@pytest.mark.parametrize(("path", "code", "reason", "message"), READS.values(), ids=READS)
def test_reads(api: Any, ns: str, path: str, code: int, reason: str, message: str) -> None:
    check(api("GET", path.format(ns=ns)), code, reason, message)


@pytest.mark.parametrize("path", ["/foo", "/apis/foo.io/v1", "/apis/foo.io/v1/bars"])
def test_unknown_paths(api: Any, path: str) -> None:
    answer = api("GET", path)
    assert (answer.status, answer.raw) == (404, b"404 page not found\n")


@pytest.mark.parametrize("limit", ["-1", "0"])
def test_limits_that_are_none(api: Any, ns: str, limit: str) -> None:
    answer = api("GET", MAPS.format(ns=ns) + f"?limit={limit}&labelSelector=no%3Dsuch")
    assert (answer.status, answer.json["items"]) == (200, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", MAPS), ("POST", MAPS + "/seed"), ("POST", "/api/v1/configmaps"), ("PATCH", MAPS)],
)
def test_methods(api: Any, ns: str, method: str, path: str) -> None:
    answer = api(method, path.format(ns=ns), config_map())
    check(answer, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    assert answer.json["details"] == {}


@pytest.mark.parametrize(
    ("token", "path", "code", "message"),
    [
        ("bogus", "/api", 401, "Unauthorized"),
        ("a.b.c", "/api", 401, "Unauthorized"),
        ("", "/api", 403, 'forbidden: User "system:anonymous" cannot get path "/api"'),
        ("", "/api/v1/pods", 403, 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'),
    ],
)  # fmt: skip
def test_strangers(api: Any, token: str, path: str, code: int, message: str) -> None:
    check(api("GET", path, token=token), code, {401: "Unauthorized", 403: "Forbidden"}[code], message)


@pytest.mark.parametrize("path", ["/version", "/healthz", "/readyz", "/livez"])
def test_open_to_strangers(api: Any, path: str) -> None:
    assert api("GET", path, token="").status == 200


@pytest.mark.parametrize(
    ("accept", "query", "message"),
    [
        ("text/html", "", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"),
        ("application/json;as=X;v=v1;g=meta.k8s.io", "", "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        ("text/html", "?watch=1", "406: Not Acceptable\n\nAvailable representations: application/json, "),
    ],
)  # fmt: skip
def test_accept(api: Any, ns: str, accept: str, query: str, message: str) -> None:
    answer = api("GET", MAPS.format(ns=ns) + query, accept=accept)
    check(answer, 406, "NotAcceptable", message)


def test_content_type(api: Any, ns: str) -> None:
    answer = api("POST", MAPS.format(ns=ns), b"a=b", content_type="application/x-www-form-urlencoded")
    text = (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    check(answer, 415, "UnsupportedMediaType", text)


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_namespaces_that_stay(api: Any, name: str) -> None:
    text = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    check(api("DELETE", f"/api/v1/namespaces/{name}"), 403, "Forbidden", text)


def test_a_namespace_that_ends(api: Any) -> None:
    body = {"metadata": {"name": "ends"}, "spec": {"finalizers": ["kubernetes", "x.io/y"]}}
    assert api("POST", "/api/v1/namespaces", body).status == 201
    assert api("DELETE", "/api/v1/namespaces/ends").status == 200
    answer = api("POST", "/api/v1/namespaces/ends/configmaps", config_map("a"))
    text = 'configmaps "a" is forbidden: unable to create new content in namespace ends because it is being terminated'
    check(answer, 403, "Forbidden", text)
    assert answer.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    ended = api("GET", "/api/v1/namespaces/ends").json
    ended["spec"]["finalizers"] = []
    assert api("PUT", "/api/v1/namespaces/ends/finalize", ended).status == 200


def test_a_replaced_job_needs_its_selector(api: Any, ns: str) -> None:
    path = f"/apis/batch/v1/namespaces/{ns}/jobs"
    job = {"metadata": {"name": "j"}, "spec": {"suspend": True, "template": {"spec": {**pod()["spec"], "restartPolicy": "Never"}}}}  # fmt: skip
    assert api("POST", path, job).status == 201
    answer = api("PUT", f"{path}/j", job)
    texts = (
        "spec.selector: Required value",
        "`selector` does not match template `labels`",
        "field is immutable",
    )
    for text in texts:
        check(answer, 422, "Invalid", text)
