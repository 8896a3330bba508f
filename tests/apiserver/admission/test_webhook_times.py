"""How long webhooks may take, together and each, and the connections they are asked over."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.apiserver.admission.hooked import MAPS, config_map, configure, hook

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


@pytest.fixture
def webhook(swept_webhook: Any) -> Any:
    """A webhook of the test's own."""
    return swept_webhook


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


async def test_a_service_that_moved_is_asked_where_it_is_now(api: Any, webhooks: Any) -> None:
    """A connection that is kept to where it was before is not used again."""
    await api.create("/api/v1/namespaces/default/services", {
        "metadata": {"name": "hooks"}, "spec": {"ports": [{"port": 443}]},
    })  # fmt: skip
    row, objects = api.server.table.by_path("discovery.k8s.io", "v1", "endpointslices"), api.server.objects

    async def serve_at(name: str, port: int) -> Any:
        # Straight into the store: the API does not take loopback addresses.
        labels = {"kubernetes.io/service-name": "hooks"}
        return await objects.create(row, {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "default", "labels": labels, "uid": name},
            "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "", "port": port}],
        })  # fmt: skip

    name = "hooks.default.svc"
    async with webhooks.webhook_server(name) as old, webhooks.webhook_server(name) as new:
        bundle = base64.b64encode(old.ca.certificate + new.ca.certificate).decode()
        service = {"namespace": "default", "name": "hooks"}
        await configure(api, "validating", hook({"service": service, "caBundle": bundle}))
        made = await serve_at("old", old.port)
        await api.create(MAPS, config_map("before"))
        await objects.delete(row, "default", "old", made.revision)
        await serve_at("new", new.port)
        await api.create(MAPS, config_map("after"))
        assert [one["name"] for one in old.asked] == ["before"]
        assert [one["name"] for one in new.asked] == ["after"]
