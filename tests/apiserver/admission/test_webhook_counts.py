"""What is counted of webhooks, under upstream's names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.samples import Since

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.families import Registry
from tiphys.apiserver.admission.times import AdmissionTimes
from tiphys.apiserver.admission.webhooks.dispatch import counting
from tiphys.apiserver.observe import latencies
from tiphys.client.metrics import CLIENTS
from tiphys.wire.message import Request, Response

NAME = "apiserver_admission_webhook"


def test_what_happened_is_counted() -> None:
    times = AdmissionTimes()
    hooks = times.hooks
    hooks.answered("a", "admit", "CREATE", 0.01)
    hooks.answered("a", "admit", "CREATE", 3.0)
    hooks.answered("b", "validating", "UPDATE", 0.01, refused_with=403)
    hooks.failed("c", "validating", "DELETE", 10.0, 503, ignored=False)
    hooks.failed("d", "admit", "CREATE", 10.0, 503, ignored=True)
    hooks.broken("e", "admit", "CREATE", 0.1)
    registry = Registry()
    registry.register(times)

    def value(metric: str, **labels: str) -> float | None:
        return registry.sample_value(f"{NAME}_{metric}", labels)

    passed = {"name": "a", "type": "admit", "operation": "CREATE", "rejected": "false"}
    assert value("admission_duration_seconds_count", **passed) == 2
    assert value("admission_duration_seconds_sum", **passed) == 3.01
    assert value("admission_duration_seconds_bucket", le="2.5", **passed) == 1
    assert value("request_total", code="200", **passed) == 2
    refused = {"name": "b", "type": "validating", "operation": "UPDATE"}
    assert value("request_total", code="403", rejected="true", **refused) == 1
    assert value("rejection_count", error_type="no_error", rejection_code="403", **refused) == 1
    failed = {"name": "c", "type": "validating", "operation": "DELETE"}
    assert value("request_total", code="503", rejected="true", **failed) == 1
    assert value("rejection_count", error_type="calling_webhook_error", rejection_code="503", **failed) == 1
    broken = {"name": "e", "type": "admit", "operation": "CREATE"}
    assert value("request_total", code="0", rejected="true", **broken) == 1
    assert value("rejection_count", error_type="apiserver_internal_error", rejection_code="0", **broken) == 1
    assert value("fail_open_count", name="d", type="admit") == 1
    assert value("fail_open_count", name="c", type="validating") is None


def test_audited_requests_keep_how_long_webhooks_took() -> None:
    """Those that change objects one after the other, the others at once."""
    clock, request = FakeClock(), Request("POST", "/")
    latencies.follow(request, clock.monotonic)
    backend = SimpleNamespace(clock=clock, admission=SimpleNamespace(times=AdmissionTimes()))
    call = SimpleNamespace(backend=backend, request=request)
    attributes: Any = SimpleNamespace(call=call, operation="CREATE")
    hook: Any = SimpleNamespace(name="h")
    for mutating in (True, False):
        for seconds in (1.0, 2.0):
            with counting(hook, attributes, mutating=mutating):
                clock.advance(seconds)
    found = latencies.told(request, 9.0)
    assert found["apiserver.latency.k8s.io/mutating-webhook"] == "3s"
    assert found["apiserver.latency.k8s.io/validating-webhook"] == "2s"


async def test_webhooks_are_called_by_a_client(api: Any, webhook: Any) -> None:
    """Whose calls are counted as those of every client, and shown at the server's own endpoint."""
    config = {"metadata": {"name": "c"}, "webhooks": [
        {"name": "one.example.com", "clientConfig": webhook.url(), "sideEffects": "None",
         "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
         "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                    "resources": ["configmaps"]}]},
    ]}  # fmt: skip
    await api.create("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", config)
    await api.settle()
    maps = "/api/v1/namespaces/default/configmaps"
    since = Since(CLIENTS, "rest_client_")
    await api.create(maps, {"metadata": {"name": "a"}})
    webhook.raw["/"] = Response(503, {}, b"later")
    await api.create(maps, {"metadata": {"name": "b"}})
    host = f"127.0.0.1:{webhook.port}"
    for code in ("200", "503"):
        assert since("requests_total", code=code, method="POST", host=host) == 1
    assert since("request_duration_seconds_count", verb="POST", host=host) == 2
    assert since("request_size_bytes_count", verb="POST", host=host) == 2
    assert since("response_size_bytes_sum", verb="POST", host=host) > len(b"later")
    text = (await api("GET", "/metrics")).raw.decode()
    assert f'rest_client_requests_total{{code="503",host="{host}",method="POST"}} ' in text


async def test_webhooks_that_nobody_answers_for(api: Any, webhook: Any) -> None:
    hanging = {**webhook.url(), "url": "https://127.0.0.1:1/"}
    hook = {
        "name": "one.example.com", "clientConfig": hanging, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                   "resources": ["configmaps"]}],
    }  # fmt: skip
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    await api.create(path, {"metadata": {"name": "c"}, "webhooks": [hook]})
    await api.settle()
    counted = {"code": "<error>", "method": "POST", "host": "127.0.0.1:1"}
    before = CLIENTS.sample_value("rest_client_requests_total", counted) or 0
    await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    assert CLIENTS.sample_value("rest_client_requests_total", counted) == before + 1


async def test_names_of_webhooks_are_looked_up(api: Any, webhooks: Any) -> None:
    name = "rest_client_dns_resolution_duration_seconds_count"
    before = CLIENTS.sample_value(name, {"host": "localhost"}) or 0
    async with webhooks.webhook_server("localhost") as webhook:
        client = {**webhook.url(), "url": f"https://localhost:{webhook.port}/"}
        hook = {
            "name": "one.example.com", "clientConfig": client, "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                       "resources": ["configmaps"]}],
        }  # fmt: skip
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        await api.create(path, {"metadata": {"name": "c"}, "webhooks": [hook]})
        await api.settle()
        for one in ("a", "b"):  # the second goes over the same connection
            await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": one}})
        assert len(webhook.asked) == 2
    assert CLIENTS.sample_value(name, {"host": "localhost"}) == before + 1
