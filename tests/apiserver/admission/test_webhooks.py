"""Admission webhooks over the API: who is asked, what answers do, and how failures read."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission.webhooks.hook import read_hooks
from tiphys.wire.message import Request, Response

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}


def config_map(name: str = "m", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


def hook(client: dict[str, Any], name: str = "one.example.com", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "clientConfig": client,
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


async def configure(api: Any, kind: str, *hooks: dict[str, Any], name: str = "c") -> None:
    plural = f"{kind}webhookconfigurations"
    await api.create(f"{GROUP}/{plural}", {"metadata": {"name": name}, "webhooks": list(hooks)})
    await api.settle()


async def test_a_webhook_sees_the_write(api: Any, webhook: Any) -> None:
    await configure(api, "validating", hook(webhook.url("/v")))
    await api.create(MAPS, config_map())
    (asked,) = webhook.asked
    assert webhook.paths == ["/v?timeout=10s"]
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (asked["name"], asked["namespace"], asked["operation"]) == ("m", "default", "CREATE")
    assert asked["userInfo"]["username"] == "admin"
    assert asked["object"]["data"] == {"a": "1"}
    assert (asked["oldObject"], asked["dryRun"]) == (None, False)
    assert asked["options"]["kind"] == "CreateOptions"
    await api("DELETE", f"{MAPS}/m")
    assert webhook.asked[1]["operation"] == "DELETE"
    assert webhook.asked[1]["object"] is None
    assert webhook.asked[1]["oldObject"]["data"] == {"a": "1"}


REFUSALS = {
    "with a message": (
        {"status": {"message": "not today", "code": 403, "reason": "Forbidden"}},
        403,
        'admission webhook "one.example.com" denied the request: not today',
    ),
    "with a reason": (
        {"status": {"reason": "Conflict", "code": 409}},
        409,
        'admission webhook "one.example.com" denied the request: Conflict',
    ),
    "without a word": ({}, 400, 'admission webhook "one.example.com" denied the request without explanation'),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals(api: Any, webhook: Any, name: str) -> None:
    said, code, message = REFUSALS[name]
    webhook.answers["/"] = lambda _request: {"allowed": False, **said}
    await configure(api, "validating", hook(webhook.url()))
    answer = await api("POST", MAPS, config_map())
    assert (answer.status, answer.message) == (code, message)


async def test_warnings_and_annotations_are_passed_on(api: Any, webhook: Any) -> None:
    webhook.answers["/"] = lambda _request: {
        "allowed": True, "warnings": ["old"], "auditAnnotations": {"k": "v"}
    }  # fmt: skip
    await configure(api, "validating", hook(webhook.url()))
    answer = await api("POST", MAPS, config_map())
    assert answer.headers["warning"] == '299 - "old"'


async def test_patches_change_the_object_in_order_of_names(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/a"] = webhooks.patch({"op": "add", "path": "/data/b", "value": "2"})
    webhook.answers["/b"] = webhooks.patch({"op": "replace", "path": "/data/b", "value": "3"})
    await configure(api, "mutating", hook(webhook.url("/b")), name="z")
    await configure(api, "mutating", hook(webhook.url("/a")), name="a")
    await configure(api, "validating", hook(webhook.url("/v")))
    made = await api.create(MAPS, config_map())
    assert made["data"] == {"a": "1", "b": "3"}
    assert [path.partition("?")[0] for path in webhook.paths] == ["/a", "/b", "/v"]
    assert webhook.asked[2]["object"]["data"]["b"] == "3"


async def test_if_needed_asks_again_after_later_changes(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/b"] = webhooks.patch({"op": "add", "path": "/data/b", "value": "2"})
    first = hook(webhook.url("/a"), "a.example.com", reinvocationPolicy="IfNeeded")
    never = hook(webhook.url("/n"), "n.example.com")
    await configure(api, "mutating", first, never, hook(webhook.url("/b"), "b.example.com"))
    await api.create(MAPS, config_map())
    assert [path.partition("?")[0] for path in webhook.paths] == ["/a", "/n", "/b", "/a"]
    assert webhook.asked[3]["object"]["data"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("name", "fields", "calls"),
    [
        ("label chosen", {"objectSelector": {"matchLabels": {"app": "x"}}}, 1),
        ("label not chosen", {"objectSelector": {"matchLabels": {"app": "y"}}}, 0),
        (
            "namespace by name",
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}},
            1,
        ),
        ("namespace not chosen", {"namespaceSelector": {"matchLabels": {"team": "a"}}}, 0),
        ("other operation", {"rules": [{**RULE, "operations": ["UPDATE"]}]}, 0),
        ("other resource", {"rules": [{**RULE, "resources": ["pods"]}]}, 0),
        ("all resources", {"rules": [{**RULE, "resources": ["*/*"]}]}, 1),
        ("subresources only", {"rules": [{**RULE, "resources": ["*/status"]}]}, 0),
        ("cluster scope", {"rules": [{**RULE, "scope": "Cluster"}]}, 0),
        ("namespaced scope", {"rules": [{**RULE, "scope": "Namespaced"}]}, 1),
    ],
)
async def test_who_is_asked(api: Any, webhook: Any, name: str, fields: dict[str, Any], calls: int) -> None:
    await configure(api, "validating", hook(webhook.url(), **fields))
    await api.create(MAPS, config_map(app="x"))
    assert len(webhook.asked) == calls


@pytest.mark.parametrize(("policy", "calls"), [("Exact", 0), ("Equivalent", 1)])
async def test_equivalent_versions(api: Any, webhook: Any, policy: str, calls: int) -> None:
    rule = {
        "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["horizontalpodautoscalers"],
    }  # fmt: skip
    await configure(api, "validating", hook(webhook.url(), rules=[rule], matchPolicy=policy))
    body = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3,
        },
    }
    await api.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", body)
    assert len(webhook.asked) == calls
    for asked in webhook.asked:
        assert asked["object"]["apiVersion"] == "autoscaling/v1"
        assert asked["requestKind"]["version"] == "v2"


SCALING = {
    "apiGroups": ["apps"],
    "apiVersions": ["v1"],
    "operations": ["UPDATE"],
    "resources": ["deployments/scale"],
}
SCALE_PATH = "/apis/apps/v1/namespaces/default/deployments/d/scale"


async def deploy(api: Any) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    body = {"metadata": {"name": "d"}, "spec": spec}
    await api.create("/apis/apps/v1/namespaces/default/deployments", body)


async def test_writes_of_a_scale_show_the_scale(api: Any, webhook: Any) -> None:
    await deploy(api)
    await configure(api, "validating", hook(webhook.url(), rules=[SCALING]))
    assert (await api.patch(SCALE_PATH, {"spec": {"replicas": 3}})).status == 200
    (asked,) = webhook.asked
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (asked["resource"]["resource"], asked["subResource"]) == ("deployments", "scale")
    assert (asked["oldObject"]["kind"], asked["oldObject"]["spec"]) == ("Scale", {"replicas": 1})
    assert (asked["object"]["kind"], asked["object"]["spec"]) == ("Scale", {"replicas": 3})


async def test_a_scale_may_be_changed(api: Any, webhook: Any, webhooks: Any) -> None:
    await deploy(api)
    webhook.answers["/"] = webhooks.patch({"op": "replace", "path": "/spec/replicas", "value": 5})
    await configure(api, "mutating", hook(webhook.url(), rules=[SCALING]))
    assert (await api.patch(SCALE_PATH, {"spec": {"replicas": 3}})).json["spec"] == {"replicas": 5}
    seen = await api.get(SCALE_PATH.removesuffix("/scale"))
    assert seen["spec"]["replicas"] == 5


async def test_configurations_cannot_lock_themselves(api: Any, webhook: Any) -> None:
    webhook.answers["/"] = lambda _request: {"allowed": False}
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    await configure(api, "validating", hook(webhook.url(), rules=[everything]))
    answer = await api("DELETE", f"{GROUP}/validatingwebhookconfigurations/c")
    assert answer.status == 200
    await api.settle()
    await api.create(MAPS, config_map())


async def test_dry_run_needs_no_side_effects(api: Any, webhook: Any) -> None:
    await configure(api, "validating", hook(webhook.url()))
    answer = await api("POST", f"{MAPS}?dryRun=All", config_map())
    assert answer.status == 201
    assert webhook.asked[0]["dryRun"] is True


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "nobody listens": (
        {"clientConfig": {"url": "https://127.0.0.1:1/x"}},
        'failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: '
        "connection refused",
    ),
    "no service": (
        {"clientConfig": {"service": {"namespace": "default", "name": "gone", "path": "/p"}}},
        'failed to call webhook: Post "https://gone.default.svc:443/p?timeout=10s": service "gone" not found',
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures(api: Any, webhook: Any, name: str) -> None:
    fields, message = FAILURES[name]
    one = {**hook(webhook.url()), **fields}
    await configure(api, "validating", one)
    answer = await api("POST", MAPS, config_map())
    assert answer.status == 500
    assert answer.message == f'Internal error occurred: failed calling webhook "one.example.com": {message}'
    answer = await api.patch(
        f"{GROUP}/validatingwebhookconfigurations/c", {"webhooks": [{**one, "failurePolicy": "Ignore"}]}
    )
    await api.settle()
    await api.create(MAPS, config_map())


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            Response(500, {}, b"boom"),
            'failed to call webhook: an error on the server ("boom") has prevented the request from '
            "succeeding",
        ),
        (
            Response(404, {}, b"404"),
            "failed to call webhook: the server could not find the requested resource",
        ),
        (
            Response(200, {}, b"{}"),
            "received invalid webhook response: webhook response was absent",
        ),
        (
            Response(200, {}, b'{"a":no}'),
            "failed to call webhook: couldn't get version/kind; json parse error: invalid character 'o' in "
            "literal null (expecting 'u')",
        ),
    ],
)
async def test_answers_that_are_none(api: Any, webhook: Any, response: Response, message: str) -> None:
    webhook.raw["/"] = response
    await configure(api, "validating", hook(webhook.url()))
    answer = await api("POST", MAPS, config_map())
    assert answer.message.endswith(f'failed calling webhook "one.example.com": {message}')


async def test_half_an_answer(api: Any, webhook: Any) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        raise ConnectionResetError

    webhook.raw["/"] = Response(200, {}, stream=half())
    await configure(api, "validating", hook(webhook.url()))
    answer = await api("POST", MAPS, config_map())
    assert answer.message.endswith(
        "failed to call webhook: unexpected error when reading response body. Please retry. "
        "Original error: unexpected EOF"
    )


async def test_a_webhook_that_hangs(api: Any, webhook: Any) -> None:
    webhook.hang = True
    await configure(api, "validating", hook(webhook.url("/slow"), timeoutSeconds=1))
    answer = await api("POST", MAPS, config_map())
    assert answer.message.endswith('/slow?timeout=1s": context deadline exceeded')


async def test_an_unknown_authority(api: Any, webhook: Any, webhooks: Any) -> None:
    async with webhooks.webhook_server() as other:
        client = {**webhook.url(), "caBundle": other.bundle}
        await configure(api, "validating", hook(client))
        answer = await api("POST", MAPS, config_map())
    assert answer.message.endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


def endpoint_slice(port: int) -> dict[str, Any]:
    """What serves hooks; it goes straight into the store, for the API does not take loopback addresses."""
    labels = {"kubernetes.io/service-name": "hooks"}
    meta = {"name": "hooks-1", "namespace": "default", "labels": labels, "uid": "u"}
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta,
        "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"name": "", "port": port}],
    }  # fmt: skip


async def test_nobody_is_asked_who_has_served_a_service_before(api: Any, webhooks: Any) -> None:
    """A connection that is kept leads to who was there: another may have its address by now."""
    service = {"metadata": {"name": "hooks"}, "spec": {"ports": [{"port": 443}]}}
    await api.create("/api/v1/namespaces/default/services", service)
    row = api.server.table.by_path("discovery.k8s.io", "v1", "endpointslices")
    name = "hooks.default.svc"
    async with webhooks.webhook_server(name) as first, webhooks.webhook_server(name) as second:
        served = await api.server.objects.create(row, endpoint_slice(first.port))
        bundle = base64.b64encode(first.ca.certificate + second.ca.certificate).decode()
        client = {"service": {"namespace": "default", "name": "hooks"}, "caBundle": bundle}
        await configure(api, "validating", hook(client))
        await api.create(MAPS, config_map("a"))
        await api.server.objects.update(row, endpoint_slice(second.port), served.revision)
        await api.create(MAPS, config_map("b"))
        assert [one["name"] for one in first.asked] == ["a"]
        assert [one["name"] for one in second.asked] == ["b"]


async def test_a_service_is_resolved_to_an_endpoint(api: Any, webhooks: Any) -> None:
    service = {"metadata": {"name": "hooks"}, "spec": {"ports": [{"port": 443}]}}
    made = await api.create("/api/v1/namespaces/default/services", service)
    async with webhooks.webhook_server("hooks.default.svc") as webhook:
        row = api.server.table.by_path("discovery.k8s.io", "v1", "endpointslices")
        await api.server.objects.create(row, endpoint_slice(webhook.port))
        client = {
            "service": {"namespace": "default", "name": "hooks", "path": "/v"}, "caBundle": webhook.bundle
        }  # fmt: skip
        await configure(api, "validating", hook(client))
        await api.create(MAPS, config_map())
        assert webhook.paths == ["/v?timeout=10s"]
    answer = await api("POST", MAPS, config_map("unasked"))
    assert answer.message.endswith(
        'Post "https://hooks.default.svc:443/v?timeout=10s": '
        f"dial tcp {made['spec']['clusterIP']}:443: connect: connection refused"
    )


async def test_exec_can_be_denied(api: Any, webhook: Any, make_pod: Any) -> None:
    webhook.answers["/"] = lambda _request: {"allowed": False, "status": {"message": "no shells"}}
    rule = {**RULE, "operations": ["CONNECT"], "resources": ["pods/exec"]}
    await configure(api, "validating", hook(webhook.url(), rules=[rule]))
    await api.create("/api/v1/namespaces/default/pods", make_pod("p"))
    path = "/api/v1/namespaces/default/pods/p/exec?command=sh&command=-l&stdin=true&container=c"
    answer = await api("POST", path)
    assert answer.message == 'admission webhook "one.example.com" denied the request: no shells'
    (asked,) = webhook.asked
    assert asked["kind"]["kind"] == "PodExecOptions"
    assert (asked["name"], asked["subResource"], asked["operation"]) == ("p", "exec", "CONNECT")
    assert asked["object"] == {
        "kind": "PodExecOptions", "apiVersion": "v1", "stdin": True, "container": "c",
        "command": ["sh", "-l"],
    }  # fmt: skip


@pytest.mark.parametrize("versions", [["v1beta1"], ["v0", "v1beta1", "v1"], ["v1", "v1beta1"]])
async def test_the_first_known_version_of_reviews_is_asked(
    api: Any, webhook: Any, webhooks: Any, versions: list[str]
) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/b", "value": "2"})
    await configure(api, "mutating", {**hook(webhook.url()), "admissionReviewVersions": versions})
    made = await api.create(MAPS, config_map())
    assert made["data"]["b"] == "2"
    wanted = next(version for version in versions if version != "v0")
    assert webhook.versions == [f"admission.k8s.io/{wanted}"]


async def test_versions_that_nobody_knows() -> None:
    spec = {"name": "one.example.com", "admissionReviewVersions": ["v9"]}
    (read,) = read_hooks({"metadata": {"name": "c"}, "webhooks": [spec]})
    assert read.review_version is None


@pytest.mark.parametrize(("query", "told"), [("", 10), ("?timeout=4s", 4), ("?timeout=30s", 10)])
async def test_a_webhook_is_told_what_time_the_request_has(
    api: Any, webhook: Any, query: str, told: int
) -> None:
    await configure(api, "validating", hook(webhook.url()))
    await api.create(f"{MAPS}{query}", config_map())
    assert webhook.paths == [f"/?timeout={told}s"]


async def test_what_webhooks_note_for_audits_has_names(api: Any, webhook: Any) -> None:
    noted = {"key": "v", "bad*key": "v", "a/b": "v"}
    webhook.answers["/"] = lambda _request: {"allowed": True, "auditAnnotations": noted}
    await configure(api, "validating", hook(webhook.url()))
    headers = {"authorization": "Bearer admin", "content-type": "application/json"}
    request = Request("POST", MAPS, "", headers, orjson.dumps(config_map()))
    kept = request.scope["audit_annotations"] = {}
    assert (await api.server.handler(request)).status == 201
    assert [key for key in kept if "example.com" in key] == ["one.example.com/key"]
