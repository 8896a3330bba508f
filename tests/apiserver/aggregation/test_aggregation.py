"""APIServices over the API: local ones, discovery, requests that are passed on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.apiserver.aggregation.behind import (
    ADDRESS,
    GROUP_VERSION,
    NAME,
    SERVICES,
    WAIT_S,
    Extension,
    api_service,
    available,
    condition,
    serve_behind,
)

from tiphys.apimachinery.meta import get_condition
from tiphys.apiserver.aggregation import controller
from tiphys.apiserver.aggregation.proxying import _switch_fault
from tiphys.apiserver.outgoing import forwarding
from tiphys.apiserver.registry.objects import Selection
from tiphys.wire.message import Request, Response


async def test_built_in_groups_have_local_services(api: Any) -> None:
    found = {item["metadata"]["name"]: item for item in (await api.get(SERVICES))["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling"} <= found.keys()
    core = found["v1."]
    assert core["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert core["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    (only,) = core["status"]["conditions"]
    assert (only["type"], only["status"], only["reason"]) == ("Available", "True", "Local")


async def test_a_new_local_service_says_since_when_it_is_there(api: Any) -> None:
    spec = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    made = await api.create(SERVICES, {"metadata": {"name": "v1.a.b"}, "spec": spec})
    assert made["status"]["conditions"] == [
        {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": made["metadata"]["creationTimestamp"],
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
    ]


async def test_extension_servers_learn_whom_to_believe(api: Any) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    data = (await api.get(path))["data"]
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'
    assert data["requestheader-client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")


async def test_requests_are_passed_on_with_their_user(api: Any, extension: Extension) -> None:
    await available(api, extension)
    response = await api.send("GET", f"{GROUP_VERSION}/namespaces/default/pods?limit=5", user="admin")
    assert response.status == 200
    assert b"PodMetricsList" in b"".join([chunk async for chunk in response.stream])
    (asked,) = extension.asked
    assert asked.path == f"{GROUP_VERSION}/namespaces/default/pods"
    assert asked.raw_query == "limit=5"
    assert asked.headers["x-remote-user"] == "admin"
    assert asked.headers["x-remote-group"] == "system:masters, system:authenticated"
    assert "authorization" not in asked.headers


async def test_audit_ids_are_the_same_on_both_sides(api: Any, extension: Extension) -> None:
    await available(api, extension)
    for given in ({}, {"audit_id": "mine"}):
        response = await api.send("GET", f"{GROUP_VERSION}/pods", **given)
        assert [chunk async for chunk in response.stream]
        told = response.headers["audit-id"]
        assert extension.asked[-1].headers["audit-id"] == told == given.get("audit_id", told)
        assert [name for name in response.headers if name.lower() == "audit-id"] == ["audit-id"]


async def test_discovery_of_a_server_that_hangs_ends_soon(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    await available(api, extension)
    monkeypatch.setattr(forwarding, "_DISCOVERY_S", 0.01)
    extension.hangs = asyncio.Event()
    answer = await api("GET", GROUP_VERSION)
    extension.hangs.set()
    assert (answer.status, answer.raw) == (
        503, b"error trying to reach service: context deadline exceeded\n"
    )  # fmt: skip


async def test_a_write_that_is_passed_on_has_the_time_of_any_request(api: Any, extension: Extension) -> None:
    """When writes give up earlier is each server's own to say."""
    await available(api, extension)
    extension.hangs = asyncio.Event()
    flights = api.server.traffic.traffic.flights
    asking = asyncio.ensure_future(api("POST", f"{GROUP_VERSION}/namespaces/default/pods", {}))
    async with asyncio.timeout(WAIT_S):
        while not any(flight.deadline == flight.last for flight in flights._flights):  # noqa: ASYNC110
            await asyncio.sleep(0)
    api.clock.advance(59)
    flights.sweep()
    await asyncio.sleep(0)
    assert not asking.done()
    api.clock.advance(2)
    flights.sweep()
    answer = await asking
    extension.hangs.set()
    assert (answer.status, answer.headers["content-type"]) == (504, "text/plain; charset=utf-8")
    assert b"did not complete within the allotted timeout" in answer.raw


