"""Admission webhooks as operators use them: the conformance behaviours, on a webhook at loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tiphys.apiserver.subresources import SUBRESOURCES
from tiphys.wire import client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest_asyncio.fixture(loop_scope="module")
async def own_api(serving: Any) -> AsyncIterator[Any]:
    """A server for one test, which may turn its clock."""
    async with serving() as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def webhook(webhooks: Any) -> AsyncIterator[Any]:
    """A webhook of the test's own, in the loop of all."""
    async with webhooks.webhook_server() as server:
        yield server


GROUP = "/apis/admissionregistration.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
FOOS = "/apis/example.com/v1/namespaces/default/foos"
KINDS = ("mutating", "validating")


def rule(resources: str, group: str = "", *operations: str, versions: str = "*") -> dict[str, Any]:
    return {
        "apiGroups": [group], "apiVersions": [versions], "operations": list(operations) or ["*"],
        "resources": [resources],
    }  # fmt: skip


def hook(client: Any, *rules: Any, name: str = "one.example.com", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "clientConfig": client,
        "rules": list(rules) or [rule("configmaps")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


def path_of(kind: str, name: str = "") -> str:
    return f"{GROUP}/{kind}webhookconfigurations" + (f"/{name}" if name else "")


async def configure(api: Any, kind: str, *hooks: Any, name: str = "c", **labels: str) -> Any:
    body = {"metadata": {"name": name, "labels": labels}, "webhooks": list(hooks)}
    made = await api.create(path_of(kind), body)
    await api.settle()
    return made


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def refuse(_request: Any) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": "no"}}


DENIED = 'admission webhook "one.example.com" denied the request: no'


async def define(api: Any, *versions: dict[str, Any], schema: Any = None) -> Any:
    """Create the definition of Foos and wait until it is served."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schemas = {"openAPIV3Schema": schema or free}
    listed = versions or ({"name": "v1", "served": True, "storage": True},)
    body = {
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"schema": schemas, **one} for one in listed],
        },
    }  # fmt: skip
    made = await api.create(CRDS, body)
    response = await api.send("GET", f"{CRDS}?watch=true&fieldSelector=metadata.name=foos.example.com")
    async with asyncio.timeout(20):
        async for chunk in response.stream:
            if b'"Established","status":"True"' in chunk or b'"type":"Established"' in chunk:
                break
    await response.stream.aclose()
    await api.settle()
    return made


def foo(name: str = "f", **data: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": name}, "data": data}


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


@pytest.mark.parametrize("kind", KINDS)
async def test_match_conditions_are_kept(api: Any, webhook: Any, kind: str) -> None:
    first = [{"name": "first", "expression": "request.name != 'x'"}]
    made = await configure(api, kind, hook(webhook.url(), matchConditions=first))
    assert made["webhooks"][0]["matchConditions"] == first
    made["webhooks"][0]["matchConditions"] = [*first, {"name": "second", "expression": "true"}]
    await api.put(path_of(kind, "c"), made)
    found = (await api.get(path_of(kind, "c")))["webhooks"][0]["matchConditions"]
    assert [one["name"] for one in found] == ["first", "second"]


@pytest.mark.parametrize("kind", KINDS)
async def test_invalid_match_conditions_are_refused(api: Any, webhook: Any, kind: str) -> None:
    bad = [{"name": "bad", "expression": "... [] bad expression"}]
    body = {"metadata": {"name": "c"}, "webhooks": [hook(webhook.url(), matchConditions=bad)]}
    answer = await api("POST", path_of(kind), body)
    assert answer.status == 422
    assert answer.message.startswith(
        f'{kind.title()}WebhookConfiguration.admissionregistration.k8s.io "c" is invalid: '
        'webhooks[0].matchConditions[0].expression: Invalid value: "... [] bad expression": '
        "compilation failed: ERROR: <input>:1:2: Syntax error: "
    )


async def test_all_but_one_map_are_changed(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    skip = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    await configure(api, "mutating", hook(webhook.url(), matchConditions=skip))
    assert (await api.create(MAPS, config_map("skip-me", x="1")))["data"] == {"x": "1"}
    assert (await api.create(MAPS, config_map("other", x="1")))["data"] == {"x": "1", "added": "1"}


CONDITIONS: dict[str, tuple[list[str], dict[str, Any], int, bool]] = {
    "hold": (["true", "request.operation == 'CREATE'"], {}, 201, True),
    "do not hold": (["true", "false"], {}, 201, False),
    "rights": (["authorizer.group('').resource('secrets').check('get').allowed()"], {}, 201, True),
    "fail": (["object.none == 1"], {}, 403, False),
    "fail beside one that is false": (["object.none == 1", "false"], {}, 201, False),
    "fail and are ignored": (["object.none == 1"], {"failurePolicy": "Ignore"}, 201, False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CONDITIONS)
async def test_conditions_decide_who_is_asked(api: Any, webhook: Any, kind: str, case: str) -> None:
    expressions, fields, status, asked = CONDITIONS[case]
    conditions = [{"name": f"c{index}", "expression": one} for index, one in enumerate(expressions)]
    await configure(api, kind, hook(webhook.url(), matchConditions=conditions, **fields))
    answer = await api("POST", MAPS, config_map())
    assert (answer.status, bool(webhook.paths)) == (status, asked)
    if status == 403:
        assert answer.message == (
            'configmaps "m" is forbidden: '
            "expression 'object.none == 1' resulted in error: no such key: none"
        )


async def test_conditions_see_what_earlier_webhooks_have_made(api: Any, webhook: Any, webhooks: Any) -> None:
    webhook.answers["/"] = webhooks.patch({"op": "add", "path": "/data/added", "value": "1"})
    webhook.answers["/second"] = webhooks.patch({"op": "add", "path": "/data/second", "value": "1"})
    condition = [{"name": "c", "expression": "has(object.data.added)"}]
    second = hook(webhook.url("/second"), name="two.example.com", matchConditions=condition)
    await configure(api, "mutating", hook(webhook.url()), second)
    assert (await api.create(MAPS, config_map(x="1")))["data"] == {"x": "1", "added": "1", "second": "1"}


async def test_stored_conditions_are_not_judged_again(api: Any, webhook: Any) -> None:
    """An object that holds what would not be let in today can still be changed elsewhere."""
    made = await configure(api, "validating", hook(webhook.url(), rule("secrets")))
    row = api.server.table.by_path("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
    made["webhooks"][0]["matchConditions"] = [{"name": "c", "expression": "nonsense("}]
    await api.server.objects.update(row, made, int(made["metadata"]["resourceVersion"]))
    answer = await api.patch(path_of("validating", "c"), {"metadata": {"labels": {"a": "b"}}})
    assert answer.status == 200, answer.message
    conditions = [{"name": "c", "expression": "nonsense(1"}]
    webhooks_now = [{**made["webhooks"][0], "matchConditions": conditions}]
    assert (await api.patch(path_of("validating", "c"), {"webhooks": webhooks_now})).status == 422


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


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)])
async def test_timeouts(api: Any, webhook: Any, policy: str, status: int) -> None:
    webhook.hang = True
    await configure(api, "validating", hook(webhook.url(), timeoutSeconds=1, failurePolicy=policy))
    answer = await api("POST", MAPS, config_map())
    assert answer.status == status
    assert status == 201 or "context deadline exceeded" in answer.message


def taking(api: Any, seconds: float) -> Any:
    """Return an answer that takes time, as the server's clock sees it."""

    def answer(_request: Any) -> dict[str, Any]:
        api.clock.advance(seconds)
        return {"allowed": True}

    return answer


async def test_webhooks_share_the_time_of_the_request(own_api: Any, webhook: Any) -> None:
    """What one has taken is not left for the next; those that are asked at once have the same."""
    patience = {"mutating": (20, 5, 20), "validating": (5, 10, 20)}
    for kind, allowed in patience.items():
        hooks = []
        for number, seconds in enumerate(allowed):
            if kind == "mutating":
                webhook.answers[f"/{kind}/{number}"] = taking(own_api, 1)
            client = webhook.url(f"/{kind}/{number}")
            hooks.append(hook(client, name=f"w{number}.example.com", timeoutSeconds=seconds))
        await configure(own_api, kind, *hooks)
    await own_api.create(f"{MAPS}?timeout=10s", config_map())
    told = [path.removesuffix("s").split("?timeout=") for path in webhook.paths]
    assert [(path, int(seconds)) for path, seconds in told[:3]] == [
        ("/mutating/0", 10), ("/mutating/1", 5), ("/mutating/2", 8),
    ]  # fmt: skip
    assert sorted((path, int(seconds)) for path, seconds in told[3:]) == [
        ("/validating/0", 5), ("/validating/1", 7), ("/validating/2", 7),
    ]  # fmt: skip


async def test_nobody_else_is_asked_once_the_time_is_over(own_api: Any, webhook: Any) -> None:
    """Not even where the failure of the webhook that took it is ignored."""

    def late(_request: Any) -> dict[str, Any]:
        own_api.clock.advance(5)
        return {"uid": "of another request", "allowed": True}

    webhook.answers["/0"] = late
    hooks = [hook(webhook.url(f"/{number}"), name=f"w{number}.example.com", failurePolicy="Ignore")
             for number in range(3)]  # fmt: skip
    await configure(own_api, "mutating", *hooks)
    answer = await own_api("POST", f"{MAPS}?timeout=3s", config_map())
    assert (answer.status, answer.json["reason"]) == (504, "Timeout")
    assert answer.message.startswith("Timeout: request did not complete within")
    assert webhook.paths == ["/0?timeout=3s"]
    assert (await own_api("GET", f"{MAPS}/m")).status == 404


async def test_connections_are_used_again(api: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many are made as there are writes at once, and none for those after them."""
    made, connect = [], client.connect

    async def counted(*place: Any, **how: Any) -> Any:
        made.append(place)
        return await connect(*place, **how)

    monkeypatch.setattr(client, "connect", counted)
    await configure(api, "validating", hook(webhook.url()))
    for turn in range(2):
        await asyncio.gather(*(api.create(MAPS, config_map(f"m{turn}{number}")) for number in range(5)))
        assert len(made) == 5
    assert len(webhook.paths) == 10


async def test_timeouts_are_the_default_ten_seconds_and_told(api: Any, webhook: Any) -> None:
    made = await configure(api, "validating", hook(webhook.url()), hook(webhook.url(), name="two.example.com",
                                                                         timeoutSeconds=7))  # fmt: skip
    assert [one["timeoutSeconds"] for one in made["webhooks"]] == [10, 7]
    await api.create(MAPS, config_map())
    assert sorted(webhook.paths) == ["/?timeout=10s", "/?timeout=7s"]


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
