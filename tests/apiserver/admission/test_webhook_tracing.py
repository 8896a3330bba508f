"""Webhooks of a server that traces: they are told which span asks them."""

from __future__ import annotations

from typing import Any

from tests.wire.collector import attributes, collecting

from tiphys.apimachinery.tracing import MILLION, read_headers
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.wire.message import Response

MAPS = "/api/v1/namespaces/default/configmaps"
KINDS = "/apis/admissionregistration.k8s.io/v1"
RULES = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]


def configuration(webhook: Any) -> dict[str, Any]:
    hook = {
        "name": "one.example.com", "clientConfig": webhook.url(), "rules": RULES, "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }  # fmt: skip
    return {"metadata": {"name": "c"}, "webhooks": [hook]}


async def test_webhooks_go_on_with_the_trace(serving: Any, webhook: Any) -> None:
    async with collecting() as collector:
        options = TracingOptions(f"127.0.0.1:{collector.port}", MILLION)
        async with serving(tracing=options) as api:
            await api.create(f"{KINDS}/validatingwebhookconfigurations", configuration(webhook))
            await api.settle()
            await api.create(MAPS, {"metadata": {"name": "m"}})
            await api.server.stop()
        call, sent = collector.named("Call validating webhook"), collector.named("HTTP POST")
        assert sent.kind == 3
        assert sent.parent_span_id == call.span_id
        (asked,) = webhook.asked
        assert attributes(call.attributes) == {
            "configuration": "c", "webhook": "one.example.com", "resource": "configmaps", "subresource": None,
            "operation": "CREATE", "UID": asked["uid"],
        }  # fmt: skip
        told = read_headers(webhook.headers[0])
        assert told is not None
        assert (told.trace_id, told.span_id, told.sampled) == (sent.trace_id, sent.span_id, True)


async def test_webhooks_are_told_nothing_where_nobody_traces(api: Any, webhook: Any) -> None:
    await api.create(f"{KINDS}/mutatingwebhookconfigurations", configuration(webhook))
    await api.settle()
    await api.create(MAPS, {"metadata": {"name": "m"}})
    assert "traceparent" not in webhook.headers[0]


async def test_what_is_told_of_a_call(serving: Any, webhook: Any) -> None:
    async with collecting() as collector:
        options = TracingOptions(f"127.0.0.1:{collector.port}", MILLION)
        async with serving(tracing=options) as api:
            made = configuration(webhook)
            made["webhooks"][0]["failurePolicy"] = "Ignore"
            await api.create(f"{KINDS}/validatingwebhookconfigurations", made)
            away = configuration(webhook)
            away["metadata"]["name"] = "away"
            nowhere = {"url": "https://127.0.0.1:1/x"}
            away["webhooks"][0] |= {"clientConfig": nowhere, "failurePolicy": "Ignore"}
            await api.create(f"{KINDS}/mutatingwebhookconfigurations", away)
            await api.settle()
            await api.create(MAPS, {"metadata": {"name": "m"}})
            webhook.raw["/"] = Response(503, {}, b"")
            await api.create(MAPS, {"metadata": {"name": "n"}})
            await api.server.stop()
    unreached, sent, _, refused = [span for span in collector.spans if span.name == "HTTP POST"]
    assert attributes(sent.attributes) == {
        "http.request.method": "POST", "url.full": f"{webhook.url()['url']}?timeout=10s",
        "server.address": "127.0.0.1", "server.port": webhook.port, "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }  # fmt: skip
    assert not sent.HasField("status")
    assert attributes(refused.attributes)["error.type"] == "503"
    assert (refused.status.code, refused.status.message, len(refused.events)) == (2, "", 0)
    assert (unreached.status.code, [one.name for one in unreached.events]) == (2, ["exception"])
    assert "refused" in unreached.status.message