async def test_servers_behind_learn_of_the_way(api: Any, extension: Extension) -> None:
    await available(api, extension)
    path = f"{GROUP_VERSION}/namespaces/default/pods"
    given = {"x-forwarded-for": "10.0.0.9", "x-forwarded-host": "a.example", "x-forwarded-uri": "/elsewhere"}
    response = await api.send("GET", f"{path}?limit=5", **given)
    assert [chunk async for chunk in response.stream]
    (asked,) = extension.asked
    told = {name: value for name, value in asked.headers.items() if name.startswith("x-forwarded-")}
    assert told == {
        "x-forwarded-for": "10.0.0.9", "x-forwarded-host": f"{ADDRESS}:443",
        "x-forwarded-proto": "https", "x-forwarded-uri": path,
    }  # fmt: skip
    assert asked.headers["host"] == f"{ADDRESS}:443"


async def test_servers_behind_may_be_called_by_their_own_addresses(
    serving: Any, extension: Extension
) -> None:
    async with serving(routes_to_endpoints=True) as api:
        await available(api, extension)
        response = await api.send("GET", f"{GROUP_VERSION}/pods")
        assert [chunk async for chunk in response.stream]
        (asked,) = extension.asked
        assert asked.headers["host"] == asked.headers["x-forwarded-host"] == f"127.0.0.1:{extension.port}"


async def test_servers_behind_may_not_lead_elsewhere(api: Any, extension: Extension) -> None:
    await available(api, extension)
    extension.location = "https://evil.example/"
    for status in (302, 304, 399):
        extension.status = status
        answer = await api("GET", f"{GROUP_VERSION}/pods")
        assert answer.status == 502
        assert answer.raw == b"the backend attempted to redirect this request, which is not permitted"
        assert "location" not in answer.headers
    for status, extension.location in ((201, "/made"), (300, "")):
        extension.status = status
        response = await api.send("GET", f"{GROUP_VERSION}/pods")
        assert b"PodMetricsList" in b"".join([chunk async for chunk in response.stream])
        assert response.status == status


async def test_servers_behind_that_may_lead_elsewhere(serving: Any, extension: Extension) -> None:
    async with serving(rejects_redirects=False) as api:
        await available(api, extension)
        extension.location, extension.status = "https://elsewhere.example/", 302
        response = await api.send("GET", f"{GROUP_VERSION}/pods")
        assert [chunk async for chunk in response.stream]
        headers = {name.lower(): value for name, value in response.headers.items()}
        assert (response.status, headers["location"]) == (302, "https://elsewhere.example/")


async def test_users_need_rights(api: Any, extension: Extension) -> None:
    await available(api, extension)
    answer = await api("GET", f"{GROUP_VERSION}/pods", user="alice")
    assert answer.status == 403
    assert extension.asked == []


async def test_watches_are_streamed(api: Any, extension: Extension) -> None:
    await available(api, extension)
    response = await api.send("GET", f"{GROUP_VERSION}/pods?watch=true")
    body = b"".join([chunk async for chunk in response.stream])
    assert body == b'{"type":"ADDED"}\n{"type":"DELETED"}\n'
    assert response.length is None


async def test_answers_keep_the_length_that_they_declare(api: Any, extension: Extension) -> None:
    await available(api, extension)
    for method in ("GET", "HEAD"):
        response = await api.send(method, f"{GROUP_VERSION}/pods")
        assert response.length == len(b'{"kind":"PodMetricsList","items":[]}')
        body = b"".join([chunk async for chunk in response.stream])
        assert len(body) == (0 if method == "HEAD" else response.length)


