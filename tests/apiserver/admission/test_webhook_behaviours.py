"""Admission webhooks as operators use them: the conformance behaviours, on a webhook at loopback."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.admission.hooked import (
    CRDS,
    DENIED,
    FOOS,
    GROUP,
    KINDS,
    MAPS,
    PODS,
    config_map,
    configure,
    define,
    foo,
    hook,
    path_of,
    refuse,
    rule,
)

from tiphys.apiserver.subresources import SUBRESOURCES

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


@pytest.mark.parametrize("kind", KINDS)
async def test_listed_and_deleted_together(api: Any, webhook: Any, webhooks: Any, kind: str) -> None:
    if kind == "mutating":
        webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    else:
        webhook.answers["/"] = refuse
    for index in range(10):
        await configure(api, kind, hook(webhook.url()), name=f"c{index}", set="mine")
    await configure(api, kind, hook(webhook.url(), rule("secrets")), name="other")
    listed = await api.get(path_of(kind) + "?labelSelector=set=mine")
    assert len(listed["items"]) == 10
    answer = await api("POST", MAPS, config_map("a", x="1"))
    if kind == "mutating":
        assert answer.json["data"] == {"x": "1", "added": "1"}
    else:
        assert answer.message == DENIED
    await api("DELETE", path_of(kind) + "?labelSelector=set=mine")
    await api.settle()
    assert len((await api.get(path_of(kind)))["items"]) == 1
    assert (await api.create(MAPS, config_map("b", x="1")))["data"] == {"x": "1"}


@pytest.mark.parametrize("kind", KINDS)
async def test_changed_rules_count_at_once(api: Any, webhook: Any, webhooks: Any, kind: str) -> None:
    change = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    webhook.answers["/"] = change if kind == "mutating" else refuse
    made = await configure(api, kind, hook(webhook.url()))
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    await api.put(path_of(kind, "c"), made)
    await api.settle()
    assert (await api.create(MAPS, config_map("a", x="1")))["data"] == {"x": "1"}
    again = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    assert (await api.patch(path_of(kind, "c"), again, "json")).status == 200
    await api.settle()
    answer = await api("POST", MAPS, config_map("b", x="1"))
    assert answer.status == (201 if kind == "mutating" else 400)
    assert kind == "validating" or answer.json["data"] == {"x": "1", "added": "1"}


async def test_pods_and_maps_are_refused(api: Any, webhook: Any, make_pod: Any) -> None:
    def judge(request: Any) -> dict[str, Any]:
        obj = request["object"]
        bad = "bad" in obj["metadata"]["name"] or obj.get("data", {}).get("key") == "bad"
        return refuse(request) if bad else {"allowed": True}

    webhook.answers["/"] = judge
    selector = {"matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}]}
    rules = rule("pods"), rule("configmaps")
    await configure(api, "validating", hook(webhook.url(), *rules, namespaceSelector=selector))
    assert (await api("POST", PODS, make_pod("bad-pod"))).message == DENIED
    assert (await api("POST", MAPS, config_map("bad-map"))).message == DENIED
    good = await api.create(MAPS, config_map("good", key="good"))
    good["data"]["key"] = "bad"
    assert (await api("PUT", f"{MAPS}/good", good)).message == DENIED
    assert (await api.patch(f"{MAPS}/good", {"data": {"key": "bad"}})).message == DENIED
    await api.create("/api/v1/namespaces", {"metadata": {"name": "free", "labels": {"skip": "yes"}}})
    await api.create("/api/v1/namespaces/free/configmaps", config_map("bad-map"))


async def test_attach_can_be_denied(api: Any, webhook: Any, make_pod: Any) -> None:
    webhook.answers["/"] = refuse
    await configure(api, "validating", hook(webhook.url(), rule("pods/attach", "", "CONNECT")))
    await api.create(PODS, make_pod("p"))
    answer = await api("POST", f"{PODS}/p/attach?stdin=true&container=c")
    assert answer.message == DENIED
    assert [asked["operation"] for asked in webhook.asked] == ["CONNECT"]


async def test_custom_objects_are_refused(api: Any, webhook: Any) -> None:
    await define(api)
    await api.create(FOOS, foo("before"))
    webhook.answers["/"] = refuse
    await configure(api, "validating", hook(webhook.url(), rule("foos", "example.com")))
    assert (await api("POST", FOOS, foo())).message == DENIED
    assert (await api.patch(f"{FOOS}/before", {"data": {"x": "1"}})).message == DENIED
    assert (await api("DELETE", f"{FOOS}/before")).message == DENIED
    assert [asked["operation"] for asked in webhook.asked] == ["CREATE", "UPDATE", "DELETE"]


async def test_definitions_are_refused(api: Any, webhook: Any) -> None:
    webhook.answers["/"] = refuse
    rules = rule("customresourcedefinitions", "apiextensions.k8s.io", "CREATE")
    await configure(api, "validating", hook(webhook.url(), rules))
    version = {"name": "v1", "served": True, "storage": True,
               "schema": {"openAPIV3Schema": {"type": "object"}}}  # fmt: skip
    names = {"plural": "foos", "kind": "Foo"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    answer = await api("POST", CRDS, {"metadata": {"name": "foos.example.com"}, "spec": spec})
    assert answer.message == DENIED
    assert (await api("GET", f"{CRDS}/foos.example.com")).status == 404


async def test_two_webhooks_change_one_map(api: Any, webhook: Any, webhooks: Any) -> None:
    def adds(seen: str, key: str) -> Any:
        change = webhooks.patch({"op": "add", "path": f"/data/{key}", "value": "yes"})
        return lambda request: change(request) if seen in request["object"]["data"] else {"allowed": True}

    webhook.answers["/1"] = adds("start", "stage-1")
    webhook.answers["/2"] = adds("stage-1", "stage-2")
    first, second = hook(webhook.url("/1")), hook(webhook.url("/2"), name="two.example.com")
    await configure(api, "mutating", first, second)
    made = await api.create(MAPS, config_map(start="yes"))
    assert made["data"] == {"start": "yes", "stage-1": "yes", "stage-2": "yes"}
    assert (await api.create(MAPS, config_map("n", other="x")))["data"] == {"other": "x"}


async def test_numbers_of_custom_objects_are_shown_as_go_writes_them(
    api: Any, webhook: Any, webhooks: Any
) -> None:
    """So is what a patch leaves of them."""
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/b", "value": 1})
    await define(api)
    await configure(api, "mutating", hook(webhook.url(), rule("foos", "example.com")))
    body = orjson.dumps(foo(a="?")).replace(b'"?"', b"3.0")
    made = await api("POST", FOOS, body)
    assert made.json["data"] == {"a": 3, "b": 1}
    assert [type(asked["object"]["data"]["a"]) for asked in webhook.asked] == [int]
    dry = await api("POST", f"{FOOS}?dryRun=All", body.replace(b'"f"', b'"g"'))
    assert b'"data":{"a":3,"b":1}' in dry.raw


async def test_custom_objects_are_changed_and_pruned(api: Any, webhook: Any, webhooks: Any) -> None:
    kept = {
        "type": "object",
        "properties": {
            "data": {
                "type": "object",
                "properties": {"start": {"type": "string"}, "known": {"type": "string"}},
            }
        },
    }
    await define(api, schema=kept)
    webhook.answers["/"] = webhooks.patch(
        {"op": "add", "path": "/data/known", "value": "1"},
        {"op": "add", "path": "/data/unknown", "value": "1"},
    )
    await configure(api, "mutating", hook(webhook.url(), rule("foos", "example.com", "CREATE")))
    assert (await api.create(FOOS, foo(start="yes")))["data"] == {"start": "yes", "known": "1"}
    assert (await api.get(f"{FOOS}/f"))["data"] == {"start": "yes", "known": "1"}


async def test_custom_objects_of_another_stored_version(api: Any, webhook: Any, webhooks: Any) -> None:
    v1 = {"name": "v1", "served": True, "storage": True}
    v2 = {"name": "v2", "served": True, "storage": False}
    crd = await define(api, v1, v2)
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/changed", "value": "yes"})
    await configure(api, "mutating", hook(webhook.url(), rule("foos", "example.com", versions="v1")))
    await api.create(FOOS, foo(x="1"))
    versions = [{**one, "storage": one["name"] == "v2"} for one in crd["spec"]["versions"]]
    assert (await api.patch(f"{CRDS}/foos.example.com", {"spec": {"versions": versions}})).status == 200
    await api.settle()
    patched = await api.patch(f"{FOOS}/f", {"data": {"new": "value"}})
    assert patched.json["data"] == {"x": "1", "changed": "yes", "new": "value"}


async def test_what_is_added_to_a_pod_has_defaults(
    api: Any, webhook: Any, webhooks: Any, make_pod: Any
) -> None:
    more = [{"name": "added", "image": "nginx"}]
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/spec/initContainers", "value": more})
    await configure(api, "mutating", hook(webhook.url(), rule("pods", "", "CREATE")))
    (added,) = (await api.create(PODS, make_pod("p")))["spec"]["initContainers"]
    assert (added["name"], added["terminationMessagePolicy"]) == ("added", "File")


async def test_webhooks_are_not_asked_about_webhooks(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/m"] = webhooks.patch({"op": "add", "path": "/metadata/labels", "value": {"hit": "1"}})
    webhook.answers["/v"] = refuse
    every = rule("*", "admissionregistration.k8s.io")
    await configure(api, "mutating", hook(webhook.url("/m"), every), name="m")
    await configure(api, "validating", hook(webhook.url("/v"), every), name="v")
    for kind in KINDS:
        made = await configure(api, kind, hook(webhook.url("/none"), rule("secrets")), name="dummy")
        assert "hit" not in made["metadata"].get("labels", {})
        assert (await api("DELETE", path_of(kind, "dummy"))).status == 200
    assert webhook.asked == []


async def test_a_webhook_that_cannot_be_called_closes(api: Any, webhook: Any) -> None:
    client = {"url": webhook.url()["url"]}
    await configure(api, "validating", hook(client, failurePolicy="Fail"))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == 500
    assert 'failed calling webhook "one.example.com"' in answer.message


async def test_discovery_has_the_resources(api: Any) -> None:
    groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
    versions = [one["groupVersion"] for one in groups["admissionregistration.k8s.io"]["versions"]]
    assert "admissionregistration.k8s.io/v1" in versions
    assert (await api.get("/apis/admissionregistration.k8s.io"))["name"] == "admissionregistration.k8s.io"
    names = {one["name"] for one in (await api.get(GROUP))["resources"]}
    assert names >= {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}


async def test_what_a_webhook_makes_of_an_exec_is_what_is_run(
    api: Any, webhook: Any, webhooks: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.create(PODS, make_pod())
    webhook.answers["/"] = webhooks.patch(
        {"op": "replace", "path": "/command", "value": ["id"]}, {"op": "remove", "path": "/stdin"}
    )
    await configure(api, "mutating", hook(webhook.url(), rule("pods/exec", "", "CONNECT")))
    seen: list[Any] = []

    async def serve(call: Any) -> Any:
        seen.append(dict(call.query))
        return await SUBRESOURCES["", "pods", "log"](call)

    monkeypatch.setitem(SUBRESOURCES, ("", "pods", "exec"), serve)
    await api("GET", f"{PODS}/p/exec?command=sh&command=-c&stdin=true&stdout=true&container=c")
    assert seen == [{"command": ["id"], "stdout": ["true"], "container": ["c"]}]


@pytest.mark.parametrize(("path", "kept"), [("/other", "/other"), (None, "")])
async def test_changed_paths_of_proxies(
    api: Any,
    webhook: Any,
    webhooks: Any,
    make_pod: Any,
    monkeypatch: pytest.MonkeyPatch,
    path: Any,
    kept: str,
) -> None:
    await api.create(PODS, make_pod())
    change = {"op": "remove", "path": "/path"} if path is None else {
        "op": "replace", "path": "/path", "value": path
    }  # fmt: skip
    webhook.answers["/"] = webhooks.patch(change)
    await configure(api, "mutating", hook(webhook.url(), rule("pods/proxy", "", "CONNECT")))
    seen: list[Any] = []

    async def serve(call: Any) -> Any:
        seen.append(call.request.scope.get("proxied_path"))
        return await SUBRESOURCES["", "pods", "log"](call)

    monkeypatch.setitem(SUBRESOURCES, ("", "pods", "proxy"), serve)
    await api("GET", f"{PODS}/p/proxy/some/path")
    assert seen == [kept]


async def test_namespaces_are_chosen_by_the_labels_that_they_have(api: Any, webhook: Any) -> None:
    path = "/api/v1/namespaces"
    chosen = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    parts = hook(webhook.url(), rule("namespaces/*", "", "UPDATE"), **chosen)
    await configure(api, "validating", parts)
    for name, labels in (("mine", {"team": "a"}), ("other", {})):
        made = await api.create(path, {"metadata": {"name": name, "labels": labels}})
        made["metadata"]["labels"]["team"] = "a"
        await api.put(f"{path}/{name}/status", made)
        await api.put(f"{path}/{name}/finalize", await api.get(f"{path}/{name}"))
    asked = [(one["name"], one["subResource"]) for one in webhook.asked]
    assert asked == [("mine", "status"), ("mine", "finalize"), ("other", "finalize")]


async def test_what_an_update_may_not_touch_no_webhook_touches(api: Any, webhook: Any, webhooks: Any) -> None:
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    made = {"metadata": {"name": "b"}, "spec": {"maxUnavailable": 1}}
    await api.create(path, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", **made})
    webhook.answers["/"] = webhooks.patch(
        {"op": "replace", "path": "/spec/maxUnavailable", "value": 2},
        {"op": "add", "path": "/status/observedGeneration", "value": 77},
        {"op": "add", "path": "/metadata/generation", "value": 99},
    )
    rules = rule("poddisruptionbudgets", "policy", "UPDATE"), rule("poddisruptionbudgets/status", "policy")
    await configure(api, "mutating", hook(webhook.url(), *rules))
    status = (await api.patch(f"{path}/b/status", {"status": {"desiredHealthy": 5}})).json
    assert status["spec"]["maxUnavailable"] == 1
    assert status["metadata"]["generation"] == 1
    assert (status["status"]["observedGeneration"], status["status"]["desiredHealthy"]) == (77, 5)
    webhook.answers["/"] = webhooks.patch(
        {"op": "replace", "path": "/spec/maxUnavailable", "value": 2},
        {"op": "add", "path": "/status/observedGeneration", "value": 78},
    )
    changed = (await api.patch(f"{path}/b", {"metadata": {"labels": {"a": "b"}}})).json
    assert changed["spec"]["maxUnavailable"] == 2
    assert changed["metadata"]["generation"] == 2  # nobody but the webhook changed the spec
    assert changed["status"]["observedGeneration"] == 77