class Pipe:
    """The client's side of an upgraded connection."""

    def __init__(self) -> None:
        self.sent = [b"ping"]
        self.got = b""

    async def read(self) -> bytes:
        if self.sent:
            return self.sent.pop()
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        self.got += data

    async def close(self) -> None:
        self.sent.clear()


async def test_upgrades_go_through(api: Any, extension: Extension) -> None:
    await available(api, extension)
    response = await api.send("GET", f"{GROUP_VERSION}/pods", upgrade="echo", connection="Upgrade")
    assert response.status == 101
    pipe = Pipe()
    async with asyncio.timeout(WAIT_S):
        await response.upgrade(pipe)
    assert pipe.got == b"ping"


@pytest.mark.parametrize(("status", "location"), [(200, ""), (302, "/elsewhere")])
async def test_an_upgrade_that_is_none_is_refused(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch, status: int, location: str
) -> None:
    await available(api, extension)
    extension.status, extension.location = status, location

    async def plain(request: Request) -> Response:
        return Response(status, {"Location": location} if location else {}, b"{}")

    monkeypatch.setattr(Extension, "__call__", lambda _self, request: plain(request))
    answer = await api("GET", f"{GROUP_VERSION}/pods", upgrade="echo", connection="Upgrade")
    assert (answer.status, answer.raw) == (503, b"invalid upgrade response: status code %d\n" % status)


def test_a_switch_that_nobody_wanted_is_refused() -> None:
    answer: Any = SimpleNamespace(status=101, header=lambda _name: "echo")
    text = 'backend tried to switch protocol "echo" when "" was requested'
    assert _switch_fault(Request("GET", "/x"), answer) == text
    wanted = Request("GET", "/x", headers={"connection": "Upgrade", "upgrade": "echo"})
    assert _switch_fault(wanted, answer) is None
    for status in (200, 503):
        answer.status = status
        assert _switch_fault(Request("GET", "/x"), answer) is None


async def test_discovery_shows_local_and_remote(api: Any, extension: Extension) -> None:
    await available(api, extension)
    groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
    assert {"apps", "samples.example.com"} <= groups.keys()
    wanted = {"groupVersion": "samples.example.com/v1beta1", "version": "v1beta1"}
    assert groups["samples.example.com"]["preferredVersion"] == wanted
    assert (await api.get("/apis/samples.example.com"))["versions"] == [wanted]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = (await api.get("/apis", accept=accept))["items"]
    (version,) = next(item for item in items if item["metadata"]["name"] == "samples.example.com")["versions"]
    assert version["freshness"] == "Current"
    (pods,) = version["resources"]
    assert (pods["resource"], pods["scope"], pods["verbs"]) == ("pods", "Namespaced", ["get", "list"])
    assert pods["subresources"][0]["subresource"] == "status"


async def test_an_api_service_of_the_core_group(api: Any, extension: Extension) -> None:
    """It may be another server's too, and whether that is there is asked where core resources are."""
    await serve_behind(api, extension.port)
    await api.patch(
        f"{SERVICES}/v1.",
        {"spec": {"service": {"namespace": "kube-system", "name": "metrics"}, "insecureSkipTLSVerify": True}},
    )
    row = api.server.table.by_path("apiregistration.k8s.io", "v1", "apiservices")
    async with asyncio.timeout(WAIT_S):
        async for batch in api.server.objects.watch(row, Selection(name="v1.")):
            if any(get_condition(one.cached.object, "Available")["reason"] == "Passed" for one in batch):
                break
    await api.settle()
    response = await api.send("GET", "/api/v1/namespaces/default/pods")
    assert b"PodMetricsList" in b"".join([chunk async for chunk in response.stream])
    assert extension.asked[-1].path == "/api/v1/namespaces/default/pods"


async def test_custom_groups_come_and_go(api: Any) -> None:
    body = {
        "metadata": {"name": "tests.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "tests", "singular": "test", "kind": "Test", "listKind": "TestList"},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }  # fmt: skip
    row = api.server.table.by_path("apiregistration.k8s.io", "v1", "apiservices")
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    changes = api.server.objects.watch(row, Selection(name="v1.example.com"))
    async with asyncio.timeout(WAIT_S):
        batch = await anext(changes)
        assert batch[0].cached.object["spec"]["groupPriorityMinimum"] == 1000
        await api("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tests.example.com")
        while batch[0].type != "DELETED":
            batch = await anext(changes)


async def test_without_remote_apis_nothing_is_looked_at_until_something_changes(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.settle()
    monkeypatch.setattr(controller, "_TICK_S", 0.0)
    looked = []

    async def look(self: controller.Aggregation) -> None:
        looked.append(len(looked))

    monkeypatch.setattr(controller.Aggregation, "_check_remote", look)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not looked
    api.server.table.hide([])
    await api.settle()
    assert looked == [0]


async def test_what_failed_is_tried_again(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.settle()
    monkeypatch.setattr(controller, "_TICK_S", 0.0)
    tried = asyncio.Semaphore(0)

    async def fail(self: controller.Aggregation) -> None:
        tried.release()
        raise OSError("no such store")

    monkeypatch.setattr(controller.Aggregation, "_check_remote", fail)
    api.server.table.hide([])
    async with asyncio.timeout(WAIT_S):
        for _ in range(3):
            await tried.acquire()


async def test_discovery_is_encoded_once_until_something_changes(api: Any) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    first, again = [await api("GET", "/apis", accept=accept) for _ in range(2)]
    assert again.raw is first.raw
    known = await api("GET", "/apis", accept=accept, if_none_match=first.headers["etag"])
    assert (known.status, known.raw) == (304, b"")
    await api.create(SERVICES, api_service())
    await api.settle()
    changed = await api("GET", "/apis", accept=accept)
    assert changed.headers["etag"] != first.headers["etag"]
    assert "samples.example.com" in {item["metadata"]["name"] for item in changed.json["items"]}


async def test_what_became_local_is_there(api: Any) -> None:
    await api.create(SERVICES, api_service())
    assert (await condition(api, "False"))["reason"] == "ServiceNotFound"
    await api.patch(f"{SERVICES}/{NAME}", {"spec": {"service": None}})
    found = await condition(api, "True")
    assert (found["reason"], found["message"]) == ("Local", "Local APIServices are always available")


ALL = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_groups_are_named_from_their_api_service_on(api: Any) -> None:
    """Whether their kinds are served or not: of this one no object can be converted yet."""
    version = {"served": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    webhook = {
        "clientConfig": {"url": "https://127.0.0.1:1", "caBundle": "Q2c9PQo="},
        "conversionReviewVersions": ["v1"],
    }
    definition = {
        "metadata": {"name": "tests.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "tests", "singular": "test", "kind": "Test", "listKind": "TestList"},
            "versions": [
                {"name": "v1beta1", "storage": False, **version}, {"name": "v1", "storage": True, **version}
            ],
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }  # fmt: skip
    row = api.server.table.by_path("apiregistration.k8s.io", "v1", "apiservices")
    services = api.server.objects.watch(row, Selection(name="v1beta1.example.com"))
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    async with asyncio.timeout(WAIT_S):
        await anext(services)
    await api.settle()
    group = {
        "name": "example.com",
        "versions": [
            {"groupVersion": f"example.com/{one}", "version": one} for one in ("v1", "v1beta1")
        ],
        "preferredVersion": {"groupVersion": "example.com/v1", "version": "v1"},
    }  # fmt: skip
    assert (await api.get("/apis"))["groups"][-2] == group, "before metrics, which count less"
    assert await api.get("/apis/example.com") == {"kind": "APIGroup", "apiVersion": "v1", **group}
    assert (await api("GET", "/apis/example.com/v1")).status == 404
    whole = (await api.get("/apis", accept=ALL))["items"]
    assert "example.com" not in [one["metadata"]["name"] for one in whole], "that tells what is served"
    await api.patch(f"{SERVICES}/v1.apps", {"spec": {"groupPriorityMinimum": 1}})
    await api("DELETE", f"{SERVICES}/v1.batch")
    await api.settle()
    names = [one["name"] for one in (await api.get("/apis"))["groups"]]
    assert (names[0], names[-1]) == ("apiregistration.k8s.io", "apps")
    assert "batch" not in names
    assert (await api.get("/apis/batch"))["preferredVersion"]["version"] == "v1", "served all the same"


async def test_local_services_are_kept_as_far_as_they_are_managed(api: Any) -> None:
    """Those of the start are made once; those of definitions are put right whenever they change."""
    row = api.server.table.by_path("apiregistration.k8s.io", "v1", "apiservices")
    definition = {
        "metadata": {"name": "tests.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "tests", "singular": "test", "kind": "Test", "listKind": "TestList"},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }  # fmt: skip
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    custom = api.server.objects.watch(row, Selection(name="v1.example.com"))
    async with asyncio.timeout(WAIT_S):
        await anext(custom)
        await api("DELETE", f"{SERVICES}/v1.apps")
        await api.patch(f"{SERVICES}/v1.batch", {"spec": {"versionPriority": 77}})
        await api.patch(f"{SERVICES}/v1.example.com", {"spec": {"versionPriority": 77}})
        seen: list[int] = []
        while len(seen) < 2:
            seen += [change.cached.object["spec"]["versionPriority"] for change in await anext(custom)]
    assert seen == [77, 100]
    assert (await api("GET", f"{SERVICES}/v1.apps")).status == 404
    assert (await api.get("/apis/apps/v1/deployments"))["items"] == []
    assert (await api.get(f"{SERVICES}/v1.batch"))["spec"]["versionPriority"] == 77


async def test_an_api_service_from_first_to_last(api: Any, extension: Extension) -> None:
    """As typed clients go about it: whole statuses, conditions whose times are null."""
    await available(api, extension)
    path, status = f"{SERVICES}/{NAME}", f"{SERVICES}/{NAME}/status"
    assert (await api.get(status))["status"]["conditions"][0]["message"] == "all checks passed"
    patched = await api.patch(path, {"spec": {"versionPriority": 400}})
    assert patched.json["spec"]["versionPriority"] == 400
    assert NAME in [item["metadata"]["name"] for item in (await api.get(SERVICES))["items"]]
    labelled = await api.patch(path, {"metadata": {"labels": {"e2e": "patched"}}}, "strategic")
    assert labelled.json["metadata"]["labels"] == {"e2e": "patched"}

    def said(how: str) -> dict[str, Any]:
        return {"type": how, "status": "True", "lastTransitionTime": None, "reason": "E2E", "message": "Set"}

    live = await api.get(status)
    live["status"]["conditions"].append(said("StatusUpdated"))
    await api.put(status, live)
    assert get_condition(await api.get(status), "StatusUpdated")
    live = await api.get(path)
    live["metadata"]["labels"] = {NAME: "updated"}
    assert (await api.put(path, live))["metadata"]["labels"] == {NAME: "updated"}
    conditions = [*(await api.get(status))["status"]["conditions"], said("StatusPatched")]
    await api.patch(status, {"status": {"conditions": conditions}})
    await api.settle()
    shown = await api.get(status)
    assert {one["type"] for one in shown["status"]["conditions"]} == {
        "Available", "StatusUpdated", "StatusPatched",
    }  # fmt: skip
    response = await api.send("GET", f"{GROUP_VERSION}/namespaces/default/pods")
    assert b"PodMetricsList" in b"".join([chunk async for chunk in response.stream]), "it is still asked"
    deleted = await api("DELETE", f"{SERVICES}?labelSelector={NAME}=updated")
    assert deleted.status == 200
    assert (await api.get(f"{SERVICES}?labelSelector={NAME}=updated"))["items"] == []
